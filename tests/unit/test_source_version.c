/* The bulk is in test_source_version_oracle.py, against git; here is what needs C. */
#include "fixture.h"

#include <addonfs/source_version.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "openpype/version.py"
#define VARIABLE "__version__"

static int ask(const struct fixture *fixture, const char *commit, struct version_base *ret_base,
               struct error *error)
{
    return source_version_base(fixture->origin.source, commit, FILE_NAME, VARIABLE, ret_base,
                               error);
}

static void commit(const struct fixture *fixture, const char *path, const char *text,
                   char ret_commit[static 41])
{
    fixture_write(fixture, path, text);
    fixture_commit(fixture, ret_commit);
}

static void finds_who_has_set_the_version(void **state)
{
    const struct fixture *fixture = *state;
    struct version_base base;
    struct error error = {0};
    char set[41];
    char same[41];
    char later[41];
    char broken[41];

    commit(fixture, FILE_NAME, "__version__ = '1.0.0'\n", set);
    commit(fixture, FILE_NAME, "__version__ = \"1.0\" '.0'  # the same\n", same);
    commit(fixture, "openpype/other.py", "x = 1\n", later);
    commit(fixture, FILE_NAME, "__version__ = f()\n", broken);
    for (int i = 0; i < 2; i++) { /* the second time from what is remembered */
        assert_int_equal(ask(fixture, set, &base, &error), 0);
        assert_string_equal(base.commit, set);
        assert_int_equal(base.commits, 0);
        assert_int_equal(ask(fixture, later, &base, &error), 0);
        assert_string_equal(base.commit, set);
        assert_int_equal(base.commits, 2);
    }
    assert_int_equal(ask(fixture, same, &base, &error), 0);
    assert_int_equal(base.commits, 1);
    base.commits = 77;
    assert_int_equal(ask(fixture, broken, &base, &error), -EINVAL);
    assert_string_equal(error.text, FILE_NAME ":1: __version__ is not a string literal");
    assert_int_equal(base.commits, 77);
}

static void says_what_a_commit_lacks(void **state)
{
    const struct fixture *fixture = *state;
    struct source *source = fixture->origin.source;
    struct version_base base;
    struct error error = {0};
    char id[41];
    char text[160];

    commit(fixture, "a.py", "x = 1\n", id);
    assert_int_equal(source_version_base(source, id, "none/b.py", "x", &base, &error), -ENOENT);
    snprintf(text, sizeof(text), "none/b.py: no such file in commit %s", id);
    assert_string_equal(error.text, text);
    assert_int_equal(source_version_base(source, id, "openpype", "x", &base, &error), -ENOENT);
    assert_int_equal(source_version_base(source, id, "a.py", "y", &base, &error), -ENOENT);
    assert_string_equal(error.text, "a.py: no assignment to y");
    assert_int_equal(source_version_base(source, "HEAD", "a.py", "x", &base, &error), -EINVAL);
    assert_string_equal(error.text, "HEAD: not the id of a commit");
    assert_int_equal(source_version_base(source, "0123456789012345678901234567890123456789", "a.py",
                                         "x", &base, &error),
                     -EIO);
    assert_non_null(strstr(error.text, "0123456789012345678901234567890123456789 is missing"));
}

static void object_path(const struct fixture *fixture, const char *id, char path[static 160])
{
    snprintf(path, 160, "%s/.git/objects/%.2s/%s", fixture->root, id, id + 2);
}

/* What is missing, or damaged, is told; and once it is there again, so is the answer. */
static void names_the_object_that_cannot_be_read(void **state)
{
    const struct fixture *fixture = *state;
    struct version_base base;
    struct error error = {0};
    char set[41];
    char between[41];
    char later[41];
    char path[160];
    char aside[170];

    commit(fixture, FILE_NAME, "__version__ = '1.0.0'\n", set);
    commit(fixture, "openpype/other.py", "x = 1\n", between);
    commit(fixture, "openpype/other.py", "x = 2\n", later);
    object_path(fixture, between, path);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(ask(fixture, later, &base, &error), -EIO);
    assert_non_null(strstr(error.text, between));
    assert_non_null(strstr(error.text, "is missing from the repository: git fetch"));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("nonsense", file);
    fclose(file);
    assert_int_equal(ask(fixture, later, &base, &error), -EIO);
    assert_non_null(strstr(error.text, between));
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(ask(fixture, later, &base, &error), 0);
    assert_string_equal(base.commit, set);
    assert_int_equal(base.commits, 2);
}

/* What fails for want of descriptors is not taken for another value. */
static void a_failure_of_the_moment_is_no_answer(void **state)
{
    const struct fixture *fixture = *state;
    struct version_base base;
    struct error error = {0};
    char set[41];
    char later[41];

    commit(fixture, FILE_NAME, "__version__ = '1.0.0'\n", set);
    commit(fixture, "openpype/other.py", "x = 1\n", later);
    for (int left = 0; left < 8; left++) {
        fixture_take_descriptors(left);
        int r = ask(fixture, later, &base, &error);
        fixture_give_descriptors();
        if (r == 0)
            break;
        assert_true(error_is_transient(r));
    }
    assert_int_equal(ask(fixture, later, &base, &error), 0);
    assert_string_equal(base.commit, set);
    assert_int_equal(base.commits, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_who_has_set_the_version, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(says_what_a_commit_lacks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(names_the_object_that_cannot_be_read, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_failure_of_the_moment_is_no_answer, fixture_setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
