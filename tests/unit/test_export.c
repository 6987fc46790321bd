#include "fixture.h"

#include <addonfs/export.h>
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char *const paths[] = {
    "openpype/3.15.12/__init__.py",
    "openpype/3.15.12/private/client.zip",
    "openpype/3.15.12/private/pyproject.toml",
    "openpype/3.15.12/version.py",
};

static int keep_visible(const struct dirent *found)
{
    return strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0;
}

/* How many names, hidden ones too, a folder below the fixture's has. */
static int count_names(const struct fixture *fixture, const char *path)
{
    char absolute[PATH_MAX];
    struct dirent **names = NULL;

    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    int count = scandir(absolute, &names, keep_visible, NULL);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return count;
}

static void write_to(const struct fixture *fixture, const char *name, int expected,
                     struct error *error)
{
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    char destination[PATH_MAX];

    const struct export_options options = {.destination = destination, .fd = -1};

    snprintf(destination, sizeof(destination), "%s/out/%s", fixture->root, name);
    int r = export_write(view, &options, error);
    if (r != expected)
        fail_msg("%s: %s", name, error->text);
}

static void a_folder_holds_the_package(void **state)
{
    const struct fixture *fixture = *state;
    struct error error = {0};

    fixture_write(fixture, "out/other", "stays");
    write_to(fixture, "dest", 0, &error);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char path[PATH_MAX];
        struct stat status;
        snprintf(path, sizeof(path), "%s/out/dest/%s", fixture->root, paths[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_true(S_ISREG(status.st_mode));
    }
    assert_int_equal(count_names(fixture, "out/dest"), 1);
    assert_int_equal(count_names(fixture, "out/dest/openpype"), 1);
    assert_int_equal(count_names(fixture, "out"), 2);
    /* Once more: what is there already is replaced. */
    fixture_write(fixture, "out/dest/openpype/3.15.12/stale", "");
    write_to(fixture, "dest", 0, &error);
    assert_int_equal(count_names(fixture, "out/dest/openpype/3.15.12"), 3);
    assert_int_equal(count_names(fixture, "out/dest/openpype"), 1);
}

static void an_archive_of_every_format_holds_the_package(void **state)
{
    static const char *const names[] = {"a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst"};
    const struct fixture *fixture = *state;
    struct error error = {0};

    fixture_write(fixture, "out/other", "stays");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct archive *archive = archive_read_new();
        struct archive_entry *header = NULL;
        char path[PATH_MAX];
        size_t files = 0;

        write_to(fixture, names[i], 0, &error);
        snprintf(path, sizeof(path), "%s/out/%s", fixture->root, names[i]);
        archive_read_support_filter_all(archive);
        archive_read_support_format_all(archive);
        assert_int_equal(archive_read_open_filename(archive, path, 4096), ARCHIVE_OK);
        while (archive_read_next_header(archive, &header) == ARCHIVE_OK) {
            if (archive_entry_filetype(header) == AE_IFREG)
                assert_string_equal(archive_entry_pathname(header), paths[files++]);
        }
        assert_int_equal(files, sizeof(paths) / sizeof(paths[0]));
        archive_read_free(archive);
    }
    assert_int_equal(count_names(fixture, "out"), 6);
}

static void nothing_half_made_stays(void **state)
{
    const struct fixture *fixture = *state;
    struct error error = {0};

    fixture_link(fixture, "openpype/link", "nowhere");
    fixture_write(fixture, "out/other", "stays");
    write_to(fixture, "dest", -EIO, &error);
    assert_int_equal(strncmp(error.text, "openpype/link: ", 15), 0);
    write_to(fixture, "a.zip", -EIO, &error);
    assert_int_equal(count_names(fixture, "out"), 1);
}

static void an_interrupted_export_leaves_nothing(void **state)
{
    static const char *const names[] = {"dest", "a.zip", "a.tar.xz"};
    const struct fixture *fixture = *state;
    _Atomic bool interrupted = true;
    char destination[PATH_MAX];
    struct error error = {0};

    fixture_write(fixture, "out/other", "stays");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cleanup_view struct view *view = fixture_view(fixture, NULL);
        const struct export_options options = {
            .destination = destination, .fd = -1, .interrupted = &interrupted};
        snprintf(destination, sizeof(destination), "%s/out/%s", fixture->root, names[i]);
        assert_int_equal(export_write(view, &options, &error), -EINTR);
        assert_int_equal(count_names(fixture, "out"), 1);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_folder_holds_the_package),
        TEST(an_archive_of_every_format_holds_the_package),
        TEST(nothing_half_made_stays),
        TEST(an_interrupted_export_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
