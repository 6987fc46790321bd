#include "fixture.h"

#include <addonfs/package.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

static struct package *build(const struct fixture *fixture)
{
    const struct recipe_choice choice = {.layout = NULL};
    const struct package_options options = {.no_license = false};
    cleanup_recipe_matches struct recipe_matches matches = {0};
    struct package *package = NULL;
    struct error error = {0};

    fixture_refresh(fixture);
    if (recipe_find(fixture->origin.source, fixture->origin.spool, &choice, NULL, &matches,
                    &error) < 0 ||
        package_build(&fixture->origin, &options, &matches.items[0], NULL, &package, &error) < 0)
        fail_msg("%s", error.text);
    return package;
}

/* All paths below a folder, one a line. */
static void list(const struct entry *folder, const char *prefix, char *text, size_t room)
{
    for (size_t i = 0; i < folder->count; i++) {
        const struct entry *child = folder->children[i];
        size_t used = strlen(text);
        char path[256];
        snprintf(path, sizeof(path), "%s%s%s", prefix, child->name,
                 child->kind == ENTRY_FOLDER ? "/" : "");
        snprintf(text + used, room - used, "%s\n", path);
        list(child, path, text, room);
    }
}

static void expect_paths(const struct package *package, const char *expected)
{
    char text[1024] = "";

    list(package->folder, "", text, sizeof(text));
    assert_string_equal(text, expected);
}

static void the_rules_make_the_tree(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_package struct package *package = build(fixture);

    assert_string_equal(package->addon, "openpype");
    assert_string_equal(package->version, "3.15.12");
    assert_string_equal(package->folder->name, "3.15.12");
    expect_paths(package, "__init__.py\nprivate/\nprivate/client.zip\nprivate/pyproject.toml\n"
                          "version.py\n");
    struct entry *zip = NULL;
    assert_int_equal(entry_find(package->folder, "private/client.zip", &zip), 0);
    assert_int_equal(bundle_count(zip->bundle), 3);
    /* Nothing has been compressed for that. */
    assert_int_equal(members_count(fixture->origin.members), 0);
}

static void the_server_takes_dot_files_at_its_top_only_and_wins(void **state)
{
    const struct fixture *fixture = *state;

    fixture_write(fixture, "server_addon/server/.dot", "");
    fixture_write(fixture, "server_addon/server/version.py", "");
    fixture_write(fixture, "server_addon/server/sub/.dot", "");
    fixture_write(fixture, "server_addon/server/sub/file", "");
    fixture_write(fixture, "server_addon/server/empty/.dot", "");
    cleanup_package struct package *package = build(fixture);
    expect_paths(package, ".dot\n__init__.py\nprivate/\nprivate/client.zip\n"
                          "private/pyproject.toml\nsub/\nsub/file\nversion.py\n");
    struct entry *version = entry_child(package->folder, "version.py");
    assert_string_equal(version->path, "server_addon/server/version.py");
}

static void expect_no_version(const struct fixture *fixture, const char *text, const char *reason)
{
    fixture_write(fixture, "openpype/version.py", text);
    cleanup_package struct package *package = build(fixture);
    assert_null(package->version);
    assert_null(package->folder);
    assert_string_equal(package->failure_path, "openpype/version.py");
    assert_non_null(strstr(package->failure, reason));
}

static void a_version_that_cannot_be_had_fails_the_package(void **state)
{
    const struct fixture *fixture = *state;

    expect_no_version(fixture, "", "no assignment to __version__");
    expect_no_version(fixture, "__version__ = read()\n", "openpype/version.py:1: ");
    expect_no_version(fixture, "__version__ = \"../../etc\"\n", "is not allowed");
}

static void a_missing_file_of_the_rules_is_a_failed_entry(void **state)
{
    const struct fixture *fixture = *state;
    struct entry *entry = NULL;

    fixture_remove(fixture, "server_addon/client/pyproject.toml");
    cleanup_package struct package *package = build(fixture);
    assert_int_equal(entry_find(package->folder, "private/pyproject.toml", &entry), 0);
    assert_non_null(entry->failure);
    assert_string_equal(entry->path, "server_addon/client/pyproject.toml");
}

