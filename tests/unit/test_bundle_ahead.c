#include "fixture.h"

#include <addonfs/bundle_ahead.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { FILES = 50 };

static void path_of(int number, char path[static 64])
{
    snprintf(path, 64, "openpype/bulk/f%02d.txt", number);
}

static void make_files(const struct fixture *fixture, struct file *files[static FILES])
{
    char path[64];

    for (int i = 0; i < FILES; i++) {
        path_of(i, path);
        fixture_write(fixture, path, path);
    }
    fixture_refresh(fixture);
    for (int i = 0; i < FILES; i++) {
        path_of(i, path);
        files[i] = file_ref(fixture_file(fixture, path));
    }
}

static void give_back(struct file *files[static FILES])
{
    for (int i = 0; i < FILES; i++)
        file_unref(files[i]);
}

static bool is_compressed(const struct file *file)
{
    return atomic_load(&file->member) != NULL;
}

/* With an end that only a fault meets. */
static void await_compressed(const struct file *file)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    for (int i = 0; i < 60000 && !is_compressed(file); i++)
        nanosleep(&moment, NULL);
    assert_true(is_compressed(file));
}

/* Without a second core there is none. */
static struct ahead *begin(const struct fixture *fixture)
{
    struct ahead *ahead = ahead_begin(&fixture->origin);

    if (!ahead)
        skip();
    return ahead;
}

static void what_is_offered_is_compressed(void **state)
{
    const struct fixture *fixture = *state;
    struct file *files[FILES];

    struct ahead *ahead = begin(fixture);
    make_files(fixture, files);
    for (int i = 0; i < FILES; i++)
        ahead_offer(ahead, files[i]);
    for (int i = 0; i < FILES; i++)
        await_compressed(files[i]);
    ahead_free(ahead);
    give_back(files);
}

static void what_is_left_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct file *files[FILES];
    _Atomic bool stop = true;

    /* None of them gets as far as being read. */
    fixture->origin.stop = &stop;
    struct ahead *ahead = begin(fixture);
    make_files(fixture, files);
    for (int i = 0; i < FILES; i++)
        ahead_offer(ahead, files[i]);
    ahead_free(ahead);
    for (int i = 0; i < FILES; i++)
        assert_false(is_compressed(files[i]));
    assert_int_equal(members_count(fixture->origin.members), 0);
    give_back(files);
}

static void what_cannot_be_read_is_left_to_others(void **state)
{
    const struct fixture *fixture = *state;
    struct file *files[FILES];

    struct ahead *ahead = begin(fixture);
    make_files(fixture, files);
    /* Since it was looked at: reading it says -ESTALE. */
    fixture_write(fixture, "openpype/bulk/f00.txt", "changed");
    for (int i = 0; i < FILES; i++)
        ahead_offer(ahead, files[i]);
    /* They are taken in turn, so that the first is being tried at least. */
    await_compressed(files[FILES - 1]);
    ahead_free(ahead);
    assert_false(is_compressed(files[0]));
    give_back(files);
}

static void what_is_large_is_left_to_others(void **state)
{
    const struct fixture *fixture = *state;
    struct file *files[FILES];
    char *text = malloc((1 << 20) + 1);

    struct ahead *ahead = begin(fixture);
    assert_non_null(text);
    memset(text, 'x', 1 << 20);
    text[1 << 20] = '\0';
    fixture_write(fixture, "openpype/large.txt", text);
    free(text);
    make_files(fixture, files);
    struct file *large = fixture_file(fixture, "openpype/large.txt");
    ahead_offer(ahead, large);
    for (int i = 0; i < FILES; i++)
        ahead_offer(ahead, files[i]);
    await_compressed(files[FILES - 1]);
    ahead_free(ahead);
    assert_false(is_compressed(large));
    give_back(files);
}

/* A text of this many random bytes: it takes as long to compress as any. */
static char *make_noise(size_t size)
{
    char *text = malloc(size + 1);
    uint32_t seed = 1;

    assert_non_null(text);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (char)('!' + (seed >> 24) % 90);
    }
    text[size] = '\0';
    return text;
}

/* That it has begun with a file is known by its counting what it reads. */
static void await_read(const struct fixture *fixture)
{
    const struct timespec moment = {.tv_nsec = 100000};
    struct members_counters counters = {0};

    for (int i = 0; i < 600000 && counters.read == 0; i++) {
        nanosleep(&moment, NULL);
        members_counters(fixture->origin.members, &counters);
    }
    assert_int_equal(counters.read, 1);
}

static void who_joins_finds_it_done(void **state)
{
    const struct fixture *fixture = *state;
    char *text = make_noise((1 << 20) - 1);

    struct ahead *ahead = begin(fixture);
    fixture_write(fixture, "openpype/noise.txt", text);
    free(text);
    fixture_refresh(fixture);
    struct file *file = fixture_file(fixture, "openpype/noise.txt");
    ahead_offer(ahead, file);
    await_read(fixture);
    ahead_stop(ahead);
    assert_int_equal(ahead_join(ahead, file, &fixture->origin), 0);
    assert_true(is_compressed(file));
    ahead_free(ahead);
}

static void none_is_allowed(void **state)
{
    const struct fixture *fixture = *state;

    ahead_offer(NULL, NULL);
    assert_int_equal(ahead_join(NULL, NULL, &fixture->origin), 0);
    ahead_free(NULL);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_offered_is_compressed),
        TEST(what_is_left_is_dropped),
        TEST(what_cannot_be_read_is_left_to_others),
        TEST(what_is_large_is_left_to_others),
        TEST(who_joins_finds_it_done),
        TEST(none_is_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
