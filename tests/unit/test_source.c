#include "fixture.h"

#include <errno.h>
#include <git2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* The fixture with HEAD as its source; the caller closes that. */
static struct fixture open_head(const struct fixture *fixture)
{
    struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    struct fixture revision = *fixture;
    struct error error = {0};

    if (source_open(&options, &revision.origin.source, &error) < 0)
        fail_msg("%s", error.text);
    fixture_refresh(&revision);
    return revision;
}

static void links_of_a_revision_lead_where_those_of_a_worktree_do(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *target;
        enum source_kind kind;
        const char *result; /* real, or a word of the reason */
    } links[] = {
        {"lib/tools.py", SOURCE_FILE, "openpype/lib/tools.py"},
        {"./lib/../lib//tools.py", SOURCE_FILE, "openpype/lib/tools.py"},
        {"version.py/", SOURCE_OTHER, "broken"},
        {"to-file/", SOURCE_OTHER, "broken"},
        {"lib/", SOURCE_FOLDER, "openpype/lib"},
        {"version.py/.", SOURCE_OTHER, "broken"},
        {"version.py/../lib/tools.py", SOURCE_OTHER, "broken"},
        {"version.py/..", SOURCE_OTHER, "broken"},
        {"to-file/../tools.py", SOURCE_OTHER, "broken"},
        {"version.py/x", SOURCE_OTHER, "broken"},
        {"none/../version.py", SOURCE_OTHER, "broken"},
        {"lib", SOURCE_FOLDER, "openpype/lib"},
        {"lib/.", SOURCE_FOLDER, "openpype/lib"},
        {"lib/..", SOURCE_FOLDER, "openpype"},
        {"..", SOURCE_FOLDER, ""},
        {"../server_addon/../openpype/to-folder/tools.py", SOURCE_FILE, "openpype/lib/tools.py"},
        {"../..", SOURCE_OTHER, "out of"},
        {"lib/../../../x", SOURCE_OTHER, "out of"},
        {"../.git/config", SOURCE_OTHER, "Git"},
    };
    char path[64];

    fixture_link(fixture, "openpype/to-file", "lib/tools.py");
    fixture_link(fixture, "openpype/to-folder", "lib");
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        snprintf(path, sizeof(path), "openpype/link-%zu", i);
        fixture_link(fixture, path, links[i].target);
    }
    fixture_commit(fixture, NULL);
    fixture_refresh(fixture);
    struct fixture revision = open_head(fixture);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        snprintf(path, sizeof(path), "openpype/link-%zu", i);
        for (int j = 0; j < 2; j++) {
            struct source *source = j == 0 ? fixture->origin.source : revision.origin.source;
            struct source_entry *entry = NULL;
            assert_int_equal(source_find(source, path, NULL, &entry, NULL), 0);
            if (entry->kind != links[i].kind)
                fail_msg("%s: kind %d in %d", links[i].target, entry->kind, j);
            const char *result = entry->kind == SOURCE_FILE     ? entry->file->real
                                 : entry->kind == SOURCE_FOLDER ? entry->real
                                                                : entry->reason;
            if (entry->kind == SOURCE_OTHER ? !strstr(result, links[i].result)
                                            : strcmp(result, links[i].result) != 0)
                fail_msg("%s: %s in %d", links[i].target, result, j);
        }
    }
    source_close(revision.origin.source);
}

