#include <addonfs/local.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

/* What the kernel says, in place of the C library's function: no test can mount them all. */
static uint32_t type;

int fstatfs(int fd, struct statfs *status)
{
    if (fd < 0) {
        errno = EBADF;
        return -1;
    }
    memset(status, 0, sizeof(*status));
    status->f_type = (__typeof__(status->f_type))type;
    return 0;
}

static void file_systems_of_one_host_are_local(void **state)
{
    static const uint32_t types[] = {
        EXT2_SUPER_MAGIC,  XFS_SUPER_MAGIC,      BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,       RAMFS_MAGIC,          SQUASHFS_MAGIC,    OVERLAYFS_SUPER_MAGIC,
        MSDOS_SUPER_MAGIC, EROFS_SUPER_MAGIC_V1, 0x2fc12fc1,        0x7366746e,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        type = types[i];
        assert_true(local_is(0));
    }
}

static void shared_and_unknown_ones_are_not(void **state)
{
    static const uint32_t types[] = {
        NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,      CIFS_SUPER_MAGIC,
        SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC,     CEPH_SUPER_MAGIC,
        AFS_SUPER_MAGIC,  AFS_FS_MAGIC,         V9FS_MAGIC,
        CODA_SUPER_MAGIC, 0x786f4256,           0x0bd00bd0,
        0x47504653,       0x01161970,           0x7461636f,
        0x19830326,       ECRYPTFS_SUPER_MAGIC, 0,
        0x12345678,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        type = types[i];
        assert_false(local_is(0));
    }
}

static void what_the_kernel_does_not_say_is_not(void **state)
{
    (void)state;
    type = TMPFS_MAGIC;
    assert_false(local_is(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_systems_of_one_host_are_local),
        cmocka_unit_test(shared_and_unknown_ones_are_not),
        cmocka_unit_test(what_the_kernel_does_not_say_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
