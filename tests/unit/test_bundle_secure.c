/*
 * What becomes of a zip if the cache said how large its member is, has lost the stream when the zip
 * is opened, and compressing gives one of another size: for another version of the library does.
 */
#include "fixture.h"

#include <addonfs/entry.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WRONG_SIZE = 500 };

static const char path[] = "openpype/text";

struct lossy {
    struct fixture *fixture;
    char text[2000];
    struct content_id id;    /* of the text */
    struct origin origin;    /* with a cache that says WRONG_SIZE */
    struct cache_member row; /* where it says so */
    _Atomic uint64_t next_number;
    char expected[300]; /* the zip as it ought to be … */
    size_t size;        /* … and its size */
};

/* A zip with one member, the file as the source shows it now. */
static struct entry *zip_of(const struct origin *origin)
{
    struct bundle_member *members = calloc(1, sizeof(*members));
    struct source_entry *found = NULL;
    char *names = strdup("member");

    assert_int_equal(source_find(origin->source, path, NULL, &found, NULL), 0);
    members->name = names;
    members->file = file_ref(found->file);
    cleanup_bundle struct bundle *bundle = bundle_new(members, 1, names);
    return entry_new_zip("client.zip", bundle, (struct source_owner){.mode = 0444});
}

static struct body *body_of(struct lossy *lossy, struct entry *entry)
{
    struct body *body = NULL;

    assert_int_equal(entry_body(entry, &lossy->origin, &lossy->next_number, &body, NULL), 0);
    assert_null(body_failure(body));
    return body;
}

static void compose_without_a_cache(struct lossy *lossy)
{
    cleanup_entry struct entry *entry = zip_of(&lossy->fixture->origin);
    cleanup_body struct body *body = NULL;
    _Atomic uint64_t number = 1;

    assert_int_equal(entry_body(entry, &lossy->fixture->origin, &number, &body, NULL), 0);
    assert_int_equal(body_open(body, &lossy->fixture->origin, NULL), 0);
    lossy->size = body_size(body);
    assert_int_equal(body_read(body, 0, lossy->expected, sizeof(lossy->expected)), lossy->size);
    body_close(body);
}

static int read_zeros(void *context, uint64_t offset, void *bytes, size_t size)
{
    (void)context;
    (void)offset;
    memset(bytes, 0, size);
    return 0;
}

static void release_nothing(void *context)
{
    (void)context;
}

static void write_row(struct lossy *lossy)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    size_t size = strlen(lossy->text);
    struct cache_put put = {.member = {.size = size,
                                       .compressed_size = WRONG_SIZE,
                                       .crc32 = deflate_crc32(0, lossy->text, size),
                                       .deflated = true},
                            .read = read_zeros,
                            .release = release_nothing};

    sha256_update(sha256, lossy->text, size);
    sha256_final(sha256, &lossy->id);
    put.id = lossy->id;
    cache_put_member(lossy->origin.cache, &put);
    cache_settle(lossy->origin.cache);
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(lossy->origin.cache);
    assert_true(cache_find_member(reader, &lossy->id, &lossy->row));
}

static void lose_stream(struct lossy *lossy)
{
    cache_drop_member(lossy->origin.cache, &lossy->id, lossy->row.stream);
    cache_settle(lossy->origin.cache);
}

static void refresh(const struct lossy *lossy)
{
    bool changed = false;

    assert_int_equal(source_refresh(lossy->origin.source, &changed, NULL), 0);
}

static int setup(void **state)
{
    struct lossy *lossy = calloc(1, sizeof(*lossy));
    char folder[64];

    if (fixture_setup((void **)&lossy->fixture) < 0)
        return -1;
    *state = lossy;
    memset(lossy->text, 'x', sizeof(lossy->text) - 1);
    fixture_write(lossy->fixture, path, lossy->text);
    fixture_refresh(lossy->fixture);
    snprintf(folder, sizeof(folder), "%s/cache", lossy->fixture->root);
    lossy->next_number = 100;
    lossy->origin = (struct origin){.spool = spool_new(NULL), .level = DEFLATE_LEVEL_DEFAULT};
    lossy->origin.cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test");
    assert_null(cache_fault(lossy->origin.cache));
    lossy->origin.members =
        members_new(lossy->origin.spool, lossy->origin.cache, DEFLATE_LEVEL_DEFAULT);
    struct source_options options = {.path = lossy->fixture->root};
    assert_int_equal(source_open(&options, &lossy->origin.source, NULL), 0);
    refresh(lossy);
    compose_without_a_cache(lossy);
    write_row(lossy);
    return 0;
}

