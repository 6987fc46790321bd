#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct generation *look(struct view *view)
{
    struct generation *generation = NULL;
    struct error error = {0};

    if (view_look(view, &generation, &error) < 0)
        fail_msg("%s", error.text);
    return generation;
}

static void nothing_changed_is_the_same_generation(void **state)
{
    cleanup_view struct view *view = fixture_view(*state, NULL);
    cleanup_generation struct generation *one = look(view);
    cleanup_generation struct generation *two = look(view);

    assert_ptr_equal(one, two);
    assert_string_equal(one->layout, "a");
    assert_int_equal(one->addon_count, 1);
    assert_string_equal(one->addons[0].version, "3.15.12");
    assert_null(one->commit);
    assert_int_equal(one->problems.count, 0);
}

static void a_change_is_seen_and_everything_else_is_shared(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_generation struct generation *one = look(view);

    fixture_write(fixture, "openpype/lib/tools.py", "changed\n");
    cleanup_generation struct generation *two = look(view);
    assert_true(two->serial > one->serial);
    const char *folder = "package/openpype/3.15.12";
    const char *same[] = {"__init__.py", "version.py", "private/pyproject.toml"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, same[i]);
        assert_ptr_equal(fixture_entry(one, path), fixture_entry(two, path));
    }
    snprintf(path, sizeof(path), "%s/private/client.zip", folder);
    const struct entry *before = fixture_entry(one, path);
    const struct entry *after = fixture_entry(two, path);
    assert_ptr_not_equal(before, after);
    assert_int_not_equal(before->number, after->number);
    /* A folder keeps its number, and its time moves on. */
    before = fixture_entry(one, folder);
    after = fixture_entry(two, "package/openpype/3.15.12");
    assert_int_equal(before->number, after->number);
}

static void another_version_is_another_folder(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_generation struct generation *one = look(view);
    struct entry *entry = NULL;

    fixture_write(fixture, "openpype/version.py", "__version__ = \"3.15.13\"\n");
    cleanup_generation struct generation *two = look(view);
    assert_int_equal(entry_find(two->root, "package/openpype/3.15.12", &entry), -ENOENT);
    assert_int_not_equal(fixture_entry(two, "package/openpype/3.15.13")->number,
                         fixture_entry(one, "package/openpype/3.15.12")->number);
    assert_int_equal(fixture_entry(two, "package/openpype")->number,
                     fixture_entry(one, "package/openpype")->number);
}

static void a_half_written_version_is_a_failure_that_heals(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_generation struct generation *whole = look(view);
    struct entry *entry = NULL;

    fixture_write(fixture, "openpype/version.py", "__version__ = ");
    cleanup_generation struct generation *half = look(view);
    assert_int_equal(entry_find(half->root, "package/openpype/3.15.12", &entry), -EIO);
    assert_non_null(fixture_entry(half, "package/openpype")->failure);
    assert_int_equal(half->problems.count, 1);
    assert_null(half->addons[0].version);
    fixture_write(fixture, "openpype/version.py", "__version__ = \"3.15.12\"\n");
    cleanup_generation struct generation *healed = look(view);
    assert_int_equal(fixture_entry(healed, "package/openpype/3.15.12")->number,
                     fixture_entry(whole, "package/openpype/3.15.12")->number);
    assert_ptr_equal(fixture_entry(healed, "package/openpype/3.15.12/__init__.py"),
                     fixture_entry(whole, "package/openpype/3.15.12/__init__.py"));
}

static void other_bytes_within_the_same_second_are_moved_on_by_one(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    const char *path = "package/openpype/3.15.12/__init__.py";
    time_t last = 0;

    /* Many edits within far less than as many seconds. */
    for (int i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof(text), "edit %d\n", i);
        fixture_write(fixture, "server_addon/server/__init__.py", text);
        cleanup_generation struct generation *generation = look(view);
        time_t shown = fixture_entry(generation, path)->mtime.tv_sec;
        assert_true(shown > last);
        last = shown;
    }
}

static void a_body_of_an_outdated_entry_is_stale(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_generation struct generation *generation = look(view);
    struct entry *entry = fixture_entry(generation, "package/openpype/3.15.12/__init__.py");
    cleanup_body struct body *body = NULL;

    assert_int_equal(view_body(view, entry, NULL, &body, NULL), 0);
    assert_int_equal(body_number(body), entry->number);
    fixture_write(fixture, "server_addon/server/__init__.py", "other bytes\n");
    assert_int_equal(view_open_body(view, body, NULL, NULL), -ESTALE);
}

static void all_problems_are_found_on_demand(void **state)
{
    const struct fixture *fixture = *state;
    struct problems problems = {0};

    fixture_link(fixture, "openpype/link", "nowhere");
    fixture_link(fixture, "server_addon/server/link", "nowhere");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_generation struct generation *generation = NULL;
    assert_int_equal(view_problems(view, &generation, &problems, NULL), 0);
    assert_int_equal(problems.count, 2);
    problems_clear(&problems);
}

static void a_revision_names_its_commit(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, "HEAD");
    cleanup_generation struct generation *one = look(view);
    char commit[41];

    fixture_write(fixture, "openpype/version.py", "__version__ = \"3.15.13\"\n");
    cleanup_generation struct generation *same = look(view);
    assert_ptr_equal(one, same);
    fixture_commit(fixture, commit);
    cleanup_generation struct generation *two = look(view);
    assert_string_equal(two->commit, commit);
    fixture_entry(two, "package/openpype/3.15.13/version.py");
    assert_string_equal(source_revision(view_source(view)), "HEAD");
}

static void what_could_only_fail_is_not_opened(void **state)
{
    const struct fixture *fixture = *state;
    struct view_options options = {.source = {.path = fixture->root}, .no_cache = true};
    struct view *view = NULL;
    struct error error = {0};

    fixture_write(fixture, "openpype/version.py", "__version__ = read()\n");
    assert_true(view_open(&options, &view, &error) < 0);
    assert_int_equal(strncmp(error.text, "openpype/version.py:1: ", 23), 0);
    fixture_remove(fixture, "server_addon");
    assert_true(view_open(&options, &view, &error) < 0);
    assert_non_null(strstr(error.text, "no known layout"));
    assert_null(view);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_changed_is_the_same_generation),
        TEST(a_change_is_seen_and_everything_else_is_shared),
        TEST(another_version_is_another_folder),
        TEST(a_half_written_version_is_a_failure_that_heals),
        TEST(other_bytes_within_the_same_second_are_moved_on_by_one),
        TEST(a_body_of_an_outdated_entry_is_stale),
        TEST(all_problems_are_found_on_demand),
        TEST(a_revision_names_its_commit),
        TEST(what_could_only_fail_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
