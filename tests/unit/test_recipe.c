#include "fixture.h"

#include <addonfs/path.h>
#include <addonfs/recipe.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void the_signs_of_layout_a_are_recognised(void **state)
{
    const struct fixture *fixture = *state;
    const struct recipe *recipe = NULL;

    assert_int_equal(recipe_detect(fixture->origin.source, &recipe, NULL), 0);
    assert_string_equal(recipe->layout, "a");
    assert_int_equal(recipe->addon_count, 1);
    assert_string_equal(recipe->addons[0].name, "openpype");
    assert_string_equal(recipe->addons[0].version_file, "openpype/version.py");
}

static void every_path_of_a_built_in_recipe_is_allowed(void **state)
{
    const struct fixture *fixture = *state;
    const struct recipe *recipe = NULL;

    assert_int_equal(recipe_detect(fixture->origin.source, &recipe, NULL), 0);
    for (size_t i = 0; i < recipe->addons[0].rule_count; i++) {
        const struct recipe_rule *rule = &recipe->addons[0].rules[i];
        assert_true(path_recipe_ok(rule->source));
        assert_true(*rule->destination == '\0' || path_recipe_ok(rule->destination));
        assert_int_equal(rule->kind == RECIPE_ZIP, rule->prefix != NULL);
        assert_int_equal(rule->kind == RECIPE_FILE, rule->top == NULL);
    }
    assert_true(path_addon_name_ok(recipe->addons[0].name));
}

static void expect_none(const struct fixture *fixture)
{
    const struct recipe *recipe = NULL;
    struct error error = {0};

    fixture_refresh(fixture);
    assert_int_equal(recipe_detect(fixture->origin.source, &recipe, &error), -ENOENT);
    assert_null(recipe);
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
        TEST(every_path_of_a_built_in_recipe_is_allowed),
        TEST(a_missing_sign_is_no_layout),
        TEST(a_file_where_a_folder_belongs_is_no_layout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
