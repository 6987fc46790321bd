#include <addonfs/text.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void texts_are_equal_by_their_bytes_and_null_is_like_nothing_else(void **state)
{
    char one[] = "text";
    char other[] = "text";

    (void)state;
    assert_true(text_equal(one, one));
    assert_true(text_equal(one, other));
    assert_true(text_equal(NULL, NULL));
    assert_false(text_equal(one, "texts"));
    assert_false(text_equal(one, NULL));
    assert_false(text_equal(NULL, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_equal_by_their_bytes_and_null_is_like_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
