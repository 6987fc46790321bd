#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void expect_kind(const struct fixture *fixture, const char *path, enum source_kind kind,
                        const char *reason)
{
    struct source_entry *entry = NULL;
    struct error error = {0};

    if (source_find(fixture->origin.source, path, NULL, &entry, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(entry->kind, kind);
    if (reason && !strstr(entry->reason, reason))
        fail_msg("%s: %s", path, entry->reason);
}

static void a_folder_is_listed_in_byte_order_without_git(void **state)
{
    const struct fixture *fixture = *state;
    struct source_folder *folder = NULL;

    fixture_write(fixture, "Z", "");
    fixture_write(fixture, "\xff", "");
    fixture_refresh(fixture);
    assert_int_equal(source_list(fixture->origin.source, "", &folder, NULL), 0);
    assert_int_equal(folder->count, 4);
    assert_string_equal(folder->entries[0].name, "Z");
    assert_string_equal(folder->entries[1].name, "openpype");
    assert_string_equal(folder->entries[2].name, "server_addon");
    assert_string_equal(folder->entries[3].name, "\xff");
    assert_true(folder->hides_git);
}

static void a_git_of_its_own_in_a_folder_is_a_change(void **state)
{
    const struct fixture *fixture = *state;
    struct source_folder *folder = NULL;

    assert_int_equal(source_list(fixture->origin.source, "openpype/lib", &folder, NULL), 0);
    assert_false(folder->hides_git);
    fixture_write(fixture, "openpype/lib/.git", "gitdir: elsewhere\n");
    assert_true(fixture_refresh(fixture));
    assert_int_equal(source_list(fixture->origin.source, "openpype/lib", &folder, NULL), 0);
    assert_true(folder->hides_git);
    fixture_remove(fixture, "openpype/lib/.git");
    assert_true(fixture_refresh(fixture));
}

static void a_look_says_whether_what_was_asked_for_has_changed(void **state)
{
    const struct fixture *fixture = *state;

    fixture_file(fixture, "openpype/lib/tools.py");
    assert_false(fixture_refresh(fixture));
    fixture_write(fixture, "not-asked-for/file", "");
    assert_true(fixture_refresh(fixture)); /* the root was listed on the way */
    fixture_write(fixture, "not-asked-for/file", "changed");
    assert_false(fixture_refresh(fixture));
    fixture_write(fixture, "openpype/lib/tools.py", "def tool():\n    return 2\n");
    assert_true(fixture_refresh(fixture));
    assert_false(fixture_refresh(fixture));
    fixture_remove(fixture, "openpype/lib/tools.py");
    assert_true(fixture_refresh(fixture));
    fixture_write(fixture, "openpype/lib/tools.py", "back\n");
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, "openpype/lib/tools.py"), "back\n");
}

static void a_file_is_the_same_one_until_it_changes(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_file struct file *before = file_ref(fixture_file(fixture, "openpype/lib/tools.py"));

    fixture_refresh(fixture);
    assert_ptr_equal(fixture_file(fixture, "openpype/lib/tools.py"), before);
    fixture_write(fixture, "openpype/lib/tools.py", "def tool():\n    return 2\n");
    fixture_refresh(fixture);
    assert_ptr_not_equal(fixture_file(fixture, "openpype/lib/tools.py"), before);

    cleanup_content struct content *content = NULL;
    struct error error = {0};
    assert_int_equal(source_read(before, fixture->origin.spool, 100, &content, &error), -ESTALE);
    assert_int_equal(strncmp(error.text, "openpype/lib/tools.py: ", 23), 0);
}

static void a_file_that_is_taken_anew_is_equal(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = "openpype/lib/tools.py";
    cleanup_file struct file *before = file_ref(fixture_file(fixture, path));
    bool changed;

    for (int i = 0; i < 2; i++) {
        source_refresh(fixture->origin.source, &changed, NULL);
        source_settle(fixture->origin.source);
        cleanup_file struct file *after = file_ref(fixture_file(fixture, path));
        assert_ptr_not_equal(before, after);
        assert_int_equal(file_equal(before, after), i == 0);
        fixture_write(fixture, path, "def tool():\n    return 2\n");
    }
}

static void what_was_not_asked_for_again_is_forgotten(void **state)
{
    const struct fixture *fixture = *state;

    fixture_file(fixture, "openpype/lib/tools.py");
    fixture_refresh(fixture);
    fixture_file(fixture, "openpype/version.py");
    source_settle(fixture->origin.source);
    fixture_write(fixture, "openpype/lib/more.py", "");
    assert_false(fixture_refresh(fixture));
    fixture_write(fixture, "openpype/more.py", "");
    assert_true(fixture_refresh(fixture));
}

static void links_are_followed_inside_the_tree_only(void **state)
{
    const struct fixture *fixture = *state;
    struct source_folder *folder = NULL;

    fixture_link(fixture, "openpype/to-file", "lib/tools.py");
    fixture_link(fixture, "openpype/to-folder", "../server_addon");
    fixture_link(fixture, "openpype/twice", "to-folder/server");
    fixture_link(fixture, "openpype/outside", "../../etc/passwd");
    fixture_link(fixture, "openpype/absolute", "/etc/passwd");
    fixture_link(fixture, "openpype/nowhere", "nothing");
    fixture_link(fixture, "openpype/itself", "itself");
    fixture_link(fixture, "openpype/git", "../.git/config");
    fixture_refresh(fixture);
    expect_kind(fixture, "openpype/to-file", SOURCE_FILE, NULL);
    expect_kind(fixture, "openpype/to-folder", SOURCE_FOLDER, NULL);
    expect_kind(fixture, "openpype/twice", SOURCE_FOLDER, NULL);
    expect_kind(fixture, "openpype/outside", SOURCE_OTHER, "out of");
    expect_kind(fixture, "openpype/absolute", SOURCE_OTHER, "out of");
    expect_kind(fixture, "openpype/nowhere", SOURCE_OTHER, "");
    expect_kind(fixture, "openpype/itself", SOURCE_OTHER, "");
    expect_kind(fixture, "openpype/git", SOURCE_OTHER, "Git");
    fixture_expect(fixture, fixture_file(fixture, "openpype/to-file"),
                   "def tool():\n    return 1\n");
    assert_string_equal(fixture_file(fixture, "openpype/to-file")->real, "openpype/lib/tools.py");
    assert_int_equal(source_list(fixture->origin.source, "openpype/twice", &folder, NULL), 0);
    assert_string_equal(folder->real, "server_addon/server");

    /* A change behind a link is a change. */
    fixture_write(fixture, "openpype/lib/tools.py", "changed\n");
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, "openpype/to-file"), "changed\n");
}

