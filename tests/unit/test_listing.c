#include "fixture.h"

#include <addonfs/listing.h>
#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void it_counts_files_members_and_bytes(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_listing struct listing listing = {.generation = NULL};

    assert_int_equal(listing_make(view, NULL, &listing, NULL), 0);
    assert_int_equal(listing.count, 1);
    const struct listing_addon *addon = &listing.addons[0];
    assert_string_equal(addon->name, "openpype");
    assert_string_equal(addon->version, "3.15.12");
    /* version.py, __init__.py, private/pyproject.toml, private/client.zip */
    assert_int_equal(addon->files, 4);
    assert_int_equal(addon->members, 3);
    assert_true(addon->size > addon->zipped && addon->upload > addon->zipped);
    assert_int_equal(listing.problems.count, 0);
}

static void what_cannot_be_read_is_not_counted_and_told(void **state)
{
    const struct fixture *fixture = *state;

    fixture_link(fixture, "openpype/broken", "nowhere");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_listing struct listing listing = {.generation = NULL};
    assert_int_equal(listing_make(view, NULL, &listing, NULL), 0);
    assert_int_equal(listing.addons[0].files, 3);
    assert_int_equal(listing.addons[0].members, 0);
    assert_int_equal(listing.addons[0].upload, 0);
    assert_int_equal(listing.problems.count, 1);
    assert_string_equal(listing.problems.items[0].path, "openpype/broken");
}

static void as_json_it_says_the_same(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_listing struct listing listing = {.generation = NULL};
    cleanup_free char *text = NULL;

    assert_int_equal(listing_make(view, NULL, &listing, NULL), 0);
    assert_int_equal(listing_json(view, &listing, &text, NULL), 0);
    assert_int_equal(text[strlen(text) - 1], '\n');
    cJSON *object = cJSON_Parse(text);
    const cJSON *addon = cJSON_GetArrayItem(cJSON_GetObjectItem(object, "addons"), 0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(addon, "version")), "3.15.12");
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(addon, "size")),
                     listing.addons[0].size);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(object, "layout")), "a");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "commit")));
    cJSON_Delete(object);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_counts_files_members_and_bytes),
        TEST(what_cannot_be_read_is_not_counted_and_told),
        TEST(as_json_it_says_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
