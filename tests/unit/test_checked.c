#include <addonfs/checked.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void sums_that_fit_are_sums(void **state)
{
    uint64_t sum = 0;
    size_t product = 0;

    (void)state;
    assert_true(checked_add(1, 2, &sum));
    assert_int_equal(sum, 3);
    assert_true(checked_add(UINT64_MAX - 1, 1, &sum));
    assert_true(sum == UINT64_MAX);
    assert_true(checked_multiply(SIZE_MAX / 2, 2, &product));
    assert_true(product == SIZE_MAX - 1);
}

static void sums_that_wrap_are_refused_and_leave_the_result(void **state)
{
    uint64_t sum = 7;
    size_t product = 7;

    (void)state;
    assert_false(checked_add(UINT64_MAX, 1, &sum));
    assert_false(checked_multiply(SIZE_MAX / 2 + 1, 2, &product));
    assert_int_equal(sum, 7);
    assert_int_equal(product, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_that_fit_are_sums),
        cmocka_unit_test(sums_that_wrap_are_refused_and_leave_the_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
