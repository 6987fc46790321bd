/* The way back from a member's stream to the content that it was made of. */
#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct store {
    struct spool *spool;
    struct members *members;
    struct deflate *deflate;
};

static int setup(void **state)
{
    struct store *store = calloc(1, sizeof(*store));

    *state = store;
    store->spool = spool_new(NULL);
    store->members = members_new(store->spool, NULL, 6);
    store->deflate = deflate_new(6);
    return store->deflate ? 0 : -1;
}

static int teardown(void **state)
{
    struct store *store = *state;

    assert_int_equal(members_count(store->members), 0);
    deflate_free(store->deflate);
    members_free(store->members);
    spool_free(store->spool);
    free(store);
    return 0;
}

/* Bytes that compress well, or (`dense`) not at all. */
static unsigned char *make_bytes(size_t size, bool dense)
{
    unsigned char *bytes = malloc(size + 1);
    uint32_t state = 1;

    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = dense ? (unsigned char)(state >> 24) : (unsigned char)(i % 9 + i / 1000 % 3);
    }
    return bytes;
}

/* The member of these bytes; what it was made of is gone. */
static struct member *member_of(const struct store *store, const unsigned char *bytes, size_t size)
{
    cleanup_content struct content *content =
        fixture_content(store->spool, bytes, size, CONTENT_MEMORY_LIMIT);
    struct member *member = NULL;

    assert_int_equal(members_compress(store->members, store->deflate, content, &member, NULL), 0);
    return member;
}

static void every_size_comes_back_as_it_was(void **state)
{
    /* Around the pieces in which it is read, and beyond what is compressed in one. */
    static const size_t sizes[] = {
        0,       1,       100,    (1 << 15) - 1,          1 << 15, (1 << 15) + 1, 1 << 16,
        1000000, 3 << 20, 100000, DEFLATE_WHOLE_LIMIT + 1};
    const struct store *store = *state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int dense = 0; dense < 2; dense++) {
            cleanup_free unsigned char *bytes = make_bytes(sizes[i], dense);
            cleanup_free unsigned char *read = malloc(sizes[i] + 1);
            cleanup_member struct member *member = member_of(store, bytes, sizes[i]);
            assert_int_equal(member->deflated, !dense && sizes[i] >= 100);
            /* In memory, and in the spool. */
            for (size_t limit = 0; limit <= sizes[i]; limit += sizes[i] > 0 ? sizes[i] : 1) {
                cleanup_content struct content *content = NULL;
                assert_int_equal(member_inflate(member, limit, &content, NULL), 0);
                assert_int_equal(content->size, sizes[i]);
                if (sizes[i] > 0)
                    assert_int_equal(content->bytes == NULL, limit < sizes[i]);
                assert_true(content_id_equal(&content->id, &member->id));
                assert_int_equal(content_read(content, 0, read, sizes[i] + 1), sizes[i]);
                assert_memory_equal(read, bytes, sizes[i]);
            }
        }
    }
}

static void expect_damaged(const struct member *member)
{
    struct content *content = NULL;
    struct error error = {0};

    assert_int_equal(member_inflate(member, CONTENT_MEMORY_LIMIT, &content, &error), -EIO);
    assert_null(content);
    assert_non_null(strstr(error.text, "damaged"));
}

static void a_stream_that_was_damaged_is_never_content(void **state)
{
    enum { SIZE = 50000 };
    const struct store *store = *state;
    const char *told = getenv("ADDONFS_TEST_SEED");
    unsigned seed = told ? (unsigned)strtoul(told, NULL, 0) : 20260101;

    print_message("%s: ADDONFS_TEST_SEED=%u\n", __func__, seed);
    for (int dense = 0; dense < 2; dense++) {
        cleanup_free unsigned char *bytes = make_bytes(SIZE, dense);
        cleanup_member struct member *member = member_of(store, bytes, SIZE);
        uint64_t extent = atomic_load(&member->extent);
        for (int i = 0; i < 300; i++) {
            cleanup_content struct content *content = NULL;
            uint64_t at = (uint64_t)rand_r(&seed) % member->compressed_size;
            unsigned char byte;
            assert_int_equal(spool_read(store->spool, extent, at, &byte, 1), 0);
            unsigned char other = (unsigned char)(byte ^ (1 << i % 8));
            assert_int_equal(spool_write(store->spool, extent, at, &other, 1, NULL), 0);
            int r = member_inflate(member, SIZE, &content, NULL);
            /* Bits behind the last block are of no meaning (RFC 1951, 3.2.3). */
            if (r == 0)
                assert_true(!dense && at == member->compressed_size - 1);
            else
                assert_int_equal(r, -EIO);
            assert_int_equal(spool_write(store->spool, extent, at, &byte, 1, NULL), 0);
        }
        cleanup_content struct content *good = NULL;
        assert_int_equal(member_inflate(member, SIZE, &good, NULL), 0);
    }
}

/* A member with other fields than those of its stream. */
static void what_does_not_fit_its_stream_is_damaged(void **state)
{
    enum { SIZE = 100000 };
    const struct store *store = *state;

    for (int dense = 0; dense < 2; dense++) {
        cleanup_free unsigned char *bytes = make_bytes(SIZE, dense);
        cleanup_member struct member *member = member_of(store, bytes, SIZE);
        uint64_t size = member->size;
        uint64_t compressed_size = member->compressed_size;
        member->size = size + 1;
        expect_damaged(member);
        member->size = size - 1;
        expect_damaged(member);
        member->size = size;
        member->compressed_size = compressed_size - 1;
        expect_damaged(member);
        member->compressed_size = 0;
        expect_damaged(member);
        member->compressed_size = compressed_size;
        member->id.bytes[0] ^= 1;
        expect_damaged(member);
        member->id.bytes[0] ^= 1;
        if (!dense) {
            member->deflated = false;
            expect_damaged(member);
            member->deflated = true;
        }
        cleanup_content struct content *good = NULL;
        assert_int_equal(member_inflate(member, SIZE, &good, NULL), 0);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_size_comes_back_as_it_was),
        TEST(a_stream_that_was_damaged_is_never_content),
        TEST(what_does_not_fit_its_stream_is_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
