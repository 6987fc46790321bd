#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

#include <cmocka.h>

static unsigned char random_byte(void)
{
    static uint32_t state = 1;

    state = state * 1664525 + 1013904223;
    return (unsigned char)(state >> 24);
}

/* zlib, which did not write the stream, must make the content of it again. */
static void expect_content(const struct member *member, const unsigned char *bytes, size_t size)
{
    cleanup_free unsigned char *stream = malloc(member->compressed_size + 1);
    cleanup_free unsigned char *inflated = malloc(size + 1);
    z_stream z = {.next_in = stream,
                  .avail_in = (uInt)member->compressed_size,
                  .next_out = inflated,
                  .avail_out = (uInt)size + 1};

    assert_int_equal(member->size, size);
    assert_int_equal(member->crc32, crc32_z(0, bytes, size));
    assert_int_equal(member_read(NULL, member, 0, stream, member->compressed_size), 0);
    if (!member->deflated) {
        assert_int_equal(member->compressed_size, size);
        assert_memory_equal(stream, bytes, size);
        return;
    }
    assert_true(member->compressed_size < size);
    assert_int_equal(inflateInit2(&z, -MAX_WBITS), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, size);
    inflateEnd(&z);
    assert_memory_equal(inflated, bytes, size);
}

static void every_size_is_deflated_or_stored(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 100000, DEFLATE_WHOLE_LIMIT, DEFLATE_WHOLE_LIMIT + 1};
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_members struct members *members = members_new(spool, NULL, 6);
    cleanup_deflate struct deflate *deflate = deflate_new(6);
    cleanup_free unsigned char *bytes = malloc(DEFLATE_WHOLE_LIMIT + 1);

    (void)state;
    for (int random = 0; random < 2; random++) {
        for (size_t i = 0; i < DEFLATE_WHOLE_LIMIT + 1; i++)
            bytes[i] = random ? random_byte() : (unsigned char)(i % 9);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            cleanup_content struct content *content =
                fixture_content(spool, bytes, sizes[i], CONTENT_MEMORY_LIMIT);
            cleanup_member struct member *member = NULL;
            assert_int_equal(members_compress(members, deflate, content, &member, NULL), 0);
            assert_int_equal(member->deflated, !random && sizes[i] >= 100);
            expect_content(member, bytes, sizes[i]);
        }
    }
    assert_int_equal(members_count(members), 0);
}

static void the_same_bytes_are_one_member_while_anyone_holds_it(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_members struct members *members = members_new(spool, NULL, 6);
    cleanup_deflate struct deflate *deflate = deflate_new(6);
    cleanup_content struct content *one = fixture_content(spool, "same", 4, 100);
    cleanup_content struct content *two = fixture_content(spool, "same", 4, 0);
    struct member *first = NULL;
    struct member *second = NULL;

    (void)state;
    assert_int_equal(members_compress(members, deflate, one, &first, NULL), 0);
    assert_int_equal(members_compress(members, deflate, two, &second, NULL), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(members_count(members), 1);
    member_unref(first);
    assert_int_equal(members_count(members), 1);
    member_unref(second);
    assert_int_equal(members_count(members), 0);
    member_unref(NULL);
}

static void expect_counters(struct members *members, uint64_t hits, uint64_t misses,
                            uint64_t compressed, uint64_t read)
{
    struct members_counters counters;

    members_counters(members, &counters);
    assert_int_equal(counters.hits, hits);
    assert_int_equal(counters.misses, misses);
    assert_int_equal(counters.compressed, compressed);
    assert_int_equal(counters.read, read);
}

static void what_was_done_is_counted(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_free char *folder = NULL;
    cleanup_deflate struct deflate *deflate = deflate_new(6);
    cleanup_content struct content *content =
        fixture_content(fixture->origin.spool, "counted", 7, 100);

    /* A store without a cache has neither hits nor misses; the third has what the second kept. */
    assert_true(asprintf(&folder, "%s/cache", fixture->root) > 0);
    for (int i = 0; i < 3; i++) {
        struct cache *cache = i > 0 ? cache_open(folder, CACHE_SIZE_DEFAULT, "test/1") : NULL;
        cleanup_members struct members *members = members_new(fixture->origin.spool, cache, 6);
        struct cache_reader *reader = cache_reader_begin(cache);
        struct member *one = NULL;
        struct member *two = NULL;
        assert_int_equal(members_find(members, reader, &content->id, &one), i == 2);
        if (i < 2)
            assert_int_equal(members_compress(members, deflate, content, &one, NULL), 0);
        /* What the store has itself is neither looked for nor made again. */
        assert_true(members_find(members, reader, &content->id, &two));
        cache_reader_end(reader);
        members_count_read(members);
        expect_counters(members, i == 2, i == 1, i < 2, 1);
        member_unref(one);
        member_unref(two);
        cache_close(cache);
    }
}

struct worker {
    struct members *members;
    struct content *content;
    struct member *member;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    cleanup_deflate struct deflate *deflate = deflate_new(6);

    for (int i = 0; i < 200; i++) {
        member_unref(worker->member);
        worker->member = NULL;
        if (members_compress(worker->members, deflate, worker->content, &worker->member, NULL) < 0)
            return NULL;
    }
    return worker;
}

static void threads_that_compress_the_same_share_it(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_members struct members *members = members_new(spool, NULL, 6);
    cleanup_content struct content *content =
        fixture_content(spool, "0123456789012345678901", 22, 99);
    struct worker workers[4];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){members, content, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_non_null(result);
        assert_ptr_equal(workers[i].member, workers[0].member);
    }
    assert_int_equal(members_count(members), 1);
    for (int i = 0; i < 4; i++)
        member_unref(workers[i].member);
    assert_int_equal(members_count(members), 0);
}