static void a_linked_file_has_the_attributes_of_where_it_is(void **state)
{
    const struct fixture *fixture = *state;

    fixture_write(fixture, "server_addon/.gitattributes", "*.txt text\n");
    fixture_write(fixture, "server_addon/notes.txt", "one\ntwo\n");
    fixture_link(fixture, "openpype/notes.txt", "../server_addon/notes.txt");
    fixture_commit(fixture, NULL);
    struct fixture revision = open_head(fixture);
    cleanup_file struct file *before = file_ref(fixture_file(&revision, "openpype/notes.txt"));
    fixture_expect(&revision, before, "one\ntwo\n");
    struct content_id first;
    struct content_id second;
    assert_true(file_key(before, &first));
    /* Neither the link, nor its folder, nor the blob is another. */
    fixture_write(fixture, "server_addon/.gitattributes", "*.txt text eol=crlf\n");
    fixture_commit(fixture, NULL);
    assert_true(fixture_refresh(&revision));
    struct file *after = fixture_file(&revision, "openpype/notes.txt");
    assert_false(file_equal(before, after));
    assert_true(file_key(after, &second));
    assert_false(content_id_equal(&first, &second));
    fixture_expect(&revision, after, "one\r\ntwo\r\n");
    fixture_expect(&revision, before, "one\ntwo\n");
    source_close(revision.origin.source);
}

