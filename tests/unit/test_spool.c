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
#include <unistd.h>

#include <cmocka.h>

static void extents_do_not_overlap_and_keep_what_was_written(void **state)
{
    static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, 5000, 8192, 8193, 70000, 1};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    cleanup_spool struct spool *spool = spool_new(NULL);
    uint64_t extents[COUNT];
    unsigned char bytes[70000];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(spool_reserve(spool, sizes[i], &extents[i]), 0);
        memset(bytes, (int)i + 1, sizes[i]);
        assert_int_equal(spool_write(spool, extents[i], 0, bytes, sizes[i], NULL), 0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(spool_read(spool, extents[i], 0, bytes, sizes[i]), 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(bytes[j], i + 1);
    }
    assert_int_equal(spool_write(spool, extents[5], 4995, "hello", 5, NULL), 0);
    assert_int_equal(spool_read(spool, extents[5], 4995, bytes, 5), 0);
    assert_memory_equal(bytes, "hello", 5);
}

static void reading_behind_the_end_is_an_error(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    uint64_t extent = 0;
    char byte;

    (void)state;
    assert_int_equal(spool_reserve(spool, 1, &extent), 0);
    assert_int_equal(spool_write(spool, extent, 0, "x", 1, NULL), 0);
    assert_int_equal(spool_read(spool, extent, 1, &byte, 1), -EIO);
    /* Nor does anything reach into the extent behind. */
    assert_int_equal(spool_write(spool, extent, 4095, "xy", 2, NULL), -EFBIG);
    assert_int_equal(spool_read(spool, extent, UINT64_MAX, &byte, 1), -EIO);
}

/* The newest descriptor is that of the spool's file: what it uses of the disk. */
static blkcnt_t blocks(int newest)
{
    struct stat status;

    assert_int_equal(fstat(newest, &status), 0);
    assert_int_equal(status.st_nlink, 0);
    return status.st_blocks;
}

static void what_is_released_uses_no_disk_but_at_the_end_nobody_waits_for_that(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    static const unsigned char bytes[1 << 16] = {1};
    _Atomic bool stop = false;
    int fd = dup(STDERR_FILENO);
    uint64_t extents[3];

    (void)state;
    close(fd); /* and is given to the next file */
    spool_set_stop(spool, &stop);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(spool_reserve(spool, sizeof(bytes), &extents[i]), 0);
        assert_int_equal(spool_write(spool, extents[i], 0, bytes, sizeof(bytes), NULL), 0);
    }
    assert_int_equal(fsync(fd), 0);
    blkcnt_t all = blocks(fd);
    spool_release(spool, extents[0]);
    assert_int_equal(blocks(fd), all / 3 * 2);
    stop = true;
    spool_release(spool, extents[1]);
    assert_int_equal(blocks(fd), all / 3 * 2);
}

