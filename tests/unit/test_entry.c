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

/* --- Trees that are shown in another place -------------------------------------------------------
 */

/* A tree as that of a zip: two folders with a file each, a failed file and a failed folder. */
static struct entry *make_tree(const struct fixture *fixture)
{
    struct entry *tree = entry_new_folder("", owner);
    struct entry *one = entry_new_folder("one", owner);
    struct entry *two = entry_new_folder("two", (struct source_owner){0700, 1, 2});

    entry_insert(one, entry_new_file("v.py", fixture_file(fixture, "openpype/version.py")));
    entry_insert(two, entry_new_file("t.py", fixture_file(fixture, "openpype/lib/tools.py")));
    entry_insert(two, leaf("bad", "openpype/bad", 0));
    two->path = strdup("openpype/two");
    two->mtime.tv_sec = 77;
    entry_insert(tree, one);
    entry_insert(tree, two);
    entry_insert(tree, entry_new_failed(ENTRY_FOLDER, "gone", "openpype/gone", "is not there"));
    return tree;
}

static struct entry *find(struct entry *root, const char *path)
{
    struct entry *found = NULL;

    assert_int_equal(entry_find(root, path, &found), 0);
    return found;
}

static void a_tree_is_copied_without_its_numbers(void **state)
{
    cleanup_entry struct entry *tree = make_tree(*state);
    cleanup_entry struct entry *folder = entry_new_folder("x_1.0", owner);
    static const char *const paths[] = {"one", "two", "one/v.py", "two/t.py"};

    for (size_t i = 0; i < 4; i++)
        find(tree, paths[i])->number = 10 + i;
    assert_int_equal(entry_copy_tree(folder, tree, NULL), 0);
    assert_ptr_equal(folder->tree, tree);
    assert_int_equal(folder->count, 3);
    for (size_t i = 0; i < 4; i++) {
        struct entry *original = find(tree, paths[i]);
        struct entry *copy = find(folder, paths[i]);
        assert_ptr_not_equal(copy, original);
        assert_int_equal(copy->number, 0);
        assert_ptr_equal(copy->file, original->file);
        assert_int_equal(copy->owner.mode, original->owner.mode);
        assert_int_equal(copy->owner.uid, original->owner.uid);
        assert_int_equal(copy->mtime.tv_sec, original->mtime.tv_sec);
    }
    assert_string_equal(find(folder, "two")->path, "openpype/two");
    struct entry *bad = find(folder, "two/bad");
    assert_int_equal(bad->kind, ENTRY_FILE);
    assert_string_equal(bad->path, "openpype/bad");
    assert_string_equal(bad->failure, "a leaf");
    struct entry *found = NULL;
    assert_int_equal(entry_find(folder, "gone/x", &found), -EIO);
}

static void a_tree_that_failed_is_copied_as_failed_as_it_is(void **state)
{
    cleanup_entry struct entry *tree = make_tree(*state);
    cleanup_entry struct entry *folder = entry_new_folder("x_1.0", owner);
    struct entry *found = NULL;

    assert_int_equal(entry_fail(tree, "openpype", "too deep"), 0);
    assert_int_equal(entry_copy_tree(folder, tree, NULL), 0);
    assert_string_equal(folder->failure, "too deep");
    assert_string_equal(folder->path, "openpype");
    assert_int_equal(entry_find(folder, "none", &found), -EIO);
    assert_int_equal(entry_find(folder, "one/v.py", &found), 0);
}

static void what_has_not_changed_is_taken_from_the_copy_before(void **state)
{
    cleanup_entry struct entry *tree = make_tree(*state);
    cleanup_entry struct entry *first = entry_new_folder("x_1.0", owner);
    cleanup_entry struct entry *second = entry_new_folder("x_1.0", owner);
    cleanup_entry struct entry *third = entry_new_folder("x_1.0", owner);
    cleanup_entry struct entry *file = leaf("x_1.0", "p", 0);

    assert_int_equal(entry_copy_tree(first, tree, NULL), 0);
    /* Another tree that shares a folder with it. */
    cleanup_entry struct entry *next = entry_new_folder("", owner);
    entry_insert(next, entry_ref(find(tree, "one")));
    entry_insert(next, entry_copy_folder(find(tree, "two")));
    assert_int_equal(entry_copy_tree(second, next, first), 0);
    assert_ptr_equal(find(second, "one"), find(first, "one"));
    assert_ptr_not_equal(find(second, "two"), find(first, "two"));
    assert_ptr_equal(find(second, "two")->tree, find(next, "two"));
    /* What was no folder is nothing to go on from. */
    assert_int_equal(entry_copy_tree(third, next, file), 0);
    assert_ptr_not_equal(find(third, "one"), find(first, "one"));
}

static void a_lazy_folder_is_to_be_filled_first(void **state)
{
    cleanup_entry struct entry *tree = make_tree(*state);
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *lazy = entry_new_lazy("x_1.0", tree);
    struct entry *found = NULL;

    assert_true(lazy->lazy);
    assert_ptr_equal(lazy->tree, tree);
    assert_ptr_equal(entry_filled(lazy), lazy);
    entry_insert(root, lazy);
    static const char *const paths[] = {"x_1.0", "x_1.0/one", "x_1.0/none"};
    for (size_t i = 0; i < 3; i++) {
        found = NULL;
        assert_int_equal(entry_find(root, paths[i], &found), -EINPROGRESS);
        assert_ptr_equal(found, lazy);
    }
    assert_int_equal(entry_find(root, "none", &found), -ENOENT);

    struct entry *filled = entry_new_folder("x_1.0", owner);
    assert_int_equal(entry_copy_tree(filled, tree, NULL), 0);
    atomic_store(&lazy->filled, filled);
    assert_ptr_equal(entry_filled(lazy), filled);
    assert_ptr_equal(entry_filled(filled), filled);
    assert_ptr_equal(entry_filled(root), root);
    assert_ptr_equal(find(root, "x_1.0"), filled);
    assert_ptr_equal(find(root, "x_1.0/one/v.py"), entry_child(filled->children[1], "v.py"));
    assert_int_equal(entry_find(root, "x_1.0/none", &found), -ENOENT);
    /* Nothing is left of both when the last reference has gone: the sanitizer looks. */
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
        TEST(a_tree_is_copied_without_its_numbers),
        TEST(a_tree_that_failed_is_copied_as_failed_as_it_is),
        TEST(what_has_not_changed_is_taken_from_the_copy_before),
        TEST(a_lazy_folder_is_to_be_filled_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
