#include <addonfs/match.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_walk_drops_what_pythons_expressions_match(void **state)
{
    static const struct {
        const char *name;
        bool file;
        bool folder;
    } names[] = {
        {"a.py", false, false},         {".hidden", true, true},
        {"a.pyc", true, false},         {"a.pyo", false, false},
        {"pyc", false, false},          {".pyc", true, true},
        {"a.pyc\n", true, false},       {"a.pyc\n\n", false, false},
        {"a.pycx", false, false},       {"__pycache__", false, true},
        {"__pycache__\n", false, true}, {"__pycache__x", false, false},
        {"x__pycache__", false, false}, {"a.PYC", false, false},
        {"\n.pyc", true, false},        {"caf\xe9.pyc", true, false},
        {"caf\xe9", false, false},      {".\xff", true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(match_drops_file(&match_walk, names[i].name), names[i].file);
        assert_int_equal(match_drops_folder(&match_walk, names[i].name), names[i].folder);
        assert_false(match_drops_file(&match_everything, names[i].name));
        assert_false(match_drops_folder(&match_everything, names[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_walk_drops_what_pythons_expressions_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
