#include <addonfs/path.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *repeat(char c, size_t count)
{
    char *text = malloc(count + 1);

    assert_non_null(text);
    memset(text, c, count);
    text[count] = '\0';
    return text;
}

static void addon_names_follow_their_rule(void **state)
{
    static const char *const good[] = {"openpype", "a", "_", "a_b", "a-b.c", "9", "A.B"};
    static const char *const bad[] = {"",    ".",   "..", ".a",  "a.",   "-a", "a-",
                                      "a/b", "a b", "ä",  "a\n", "a\\b", "a+b"};
    char *longest = repeat('x', 128);
    char *longer = repeat('x', 129);

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(path_addon_name_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(path_addon_name_ok(bad[i]));
    assert_true(path_addon_name_ok(longest));
    assert_false(path_addon_name_ok(longer));
    free(longest);
    free(longer);
}

static void versions_follow_their_rule(void **state)
{
    static const char *const good[] = {"3.15.12", "0",   "1.0.0-dev.4+g546187e.d1a2",
                                       "a",       "1_2", "1."};
    static const char *const bad[] = {"",    ".1",  "-1",  "+1",   "_1", "1..2",
                                      "1/2", "1 2", "1\n", "../x", "ü",  "1~2"};
    char *longest = repeat('1', 128);
    char *longer = repeat('1', 129);

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(path_version_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(path_version_ok(bad[i]));
    assert_true(path_version_ok(longest));
    assert_false(path_version_ok(longer));
    free(longest);
    free(longer);
}

static void recipe_paths_are_relative_and_never_gits(void **state)
{
    static const char *const good[] = {"a", "a/b", "a/.b/c..d", ".gitattributes", "git/x", "a b/ü"};
    static const char *const bad[] = {"",       "/a",  "a/",    "a//b", "..",       "a/..",
                                      "a/../b", "./a", "a/./b", ".git", "a/.GIT/b", ".Git/config"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(path_recipe_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(path_recipe_ok(bad[i]));
}

static void paths_join_and_nest(void **state)
{
    char *joined = path_join("a/b", "c");
    char *root = path_join("", "c");

    (void)state;
    assert_string_equal(joined, "a/b/c");
    assert_string_equal(root, "c");
    free(joined);
    free(root);
    assert_true(path_is_within("a/b", ""));
    assert_true(path_is_within("a/b", "a"));
    assert_true(path_is_within("a", "a"));
    assert_false(path_is_within("ab", "a"));
    assert_false(path_is_within("a", "a/b"));
    assert_true(path_is_git(".gIt"));
    assert_false(path_is_git(".gitignore"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addon_names_follow_their_rule),
        cmocka_unit_test(versions_follow_their_rule),
        cmocka_unit_test(recipe_paths_are_relative_and_never_gits),
        cmocka_unit_test(paths_join_and_nest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