static void what_is_left_out_is_zero_and_uses_no_disk(void **state)
{
    enum { SIZE = 1 << 20, PIECE = 1 << 16 };
    cleanup_spool struct spool *spool = spool_new(NULL);
    static char bytes[PIECE];
    uint64_t extents[3];
    int newest;

    (void)state;
    /* The second was written to before; the third is behind what the file is long. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(spool_reserve(spool, SIZE, &extents[i]), 0);
    memset(bytes, 'x', sizeof(bytes));
    for (uint64_t at = 0; at < SIZE; at += PIECE)
        assert_int_equal(spool_write(spool, extents[1], at, bytes, PIECE, NULL), 0);
    newest = dup(0) - 1;
    close(newest + 1);
    spool_release(spool, extents[1]);
    assert_int_equal(spool_reserve(spool, SIZE, &extents[1]), 0);
    blkcnt_t before = blocks(newest);
    for (int i = 0; i < 3; i++) {
        for (uint64_t at = 0; at < SIZE; at += PIECE)
            assert_int_equal(at == PIECE ? spool_write(spool, extents[i], at, "y", 1, NULL)
                                         : spool_leave(spool, extents[i], at, PIECE, NULL),
                             0);
    }
    assert_true(blocks(newest) - before <= 3 * 2 * 4096 / 512);
    for (int i = 0; i < 3; i++) {
        for (uint64_t at = 0; at < SIZE; at += PIECE) {
            assert_int_equal(spool_read(spool, extents[i], at, bytes, PIECE), 0);
            assert_int_equal(bytes[0], at == PIECE ? 'y' : 0);
            for (size_t j = 1; j < PIECE; j++)
                assert_int_equal(bytes[j], 0);
        }
    }
    assert_int_equal(spool_leave(spool, extents[0], SIZE - 1, 2, NULL), -EFBIG);
}

static void sizes_that_no_file_can_have_are_refused(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    uint64_t extent = 7;

    (void)state;
    assert_int_equal(spool_reserve(spool, UINT64_MAX, &extent), -EFBIG);
    assert_int_equal(spool_reserve(spool, INT64_MAX, &extent), -EFBIG);
    assert_int_equal(extent, 7);
    assert_int_equal(spool_reserve(spool, 0, &extent), 0);
    spool_release(spool, SPOOL_NOWHERE);
}

/* Limit the length of every file of ours. Returns what it was. */
static struct rlimit limit_files(rlim_t size)
{
    struct rlimit before;
    struct rlimit small;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){size, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    return before;
}

/* A thousand times as much as the file may be long, one extent of each size alive at a time. */
static void what_is_released_is_used_again(void **state)
{
    static const uint64_t sizes[] = {1, 5000, 20 << 20, 300000};
    cleanup_spool struct spool *spool = spool_new(NULL);
    struct rlimit before = limit_files(64 << 20);
    int failed = 0;

    (void)state;
    for (size_t i = 0; i < 4000; i++) {
        uint64_t size = sizes[i % 4];
        uint64_t extent = SPOOL_NOWHERE;
        char byte = (char)i;
        failed += spool_reserve(spool, size, &extent) < 0 ||
                  spool_write(spool, extent, size - 1, &byte, 1, NULL) < 0 ||
                  spool_read(spool, extent, size - 1, &byte, 1) < 0 || byte != (char)i;
        spool_release(spool, extent);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(failed, 0);
}

static void a_folder_that_cannot_hold_it_is_named(void **state)
{
    cleanup_spool struct spool *spool = spool_new("/nonexistent/folder");
    struct error error = {0};
    uint64_t extent = 0;

    (void)state;
    assert_int_equal(spool_reserve(spool, 1, &extent), 0);
    assert_int_equal(spool_write(spool, extent, 0, "x", 1, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nonexistent/folder"));
    assert_non_null(strstr(error.text, "TMPDIR"));
}

static void a_full_disk_is_an_error_and_not_a_short_write(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    char bytes[8192] = {0};
    uint64_t extent = 0;

    (void)state;
    assert_int_equal(spool_reserve(spool, sizeof(bytes), &extent), 0);
    struct rlimit before = limit_files(4096);
    int r = spool_write(spool, extent, 0, bytes, sizeof(bytes), NULL);
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
    unsigned char bytes[9000];
    unsigned char read[9000];

    memset(bytes, job->mark, sizeof(bytes));
    for (size_t i = 0; i < 400; i++) {
        size_t size = i % 3 == 0 ? 300 : i % 3 == 1 ? 5000 : 9000;
        uint64_t extent = SPOOL_NOWHERE;
        if (spool_reserve(job->spool, size, &extent) < 0 ||
            spool_write(job->spool, extent, 0, bytes, size, NULL) < 0 ||
            spool_read(job->spool, extent, 0, read, size) < 0 || memcmp(bytes, read, size) != 0)
            job->failed = 1;
        spool_release(job->spool, extent);
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
        cmocka_unit_test(what_is_released_uses_no_disk_but_at_the_end_nobody_waits_for_that),
        cmocka_unit_test(what_is_left_out_is_zero_and_uses_no_disk),
        cmocka_unit_test(sizes_that_no_file_can_have_are_refused),
        cmocka_unit_test(what_is_released_is_used_again),
        cmocka_unit_test(a_folder_that_cannot_hold_it_is_named),
        cmocka_unit_test(a_full_disk_is_an_error_and_not_a_short_write),
        cmocka_unit_test(threads_do_not_write_over_one_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
