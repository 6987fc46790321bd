#include "fixture.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What was handed on, a line each. */
struct taken {
    char text[1 << 14];
    size_t count;
    size_t limit; /* then it ends with -EINTR */
};

static int take(void *context, const char *folder)
{
    struct taken *taken = context;
    size_t length = strlen(taken->text);

    assert_int_equal(folder[0], '/');
    snprintf(taken->text + length, sizeof(taken->text) - length, "%s\n", folder);
    return ++taken->count == taken->limit ? -EINTR : 0;
}

static void collect(const struct fixture *fixture, struct taken *taken)
{
    *taken = (struct taken){.limit = SIZE_MAX};
    assert_int_equal(source_git_folders(fixture->origin.source, take, taken, NULL), 0);
}

static bool has(const struct taken *taken, const char *root, const char *path)
{
    char line[PATH_MAX];

    snprintf(line, sizeof(line), "%s%s\n", root, path);
    const char *found = strstr(taken->text, line);
    return found && (found == taken->text || found[-1] == '\n');
}

static void a_plain_repository_has_its_own(void **state)
{
    const struct fixture *fixture = *state;
    struct taken taken;

    collect(fixture, &taken);
    assert_true(has(&taken, fixture->root, "/.git"));
    assert_true(has(&taken, fixture->root, "/.git/refs"));
    assert_true(has(&taken, fixture->root, "/.git/objects"));
    assert_true(has(&taken, fixture->root, "/.git/objects/pack"));
    assert_true(has(&taken, fixture->root, "/.git/objects/info"));
    assert_int_equal(taken.count, 5);
}

static void alternates_are_followed_from_objects_to_objects(void **state)
{
    const struct fixture *fixture = *state;
    struct taken taken;

    fixture_write(
        fixture, ".git/objects/info/alternates",
        "# not this: /comment\n\n../../one/objects\n/absolute\n/dos\r\n\"/quo\\164ed\\\"\"\n");
    fixture_write(fixture, "one/objects/info/alternates", "../../two");
    fixture_write(fixture, "two/info/alternates", "three\n../.git/objects\n");
    collect(fixture, &taken);
    assert_true(has(&taken, "", "/absolute"));
    assert_true(has(&taken, "", "/dos\r"));
    assert_true(has(&taken, "", "/quoted\""));
    assert_true(has(&taken, fixture->root, "/.git/objects/../../one/objects"));
    assert_true(has(&taken, fixture->root, "/one/objects/../../two"));
    assert_true(has(&taken, fixture->root, "/two/three"));
    assert_null(strstr(taken.text, "comment"));
}

static void alternates_are_read_as_deep_as_git_does(void **state)
{
    const struct fixture *fixture = *state;
    struct taken taken;

    fixture_write(fixture, ".git/objects/info/alternates", "1");
    fixture_write(fixture, ".git/objects/1/info/alternates", "2");
    fixture_write(fixture, ".git/objects/1/2/info/alternates", "3");
    fixture_write(fixture, ".git/objects/1/2/3/info/alternates", "4");
    fixture_write(fixture, ".git/objects/1/2/3/4/info/alternates", "5");
    fixture_write(fixture, ".git/objects/1/2/3/4/5/info/alternates", "6");
    fixture_write(fixture, ".git/objects/1/2/3/4/5/6/info/alternates", "7");
    collect(fixture, &taken);
    assert_true(has(&taken, fixture->root, "/.git/objects/1/2/3/4/5/6"));
    assert_false(has(&taken, fixture->root, "/.git/objects/1/2/3/4/5/6/7"));
}

static void a_circle_of_alternates_ends(void **state)
{
    const struct fixture *fixture = *state;
    char text[256];
    struct taken taken;

    snprintf(text, sizeof(text), "%s/one\n%s/two\n", fixture->root, fixture->root);
    fixture_write(fixture, ".git/objects/info/alternates", text);
    fixture_write(fixture, "one/info/alternates", text);
    fixture_write(fixture, "two/info/alternates", text);
    collect(fixture, &taken);
    /* Each with its two folders, once. */
    assert_int_equal(taken.count, 5 + 6);
}

static void it_ends_with_what_is_answered(void **state)
{
    const struct fixture *fixture = *state;

    for (size_t limit = 1; limit <= 5; limit++) {
        struct taken taken = {.limit = limit};
        assert_int_equal(source_git_folders(fixture->origin.source, take, &taken, NULL), -EINTR);
        assert_int_equal(taken.count, limit);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_plain_repository_has_its_own),
        TEST(alternates_are_followed_from_objects_to_objects),
        TEST(alternates_are_read_as_deep_as_git_does),
        TEST(a_circle_of_alternates_ends),
        TEST(it_ends_with_what_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
