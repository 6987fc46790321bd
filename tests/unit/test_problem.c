#include <addonfs/problem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_same_fault_is_one_problem_that_affects_several_paths(void **state)
{
    struct problems problems = {0};

    (void)state;
    assert_int_equal(problems_add(&problems, "a", "broken", false, "x"), 0);
    assert_int_equal(problems_add(&problems, "a", "broken", false, "y"), 0);
    assert_int_equal(problems_add(&problems, "a", "broken", false, "x"), 0);
    assert_int_equal(problems_add(&problems, "a", "broken", true, "x"), 0);
    assert_int_equal(problems_add(&problems, "a", "other", false, NULL), 0);
    assert_int_equal(problems.count, 3);
    assert_int_equal(problems.items[0].affects_count, 2);
    assert_string_equal(problems.items[0].affects[1], "y");
    assert_true(problems.items[1].warning);
    assert_int_equal(problems.items[2].affects_count, 0);
    problems_clear(&problems);
    assert_int_equal(problems.count, 0);
    problems_clear(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_fault_is_one_problem_that_affects_several_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