static void what_cannot_be_read_is_left_out_with_a_warning_if_asked(void **state)
{
    struct fixture *fixture = *state;
    struct entry *entry = NULL;

    fixture->origin.skip_problems = true;
    fixture_remove(fixture, "server_addon/client/pyproject.toml");
    fixture_link(fixture, "server_addon/server/link", "nowhere");
    fixture_link(fixture, "openpype/link", "nowhere");
    cleanup_package struct package *package = build(fixture);
    assert_int_equal(entry_find(package->folder, "private/pyproject.toml", &entry), -ENOENT);
    assert_int_equal(entry_find(package->folder, "link", &entry), -ENOENT);
    assert_int_equal(entry_find(package->folder, "private/client.zip", &entry), 0);
    assert_int_equal(bundle_count(entry->bundle), 3);
    assert_int_equal(package->problems.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(package->problems.items[i].warning);
}

static void links_that_hold_themselves_end(void **state)
{
    const struct fixture *fixture = *state;
    struct problems problems = {0};
    struct entry *zip = NULL;
    struct error error = {0};

    fixture_link(fixture, "openpype/lib/up", "..");
    cleanup_package struct package *package = build(fixture);
    assert_int_equal(entry_find(package->folder, "private/client.zip", &zip), 0);
    assert_int_equal(bundle_compose(zip->bundle, &fixture->origin, &error), -EIO);
    assert_string_equal(error.text,
                        "openpype/lib/up: the link leads to a folder that holds the link");
    problems_clear(&problems);
}

static void a_file_is_as_private_as_its_folders(void **state)
{
    const struct fixture *fixture = *state;
    char folder[128];
    struct entry *entry = NULL;

    fixture_write(fixture, "server_addon/server/closed/file", "");
    snprintf(folder, sizeof(folder), "%s/server_addon/server/closed", fixture->root);
    assert_int_equal(chmod(fixture->root, 0755), 0);
    assert_int_equal(chmod(folder, 0750), 0);
    cleanup_package struct package *package = build(fixture);
    assert_int_equal(entry_find(package->folder, "closed/file", &entry), 0);
    assert_int_equal(entry->owner.mode, 0440);
    assert_int_equal(entry_find(package->folder, "__init__.py", &entry), 0);
    assert_int_equal(entry->owner.mode, 0444);

    assert_int_equal(chmod(fixture->root, 0700), 0);
    cleanup_package struct package *closed = build(fixture);
    assert_int_equal(entry_find(closed->folder, "__init__.py", &entry), 0);
    assert_int_equal(entry->owner.mode, 0400);
}

/* An access control list (acl(5)) that names a user or a group; the owner may everything. */
struct acl {
    uint16_t tag; /* ACL_USER or ACL_GROUP */
    uint16_t named;
    uint16_t group;
    uint16_t mask;
    uint16_t others;
};

/* Skips the test where the file system has no such lists. */
static void set_acl(const struct fixture *fixture, const char *path, const struct acl *acl)
{
    const uint32_t nobody = UINT32_MAX;
    struct {
        struct posix_acl_xattr_header header;
        struct posix_acl_xattr_entry entries[5];
    } list = {.header.a_version = htole32(POSIX_ACL_XATTR_VERSION)};
    /* The kernel wants them in the order of their tags. */
    const struct posix_acl_xattr_entry named = {acl->tag, acl->named, 1234};
    const struct posix_acl_xattr_entry group = {ACL_GROUP_OBJ, acl->group, nobody};
    const struct posix_acl_xattr_entry entries[] = {
        {ACL_USER_OBJ, ACL_READ | ACL_WRITE | ACL_EXECUTE, nobody},
        acl->tag == ACL_USER ? named : group,
        acl->tag == ACL_USER ? group : named,
        {ACL_MASK, acl->mask, nobody},
        {ACL_OTHER, acl->others, nobody},
    };
    char absolute[PATH_MAX];

    for (size_t i = 0; i < 5; i++)
        list.entries[i] = (struct posix_acl_xattr_entry){
            htole16(entries[i].e_tag), htole16(entries[i].e_perm), htole32(entries[i].e_id)};
    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    if (setxattr(absolute, "system.posix_acl_access", &list, sizeof(list), 0) == 0)
        return;
    assert_int_equal(errno, ENOTSUP);
    print_message("%s: no access control lists\n", absolute);
    skip();
}

static void expect_mode(const struct fixture *fixture, const char *path, mode_t mode)
{
    cleanup_package struct package *package = build(fixture);
    struct entry *entry = NULL;

    assert_int_equal(entry_find(package->folder, path, &entry), 0);
    assert_int_equal(entry->owner.mode, mode);
}

static void set_mode(const struct fixture *fixture, const char *path, mode_t mode)
{
    char absolute[PATH_MAX];

    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    assert_int_equal(chmod(absolute, mode), 0);
}

static void what_an_acl_does_not_grant_is_not_shown(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        struct acl acl;
        mode_t shown;
    } cases[] = {
        /* The group bits of the mode are the mask, which says nothing about the group. */
        {{ACL_USER, 4, 0, 4, 0}, 0500},
        {{ACL_GROUP, 4, 0, 4, 4}, 0504},
        {{ACL_USER, 4, 4, 4, 4}, 0544},
        /* Someone who is named may be in the group or not, but has only what is said of him … */
        {{ACL_USER, 0, 4, 4, 4}, 0500},
        /* … even if the mask takes it all, and the mode shows no group bits. */
        {{ACL_USER, 7, 4, 0, 4}, 0500},
        /* A group that is named takes nothing from the others in the file's own group. */
        {{ACL_GROUP, 0, 4, 4, 4}, 0540},
        {{ACL_GROUP, 5, 5, 7, 5}, 0555},
    };

    set_mode(fixture, "", 0755);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_acl(fixture, "server_addon/server/__init__.py", &cases[i].acl);
        expect_mode(fixture, "__init__.py", cases[i].shown);
    }
    /* The same of a folder on the way; the modes alone would allow it each time. */
    set_mode(fixture, "server_addon/server/__init__.py", 0644);
    static const struct acl members_only = {ACL_USER, 5, 0, 5, 0};
    static const struct acl all_but_one = {ACL_USER, 0, 5, 5, 5};
    set_acl(fixture, "server_addon", &members_only);
    expect_mode(fixture, "__init__.py", 0400);
    set_acl(fixture, "server_addon", &all_but_one);
    expect_mode(fixture, "__init__.py", 0400);
    expect_mode(fixture, "version.py", 0444);
    set_mode(fixture, "server_addon", 0755);
}