/* Content that is read, compressed, or stored after all: whichever it is, it ends where it is. */
static void large_content_ends_early_when_it_is_told_to(void **state)
{
    enum { SIZE = DEFLATE_WHOLE_LIMIT + 1 };
    static _Atomic bool stop;
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_members struct members *members = members_new(spool, NULL, 6);
    cleanup_deflate struct deflate *deflate = deflate_new(6);
    cleanup_free unsigned char *bytes = calloc(1, SIZE);
    cleanup_content_writer struct content_writer *writer = NULL;
    struct member *member = NULL;
    struct error error = {0};

    (void)state;
    spool_set_stop(spool, &stop);
    cleanup_content struct content *content = fixture_content(spool, bytes, SIZE, 0);
    assert_int_equal(content_begin(spool, SIZE, 0, &writer), 0);
    assert_int_equal(content_append(writer, bytes, SIZE / 2, NULL), 0);
    stop = true;
    assert_int_equal(content_append(writer, bytes, SIZE / 2, &error), -ECANCELED);
    assert_int_equal(members_compress(members, deflate, content, &member, &error), -ECANCELED);
    assert_string_equal(error.text, "is being ended");
    assert_null(member);
    assert_int_equal(members_count(members), 0);
    /* Who has it open reads on. */
    assert_int_equal(content_read(content, 0, bytes, 10), 10);
    stop = false;
    assert_int_equal(members_compress(members, deflate, content, &member, &error), 0);
    member_unref(member);
}

/* Of what was set aside for a stream nothing is lost, whatever became of it. */
static void what_large_content_needed_is_used_again(void **state)
{
    enum { SIZE = DEFLATE_WHOLE_LIMIT + 1 };
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_members struct members *members = members_new(spool, NULL, 1);
    cleanup_deflate struct deflate *deflate = deflate_new(1);
    cleanup_free unsigned char *bytes = calloc(1, SIZE);
    struct rlimit before;
    int failed = 0;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {80 << 20, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 6 && !failed; i++) {
        cleanup_content struct content *content = fixture_content(spool, bytes, SIZE, 0);
        cleanup_member struct member *member = NULL;
        failed = members_compress(members, deflate, content, &member, NULL) < 0;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_deflated_or_stored),
        cmocka_unit_test(the_same_bytes_are_one_member_while_anyone_holds_it),
        cmocka_unit_test(large_content_ends_early_when_it_is_told_to),
        cmocka_unit_test(what_large_content_needed_is_used_again),
        cmocka_unit_test_setup_teardown(what_was_done_is_counted, fixture_setup, fixture_teardown),
        cmocka_unit_test(threads_that_compress_the_same_share_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
