/* Where objects lie: alternates, and repositories that are away for a while. */
#include "fixture.h"

#include "source_reader.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

/* How far the clock of this program is ahead, in seconds: time stamps become old at will. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    ret_time->tv_sec += ahead;
    return r;
}

struct test {
    struct fixture *fixture;
    struct objects *all;
    struct reader *reader;
    git_oid id;     /* of a blob that lies loose … */
    char name[128]; /* … under this name in a folder of objects: "ab/cdef…" */
};

static void absolute(const struct test *test, const char *name, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", test->fixture->root, name);
}

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));
    char path[PATH_MAX];
    char file[128];
    char text[GIT_OID_HEXSZ + 1];
    int r = fixture_setup(state);

    ahead = 0;
    test->fixture = *state;
    fixture_object(test->fixture, "openpype/version.py", file);
    snprintf(test->name, sizeof(test->name), "%s", file + strlen(".git/objects/"));
    snprintf(text, sizeof(text), "%.2s%.38s", test->name, test->name + 3);
    assert_int_equal(git_oid_fromstr(&test->id, text), 0);
    absolute(test, ".git", path);
    assert_int_equal(objects_open(path, &test->all, NULL), 0);
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    *state = test;
    return r;
}

static int teardown(void **state)
{
    struct test *test = *state;
    void *fixture = test->fixture;

    reader_free(test->reader);
    objects_free(test->all);
    free(test);
    return fixture_teardown(&fixture);
}

static int read_blob(const struct test *test, struct error *error)
{
    git_blob *blob = NULL;

    reader_begin(test->reader);
    int r = git_blob_lookup(&blob, test->reader->git, &test->id);
    git_blob_free(blob);
    return r < 0 ? reader_failure(test->reader, r, "version.py", error) : 0;
}

static void expect(const struct test *test, int code, const char *words)
{
    struct error error = {0};

    int r = read_blob(test, &error);
    if (r != code || (r < 0 && !strstr(error.text, words)))
        fail_msg("%d: %s", r, error.text);
}

static void move(const struct test *test, const char *from, const char *to)
{
    char source[PATH_MAX];
    char target[PATH_MAX];

    absolute(test, from, source);
    absolute(test, to, target);
    assert_int_equal(rename(source, target), 0);
}

/* Move the object from one folder of objects to another, which is made. */
static void move_object(const struct test *test, const char *from, const char *to)
{
    char source[300];
    char target[300];

    snprintf(target, sizeof(target), "%s/%s", to, test->name);
    fixture_write(test->fixture, target, "");
    snprintf(source, sizeof(source), "%s/%s", from, test->name);
    move(test, source, target);
}

static void a_repository_that_is_away_has_not_lost_its_objects(void **state)
{
    const struct test *test = *state;

    ahead = 10;
    for (int i = 0; i < 2; i++) {
        move(test, ".git", "away");
        expect(test, -EAGAIN, "/.git/objects: No such file or directory");
        expect(test, -EAGAIN, "cannot be read now");
        assert_int_equal(objects_healing(test->all), 0);
        move(test, "away", ".git");
        expect(test, 0, "");
    }
    /* Another in its place. */
    move(test, ".git/objects", "kept");
    fixture_write(test->fixture, ".git/objects/info/x", "");
    expect(test, -EIO, "is missing");
    fixture_remove(test->fixture, ".git/objects");
    move(test, "kept", ".git/objects");
    expect(test, 0, "");
}

static void an_alternate_that_comes_later_is_noticed(void **state)
{
    const struct test *test = *state;
    char line[PATH_MAX];

    move_object(test, ".git/objects", "elsewhere/objects");
    move(test, "elsewhere", "away");
    absolute(test, "link/objects\n", line);
    fixture_write(test->fixture, ".git/objects/info/alternates", line);
    ahead = 10;
    expect(test, -EIO, "is missing");
    /* The list itself was new. */
    (void)objects_healing(test->all);
    expect(test, -EIO, "is missing");
    uint64_t number = objects_healing(test->all);
    assert_int_equal(objects_healing(test->all), number);
    /* As an automounter does, and by a link that is turned. */
    move(test, "away", "elsewhere");
    fixture_link(test->fixture, "link", "elsewhere");
    assert_true(objects_healing(test->all) > number);
    expect(test, 0, "");
    fixture_remove(test->fixture, "link");
    fixture_write(test->fixture, "other/objects/info/x", "");
    fixture_link(test->fixture, "link", "other");
    ahead = 20;
    reader_renew(test->reader);
    expect(test, -EIO, "is missing");
    (void)objects_healing(test->all);
    expect(test, -EIO, "is missing");
    number = objects_healing(test->all);
    assert_int_equal(objects_healing(test->all), number);
    fixture_remove(test->fixture, "link");
    fixture_link(test->fixture, "link", "elsewhere");
    assert_true(objects_healing(test->all) > number);
    expect(test, 0, "");
}