static int teardown(void **state)
{
    struct lossy *lossy = *state;
    struct fixture *fixture = lossy->fixture;

    source_close(lossy->origin.source);
    cache_close(lossy->origin.cache);
    assert_int_equal(members_count(lossy->origin.members), 0);
    members_free(lossy->origin.members);
    spool_free(lossy->origin.spool);
    free(lossy);
    return fixture_teardown((void **)&fixture);
}

/* Whoever looks now finds the zip as it ought to be. */
static void expect_good(struct lossy *lossy, struct entry *entry)
{
    cleanup_body struct body *body = body_of(lossy, entry);
    char bytes[sizeof(lossy->expected) + 1];

    assert_int_equal(body_size(body), lossy->size);
    assert_int_equal(body_open(body, &lossy->origin, NULL), 0);
    assert_int_equal(body_read(body, 0, bytes, sizeof(bytes)), lossy->size);
    assert_memory_equal(bytes, lossy->expected, lossy->size);
    body_close(body);
}

static void a_zip_that_comes_out_in_another_size_is_another_body(void **state)
{
    struct lossy *lossy = *state;
    cleanup_entry struct entry *one = zip_of(&lossy->origin);
    cleanup_entry struct entry *two = zip_of(&lossy->origin);
    one->number = 5;
    cleanup_body struct body *first = body_of(lossy, one);
    cleanup_body struct body *second = body_of(lossy, two);

    assert_true(body_size(first) > lossy->size && body_size(second) > lossy->size);
    lose_stream(lossy);
    /* Both are told to look again, the second one although the member is there by then. */
    assert_int_equal(body_open(first, &lossy->origin, NULL), -ESTALE);
    assert_int_equal(body_open(second, &lossy->origin, NULL), -ESTALE);
    /* What was shown stays as it was. */
    assert_int_equal(body_open(first, &lossy->origin, NULL), -ESTALE);
    assert_true(body_size(first) > lossy->size);
    expect_good(lossy, one);
    expect_good(lossy, two);
    cleanup_body struct body *now = body_of(lossy, one);
    assert_int_equal(body_number(first), 5);
    assert_true(body_number(now) >= 100);
    assert_false(body_renew(first, now));
}

static void who_comes_later_finds_it_right_at_once(void **state)
{
    struct lossy *lossy = *state;
    struct cache_member row;
    {
        cleanup_entry struct entry *entry = zip_of(&lossy->origin);
        cleanup_body struct body *body = body_of(lossy, entry);
        lose_stream(lossy);
        assert_int_equal(body_open(body, &lossy->origin, NULL), -ESTALE);
    }
    cleanup_entry struct entry *later = zip_of(&lossy->origin);
    expect_good(lossy, later);
    /* And so will the next mount. */
    cache_settle(lossy->origin.cache);
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(lossy->origin.cache);
    assert_true(cache_find_member(reader, &lossy->id, &row));
    assert_true(row.compressed_size < WRONG_SIZE);
}

/* A body that another zip of the same content stands in for, whose own files are gone. */
static void a_body_that_only_its_twin_could_make_is_another_too(void **state)
{
    struct lossy *lossy = *state;
    cleanup_entry struct entry *last = zip_of(&lossy->origin);
    cleanup_body struct body *body = body_of(lossy, last);

    fixture_write(lossy->fixture, path, lossy->text);
    refresh(lossy);
    cleanup_entry struct entry *next = zip_of(&lossy->origin);
    entry_succeed(next, last);
    cleanup_body struct body *same = body_of(lossy, next);
    assert_ptr_equal(same, body);
    lose_stream(lossy);
    assert_int_equal(body_open(body, &lossy->origin, NULL), -ESTALE);
    expect_good(lossy, next);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_zip_that_comes_out_in_another_size_is_another_body),
        TEST(who_comes_later_finds_it_right_at_once),
        TEST(a_body_that_only_its_twin_could_make_is_another_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
