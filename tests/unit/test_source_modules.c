#include "../../core/source_modules.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void names_stay_in_their_folder(void **state)
{
    static const char *const good[] = {"a",   "a/b",  "...", "a..b", "..a",
                                       "a b", "\xff", ".",   "a/./b"};
    static const char *const bad[] = {"",       "/",       "/a",    "..",    "../a", "a/..",
                                      "a/../b", "a/../..", "..\\a", "a\\..", "\\a",  "a/..\\b"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(modules_name_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(modules_name_ok(bad[i]));
}

/* "path=name " for each that is found. */
static int list(void *context, const char *path, void *name)
{
    char *text = context;
    size_t length = strlen(text);

    snprintf(text + length, 256 - length, "%s=%s ", path, (const char *)name);
    return 0;
}

static const char *parse(const char *text, char found[static 256])
{
    struct map names = {0};
    struct error why;

    found[0] = '\0';
    int r = modules_parse(text, strlen(text), &names, &why);
    if (r == 0)
        (void)map_each(&names, list, found);
    else
        snprintf(found, 256, "%d", r);
    map_clear(&names, free);
    return found;
}

static void the_last_name_of_a_path_counts(void **state)
{
    char found[256];

    (void)state;
    assert_string_equal(parse("", found), "");
    assert_string_equal(parse("[submodule \"Na.me\"]\n path = a/b\n url = x\n", found),
                        "a/b=Na.me ");
    assert_string_equal(parse("[submodule \"one\"]\npath = a\n[submodule \"two\"]\npath = a\n"
                              "[submodule \"three\"]\npath = b\n",
                              found),
                        "a=two b=three ");
    assert_string_equal(parse("[submodule \"one\"]\npath = a\npath = b\n", found), "b=one ");
    assert_string_equal(parse("[submodule \"one\"]\npath = a\n[submodule \"two\"]\npath = a\n"
                              "[submodule \"one\"]\npath = b\npath = b\n",
                              found),
                        "a=two b=one ");
    assert_string_equal(parse("[submodule \"x\\\"y\"]\n\tpath = \"a b\" ; comment\n", found),
                        "a b=x\"y ");
    assert_string_equal(parse("[submodule \"a\"]\npath\n[submodule]\npath = x\n[other \"a\"]\n"
                              "path = y\n[submodule \"b\"]\npath = -x\n",
                              found),
                        "");
}

static void what_makes_no_sense_is_an_error(void **state)
{
    char expected[16];
    char found[256];

    (void)state;
    snprintf(expected, sizeof(expected), "%d", -EINVAL);
    assert_string_equal(parse("[submodule \"a\"\npath = x\n", found), expected);
    assert_string_equal(parse("x y z\n", found), expected);
}

/* The same text each time, and nothing of where we have put it. */
static void what_is_wrong_is_said_without_the_file(void **state)
{
    static const char *const wrong[] = {"[submodule \"a\"\npath = x\n", "x y z\n", "[a\n",
                                        "[submodule \"(in\n"};
    struct error why[2];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (int k = 0; k < 2; k++) {
            struct map names = {0};
            int fd = k > 0 ? dup(0) : -1; /* The number of the file is another one. */
            assert_int_equal(modules_parse(wrong[i], strlen(wrong[i]), &names, &why[k]), -EINVAL);
            map_clear(&names, free);
            if (fd >= 0)
                close(fd);
        }
        assert_true(strlen(why[0].text) > 0);
        assert_string_equal(why[0].text, why[1].text);
        assert_null(strstr(why[0].text, "/proc"));
    }
}

/* A file that is included would say that a path has a name. */
static void nothing_is_included(void **state)
{
    static const char *const forms[] = {
        "[include]\n",      "[INCLUDE]\n", "[a] [include] ", "[includeIf \"gitdir:**\"]\n",
        "[include \"\"]\n",
    };
    char path[] = "/tmp/test_source_modules.XXXXXX";
    int fd = mkstemp(path);
    const char text[] = "[submodule \"evil\"]\npath = a\n";

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char form[256];
        char found[256];
        snprintf(form, sizeof(form), "%spath = %s\n", forms[i], path);
        assert_null(strstr(parse(form, found), "evil"));
    }
    unlink(path);
}

static int set_up(void **state)
{
    (void)state;
    return git_libgit2_init() > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return git_libgit2_shutdown() >= 0 ? 0 : -1;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stay_in_their_folder),
        cmocka_unit_test(the_last_name_of_a_path_counts),
        cmocka_unit_test(what_makes_no_sense_is_an_error),
        cmocka_unit_test(what_is_wrong_is_said_without_the_file),
        cmocka_unit_test(nothing_is_included),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
