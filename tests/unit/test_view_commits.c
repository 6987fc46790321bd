/*
 * Trees of commits when something stands in the way for a moment, or whoever has asked goes away.
 * open(2) is replaced by one that can be told to fail.
 */
#include "fixture.h"
#include "view_parts.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* This program's clock may be ahead, so that time stamps are old at will. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    ret_time->tv_sec += ahead;
    return r;
}

static int refused; /* errno of an open of Git's file `shallow`, or 0 */

static bool is_refused(const char *path)
{
    size_t length = strlen(path);

    if (!refused || length <= 8 || strcmp(path + length - 8, "/shallow") != 0)
        return false;
    errno = refused;
    return true;
}

int openat(int folder, const char *path, int flags, ...)
{
    int (*original)(int, const char *, int, ...) =
        (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat64");
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return is_refused(path) ? -1 : original(folder, path, flags, mode);
}

/* What it is with _FORTIFY_SOURCE, where the flags are not known beforehand. */
int openat_fortified(int folder, const char *path, int flags) __asm__("__openat64_2");

int openat_fortified(int folder, const char *path, int flags)
{
    int (*original)(int, const char *, int, ...) =
        (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat64");

    return is_refused(path) ? -1 : original(folder, path, flags);
}

static const char *const tools = "openpype/lib/tools.py";
static const char *const zip_path = "package/openpype/3.15.12/private/client.zip";

static int find(struct view *view, const char *commit, struct view_name *ret_name)
{
    return view_find(view, "commits", commit, NULL, ret_name, NULL);
}

/* Another commit, a while later than the fixture's. */
static void commit(const struct fixture *fixture, const char *text, char id[static 41])
{
    fixture_write(fixture, tools, text);
    fixture_commit(fixture, id);
}

static int answer(const void *context)
{
    return *(const int *)context;
}

static void a_walk_through_history_ends_when_it_is_told_to(void **state)
{
    const struct fixture *fixture = *state;
    const char *const paths[] = {"openpype/version.py", "openpype/lib/tools.py"};
    int64_t times[2];
    char id[41];

    commit(fixture, "later\n", id);
    for (int i = 0; i < 3; i++) {
        const int codes[] = {-EINTR, -ECANCELED, 0};
        cleanup_source struct source *source = NULL;
        struct error error = {0};
        bool changed;
        assert_int_equal(source_open_revision(fixture->origin.source, id, &source, NULL), 0);
        assert_int_equal(source_refresh(source, &changed, NULL), 0);
        assert_int_equal(source_times(source, NULL, paths + 1, 1, times, answer, &codes[i], &error),
                         codes[i]);
        assert_int_equal(error.code, codes[i]);
    }
}

static void what_fails_for_a_moment_is_no_time_for_ever(void **state)
{
    const struct fixture *fixture = *state;
    const int codes[] = {EMFILE, EACCES};
    char id[41];

    for (size_t i = 0; i < 2; i++) {
        cleanup_view struct view *view = fixture_view(fixture, NULL);
        cleanup_view_name struct view_name name = {.target = NULL};
        commit(fixture, i == 0 ? "one\n" : "two\n", id);
        refused = codes[i];
        int r = find(view, id, &name);
        refused = 0;
        /* What lasts is told as a problem, and is tried again later. */
        assert_int_equal(r, codes[i] == EMFILE ? -EMFILE : 0);
        assert_true(r < 0 || (name.frozen->problems.count == 1 && name.frozen->retry));
        if (r < 0)
            assert_int_equal(find(view, id, &name), 0);
    }
}

static void who_has_gone_away_gets_no_tree_of_a_commit(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_view_name struct view_name name = {.target = NULL};
    cleanup_generation struct generation *generation = NULL;
    struct problems problems = {0};
    _Atomic bool gone = true;
    char id[41];

    commit(fixture, "later\n", id);
    fixture_write(fixture, tools, "not composed yet\n");
    assert_int_equal(view_find(view, "commits", id, &gone, &name, NULL), -EINTR);
    assert_int_equal(view_find(view, "snapshots", "current", &gone, &name, NULL), -EINTR);
    assert_int_equal(view_problems(view, &gone, &generation, &problems, NULL), -EINTR);
    atomic_store(&gone, false);
    assert_int_equal(view_find(view, "commits", id, &gone, &name, NULL), 0);
    /* What is there is given to anybody. */
    view_name_clear(&name);
    atomic_store(&gone, true);
    assert_int_equal(view_find(view, "commits", id, &gone, &name, NULL), 0);
}

static size_t members(struct view *view, const struct view_name *name)
{
    struct entry *zip = fixture_entry(name->frozen, zip_path);
    cleanup_body struct body *body = NULL;
    struct problems problems = {0};

    assert_int_equal(view_body(view, zip, NULL, &body, NULL), 0);
    assert_null(body_failure(body));
    assert_int_equal(bundle_problems(zip->bundle, &view->origin, zip_path, &problems), 0);
    size_t faults = problems.count;
    problems_clear(&problems);
    return bundle_count(zip->bundle) - faults;
}

static void what_was_left_out_of_a_commit_comes_when_it_is_fetched(void **state)
{
    const struct fixture *fixture = *state;
    const char *const lost[] = {"server_addon/server/__init__.py", "openpype/lib/tools.py"};
    struct view_options options = {
        .source = {.path = fixture->root}, .no_cache = true, .skip_problems = true};
    cleanup_view struct view *view = NULL;
    struct entry *entry = NULL;
    char place[256];
    char aside[256];
    char object[128];
    char id[41];

    commit(fixture, "of a commit\n", id);
    assert_int_equal(view_open(&options, &view, NULL), 0);
    for (int i = 0; i < 2; i++) {
        cleanup_view_name struct view_name without = {.target = NULL};
        cleanup_view_name struct view_name same = {.target = NULL};
        cleanup_view_name struct view_name whole = {.target = NULL};
        fixture_object(fixture, lost[i], object);
        snprintf(place, sizeof(place), "%s/%s", fixture->root, object);
        snprintf(aside, sizeof(aside), "%s/aside", fixture->root);
        assert_int_equal(rename(place, aside), 0);
        frozen_take_out(&view->commits, id);
        ahead = 10;
        assert_int_equal(find(view, id, &without), 0);
        size_t before = members(view, &without);
        assert_int_equal(find(view, id, &same), 0);
        assert_int_equal(same.number, without.number);
        ahead = 0;
        assert_int_equal(rename(aside, place), 0);
        assert_int_equal(find(view, id, &whole), 0);
        assert_int_not_equal(whole.number, without.number);
        assert_int_equal(members(view, &whole), before + (i == 1));
        assert_int_equal(
            entry_find(whole.frozen->root, "package/openpype/3.15.12/__init__.py", &entry), 0);
    }
}

static void what_is_held_can_be_read_on_when_the_repository_is_moved_away(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, "HEAD");
    cleanup_view_name struct view_name held = {.target = NULL};
    cleanup_view_name struct view_name again = {.target = NULL};
    cleanup_view_name struct view_name other = {.target = NULL};
    char first[41];
    char second[41];
    char place[64];
    char away[64];

    commit(fixture, "one\n", first);
    commit(fixture, "two\n", second);
    assert_int_equal(find(view, first, &held), 0);
    snprintf(place, sizeof(place), "%s/.git", fixture->root);
    snprintf(away, sizeof(away), "%s/away", fixture->root);
    assert_int_equal(rename(place, away), 0);
    assert_int_equal(find(view, first, &again), 0);
    assert_ptr_equal(again.frozen, held.frozen);
    assert_int_equal(find(view, second, &other), -EIO);
    assert_int_equal(rename(away, place), 0);
    assert_int_equal(find(view, second, &other), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_walk_through_history_ends_when_it_is_told_to),
        TEST(what_fails_for_a_moment_is_no_time_for_ever),
        TEST(what_is_held_can_be_read_on_when_the_repository_is_moved_away),
        TEST(who_has_gone_away_gets_no_tree_of_a_commit),
        TEST(what_was_left_out_of_a_commit_comes_when_it_is_fetched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
