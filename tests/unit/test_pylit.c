/* The bulk is in test_pylit_oracle.py, against Python; here is what needs C: bounds and ownership.
 */
#include <addonfs/cleanup.h>
#include <addonfs/pylit.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void reads_a_literal(void **state)
{
    const char text[] = "# -*- coding: utf-8 -*-\n__version__ = \"3.15.12\"\n";
    cleanup_free char *value = NULL;
    struct error error = {0};

    (void)state;
    assert_int_equal(pylit_string(text, sizeof(text) - 1, "v.py", "__version__", &value, &error),
                     0);
    assert_string_equal(value, "3.15.12");
}

static void leaves_the_result_alone_on_failure(void **state)
{
    char *value = (char *)(uintptr_t) "untouched";
    struct error error = {0};

    (void)state;
    assert_int_equal(pylit_string("x = 1\n", 6, "v.py", "__version__", &value, &error), -ENOENT);
    assert_string_equal(value, "untouched");
    assert_string_equal(error.text, "v.py: no assignment to __version__");
    assert_int_equal(pylit_string("x = f()\n", 8, "v.py", "x", &value, &error), -EINVAL);
    assert_string_equal(error.text, "v.py:1: x is not a string literal");
}

static void tells_a_name_that_is_left_out(void **state)
{
    char *value = (char *)(uintptr_t) "untouched";
    struct error error = {0};

    (void)state;
    assert_int_equal(pylit_optional_string("x = f()", 7, "p.py", "x", &value, &error), -EINVAL);
    assert_string_equal(value, "untouched");
    assert_int_equal(pylit_optional_string("x = 'y'", 7, "p.py", "y", &value, &error), 0);
    assert_null(value);
    assert_int_equal(pylit_optional_string("x = None", 8, "p.py", "x", &value, &error), 0);
    assert_null(value);
    assert_int_equal(pylit_optional_string("x = 'y'", 7, "p.py", "x", &value, &error), 0);
    assert_string_equal(value, "y");
    free(value);
}

static void writes_another_value(void **state)
{
    static const char text[] = "\xef\xbb\xbfx = ('1'\r\n '2') # x\r\n";
    static const char expected[] = "\xef\xbb\xbfx = \"1.3-dev.4+g_5\" # x\r\n";
    cleanup_free char *result = NULL;
    char *none = (char *)(uintptr_t) "untouched";
    struct error error = {0};
    size_t size = 7;

    (void)state;
    assert_int_equal(
        pylit_replace_string(text, sizeof(text) - 1, "v.py", "x", "1 2", &none, &size, &error),
        -EINVAL);
    assert_string_equal(error.text, "v.py: \"1 2\" cannot be written as x: letters, digits and . + "
                                    "_ - only");
    assert_int_equal(pylit_replace_string("x = 1", 5, "v.py", "y", "2", &none, &size, &error),
                     -ENOENT);
    assert_string_equal(none, "untouched");
    assert_int_equal(size, 7);
    assert_int_equal(pylit_replace_string(text, sizeof(text) - 1, "v.py", "x", "1.3-dev.4+g_5",
                                          &result, &size, &error),
                     0);
    assert_int_equal(size, sizeof(expected) - 1);
    assert_string_equal(result, expected);
}

/* Every beginning of a text that uses all there is, in a buffer of exactly its size. */
static void never_reads_behind_the_end(void **state)
{
    static const char text[] =
        "\xef\xbb\xbf# coding: utf-8\r\nx = ('a' \\\n "
        "\"\"\"b\\x41\\u00e9\\U0001f600\\N{X}\\1\"\"\")"
        "\nf'{a!r:>{b[\"c\"]}}{{' rb'\\'\nif x: y = 1 ; z : int = lambda: 0\nclass A:\n\tb = "
        "1\ndef f(a, *b):\n  return\nfrom a import (b as c, d)\nfor i, (j, k) in x: pass\nwith a "
        "as b, c as d: pass\nmatch x:\n  case 1: pass\nx += 1e+5\ndel x\n";
    struct error error = {0};
    size_t used = 0;

    (void)state;
    for (size_t size = 0; size < sizeof(text); size++) {
        char *exact = malloc(size > 0 ? size : 1);
        char *value = NULL;
        assert_non_null(exact);
        memcpy(exact, text, size);
        (void)pylit_string(exact, size, "v.py", "x", &value, &error);
        free(value);
        value = NULL;
        if (pylit_replace_string(exact, size, "v.py", "x", "1", &value, &used, &error) == 0)
            assert_int_equal(value[used], 0);
        free(value);
        free(exact);
    }
}

static void takes_a_million_lines_in_its_stride(void **state)
{
    enum { COUNT = 1000000 };
    char *text = malloc((size_t)COUNT * 8);
    cleanup_free char *value = NULL;
    struct error error = {0};
    size_t size = 0;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < COUNT; i++) {
        memcpy(text + size, "a = 1\n", 6);
        size += 6;
    }
    memcpy(text + size, "x = 'y'", 7);
    assert_int_equal(pylit_string(text, size + 7, "v.py", "x", &value, &error), 0);
    assert_string_equal(value, "y");
    /* One logical line that is as long. */
    memset(text, '(', size);
    char *none = NULL;
    assert_int_equal(pylit_string(text, size, "v.py", "x", &none, &error), -EINVAL);
    memset(text, '\xff', size);
    assert_int_equal(pylit_string(text, size, "v.py", "x", &none, &error), -EINVAL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_literal),
        cmocka_unit_test(leaves_the_result_alone_on_failure),
        cmocka_unit_test(tells_a_name_that_is_left_out),
        cmocka_unit_test(writes_another_value),
        cmocka_unit_test(never_reads_behind_the_end),
        cmocka_unit_test(takes_a_million_lines_in_its_stride),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