/* Someone's files of attributes, and an index where the program happens to stand. */
static void nobodys_attributes_but_the_commits_count(void **state)
{
    const struct fixture *fixture = *state;
    char path[128];
    char back[4096];

    fixture_write(fixture, ".gitattributes", "*.sh mine\n");
    fixture_write(fixture, "openpype/run.sh", "one\ntwo\n");
    fixture_commit(fixture, NULL);
    fixture_write(fixture, "home/attributes", "* text eol=crlf\n[attr]mine text eol=crlf\n");
    fixture_write(fixture, "home/gitattributes", "* text eol=crlf\n[attr]mine text eol=crlf\n");
    fixture_write(fixture, "home/index", "no index at all");
    fixture_write(fixture, ".git/info/attributes", "* text eol=crlf\n");
    fixture_write(fixture, ".gitattributes", "* text eol=crlf\n");
    snprintf(path, sizeof(path), "%s/home", fixture->root);
    assert_non_null(getcwd(back, sizeof(back)));
    assert_int_equal(chdir(path), 0);
    for (int level = GIT_CONFIG_LEVEL_SYSTEM; level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, path);
    fixture_write(fixture, "home/.gitconfig",
                  "[core]\nautocrlf = true\nattributesfile = ~/attributes\n");
    struct fixture revision = open_head(fixture);
    fixture_expect(&revision, fixture_file(&revision, "openpype/run.sh"), "one\ntwo\n");
    fixture_expect(&revision, fixture_file(&revision, "openpype/lib/tools.py"),
                   "def tool():\n    return 1\n");
    source_close(revision.origin.source);
    for (int level = GIT_CONFIG_LEVEL_SYSTEM; level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
    assert_int_equal(chdir(back), 0);
}

static void attributes_that_cannot_be_read_are_not_taken_for_none(void **state)
{
    const struct fixture *fixture = *state;
    char object[128];
    char kept[256];
    char place[256];
    struct error error = {0};

    fixture_write(fixture, "openpype/.gitattributes", "*.py text eol=crlf\n");
    fixture_commit(fixture, NULL);
    snprintf(kept, sizeof(kept), "%s/kept", fixture->root);
    struct fixture revision = open_head(fixture);
    cleanup_file struct file *file = file_ref(fixture_file(&revision, "openpype/lib/tools.py"));
    fixture_object(fixture, "openpype/.gitattributes", object);
    snprintf(place, sizeof(place), "%s/%s", fixture->root, object);
    assert_int_equal(rename(place, kept), 0);
    for (int i = 0; i < 2; i++) {
        cleanup_content struct content *content = NULL;
        assert_int_equal(source_read(file, fixture->origin.spool, 100, &content, &error), -EIO);
        assert_int_equal(strncmp(error.text, "openpype/lib/tools.py: ", 23), 0);
        assert_non_null(strstr(error.text, "is missing from the repository"));
    }
    assert_int_equal(rename(kept, place), 0);
    fixture_expect(&revision, file, "def tool():\r\n    return 1\r\n");
    source_close(revision.origin.source);
}

/* What was looked at knows its attributes: their commit and its trees may have been collected. */
static void a_file_is_read_without_its_commit(void **state)
{
    static const char *const paths[] = {"openpype/lib", "openpype", ""};
    const struct fixture *fixture = *state;
    char object[128];
    char place[256];

    fixture_write(fixture, "openpype/.gitattributes", "lib/*.py text eol=crlf\n");
    fixture_commit(fixture, NULL);
    struct fixture revision = open_head(fixture);
    cleanup_file struct file *file = file_ref(fixture_file(&revision, "openpype/lib/tools.py"));
    for (int i = 0; i < 3; i++) {
        fixture_object(fixture, paths[i], object);
        snprintf(place, sizeof(place), "%s/%s", fixture->root, object);
        assert_int_equal(unlink(place), 0);
    }
    fixture_expect(&revision, file, "def tool():\r\n    return 1\r\n");
    source_close(revision.origin.source);
}

/* The same .gitattributes in another folder: its patterns begin there. */
static void attributes_that_are_moved_are_others(void **state)
{
    const struct fixture *fixture = *state;
    struct content_id first;
    struct content_id second;

    fixture_write(fixture, "openpype/.gitattributes", "/lib/*.py text eol=crlf\n");
    fixture_commit(fixture, NULL);
    struct fixture revision = open_head(fixture);
    cleanup_file struct file *before = file_ref(fixture_file(&revision, "openpype/lib/tools.py"));
    fixture_expect(&revision, before, "def tool():\r\n    return 1\r\n");
    assert_true(file_key(before, &first));
    fixture_remove(fixture, "openpype/.gitattributes");
    fixture_write(fixture, "openpype/lib/.gitattributes", "/lib/*.py text eol=crlf\n");
    fixture_commit(fixture, NULL);
    assert_true(fixture_refresh(&revision));
    struct file *after = fixture_file(&revision, "openpype/lib/tools.py");
    fixture_expect(&revision, after, "def tool():\n    return 1\n");
    assert_true(file_key(after, &second));
    assert_false(content_id_equal(&first, &second));
    assert_false(file_equal(before, after));
    source_close(revision.origin.source);
}

/* Is every answer right, or a failure of the moment, however many descriptors are left? */
static void without_descriptors_a_revision_says_so(void **state)
{
    const struct fixture *fixture = *state;
    bool all = false;

    fixture_write(fixture, ".gitattributes", "*.py text eol=crlf\n");
    fixture_link(fixture, "openpype/link.py", "lib/tools.py");
    fixture_link(fixture, "openpype/gone.py", "none");
    fixture_commit(fixture, NULL);
    for (int packed = 0; packed < 2; packed++) {
        for (int left = 0; !all && left < 12; left++) {
            struct source_options options = {.path = fixture->root, .revision = "HEAD"};
            cleanup_source struct source *source = NULL;
            assert_int_equal(source_open(&options, &source, NULL), 0);
            fixture_take_descriptors(left);
            int codes[4] = {0};
            enum source_kind kinds[2] = {SOURCE_FILE, SOURCE_OTHER};
            struct source_entry *entry = NULL;
            cleanup_content struct content *content = NULL;
            bool changed = false;
            codes[0] = source_refresh(source, &changed, NULL);
            if (codes[0] == 0)
                codes[1] = source_find(source, "openpype/gone.py", NULL, &entry, NULL);
            if (codes[0] == 0 && codes[1] == 0)
                kinds[1] = entry->kind;
            if (codes[0] == 0)
                codes[2] = source_find(source, "openpype/link.py", NULL, &entry, NULL);
            if (codes[0] == 0 && codes[2] == 0) {
                kinds[0] = entry->kind;
                codes[3] =
                    entry->kind == SOURCE_FILE
                        ? source_read(entry->file, fixture->origin.spool, 100, &content, NULL)
                        : 0;
            }
            fixture_give_descriptors();
            all = true;
            for (size_t i = 0; i < 4; i++) {
                all = all && codes[i] == 0;
                if (codes[i] != 0 && codes[i] != -EMFILE)
                    fail_msg("step %zu with %d left: %d", i, left, codes[i]);
            }
            assert_int_equal(kinds[0], SOURCE_FILE);
            assert_int_equal(kinds[1], SOURCE_OTHER);
            assert_int_equal(content ? content->size : 27, 27);
            /* It heals by itself. */
            struct fixture revision = *fixture;
            revision.origin.source = source;
            fixture_refresh(&revision);
            fixture_expect(&revision, fixture_file(&revision, "openpype/link.py"),
                           "def tool():\r\n    return 1\r\n");
        }
        assert_true(all);
        all = false;
        fixture_pack(fixture);
    }
}

/* Not the first source of the process: what that has changed in libgit2 must not matter. */
static void a_second_repository_is_somebodys_too(void **state)
{
    const struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root};
    struct source *source = NULL;
    struct error error = {0};
    char path[128];
    char text[256];

    if (geteuid() != 0)
        skip();
    fixture_write(fixture, "home/.gitconfig", "");
    snprintf(path, sizeof(path), "%s/.git", fixture->root);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(chown(fixture->root, 65534, 65534), 0);
    snprintf(path, sizeof(path), "%s/home", fixture->root);
    git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_GLOBAL, path);
    assert_int_equal(source_open(&options, &source, &error), -EPERM);
    assert_non_null(strstr(error.text, "safe.directory"));
    snprintf(text, sizeof(text), "[safe]\ndirectory = %s\n", fixture->root);
    fixture_write(fixture, "home/.gitconfig", text);
    assert_int_equal(source_open(&options, &source, NULL), 0);
    source_close(source);
    git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, GIT_CONFIG_LEVEL_GLOBAL, "");
}

