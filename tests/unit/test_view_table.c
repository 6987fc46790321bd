/* Which frozen trees stay, and for how long. This program's clock may be ahead. */
#include "fixture.h"
#include "view_parts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    ret_time->tv_sec += ahead;
    return r;
}

static int find(struct view *view, const char *folder, const char *name, struct view_name *ret_name)
{
    return view_find(view, folder, name, NULL, ret_name, NULL);
}

/* Edit, and make a snapshot of it. */
static void edit(const struct fixture *fixture, struct view *view, int number, char id[static 41])
{
    cleanup_view_name struct view_name current = {.target = NULL};
    char text[32];

    snprintf(text, sizeof(text), "number = %d\n", number);
    fixture_write(fixture, "openpype/lib/tools.py", text);
    assert_int_equal(find(view, "snapshots", "current", &current), 0);
    assert_int_equal(snprintf(id, 41, "%s", current.target), 40);
}

static bool is_there(struct view *view, const char *id)
{
    cleanup_view_name struct view_name name = {.target = NULL};

    return find(view, "snapshots", id, &name) == 0;
}

static size_t count(struct view *view, const char *folder)
{
    cleanup_view_names struct view_names names = {0};

    assert_int_equal(view_list(view, folder, &names, NULL), 0);
    return names.count;
}

static void a_snapshot_that_is_used_by_path_stays(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    char used[41];
    char id[41];

    edit(fixture, view, -1, used);
    for (int i = 0; i < 2 * MOST_SNAPSHOTS; i++) {
        edit(fixture, view, i, id);
        assert_true(is_there(view, used));
        ahead += KEPT_SECONDS / 2;
    }
    ahead = 0;
}

static void snapshots_go_when_nobody_has_used_them_for_long_or_they_are_too_many(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    char ids[MOST_SNAPSHOTS + 2][41];
    int number = 0;

    for (; number < 2 * KEPT_SNAPSHOTS; number++)
        edit(fixture, view, number, ids[number]);
    ahead = KEPT_SECONDS - 60;
    edit(fixture, view, number, ids[number]);
    number++;
    assert_int_equal(count(view, "snapshots"), number + 1);
    ahead = KEPT_SECONDS + 60;
    cleanup_generation struct generation *generation = NULL;
    fixture_write(fixture, "openpype/lib/tools.py", "a look that builds is enough\n");
    assert_int_equal(view_look(view, &generation, NULL), 0);
    assert_int_equal(count(view, "snapshots"), KEPT_SNAPSHOTS + 1);
    for (int i = 0; i < number; i++)
        assert_int_equal(is_there(view, ids[i]), i >= number - KEPT_SNAPSHOTS);
    for (number = 0; number < MOST_SNAPSHOTS + 2; number++)
        edit(fixture, view, 1000 + number, ids[number]);
    assert_int_equal(count(view, "snapshots"), MOST_SNAPSHOTS + 1);
    assert_false(is_there(view, ids[0]));
    assert_true(is_there(view, ids[2]));
    ahead = 0;
}

static struct entry *root_of(struct view *view, const char *id, struct view_name *name)
{
    assert_int_equal(find(view, "snapshots", id, name), 0);
    return name->frozen->root;
}

static void a_snapshot_has_the_modes_of_now(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    const char *const path = "package/openpype/3.15.12/__init__.py";
    char absolute[128];
    char id[2][41];

    assert_int_equal(chmod(fixture->root, 0755), 0);
    snprintf(absolute, sizeof(absolute), "%s/server_addon/server/__init__.py", fixture->root);
    for (int i = 0; i < 4; i++) {
        cleanup_view_name struct view_name name = {.target = NULL};
        cleanup_view_name struct view_name again = {.target = NULL};
        mode_t mode = i % 2 == 0 ? 0644 : 0600;
        struct entry *entry = NULL;
        assert_int_equal(chmod(absolute, mode), 0);
        edit(fixture, view, 0, id[i % 2]);
        assert_string_equal(id[0], id[i % 2]);
        assert_int_equal(entry_find(root_of(view, id[0], &name), path, &entry), 0);
        assert_int_equal(entry->owner.mode & 0777, mode & 0444);
        /* It is another folder, and the same as long as nothing has changed. */
        edit(fixture, view, 0, id[i % 2]);
        assert_int_equal(root_of(view, id[0], &again)->number, name.number);
        assert_int_equal(count(view, "snapshots"), 2);
    }
}

static void names_that_come_and_go_take_no_memory(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    char id[41];
    char commit[41];

    edit(fixture, view, 0, id);
    size_t numbers = view->numbers.count;
    for (int i = 1; i < 2 * KEPT_COMMITS; i++) {
        cleanup_view_name struct view_name name = {.target = NULL};
        edit(fixture, view, i, id);
        fixture_commit(fixture, commit);
        assert_int_equal(find(view, "commits", commit, &name), 0);
        ahead += KEPT_SECONDS + 1;
    }
    assert_int_equal(view->numbers.count, numbers);
    assert_int_equal(count(view, "commits"), KEPT_COMMITS);
    ahead = 0;
}

static void a_commit_that_git_has_thrown_away_vanishes(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    char first[41];
    char lost[41];
    char object[64];
    cleanup_view_name struct view_name held = {.target = NULL};
    struct view_name name;

    fixture_write(fixture, "openpype/lib/tools.py", "lost\n");
    fixture_commit(fixture, lost);
    assert_int_equal(find(view, "commits", lost, &held), 0);
    fixture_write(fixture, "openpype/lib/tools.py", "later\n");
    fixture_commit(fixture, first);
    assert_int_equal(count(view, "commits"), 2);
    snprintf(object, sizeof(object), ".git/objects/%.2s/%s", lost, lost + 2);
    fixture_remove(fixture, object);
    assert_int_equal(count(view, "commits"), 1);
    assert_int_equal(find(view, "commits", lost, &name), -ENOENT);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_that_is_used_by_path_stays),
        TEST(snapshots_go_when_nobody_has_used_them_for_long_or_they_are_too_many),
        TEST(a_snapshot_has_the_modes_of_now),
        TEST(names_that_come_and_go_take_no_memory),
        TEST(a_commit_that_git_has_thrown_away_vanishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