/* The mode is the same before and after: the ctime tells. */
static void a_change_of_an_acl_is_seen(void **state)
{
    const struct fixture *fixture = *state;
    static const struct acl open = {ACL_USER, 5, 5, 5, 5};
    static const struct acl closed = {ACL_USER, 0, 5, 5, 5};

    set_mode(fixture, "", 0755);
    fixture_write(fixture, "server_addon/server/sub/file", "");
    for (int i = 0; i < 3; i++) {
        set_acl(fixture, "server_addon/server/__init__.py", i % 2 == 0 ? &open : &closed);
        expect_mode(fixture, "__init__.py", i % 2 == 0 ? 0555 : 0500);
        set_acl(fixture, "server_addon/server/sub", i % 2 == 0 ? &open : &closed);
        expect_mode(fixture, "sub/file", i % 2 == 0 ? 0444 : 0400);
    }
}

/* The file is in our group, its folder in another: who is in that one is one of the file's others.
 */
static void what_a_folder_forbids_its_group_is_forbidden_to_others(void **state)
{
    const struct fixture *fixture = *state;
    char folder[128];

    if (geteuid() != 0) {
        print_message("only root may give a folder to a group\n");
        skip();
    }
    set_mode(fixture, "", 0755);
    fixture_write(fixture, "server_addon/server/sub/file", "");
    snprintf(folder, sizeof(folder), "%s/server_addon/server/sub", fixture->root);
    static const struct {
        uid_t uid;
        gid_t gid;
        mode_t mode;
        mode_t shown;
    } cases[] = {
        {0, 0, 0705, 0404},   {0, 200, 0705, 0400}, {0, 200, 0755, 0444}, {0, 200, 0750, 0400},
        {100, 0, 0055, 0400}, {100, 0, 0755, 0444}, {100, 0, 0750, 0040}, {100, 200, 0755, 0444},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(chown(folder, cases[i].uid, cases[i].gid), 0);
        assert_int_equal(chmod(folder, cases[i].mode), 0);
        expect_mode(fixture, "sub/file", cases[i].shown);
    }
}

/* Make `folder` with `count` folders in each other below it, and a file in the last. */
static void nest(const struct fixture *fixture, const char *folder, unsigned count)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s", folder);
    while (count-- > 0)
        strcat(path, "/d");
    strcat(path, "/f.py");
    fixture_write(fixture, path, "x");
}