static void what_is_absent_or_no_folder_says_so(void **state)
{
    const struct fixture *fixture = *state;
    struct source_folder *folder = NULL;
    struct source_entry *entry = NULL;
    struct source *source = fixture->origin.source;
    struct error error = {0};

    assert_int_equal(source_find(source, "openpype/none", NULL, &entry, &error), -ENOENT);
    assert_int_equal(strncmp(error.text, "openpype/none: ", 15), 0);
    assert_int_equal(source_find(source, ".git/config", NULL, &entry, &error), -ENOENT);
    assert_int_equal(source_list(source, "openpype/version.py", &folder, &error), -ENOTDIR);
    /* It is absent from a folder that was listed, so the next look compares it. */
    fixture_write(fixture, "openpype/none", "");
    assert_true(fixture_refresh(fixture));
}

static void an_lfs_pointer_is_no_content(void **state)
{
    const struct fixture *fixture = *state;
    struct error error = {0};
    uint64_t size = 0;

    fixture_write(fixture, "openpype/big.bin",
                  "version https://git-lfs.github.com/spec/v1\n"
                  "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
                  "size 12345\n");
    fixture_refresh(fixture);
    cleanup_content struct content *content = NULL;
    struct file *file = fixture_file(fixture, "openpype/big.bin");
    assert_int_equal(source_read(file, fixture->origin.spool, 100, &content, &error), -EIO);
    assert_non_null(strstr(error.text, "LFS"));
    assert_int_equal(source_measure(file, fixture->origin.spool, &size, NULL), -EIO);
}

static void a_revision_shows_its_commit_and_moves_with_its_branch(void **state)
{
    const struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    cleanup_source struct source *source = NULL;
    struct fixture revision = *fixture;
    char commit[41];
    uint64_t size = 0;

    assert_int_equal(source_open(&options, &source, NULL), 0);
    revision.origin.source = source;
    fixture_refresh(&revision);
    cleanup_file struct file *before = file_ref(fixture_file(&revision, "openpype/version.py"));
    cleanup_file struct file *same = file_ref(fixture_file(&revision, "openpype/lib/tools.py"));
    fixture_write(fixture, "openpype/version.py", "__version__ = \"4.0.0\"\n");
    assert_false(fixture_refresh(&revision));
    fixture_expect(&revision, fixture_file(&revision, "openpype/version.py"),
                   "__version__ = \"3.15.12\"\n");
    fixture_commit(fixture, commit);
    assert_true(fixture_refresh(&revision));
    assert_string_equal(source_commit(source), commit);
    assert_string_equal(source_revision(source), "HEAD");
    fixture_expect(&revision, fixture_file(&revision, "openpype/version.py"),
                   "__version__ = \"4.0.0\"\n");
    assert_ptr_equal(fixture_file(&revision, "openpype/lib/tools.py"), same);
    /* What a revision held can be had for ever. */
    fixture_expect(&revision, before, "__version__ = \"3.15.12\"\n");
    assert_int_equal(source_measure(before, fixture->origin.spool, &size, NULL), 0);
    assert_int_equal(size, 24);
}

static void a_revision_that_is_not_there_fails_every_question_of_the_look(void **state)
{
    const struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root, .revision = "no-such-branch"};
    cleanup_source struct source *source = NULL;
    struct source_folder *folder = NULL;
    struct error error = {0};
    bool changed = false;

    int r = source_open(&options, &source, &error);
    if (r == 0) {
        assert_true(source_refresh(source, &changed, &error) < 0);
        assert_true(source_list(source, "", &folder, NULL) < 0);
    }
    assert_non_null(strstr(error.text, "no-such-branch"));
}

static void what_is_no_repository_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root};
    struct source *source = NULL;
    struct error error = {0};
    char path[64];

    snprintf(path, sizeof(path), "%s/none", fixture->root);
    options.path = path;
    assert_int_equal(source_open(&options, &source, &error), -ENOENT);
    fixture_remove(fixture, ".git");
    options.path = fixture->root;
    assert_int_equal(source_open(&options, &source, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, fixture->root));
    assert_null(source);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_folder_is_listed_in_byte_order_without_git),
        TEST(a_git_of_its_own_in_a_folder_is_a_change),
        TEST(a_look_says_whether_what_was_asked_for_has_changed),
        TEST(a_file_is_the_same_one_until_it_changes),
        TEST(a_file_that_is_taken_anew_is_equal),
        TEST(what_was_not_asked_for_again_is_forgotten),
        TEST(links_are_followed_inside_the_tree_only),
        TEST(what_is_absent_or_no_folder_says_so),
        TEST(an_lfs_pointer_is_no_content),
        TEST(a_revision_shows_its_commit_and_moves_with_its_branch),
        TEST(a_revision_that_is_not_there_fails_every_question_of_the_look),
        TEST(what_is_no_repository_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
