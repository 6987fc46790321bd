#include "fixture.h"

#include <addonfs/ahead.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static void what_is_offered_is_compressed(void **state)
{
    const struct fixture *fixture = *state;
    struct file *files[FILES];
    const struct timespec moment = {.tv_nsec = 1000000};

    make_files(fixture, files);
    struct ahead *ahead = ahead_begin(&fixture->origin);
    for (int i = 0; i < FILES; i++)
        ahead_offer(ahead, files[i]);
    for (int i = 0; ahead && i < FILES; i++) {
        while (!is_compressed(files[i]))
            nanosleep(&moment, NULL);
    }
    ahead_end(ahead);
    give_back(files);
}

static void what_is_left_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct file *files[FILES];
    _Atomic bool stop = true;

    make_files(fixture, files);
    /* None of them gets as far as being read. */
    fixture->origin.stop = &stop;
    struct ahead *ahead = ahead_begin(&fixture->origin);
    for (int i = 0; i < FILES; i++)
        ahead_offer(ahead, files[i]);
    ahead_end(ahead);
    for (int i = 0; i < FILES; i++)
        assert_false(is_compressed(files[i]));
    assert_int_equal(members_count(fixture->origin.members), 0);
    give_back(files);
}

static void what_cannot_be_read_is_left_to_others(void **state)
{
    const struct fixture *fixture = *state;
    struct file *files[FILES];

    make_files(fixture, files);
    /* Since it was looked at: reading it says -ESTALE. */
    fixture_write(fixture, "openpype/bulk/f00.txt", "changed");
    struct ahead *ahead = ahead_begin(&fixture->origin);
    ahead_offer(ahead, files[0]);
    ahead_offer(ahead, files[1]);
    ahead_end(ahead);
    assert_false(is_compressed(files[0]));
    give_back(files);
    ahead_offer(NULL, NULL);
    ahead_end(NULL);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_offered_is_compressed),
        TEST(what_is_left_is_dropped),
        TEST(what_cannot_be_read_is_left_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