static void folders_that_lie_in_too_many_others_are_failed_entries(void **state)
{
    const struct fixture *fixture = *state;
    struct error error = {0};
    struct entry *zip = NULL;
    char deep[PATH_MAX] = "openpype";

    nest(fixture, "openpype", PACKAGE_DEPTH_LIMIT - 1);
    cleanup_package struct package *fits = build(fixture);
    assert_int_equal(entry_find(fits->folder, "private/client.zip", &zip), 0);
    assert_int_equal(bundle_count(zip->bundle), 4);
    assert_int_equal(bundle_compose(zip->bundle, &fixture->origin, &error), 0);

    nest(fixture, "openpype", PACKAGE_DEPTH_LIMIT);
    cleanup_package struct package *package = build(fixture);
    assert_int_equal(entry_find(package->folder, "private/client.zip", &zip), 0);
    assert_int_equal(bundle_compose(zip->bundle, &fixture->origin, &error), -EIO);
    for (unsigned i = 0; i < PACKAGE_DEPTH_LIMIT; i++)
        strcat(deep, "/d");
    assert_string_equal(error_reason(error.text, deep),
                        "is too deep: more than 256 folders lie in each other");
}

static void *build_in_thread(void *argument)
{
    struct fixture *fixture = argument;

    package_free(build(fixture));
    fixture->origin.skip_problems = true;
    package_free(build(fixture));
    return NULL;
}

static void a_deep_tree_needs_little_stack(void **state)
{
    pthread_attr_t attributes;
    pthread_t thread;

    nest(*state, "openpype", PACKAGE_DEPTH_LIMIT);
    nest(*state, "server_addon/server", PACKAGE_DEPTH_LIMIT);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    /* An eighth of what a thread has. The sanitizers' frames are larger than ours. */
    assert_int_equal(pthread_attr_setstacksize(&attributes, 1 << 20), 0);
    assert_int_equal(pthread_create(&thread, &attributes, build_in_thread, *state), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
}

/* Two links a folder, each to the next one: 2^count ways to the last. */
static void unfold(const struct fixture *fixture, unsigned count)
{
    char path[64];
    char target[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(target, sizeof(target), "../d%u", i + 1);
        snprintf(path, sizeof(path), "shared/d%u/a", i);
        fixture_link(fixture, path, target);
        snprintf(path, sizeof(path), "shared/d%u/b", i);
        fixture_link(fixture, path, target);
    }
    snprintf(path, sizeof(path), "shared/d%u/f.py", count);
    fixture_write(fixture, path, "x");
}

static void links_that_unfold_too_far_fail_the_package(void **state)
{
    struct fixture *fixture = *state;
    struct entry *zip = NULL;

    unfold(fixture, 30);
    fixture_link(fixture, "openpype/unfold", "../shared/d20");
    cleanup_package struct package *fits = build(fixture);
    assert_null(fits->failure);
    assert_int_equal(entry_find(fits->folder, "private/client.zip", &zip), 0);
    assert_int_equal(bundle_count(zip->bundle), 3 + 1024);
    fixture_remove(fixture, "openpype/unfold");
    fixture_link(fixture, "openpype/lib/unfold", "../../shared/d0");
    for (int skip = 0; skip < 2; skip++) {
        fixture->origin.skip_problems = skip == 1;
        cleanup_package struct package *package = build(fixture);
        assert_null(package->version);
        assert_null(package->folder);
        assert_string_equal(package->failure_path, "openpype/lib/unfold");
        assert_string_equal(package->failure, "links lead to more than 20000 files and folders");
    }
    fixture_remove(fixture, "openpype/lib/unfold");
    cleanup_package struct package *healed = build(fixture);
    assert_string_equal(healed->version, "3.15.12");
}

/* Each of `count` links in openpype/bin goes over 36 others, with two thousand components each. */
static void lengthen(const struct fixture *fixture, unsigned count)
{
    char path[64];
    char target[4096];

    for (unsigned i = 0; i < 36; i++) {
        size_t used = 0;
        while (used < 4000)
            used += (size_t)sprintf(target + used, "./");
        sprintf(target + used, "l%u", i + 1);
        snprintf(path, sizeof(path), "shared/l%u", i);
        fixture_link(fixture, path, target);
    }
    fixture_write(fixture, "shared/l36", "x");
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "openpype/bin/k%02u", i);
        fixture_link(fixture, path, "../../shared/l0");
    }
    fixture_commit(fixture, NULL);
}

