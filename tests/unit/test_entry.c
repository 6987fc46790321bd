#include "fixture.h"

#include <addonfs/entry.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct source_owner owner = {0755, 0, 0};

static struct entry *leaf(const char *name, const char *path, int priority)
{
    struct entry *entry = entry_new_failed(ENTRY_FILE, name, path, "a leaf");

    assert_non_null(entry);
    entry->priority = priority;
    return entry;
}

static void children_are_sorted_by_bytes(void **state)
{
    static const char *const names[] = {"b", "\xff", "a", "B", "aa"};
    cleanup_entry struct entry *folder = entry_new_folder("folder", owner);

    (void)state;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(entry_insert(folder, leaf(names[i], "p", 0)), 0);
    assert_int_equal(folder->count, 5);
    for (size_t i = 1; i < 5; i++)
        assert_true(strcmp(folder->children[i - 1]->name, folder->children[i]->name) < 0);
    assert_string_equal(entry_child(folder, "aa")->name, "aa");
    assert_null(entry_child(folder, "ab"));
}

static void folders_of_one_name_become_one(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *first = entry_new_folder("x", owner);
    struct entry *second = entry_new_folder("x", owner);
    struct entry *found = NULL;

    (void)state;
    entry_insert(first, leaf("one", "p", 0));
    entry_insert(second, leaf("two", "q", 0));
    assert_int_equal(entry_insert(root, first), 0);
    assert_int_equal(entry_insert(root, second), 0);
    assert_int_equal(root->count, 1);
    assert_int_equal(entry_find(root, "x/one", &found), 0);
    assert_int_equal(entry_find(root, "x/two", &found), 0);
}

static void of_two_files_the_one_of_the_higher_priority_stays(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        cleanup_entry struct entry *root = entry_new_folder("", owner);
        entry_insert(root, leaf("x", order ? "keeps" : "yields", order ? 0 : -1));
        entry_insert(root, leaf("x", order ? "yields" : "keeps", order ? -1 : 0));
        assert_int_equal(root->count, 1);
        assert_string_equal(root->children[0]->path, "keeps");
    }
}

static void two_that_do_not_yield_are_a_failure_that_names_both(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);

    (void)state;
    entry_insert(root, leaf("x", "first/path", 0));
    entry_insert(root, leaf("x", "second/path", 0));
    assert_int_equal(root->count, 1);
    assert_non_null(strstr(root->children[0]->failure, "first/path"));
    assert_non_null(strstr(root->children[0]->failure, "second/path"));
}

static void folders_are_made_on_the_way(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *made = NULL;
    struct entry *again = NULL;

    (void)state;
    assert_int_equal(entry_make_folders(root, "a/b/c", owner, &made), 0);
    assert_int_equal(entry_make_folders(root, "a/b/c", owner, &again), 0);
    assert_ptr_equal(made, again);
    entry_insert(made, leaf("file", "p", 0));
    assert_int_equal(entry_make_folders(root, "a/b/c/file/d", owner, &again), -ENOTDIR);
    assert_int_equal(entry_make_folders(root, "", owner, &again), 0);
    assert_ptr_equal(again, root);
}

static void a_walk_tells_absent_from_unknown(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *found = NULL;

    (void)state;
    entry_insert(root, leaf("file", "p", 0));
    entry_insert(root, entry_new_failed(ENTRY_FOLDER, "failed", "p", "half-written"));
    assert_int_equal(entry_find(root, "", &found), 0);
    assert_ptr_equal(found, root);
    assert_int_equal(entry_find(root, "none", &found), -ENOENT);
    assert_int_equal(entry_find(root, "file/x", &found), -ENOTDIR);
    assert_int_equal(entry_find(root, "failed", &found), 0);
    assert_int_equal(entry_find(root, "failed/x", &found), -EIO);
    assert_int_equal(entry_find(root, "failed/x/y", &found), -EIO);
}

static void the_body_is_made_once(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_entry struct entry *entry =
        entry_new_file("version.py", fixture_file(fixture, "openpype/version.py"));
    cleanup_body struct body *first = NULL;
    cleanup_body struct body *second = NULL;
    _Atomic uint64_t next = 1000;

    entry->number = 99;
    assert_int_equal(entry_body(entry, &fixture->origin, &next, &first, NULL), 0);
    assert_int_equal(entry_body(entry, &fixture->origin, &next, &second, NULL), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(body_number(first), 99);
    assert_int_equal(atomic_load(&next), 1000);
}

static void who_asks_for_its_number_does_not_wait_for_its_body(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_entry struct entry *entry =
        entry_new_file("version.py", fixture_file(fixture, "openpype/version.py"));
    cleanup_entry struct entry *next =
        entry_new_file("version.py", fixture_file(fixture, "openpype/version.py"));

    entry->number = 99;
    /* As if another thread were making it. */
    assert_int_equal(pthread_mutex_lock(&entry->making), 0);
    assert_int_equal(entry_number(entry), 99);
    entry_succeed(next, entry);
    assert_null(next->earlier);
    assert_int_equal(pthread_mutex_unlock(&entry->making), 0);
}

static void a_failed_entry_has_an_unreadable_body(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_entry struct entry *entry = leaf("x", "openpype/x", 0);
    cleanup_body struct body *body = NULL;
    _Atomic uint64_t next = 1000;

    assert_int_equal(entry_body(entry, &fixture->origin, &next, &body, NULL), 0);
    assert_string_equal(body_failure(body), "openpype/x: a leaf");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_sorted_by_bytes),
        cmocka_unit_test(folders_of_one_name_become_one),
        cmocka_unit_test(of_two_files_the_one_of_the_higher_priority_stays),
        cmocka_unit_test(two_that_do_not_yield_are_a_failure_that_names_both),
        cmocka_unit_test(folders_are_made_on_the_way),
        cmocka_unit_test(a_walk_tells_absent_from_unknown),
        TEST(the_body_is_made_once),
        TEST(who_asks_for_its_number_does_not_wait_for_its_body),
        TEST(a_failed_entry_has_an_unreadable_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
