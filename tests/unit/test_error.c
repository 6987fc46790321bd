#include <addonfs/error.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_printable(const char *bytes, size_t size, const char *expected)
{
    char text[256];

    assert_int_equal(error_printable(bytes, size, text, sizeof(text)), strlen(expected));
    assert_string_equal(text, expected);
}

static void hostile_bytes_stay_inside_the_line(void **state)
{
    (void)state;
    expect_printable("a\nb\tc", 5, "a\\nb\\tc");
    expect_printable("\x1b[31m\x7f\0", 7, "\\x1b[31m\\x7f\\x00");
    expect_printable("gr\xc3\xbcn \xe6\x97\xa5 \xf0\x9f\x98\x80", 14,
                     "gr\xc3\xbcn \xe6\x97\xa5 \xf0\x9f\x98\x80");
    expect_printable("caf\xe9", 4, "caf\\xe9");
    expect_printable("\xc2\x9b", 2, "\\xc2\\x9b");          /* C1 control */
    expect_printable("\xc0\x80", 2, "\\xc0\\x80");          /* overlong */
    expect_printable("\xed\xa0\x80", 3, "\\xed\\xa0\\x80"); /* surrogate */
    expect_printable("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80");
    expect_printable("\xe6\x97", 2, "\\xe6\\x97"); /* cut */
    expect_printable("back\\slash", 10, "back\\slash");
    expect_printable("", 0, "");
}

static void what_does_not_fit_is_cut_at_a_character(void **state)
{
    char text[5];

    (void)state;
    assert_int_equal(error_printable("abc\xc3\xbc", 5, text, sizeof(text)), 5);
    assert_string_equal(text, "abc");
    assert_int_equal(error_printable("abcd\n", 5, text, sizeof(text)), 6);
    assert_string_equal(text, "abcd");
    assert_int_equal(error_printable("abc", 3, NULL, 0), 3);
    assert_int_equal(error_printable("\xc3\xbc"
                                     "a",
                                     3, text, 2),
                     3);
    assert_string_equal(text, "");
}

static void a_failure_is_described_once_in_one_line(void **state)
{
    struct error error = {0};

    (void)state;
    assert_int_equal(error_set(&error, -EINVAL, "%s:%d: wrong", "a\nb", 3), -EINVAL);
    assert_int_equal(error.code, -EINVAL);
    assert_string_equal(error.text, "a\\nb:3: wrong");
    assert_int_equal(error_errno(&error, -ENOENT, "%s", "path"), -ENOENT);
    assert_string_equal(error.text, "path: No such file or directory");
    assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
    assert_int_equal(error_errno(NULL, -EIO, "nobody listens"), -EIO);
}

static void a_path_of_any_length_fits_or_is_cut(void **state)
{
    struct error error = {0};
    char path[3 * ERROR_TEXT_SIZE];

    (void)state;
    memset(path, '\n', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    error_errno(&error, -EIO, "%s", path);
    assert_true(strlen(error.text) < ERROR_TEXT_SIZE);
    assert_null(strchr(error.text, '\n'));
}

static void utf8_is_told_from_what_is_not(void **state)
{
    (void)state;
    assert_true(error_is_utf8("", 0));
    assert_true(error_is_utf8("gr\xc3\xbcn", 5));
    assert_false(error_is_utf8("caf\xe9", 4));
    assert_false(error_is_utf8("\xed\xa0\x80", 3));
    assert_int_equal(error_utf8_prefix("gr\xc3\xbc\xff"
                                       "n",
                                       6),
                     4);
    assert_int_equal(error_utf8_prefix("\xc3", 1), 0);
}

static void failures_of_the_moment_are_not_of_the_content(void **state)
{
    (void)state;
    assert_true(error_is_transient(-ENOMEM));
    assert_true(error_is_transient(-ENOSPC));
    assert_true(error_is_transient(-EMFILE));
    assert_true(error_is_transient(-ESTALE));
    assert_false(error_is_transient(-EIO));
    assert_false(error_is_transient(-EACCES));
    assert_false(error_is_transient(0));
    assert_true(error_tells_nothing(-ESTALE));
    assert_true(error_tells_nothing(-EINTR));
    assert_true(error_tells_nothing(-ECANCELED));
    assert_false(error_tells_nothing(-EMFILE));
    assert_false(error_tells_nothing(0));
}

static void a_failure_of_the_moment_keeps_its_true_reason(void **state)
{
    (void)state;
    struct error error;

    assert_int_equal(error_of_the_moment(&error, -EACCES, "%s", "a/b"), -EAGAIN);
    assert_int_equal(error.code, -EAGAIN);
    assert_string_equal(error.text, "a/b: Permission denied");
    assert_int_equal(error_of_the_moment(&error, -EMFILE, "%s", "a/b"), -EMFILE);
    assert_string_equal(error.text, "a/b: Too many open files");
    assert_int_equal(error_of_the_moment(NULL, -EIO, "%s", "a/b"), -EAGAIN);
}

static void a_reason_is_told_from_the_path_before_it(void **state)
{
    (void)state;
    assert_string_equal(error_reason("a/b: no such file", "a/b"), "no such file");
    assert_string_equal(error_reason("a/b:3: not a literal", "a/b"), "a/b:3: not a literal");
    assert_string_equal(error_reason("other: no", "a/b"), "other: no");
    assert_string_equal(error_reason("", "a/b"), "");
}

static void what_only_begins_like_a_path_does_not_name_it(void **state)
{
    (void)state;
    assert_true(error_names("a/b: no such file", "a/b"));
    assert_true(error_names("a/b:3: not a literal", "a/b"));
    assert_false(error_names("a FIFO", "a"));
    assert_false(error_names("", "a"));
    assert_true(error_names("whatever it is", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_bytes_stay_inside_the_line),
        cmocka_unit_test(what_does_not_fit_is_cut_at_a_character),
        cmocka_unit_test(a_failure_is_described_once_in_one_line),
        cmocka_unit_test(a_path_of_any_length_fits_or_is_cut),
        cmocka_unit_test(utf8_is_told_from_what_is_not),
        cmocka_unit_test(a_reason_is_told_from_the_path_before_it),
        cmocka_unit_test(what_only_begins_like_a_path_does_not_name_it),
        cmocka_unit_test(a_failure_of_the_moment_keeps_its_true_reason),
        cmocka_unit_test(failures_of_the_moment_are_not_of_the_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
