#include "fixture.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    char large[70000]; /* more than is taken before it is opened */

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    fixture_write(fixture, "server_addon/server/__init__.py", large);
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
    assert_int_equal(view_problems(view, NULL, &generation, &problems, NULL), 0);
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

static void move(const struct fixture *fixture, const char *from, const char *to)
{
    char absolute[2][PATH_MAX];

    snprintf(absolute[0], sizeof(absolute[0]), "%s/%s", fixture->root, from);
    snprintf(absolute[1], sizeof(absolute[1]), "%s/%s", fixture->root, to);
    assert_int_equal(rename(absolute[0], absolute[1]), 0);
}

static void set_mode(const struct fixture *fixture, const char *path, mode_t mode)
{
    char absolute[PATH_MAX];

    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    assert_int_equal(chmod(absolute, mode), 0);
}

/* The file at this path in the tree that client.zip is made of. */
static const struct file *member(const struct generation *generation, const char *path)
{
    struct entry *zip = fixture_entry(generation, "package/openpype/3.15.12/private/client.zip");
    struct entry *found = NULL;

    if (entry_find(zip->tree, path, &found) < 0)
        fail_msg("%s: is not there", path);
    return found->file;
}

static void expect_mode(const struct generation *generation, mode_t mode)
{
    const char *zip = "package/openpype/3.15.12/private/client.zip";

    assert_int_equal(fixture_entry(generation, zip)->owner.mode, mode);
}

/* Of what a link leads to every folder on the way is watched, however often it is built anew. */
static void what_lies_above_a_links_target_is_seen_after_any_number_of_looks(void **state)
{
    const struct fixture *fixture = *state;

    set_mode(fixture, "", 0755);
    fixture_write(fixture, "shared/a/x/f.py", "old");
    fixture_write(fixture, "shared/b/x/f.py", "newer");
    fixture_link(fixture, "openpype/link", "../shared/a/x");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    for (int i = 0; i < 3; i++) {
        fixture_write(fixture, "openpype/lib/tools.py", i % 2 == 0 ? "edited" : "edited again");
        cleanup_generation struct generation *edited = look(view);
        assert_int_equal(member(edited, "openpype/link/f.py")->size, 3);
        expect_mode(edited, 0444);
    }
    move(fixture, "shared/a", "shared/c");
    move(fixture, "shared/b", "shared/a");
    cleanup_generation struct generation *swapped = look(view);
    assert_int_equal(member(swapped, "openpype/link/f.py")->size, 5);
    set_mode(fixture, "shared", 0700);
    cleanup_generation struct generation *closed = look(view);
    expect_mode(closed, 0400);
    set_mode(fixture, "shared", 0755);
    cleanup_generation struct generation *open = look(view);
    expect_mode(open, 0444);
}

static void the_same_holds_where_the_rule_names_a_link(void **state)
{
    const struct fixture *fixture = *state;

    set_mode(fixture, "", 0755);
    fixture_write(fixture, "shared/a/f", "");
    fixture_write(fixture, "shared/b/f", "");
    move(fixture, "openpype", "shared/a/openpype");
    fixture_write(fixture, "openpype/version.py", "__version__ = \"3.15.12\"\n");
    fixture_write(fixture, "openpype/f.py", "newer");
    move(fixture, "openpype", "shared/b/openpype");
    fixture_write(fixture, "shared/a/openpype/f.py", "old");
    fixture_link(fixture, "openpype", "shared/a/openpype");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    for (int i = 0; i < 3; i++) {
        fixture_write(fixture, "server_addon/server/f.py", i % 2 == 0 ? "edited" : "edited again");
        cleanup_generation struct generation *edited = look(view);
        assert_int_equal(member(edited, "openpype/f.py")->size, 3);
        expect_mode(edited, 0444);
    }
    move(fixture, "shared/a", "shared/c");
    move(fixture, "shared/b", "shared/a");
    cleanup_generation struct generation *swapped = look(view);
    assert_int_equal(member(swapped, "openpype/f.py")->size, 5);
    set_mode(fixture, "shared", 0700);
    cleanup_generation struct generation *closed = look(view);
    expect_mode(closed, 0400);
}

/* A view of HEAD that leaves out what cannot be read. */
static struct view *view_skipping(const struct fixture *fixture)
{
    struct view_options options = {
        .source = {.path = fixture->root, .revision = "HEAD"},
        .no_cache = true,
        .skip_problems = true,
    };
    struct view *view = NULL;
    struct error error = {0};

    if (view_open(&options, &view, &error) < 0)
        fail_msg("%s", error.text);
    return view;
}

