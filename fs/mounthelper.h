/*
 * mounthelper: what mount(8) starts for `mount -t addonfs` and for a line in fstab(5).
 */
#ifndef ADDONFS_MOUNTHELPER_H
#define ADDONFS_MOUNTHELPER_H

/* The name that mount(8) starts a helper by (mount(8), "External helpers"). */
#define MOUNTHELPER_NAME "mount.addonfs"

/*
 * mount.addonfs SOURCE MOUNTPOINT [-sfnv] [-o OPTION,…] [-t TYPE]. Returns mount(8)'s exit codes:
 * 0, 1 (usage), 32 (the mount failed). Options that are for mount(8) itself or for systemd are
 * passed over; the rest are those of `addonfs mount`.
 */
int mounthelper_main(int count, char **arguments);

#endif
