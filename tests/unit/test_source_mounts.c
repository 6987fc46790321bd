#include "source_mounts.h"

#include <addonfs/cleanup.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

static char top[] = "/tmp/addonfs-mounts-XXXXXX";

/* Folders "a tree" and "a tree2" in a mount namespace of our own; false: we may not have one. */
static bool prepare(char tree[64], char inside[64], char beside[64])
{
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    memcpy(top + strlen(top) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(top));
    snprintf(tree, 64, "%s/a tree", top);
    snprintf(inside, 64, "%s/a tree/in", top);
    snprintf(beside, 64, "%s/a tree2", top);
    assert_int_equal(mkdir(tree, 0700) | mkdir(inside, 0700) | mkdir(beside, 0700), 0);
    return true;
}

static void only_mounts_inside_the_tree_count(void **state)
{
    char tree[64];
    char inside[64];
    char beside[64];

    (void)state;
    if (!prepare(tree, inside, beside))
        skip();
    struct mounts *mounts = mounts_new(tree);
    assert_non_null(mounts);
    assert_false(mounts_have_changed(mounts));
    assert_int_equal(mount("none", beside, "tmpfs", 0, NULL), 0);
    assert_false(mounts_have_changed(mounts));
    assert_int_equal(mount("none", inside, "tmpfs", 0, NULL), 0);
    assert_true(mounts_have_changed(mounts));
    assert_false(mounts_have_changed(mounts));
    assert_int_equal(umount(beside), 0);
    assert_false(mounts_have_changed(mounts));
    /* One goes and another comes at the same place. */
    assert_int_equal(umount(inside), 0);
    assert_int_equal(mount("none", inside, "tmpfs", 0, NULL), 0);
    assert_true(mounts_have_changed(mounts));
    assert_int_equal(umount(inside), 0);
    assert_true(mounts_have_changed(mounts));
    mounts_free(mounts);
    assert_int_equal(rmdir(inside) | rmdir(tree) | rmdir(beside) | rmdir(top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_mounts_inside_the_tree_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