/* A chain of alternates, each of which is named as `format` has it. The object is in the last. */
static void chain(const struct test *test, int length, bool relative)
{
    char path[64];
    char line[PATH_MAX];

    for (int i = 0; i < length; i++) {
        if (i == 0)
            snprintf(path, sizeof(path), ".git/objects/info/alternates");
        else
            snprintf(path, sizeof(path), "s%d/objects/info/alternates", i);
        if (relative)
            snprintf(line, sizeof(line), "../../s%d/objects\n", i + 1);
        else
            snprintf(line, sizeof(line), "%s/s%d/objects\n", test->fixture->root, i + 1);
        fixture_write(test->fixture, path, line);
    }
}

static void alternates_are_followed_as_deep_as_git_does(void **state)
{
    const struct test *test = *state;

    for (int relative = 0; relative < 2; relative++) {
        chain(test, 7, relative);
        move_object(test, ".git/objects", "s6/objects");
        expect(test, 0, "");
        move_object(test, "s6/objects", "s7/objects");
        reader_renew(test->reader);
        expect(test, -EIO, "is missing");
        move_object(test, "s7/objects", ".git/objects");
        expect(test, 0, "");
    }
}

static void an_alternate_may_be_quoted(void **state)
{
    const struct test *test = *state;
    char line[PATH_MAX];

    move_object(test, ".git/objects", "s \"1\"/objects");
    snprintf(line, sizeof(line), "\"%s/s \\\"1\\\"/obj\\145cts\"\n", test->fixture->root);
    fixture_write(test->fixture, ".git/objects/info/alternates", line);
    expect(test, 0, "");
}

static void an_alternate_that_cannot_be_looked_at_is_named(void **state)
{
    const struct test *test = *state;
    char line[PATH_MAX + 1000];
    struct error error;
    struct reader *reader = NULL;

    /* Longer than any path can be. */
    memset(line, 'x', sizeof(line));
    line[0] = '/';
    line[sizeof(line) - 1] = '\0';
    fixture_write(test->fixture, ".git/objects/info/alternates", line);
    assert_int_equal(reader_new(test->all, &reader, &error), -EAGAIN);
    assert_non_null(strstr(error.text, "xxx"));
    fixture_link(test->fixture, "loop", "loop");
    absolute(test, "loop", line);
    fixture_write(test->fixture, ".git/objects/info/alternates", line);
    assert_int_equal(reader_new(test->all, &reader, &error), -EAGAIN);
    assert_non_null(strstr(error.text, "loop: Too many levels of symbolic links"));
}

static void an_abbreviation_is_looked_for_where_alternates_are_now(void **state)
{
    const struct test *test = *state;
    git_object *object = NULL;
    char line[PATH_MAX];

    move_object(test, ".git/objects", "elsewhere/objects");
    absolute(test, "elsewhere/objects\n", line);
    fixture_write(test->fixture, ".git/objects/info/alternates", line);
    ahead = 10;
    assert_int_equal(
        git_object_lookup_prefix(&object, test->reader->git, &test->id, 10, GIT_OBJECT_ANY), 0);
    git_object_free(object);
}

static void more_faults_than_are_remembered_heal_as_well(void **state)
{
    const struct test *test = *state;
    git_blob *blob = NULL;

    move_object(test, ".git/objects", "elsewhere");
    ahead = 10;
    for (unsigned i = 0; i < 9000; i++) {
        git_oid id = {.id = {(unsigned char)(i >> 8), (unsigned char)i, 1}};
        assert_int_equal(git_blob_lookup(&blob, test->reader->git, &id), GIT_ENOTFOUND);
    }
    expect(test, -EIO, "is missing");
    uint64_t number = objects_healing(test->all);
    assert_int_equal(objects_healing(test->all), number);
    move_object(test, "elsewhere", ".git/objects");
    assert_true(objects_healing(test->all) > number);
    expect(test, 0, "");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_repository_that_is_away_has_not_lost_its_objects),
        TEST(an_alternate_that_comes_later_is_noticed),
        TEST(alternates_are_followed_as_deep_as_git_does),
        TEST(an_alternate_may_be_quoted),
        TEST(an_alternate_that_cannot_be_looked_at_is_named),
        TEST(an_abbreviation_is_looked_for_where_alternates_are_now),
        TEST(more_faults_than_are_remembered_heal_as_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