/* This program's clock may be ahead, so that time stamps are old at will. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    ret_time->tv_sec += ahead;
    return r;
}

static int count_opens(int watch)
{
    char events[4096];
    ssize_t n = read(watch, events, sizeof(events));

    return n < 0 ? 0 : (int)(n / (ssize_t)sizeof(struct inotify_event));
}

static void looks_do_not_read_what_is_missing_until_it_may_be_there(void **state)
{
    const struct fixture *fixture = *state;
    const char *const lost[] = {"server_addon/server/__init__.py", "openpype/lib/tools.py"};
    char place[2][256];
    char kept[2][256];
    char path[128];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    for (int i = 0; i < 2; i++) {
        char object[128];
        fixture_object(fixture, lost[i], object);
        snprintf(place[i], sizeof(place[i]), "%s/%s", fixture->root, object);
        snprintf(kept[i], sizeof(kept[i]), "%s/kept-%d", fixture->root, i);
        assert_int_equal(rename(place[i], kept[i]), 0);
    }
    snprintf(path, sizeof(path), "%s/.git/objects/pack", fixture->root);
    assert_true(inotify_add_watch(watch, path, IN_OPEN) > 0);
    ahead = 10;
    cleanup_view struct view *view = view_skipping(fixture);
    cleanup_generation struct generation *first = look(view);
    const char *zip = "package/openpype/3.15.12/private/client.zip";
    cleanup_body struct body *without = NULL;
    assert_int_equal(view_body(view, fixture_entry(first, zip), NULL, &without, NULL), 0);
    assert_null(body_failure(without));
    assert_true(count_opens(watch) > 0);
    for (int i = 0; i < 5; i++) {
        cleanup_generation struct generation *again = look(view);
        assert_ptr_equal(first, again);
    }
    assert_int_equal(count_opens(watch), 0);
    /* One after the other: a file of its own, a member. */
    assert_int_equal(rename(kept[0], place[0]), 0);
    cleanup_generation struct generation *half = look(view);
    fixture_entry(half, "package/openpype/3.15.12/__init__.py");
    assert_ptr_equal(fixture_entry(half, zip), fixture_entry(first, zip));
    assert_int_equal(rename(kept[1], place[1]), 0);
    cleanup_generation struct generation *healed = look(view);
    assert_ptr_not_equal(fixture_entry(healed, zip), fixture_entry(first, zip));
    cleanup_body struct body *whole = NULL;
    assert_int_equal(view_body(view, fixture_entry(healed, zip), NULL, &whole, NULL), 0);
    assert_true(body_size(whole) > body_size(without));
    cleanup_generation struct generation *same = look(view);
    assert_ptr_equal(same, healed);
    close(watch);
    ahead = 0;
}

static void a_look_without_descriptors_fails_and_changes_nothing(void **state)
{
    const struct fixture *fixture = *state;
    const char *lib = "package/openpype/3.15.12/private/client.zip";

    for (int left = 0; left < 12; left++) {
        cleanup_view struct view *view = view_skipping(fixture);
        cleanup_generation struct generation *before = look(view);
        struct generation *now = NULL;
        char text[32];
        snprintf(text, sizeof(text), "left = %d\n", left);
        fixture_write(fixture, "openpype/lib/tools.py", text);
        fixture_commit(fixture, NULL);
        fixture_take_descriptors(left);
        int r = view_look(view, &now, NULL);
        fixture_give_descriptors();
        if (r < 0) {
            assert_int_equal(r, -EMFILE);
            now = look(view);
        }
        assert_int_equal(now->problems.count, 0);
        assert_int_equal(fixture_entry(now, "package/openpype/3.15.12")->count,
                         fixture_entry(before, "package/openpype/3.15.12")->count);
        assert_int_equal(bundle_count(fixture_entry(now, lib)->bundle), 3);
        assert_ptr_not_equal(fixture_entry(now, lib), fixture_entry(before, lib));
        generation_unref(now);
        if (r == 0 && left > 0)
            return;
    }
    fail_msg("more descriptors than that are needed");
}

static void take_failure(void *context, const struct error *error)
{
    assert_string_equal(context, "");
    strcpy(context, error->text);
}

static void whoever_opens_is_told_of_a_failure_before_what_was_begun_is_waited_for(void **state)
{
    const struct fixture *fixture = *state;
    char told[ERROR_TEXT_SIZE] = "";
    struct view_options options = {.source.path = fixture->root,
                                   .no_cache = true,
                                   .prepares = true,
                                   .failed = take_failure,
                                   .failed_context = told};
    struct view *view = NULL;
    struct error error = {0};

    fixture_write(fixture, "openpype/version.py", "__version__ = version()\n");
    assert_int_equal(view_open(&options, &view, &error), -EINVAL);
    assert_null(view);
    assert_string_equal(told, error.text);
    assert_non_null(strstr(told, "openpype/version.py"));
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
        TEST(what_lies_above_a_links_target_is_seen_after_any_number_of_looks),
        TEST(the_same_holds_where_the_rule_names_a_link),
        TEST(looks_do_not_read_what_is_missing_until_it_may_be_there),
        TEST(a_look_without_descriptors_fails_and_changes_nothing),
        TEST(whoever_opens_is_told_of_a_failure_before_what_was_begun_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
