#include "fixture.h"

#include <addonfs/recipe.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int find(const struct fixture *fixture, struct recipe_matches *matches, struct error *error)
{
    const struct recipe_choice choice = {.layout = NULL};

    return recipe_find(fixture->origin.source, &choice, NULL, matches, error);
}

static void the_signs_of_layout_a_are_recognised(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_recipe_matches struct recipe_matches matches = {0};

    assert_int_equal(find(fixture, &matches, NULL), 0);
    assert_string_equal(matches.layout, "a");
    assert_int_equal(matches.count, 1);
    assert_string_equal(matches.items[0].addon->name.text, "openpype");
    assert_string_equal(matches.items[0].addon->version.file, "openpype/version.py");
    assert_null(matches.items[0].folder);
}

static void expect_none(const struct fixture *fixture)
{
    cleanup_recipe_matches struct recipe_matches matches = {0};
    struct error error = {0};

    fixture_refresh(fixture);
    assert_int_equal(find(fixture, &matches, &error), -ENOENT);
    assert_int_equal(matches.count, 0);
    assert_non_null(strstr(error.text, fixture->root));
    assert_non_null(strstr(error.text, "openpype/version.py"));
}

static void a_missing_sign_is_no_layout(void **state)
{
    const struct fixture *fixture = *state;

    fixture_remove(fixture, "openpype/version.py");
    expect_none(fixture);
    fixture_write(fixture, "openpype/version.py/a-folder", "");
    expect_none(fixture);
    fixture_remove(fixture, "openpype");
    expect_none(fixture);
}

static void a_file_where_a_folder_belongs_is_no_layout(void **state)
{
    const struct fixture *fixture = *state;

    fixture_remove(fixture, "server_addon/server");
    fixture_write(fixture, "server_addon/server", "");
    expect_none(fixture);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_signs_of_layout_a_are_recognised),
        TEST(a_missing_sign_is_no_layout),
        TEST(a_file_where_a_folder_belongs_is_no_layout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