static void links_that_take_too_many_steps_fail_the_package_of_a_commit(void **state)
{
    const struct fixture *fixture = *state;
    const struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    struct fixture revision = *fixture;
    struct entry *zip = NULL;

    lengthen(fixture, 40);
    assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
    /* A commit's links do not become less by being looked at again. */
    for (int look = 0; look < 2; look++) {
        cleanup_package struct package *package = build(&revision);
        assert_null(package->folder);
        assert_string_equal(package->failure_path, "openpype/bin");
        assert_string_equal(package->failure,
                            "the links of the commit take more than 2000000 steps");
    }
    for (unsigned i = 20; i < 40; i++) {
        char path[64];
        snprintf(path, sizeof(path), "openpype/bin/k%02u", i);
        fixture_remove(fixture, path);
    }
    /* Half of them fit, and as many again in every commit. */
    for (int look = 0; look < 2; look++) {
        fixture_write(fixture, "openpype/new", look ? "1" : "0");
        fixture_commit(fixture, NULL);
        cleanup_package struct package *package = build(&revision);
        assert_null(package->failure);
        assert_int_equal(entry_find(package->folder, "private/client.zip", &zip), 0);
        assert_int_equal(bundle_count(zip->bundle), 3 + 20 + 1);
    }
    source_close(revision.origin.source);
}

/* As those of node_modules/.bin: to read it for each would be more steps than they may take. */
static void a_large_folder_that_many_links_lead_to_is_read_once(void **state)
{
    enum { FILES = 12000, LINKS = 6000 };
    const struct fixture *fixture = *state;
    const struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    struct fixture revision = *fixture;
    struct entry *zip = NULL;
    char path[64];
    char target[64];

    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "openpype/many/f%05u", i);
        fixture_write(fixture, path, "x");
        if (i >= LINKS)
            continue;
        snprintf(target, sizeof(target), "../many/f%05u", i);
        snprintf(path, sizeof(path), "openpype/bin/k%05u", i);
        fixture_link(fixture, path, target);
    }
    fixture_commit(fixture, NULL);
    assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
    cleanup_package struct package *package = build(&revision);
    assert_null(package->failure);
    assert_int_equal(entry_find(package->folder, "private/client.zip", &zip), 0);
    assert_int_equal(bundle_count(zip->bundle), 3 + FILES + LINKS);
    source_close(revision.origin.source);
}

static void a_walk_ends_when_it_is_told_to(void **state)
{
    struct fixture *fixture = *state;
    const struct recipe_choice choice = {.layout = NULL};
    const struct package_options options = {.no_license = false};
    cleanup_recipe_matches struct recipe_matches matches = {0};
    struct package *package = NULL;
    const _Atomic bool told = true;
    struct error error = {0};

    fixture_refresh(fixture);
    assert_int_equal(
        recipe_find(fixture->origin.source, fixture->origin.spool, &choice, NULL, &matches, &error),
        0);
    fixture->origin.interrupted = &told;
    assert_int_equal(
        package_build(&fixture->origin, &options, &matches.items[0], NULL, &package, &error),
        -EINTR);
    fixture->origin.interrupted = NULL;
    fixture->origin.stop = &told;
    assert_int_equal(
        package_build(&fixture->origin, &options, &matches.items[0], NULL, &package, &error),
        -ECANCELED);
    fixture->origin.stop = NULL;
    assert_null(package);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_rules_make_the_tree),
        TEST(the_server_takes_dot_files_at_its_top_only_and_wins),
        TEST(a_version_that_cannot_be_had_fails_the_package),
        TEST(a_missing_file_of_the_rules_is_a_failed_entry),
        TEST(what_cannot_be_read_is_left_out_with_a_warning_if_asked),
        TEST(links_that_hold_themselves_end),
        TEST(a_file_is_as_private_as_its_folders),
        TEST(what_an_acl_does_not_grant_is_not_shown),
        TEST(a_change_of_an_acl_is_seen),
        TEST(what_a_folder_forbids_its_group_is_forbidden_to_others),
        TEST(folders_that_lie_in_too_many_others_are_failed_entries),
        TEST(a_deep_tree_needs_little_stack),
        TEST(links_that_unfold_too_far_fail_the_package),
        TEST(links_that_take_too_many_steps_fail_the_package_of_a_commit),
        TEST(a_large_folder_that_many_links_lead_to_is_read_once),
        TEST(a_walk_ends_when_it_is_told_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
