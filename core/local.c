#include <addonfs/local.h>

#include <linux/magic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/vfs.h>

/*
 * The magic numbers of statfs(2); those that linux/magic.h lacks are from the file systems' own
 * sources. Not here although they often are local, because statfs does not say what is below them:
 * FUSE (sshfs, GlusterFS and virtiofs look the same as ntfs-3g), eCryptfs, aufs. A file system of a
 * cluster (GFS2, OCFS2, GPFS, Lustre) is shared although its disks look like ours. overlayfs counts
 * as what it is for: containers, whose upper layer is the host's own disk.
 */
static const uint32_t local[] = {
    EXT4_SUPER_MAGIC, /* ext2 and ext3 too */
    XFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    0xca451a4e, /* bcachefs */
    0x2fc12fc1, /* zfs */
    F2FS_SUPER_MAGIC,
    NILFS_SUPER_MAGIC,
    REISERFS_SUPER_MAGIC,
    0x52345362, /* reiser4 */
    0x3153464a, /* jfs */
    TMPFS_MAGIC,
    RAMFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    MSDOS_SUPER_MAGIC, /* vfat too */
    0x2011bab0,        /* exfat */
    0x7366746e,        /* ntfs3 */
    0x5346544e,        /* ntfs */
    0x4244,            /* hfs */
    0x482b,            /* hfs+ */
    0x24051905,        /* ubifs */
    0x72b6,            /* jffs2 */
    SQUASHFS_MAGIC,
    EROFS_SUPER_MAGIC_V1,
    CRAMFS_MAGIC,
    ISOFS_SUPER_MAGIC,
    UDF_SUPER_MAGIC,
};

bool local_is(int fd)
{
    struct statfs status;

    if (fstatfs(fd, &status) < 0)
        return false;
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        /* Where f_type is a signed 32-bit number, it is extended to the word. */
        if ((uint32_t)status.f_type == local[i])
            return true;
    }
    return false;
}