static void what_is_missing_of_a_revision_is_asked_for_again_when_it_may_be_there(void **state)
{
    const struct fixture *fixture = *state;
    char object[128];
    char kept[256];
    char place[256];
    struct source_folder *folder = NULL;
    struct error error = {0};

    fixture_link(fixture, "openpype/link.py", "lib/tools.py");
    fixture_commit(fixture, NULL);
    /* A tree on the way of the link. */
    fixture_object(fixture, "openpype/lib", object);
    snprintf(place, sizeof(place), "%s/%s", fixture->root, object);
    snprintf(kept, sizeof(kept), "%s/kept", fixture->root);
    assert_int_equal(rename(place, kept), 0);
    struct fixture revision = open_head(fixture);
    struct source *source = revision.origin.source;
    uint64_t number = source_healing(source);
    expect_kind(&revision, "openpype/link.py", SOURCE_OTHER, "is missing from the repository");
    assert_int_equal(source_list(source, "openpype/lib", &folder, &error), -EIO);
    assert_int_equal(strncmp(error.text, "openpype/lib: object ", 21), 0);
    assert_int_equal(rename(kept, place), 0);
    assert_true(source_healing(source) > number);
    assert_true(fixture_refresh(&revision));
    expect_kind(&revision, "openpype/link.py", SOURCE_FILE, NULL);
    assert_int_equal(source_list(source, "openpype/lib", &folder, NULL), 0);
    source_close(source);
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
        TEST(links_of_a_revision_lead_where_those_of_a_worktree_do),
        TEST(a_linked_file_has_the_attributes_of_where_it_is),
        TEST(nobodys_attributes_but_the_commits_count),
        TEST(attributes_that_cannot_be_read_are_not_taken_for_none),
        TEST(a_file_is_read_without_its_commit),
        TEST(attributes_that_are_moved_are_others),
        TEST(without_descriptors_a_revision_says_so),
        TEST(a_second_repository_is_somebodys_too),
        TEST(what_is_missing_of_a_revision_is_asked_for_again_when_it_may_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
