#include "fixture.h"

#include <addonfs/export.h>
#include <addonfs/verify.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What the view shows, written to out/<name> below the fixture's root. */
static void write_out(struct view *view, const struct fixture *fixture, const char *name,
                      char path[static PATH_MAX])
{
    const struct export_options options = {.destination = path, .fd = -1};
    struct error error = {0};

    fixture_write(fixture, "out/other", "");
    snprintf(path, PATH_MAX, "%s/out/%s", fixture->root, name);
    if (export_write(view, &options, &error) < 0)
        fail_msg("%s", error.text);
}

static void a_commit_is_found_and_then_the_worktree(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_verification struct verification found = {.count = 0};
    cleanup_verification struct verification changed = {.count = 0};
    struct error error = {0};
    char path[PATH_MAX];

    write_out(view, fixture, "x.tar", path);
    assert_int_equal(verify_make(path, view, NULL, &found, &error), 0);
    assert_true(verify_is_good(&found));
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0].origin, VERIFY_COMMIT);
    assert_int_equal(strlen(found.items[0].commit), 40);
    fixture_write(fixture, "openpype/more.py", "more = 1\n");
    write_out(view, fixture, "y.tar", path);
    assert_int_equal(verify_make(path, view, NULL, &changed, &error), 0);
    assert_int_equal(changed.items[0].origin, VERIFY_WORKTREE);
    assert_int_equal(changed.items[0].tried, 1);
}

static void without_a_source_nothing_is_said_of_the_origin(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cleanup_verification struct verification found = {.count = 0};
    cleanup_free char *text = NULL;
    struct error error = {0};
    char path[PATH_MAX];

    write_out(view, fixture, "folder", path);
    fixture_write(fixture, "out/folder/openpype/3.15.12/.git/config", "");
    assert_int_equal(verify_make(path, NULL, NULL, &found, &error), 0);
    assert_int_equal(found.items[0].origin, VERIFY_UNASKED);
    assert_false(verify_is_good(&found));
    assert_int_equal(found.finding_count, 1);
    assert_string_equal(found.findings[0].path, "openpype/3.15.12/.git");
    assert_int_equal(verify_json(&found, &text, &error), 0);
    assert_non_null(strstr(text, "\"unasked\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_commit_is_found_and_then_the_worktree, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(without_a_source_nothing_is_said_of_the_origin,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
