/*
 * fusermount: how those unmount who are not root.
 *
 * fusermount3(1) is set-uid root, and sees to it that the mount is the user's.
 */
#ifndef ADDONFS_FUSERMOUNT_H
#define ADDONFS_FUSERMOUNT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Take the mount at `mountpoint` away; `lazy`: although it may be in use. -EBUSY: it is in use;
 * -EPERM: anything else. The first line that the program says, or what is to be done without it,
 * goes into `words`.
 */
int fusermount_unmount(const char *mountpoint, bool lazy, char *words, size_t size);

#endif
