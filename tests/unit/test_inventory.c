#include "fixture.h"

#include <addonfs/inventory.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct inventory_item *file(void)
{
    struct inventory_item *item = inventory_new(INVENTORY_FILE);

    assert_non_null(item);
    return item;
}

static void what_is_put_is_found(void **state)
{
    cleanup_inventory struct inventory_item *root = inventory_new(INVENTORY_FOLDER);
    struct inventory_item *item = file();

    (void)state;
    assert_int_equal(inventory_put(root, "a/b/c", item), 0);
    assert_ptr_equal(inventory_find(root, "a/b/c"), item);
    assert_int_equal(inventory_find(root, "a/b")->kind, INVENTORY_FOLDER);
    assert_ptr_equal(inventory_find(root, ""), root);
    assert_null(inventory_find(root, "a/c"));
    assert_null(inventory_find(root, "a/b/c/d"));
    assert_true(inventory_has_files(root));
}

static void folders_without_files_have_none(void **state)
{
    cleanup_inventory struct inventory_item *root = inventory_new(INVENTORY_FOLDER);

    (void)state;
    assert_int_equal(inventory_put(root, "a/b", inventory_new(INVENTORY_FOLDER)), 0);
    assert_int_equal(inventory_put(root, "a/b", inventory_new(INVENTORY_FOLDER)), 0);
    assert_null(inventory_find(root, "a/b")->fault);
    assert_false(inventory_has_files(root));
}

static void two_in_one_place_are_a_fault(void **state)
{
    cleanup_inventory struct inventory_item *root = inventory_new(INVENTORY_FOLDER);

    (void)state;
    assert_int_equal(inventory_put(root, "a/b", file()), 0);
    assert_int_equal(inventory_put(root, "a/b", file()), 0);
    assert_string_equal(inventory_find(root, "a/b")->fault, "is there twice");
    assert_int_equal(inventory_put(root, "c", file()), 0);
    assert_int_equal(inventory_put(root, "c/d", file()), 0);
    assert_string_equal(inventory_find(root, "c")->fault, "is there as a file and as a folder");
}

/* What is on disk and what the view shows of it have the same ids. */
static void a_folder_and_a_view_are_read_alike(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_generation struct generation *generation = NULL;
    cleanup_inventory struct inventory_item *shown = NULL;
    cleanup_inventory struct inventory_item *found = NULL;
    struct inventory_reading reading = {.bytes = 0};
    struct error error = {0};
    char path[PATH_MAX];

    assert_int_equal(view_look(view, &generation, &error), 0);
    assert_int_equal(
        inventory_of_view(view, generation, "package/openpype/3.15.12", &reading, &shown, &error),
        0);
    snprintf(path, sizeof(path), "%s/openpype", fixture->root);
    assert_int_equal(inventory_read(path, &reading, &found, &error), 0);
    const struct inventory_item *member =
        inventory_find(shown, "private/client.zip/openpype/version.py");
    const struct inventory_item *version = inventory_find(found, "version.py");
    assert_non_null(member);
    assert_true(content_id_equal(&member->id, &version->id));
    assert_string_equal(member->text, version->text);
    assert_true(inventory_find(shown, "private/client.zip")->is_archive);
    assert_true(reading.bytes > 0 && reading.items > 0);
}

static void an_interruption_ends_it(void **state)
{
    const struct fixture *fixture = *state;
    const _Atomic bool interrupted = true;
    struct inventory_reading reading = {.interrupted = &interrupted};
    struct inventory_item *found = NULL;
    struct error error = {0};

    assert_int_equal(inventory_read(fixture->root, &reading, &found, &error), -EINTR);
    assert_null(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found),
        cmocka_unit_test(folders_without_files_have_none),
        cmocka_unit_test(two_in_one_place_are_a_fault),
        cmocka_unit_test_setup_teardown(a_folder_and_a_view_are_read_alike, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(an_interruption_ends_it, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
