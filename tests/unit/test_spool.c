#include <addonfs/spool.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static void extents_do_not_overlap_and_keep_what_was_written(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    uint64_t first = 1;
    uint64_t second = 0;
    char text[6] = "";

    (void)state;
    assert_int_equal(spool_reserve(spool, 5000, &first), 0);
    assert_int_equal(spool_reserve(spool, 1, &second), 0);
    assert_true(second >= first + 5000);
    assert_int_equal(spool_write(spool, first + 4995, "hello", 5, NULL), 0);
    assert_int_equal(spool_write(spool, second, "x", 1, NULL), 0);
    assert_int_equal(spool_read(spool, first + 4995, text, 5), 0);
    assert_string_equal(text, "hello");
}

static void reading_behind_the_end_is_an_error(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    char byte;

    (void)state;
    assert_int_equal(spool_write(spool, 0, "x", 1, NULL), 0);
    assert_int_equal(spool_read(spool, 1, &byte, 1), -EIO);
}

static void sizes_that_no_file_can_have_are_refused(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    uint64_t offset = 7;

    (void)state;
    assert_int_equal(spool_reserve(spool, UINT64_MAX, &offset), -EFBIG);
    assert_int_equal(spool_reserve(spool, INT64_MAX, &offset), -EFBIG);
    assert_int_equal(offset, 7);
    assert_int_equal(spool_reserve(spool, 0, &offset), 0);
}

static void a_folder_that_cannot_hold_it_is_named(void **state)
{
    cleanup_spool struct spool *spool = spool_new("/nonexistent/folder");
    struct error error = {0};

    (void)state;
    assert_int_equal(spool_write(spool, 0, "x", 1, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nonexistent/folder"));
    assert_non_null(strstr(error.text, "TMPDIR"));
}

static void a_full_disk_is_an_error_and_not_a_short_write(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    struct rlimit before;
    struct rlimit small = {4096, RLIM_INFINITY};
    char bytes[8192] = {0};

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = spool_write(spool, 0, bytes, sizeof(bytes), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, -EFBIG);
}

struct job {
    struct spool *spool;
    unsigned char mark;
    int failed;
};

static void *write_many(void *argument)
{
    struct job *job = argument;
    unsigned char bytes[300];
    unsigned char read[300];

    memset(bytes, job->mark, sizeof(bytes));
    for (int i = 0; i < 200; i++) {
        uint64_t offset;
        if (spool_reserve(job->spool, sizeof(bytes), &offset) < 0 ||
            spool_write(job->spool, offset, bytes, sizeof(bytes), NULL) < 0 ||
            spool_read(job->spool, offset, read, sizeof(read)) < 0 ||
            memcmp(bytes, read, sizeof(read)) != 0)
            job->failed = 1;
        spool_release(job->spool, offset, sizeof(bytes));
    }
    return NULL;
}

static void threads_do_not_write_over_one_another(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    struct job jobs[4];
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = (struct job){spool, (unsigned char)(i + 1), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &jobs[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].failed, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_do_not_overlap_and_keep_what_was_written),
        cmocka_unit_test(reading_behind_the_end_is_an_error),
        cmocka_unit_test(sizes_that_no_file_can_have_are_refused),
        cmocka_unit_test(a_folder_that_cannot_hold_it_is_named),
        cmocka_unit_test(a_full_disk_is_an_error_and_not_a_short_write),
        cmocka_unit_test(threads_do_not_write_over_one_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
