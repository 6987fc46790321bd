#include <addonfs/content.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct content *make(struct spool *spool, const void *bytes, size_t size, size_t limit)
{
    struct content_writer *writer = NULL;
    struct content *content = NULL;
    const char *from = bytes;

    assert_int_equal(content_begin(spool, size, limit, &writer), 0);
    for (size_t used = 0; used < size; used += 1000)
        assert_int_equal(
            content_append(writer, from + used, size - used < 1000 ? size - used : 1000, NULL), 0);
    assert_int_equal(content_finish(&writer, &content, NULL), 0);
    assert_null(writer);
    return content;
}

static void what_is_put_in_comes_out_from_memory_and_from_the_spool(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    char bytes[10000];
    char read[10000];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 % 251);
    struct content *in_memory = make(spool, bytes, sizeof(bytes), sizeof(bytes));
    struct content *in_spool = make(spool, bytes, sizeof(bytes), sizeof(bytes) - 1);
    assert_non_null(in_memory->bytes);
    assert_null(in_spool->bytes);
    assert_true(content_id_equal(&in_memory->id, &in_spool->id));
    for (size_t offset = 0; offset <= sizeof(bytes) + 1; offset += 777) {
        size_t rest = offset < sizeof(bytes) ? sizeof(bytes) - offset : 0;
        assert_int_equal(content_read(in_memory, offset, read, sizeof(read)), rest);
        assert_memory_equal(read, bytes + (rest ? offset : 0), rest);
        assert_int_equal(content_read(in_spool, offset, read, sizeof(read)), rest);
        assert_memory_equal(read, bytes + (rest ? offset : 0), rest);
    }
    content_unref(in_memory);
    content_unref(content_ref(in_spool));
    content_unref(in_spool);
}

static void the_id_is_the_sha256(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_content struct content *content = make(spool, "abc", 3, 100);
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    struct content_id id;

    (void)state;
    sha256_update(sha256, "abc", 3);
    sha256_final(sha256, &id);
    assert_true(content_id_equal(&content->id, &id));
    cleanup_content struct content *empty = make(spool, "", 0, 0);
    assert_int_equal(content_read(empty, 0, &id, 1), 0);
}

static void a_file_that_grows_or_shrinks_is_stale(void **state)
{
    cleanup_spool struct spool *spool = spool_new(NULL);
    struct content_writer *writer = NULL;
    struct content *content = NULL;

    (void)state;
    assert_int_equal(content_begin(spool, 3, 100, &writer), 0);
    assert_int_equal(content_append(writer, "abcd", 4, NULL), -ESTALE);
    assert_int_equal(content_append(writer, "ab", 2, NULL), 0);
    assert_int_equal(content_finish(&writer, &content, NULL), -ESTALE);
    assert_null(writer);
    assert_null(content);
    assert_int_equal(content_begin(spool, 1 << 20, 100, &writer), 0);
    content_abandon(writer);
    content_abandon(NULL);
}

/* Sanitizers end a process that asks for what no machine has. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* In memory, where a file may have any length, so that a hole of any length can be punched. */
static void one_that_gets_no_room_leaves_the_others_alone(void **state)
{
    static const uint64_t sizes[] = {UINT64_C(1) << 47, INT64_MAX - (1 << 20), UINT64_MAX};
    cleanup_spool struct spool *spool = spool_new("/dev/shm");
    char bytes[5000];
    char read[5000];

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    cleanup_content struct content *content = make(spool, bytes, sizeof(bytes), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct content_writer *writer = NULL;
        /* No memory for the first, and no extent for the others. */
        int r = content_begin(spool, sizes[i], i == 0 ? SIZE_MAX : 0, &writer);
        assert_int_equal(r, i == 0 ? -ENOMEM : -EFBIG);
        assert_null(writer);
        assert_int_equal(content_read(content, 0, read, sizeof(read)), sizeof(read));
        assert_memory_equal(read, bytes, sizeof(read));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_comes_out_from_memory_and_from_the_spool),
        cmocka_unit_test(the_id_is_the_sha256),
        cmocka_unit_test(one_that_gets_no_room_leaves_the_others_alone),
        cmocka_unit_test(a_file_that_grows_or_shrinks_is_stale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
