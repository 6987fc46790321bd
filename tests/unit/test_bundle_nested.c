/* A zip that is stored in another one, as client.zip is in an upload. */
#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static const char inner_name[] = "private/client.zip";

/* --- Making them ---------------------------------------------------------------------------------
 */

/*
 * A bundle of these files under their own paths, and of `inner` (which stays the caller's) under
 * `inner_name` unless it is NULL. A path that starts with '!' is a failed member.
 */
static struct bundle *bundle_of(const struct fixture *fixture, size_t count,
                                const char *const *paths, struct bundle *inner)
{
    struct bundle_member *members = calloc(count + 1, sizeof(*members));
    char *names = malloc(64 * (count + 1));
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        bool failed = *paths[i] == '!';
        members[i].name = strcpy(names + used, paths[i] + failed);
        used += strlen(members[i].name) + 1;
        members[i].path = failed ? strdup(paths[i] + 1) : NULL;
        members[i].file = failed ? NULL : file_ref(fixture_file(fixture, paths[i]));
        members[i].failure = failed ? strdup("is broken") : NULL;
    }
    if (inner) {
        members[count].name = strcpy(names + used, inner_name);
        members[count].bundle = bundle_ref(inner);
    }
    return bundle_new(members, count + (inner ? 1 : 0), names);
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

/* A file that compresses well, or (`dense`) not at all. */
static void write_random(const struct fixture *fixture, const char *path, size_t size, bool dense,
                         uint64_t *state)
{
    cleanup_free char *text = malloc(size + 1);

    for (size_t i = 0; i < size; i++) {
        uint64_t x = random_next(state);
        text[i] = dense ? (char)(1 + x % 255) : (char)('a' + x % 3);
    }
    text[size] = '\0';
    fixture_write(fixture, path, text);
}

/* --- Reading them --------------------------------------------------------------------------------
 */

static void secure(struct bundle *bundle, const struct origin *origin)
{
    struct error error = {0};

    if (bundle_compose(bundle, origin, &error) < 0 || bundle_secure(bundle, origin, &error) < 0)
        fail_msg("%s", error.text);
}

static unsigned char *read_all(const struct bundle *bundle, size_t *ret_size)
{
    size_t size = (size_t)bundle_size(bundle);
    unsigned char *bytes = malloc(size + 1);

    assert_int_equal(bundle_read(bundle, 0, bytes, size + 1), size);
    *ret_size = size;
    return bytes;
}

static uint32_t get(const unsigned char *at, size_t size)
{
    uint32_t value = 0;

    while (size-- > 0)
        value = value << 8 | at[size];
    return value;
}

/* Where the member's bytes are, by its local header, which the central directory leads to. */
static const unsigned char *find_stored(const unsigned char *zip, size_t size, const char *name,
                                        size_t *ret_size)
{
    const unsigned char *end = zip + size - 22; /* APPNOTE 4.3.16 */
    const unsigned char *at = zip + get(end + 16, 4);

    assert_int_equal(get(end, 4), 0x06054b50);
    for (unsigned i = get(end + 10, 2); i > 0; i--) {
        size_t length = get(at + 28, 2);
        const unsigned char *local = zip + get(at + 42, 4);
        assert_int_equal(get(at, 4), 0x02014b50); /* 4.3.12 */
        if (length == strlen(name) && memcmp(at + 46, name, length) == 0) {
            const unsigned char *found = local + 30 + length + get(local + 28, 2);
            *ret_size = get(at + 24, 4);
            assert_int_equal(get(local, 4), 0x04034b50); /* 4.3.7 */
            assert_int_equal(get(at + 10, 2), 0);
            assert_int_equal(get(at + 20, 4), *ret_size);
            assert_memory_equal(local + 8, at + 10, 2);
            assert_memory_equal(local + 14, at + 16, 12); /* CRC-32, sizes */
            assert_int_equal(get(at + 38, 4) >> 16, 0100644);
            assert_int_equal(get(at + 16, 4), crc32_z(0, found, *ret_size));
            return found;
        }
        at += 46 + length + get(at + 30, 2) + get(at + 32, 2);
    }
    fail_msg("%s: is not there", name);
    return NULL;
}

/* Both are secured: is the one stored in the other as it is? */
static void expect_nested(const struct bundle *outer, const struct bundle *inner)
{
    size_t size = 0;
    size_t inner_size = 0;
    size_t found_size = 0;
    cleanup_free unsigned char *bytes = read_all(outer, &size);
    cleanup_free unsigned char *inner_bytes = read_all(inner, &inner_size);
    const unsigned char *found = find_stored(bytes, size, inner_name, &found_size);

    assert_int_equal(found_size, inner_size);
    assert_memory_equal(found, inner_bytes, inner_size);
}

/* --- Tests ---------------------------------------------------------------------------------------
 */

static void a_stored_zip_has_the_crc_of_the_bytes_that_are_read(void **state)
{
    enum { FILES = 12 };
    const struct fixture *fixture = *state;
    const char *told = getenv("ADDONFS_TEST_SEED");
    uint64_t seed = told ? strtoull(told, NULL, 0) : 20260101;
    const char *paths[FILES];
    char names[FILES][32];

    print_message("%s: ADDONFS_TEST_SEED=%" PRIu64 "\n", __func__, seed);
    for (int round = 0; round < 6; round++) {
        /* The first is empty, the last is larger than any buffer on the way. */
        for (size_t i = 0; i < FILES; i++) {
            size_t size = i == 0           ? 0
                          : i == FILES - 1 ? (size_t)200000
                                           : (size_t)(random_next(&seed) % 70000);
            snprintf(names[i], sizeof(names[i]), "random/%02zu", i);
            paths[i] = names[i];
            write_random(fixture, names[i], size, random_next(&seed) % 2 == 0, &seed);
        }
        fixture_refresh(fixture);
        size_t count = round == 0 ? 0 : 1 + (size_t)(random_next(&seed) % FILES);
        cleanup_bundle struct bundle *inner = bundle_of(fixture, count, paths, NULL);
        cleanup_bundle struct bundle *outer =
            bundle_of(fixture, FILES - count, paths + count, inner);
        cleanup_bundle struct bundle *outmost = bundle_of(fixture, 1, paths, outer);
        secure(outmost, &fixture->origin);
        expect_nested(outer, inner);
        expect_nested(outmost, outer);

        /* However it is read. */
        size_t size = 0;
        cleanup_free unsigned char *whole = read_all(outmost, &size);
        cleanup_free unsigned char *piece = malloc(size + 1);
        for (int i = 0; i < 200; i++) {
            size_t offset = (size_t)(random_next(&seed) % (size + 10));
            size_t asked = (size_t)(random_next(&seed) % (i % 2 ? 100 : size));
            size_t left = offset < size ? size - offset : 0;
            ssize_t n = bundle_read(outmost, offset, piece, asked);
            assert_int_equal(n, asked < left ? asked : left);
            if (n > 0)
                assert_memory_equal(piece, whole + offset, (size_t)n);
        }
    }
}

static void it_is_composed_and_secured_with_the_one_around_it(void **state)
{
    const struct fixture *fixture = *state;
    const char *const paths[] = {"openpype/version.py", "openpype/lib/tools.py"};
    cleanup_bundle struct bundle *inner = bundle_of(fixture, 2, paths, NULL);
    cleanup_bundle struct bundle *outer = bundle_of(fixture, 1, paths, inner);
    size_t count = 0;

    assert_int_equal(bundle_compose(outer, &fixture->origin, NULL), 0);
    uint64_t size = bundle_size(outer);
    assert_true(bundle_size(inner) > 0 && bundle_size(inner) < size);
    assert_int_equal(bundle_secure(outer, &fixture->origin, NULL), 0);
    assert_int_equal(bundle_size(outer), size);
    expect_nested(outer, inner);
    assert_ptr_equal(bundle_members(outer, &count)[1].bundle, inner);
    assert_int_equal(count, 2);
    /* Both ways to their bytes stay what they are. */
    fixture_write(fixture, paths[0], "changed\n");
    fixture_refresh(fixture);
    expect_nested(outer, inner);
}

static void what_fails_within_fails_it_with_its_path(void **state)
{
    const struct fixture *fixture = *state;
    const char *const paths[] = {"openpype/version.py", "!openpype/link"};
    cleanup_bundle struct bundle *inner = bundle_of(fixture, 2, paths, NULL);
    cleanup_bundle struct bundle *outer = bundle_of(fixture, 1, paths, inner);
    cleanup_bundle struct bundle *outmost = bundle_of(fixture, 1, paths, outer);
    struct problems problems = {0};
    struct error error = {0};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(bundle_compose(outmost, &fixture->origin, &error), -EIO);
        assert_string_equal(error.text, "openpype/link: is broken");
    }
    assert_int_equal(bundle_problems(outmost, &fixture->origin, "upload/x.zip", &problems), 0);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].path, "openpype/link");
    assert_string_equal(problems.items[0].affects[0], "upload/x.zip");
    assert_false(problems.items[0].warning);
    problems_clear(&problems);
}

static void what_fails_within_is_left_out_of_both_knowingly(void **state)
{
    struct fixture *fixture = *state;
    const char *const paths[] = {"openpype/version.py", "!openpype/link"};
    cleanup_bundle struct bundle *inner = bundle_of(fixture, 2, paths, NULL);
    cleanup_bundle struct bundle *outer = bundle_of(fixture, 1, paths, inner);
    cleanup_bundle struct bundle *bare = bundle_of(fixture, 1, paths, NULL);
    cleanup_bundle struct bundle *without = bundle_of(fixture, 1, paths, bare);
    struct problems problems = {0};
    size_t size = 0;

    fixture->origin.skip_problems = true;
    secure(outer, &fixture->origin);
    secure(without, &fixture->origin);
    expect_nested(outer, inner);
    cleanup_free unsigned char *bytes = read_all(outer, &size);
    cleanup_free unsigned char *same = read_all(without, &size);
    assert_int_equal(bundle_size(outer), size);
    assert_memory_equal(bytes, same, size);
    assert_int_equal(bundle_problems(outer, &fixture->origin, "upload/x.zip", &problems), 0);
    assert_int_equal(problems.count, 1);
    assert_true(problems.items[0].warning);
    problems_clear(&problems);
    assert_false(bundle_heals(outer, &fixture->origin));
}

static void what_can_be_read_again_within_heals_it(void **state)
{
    const struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    struct fixture revision = *fixture;
    const char *const paths[] = {"openpype/version.py", "openpype/lib/tools.py"};
    char object[128];
    char place[256];
    char kept[256];

    fixture_object(fixture, paths[1], object);
    snprintf(place, sizeof(place), "%s/%s", fixture->root, object);
    snprintf(kept, sizeof(kept), "%s/kept", fixture->root);
    assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
    fixture_refresh(&revision);
    for (int skip = 0; skip < 2; skip++) {
        cleanup_bundle struct bundle *inner = bundle_of(&revision, 2, paths, NULL);
        cleanup_bundle struct bundle *outer = bundle_of(&revision, 0, paths, inner);
        revision.origin.skip_problems = skip;
        assert_int_equal(rename(place, kept), 0);
        assert_int_equal(bundle_compose(outer, &revision.origin, NULL), skip ? 0 : -EIO);
        assert_false(bundle_heals(outer, &revision.origin));
        assert_int_equal(rename(kept, place), 0);
        assert_int_equal(bundle_heals(outer, &revision.origin), skip);
        assert_int_equal(bundle_compose(outer, &revision.origin, NULL), 0);
        source_close(revision.origin.source);
        assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
        fixture_refresh(&revision);
    }
    source_close(revision.origin.source);
}

static void a_name_that_no_archive_can_hold_fails_a_zip_as_well(void **state)
{
    const struct fixture *fixture = *state;
    const char *const paths[] = {"openpype/version.py"};
    cleanup_bundle struct bundle *inner = bundle_of(fixture, 1, paths, NULL);
    struct bundle_member *members = calloc(1, sizeof(*members));
    char *names = strdup("../client.zip");
    struct error error = {0};

    members->name = names;
    members->bundle = bundle_ref(inner);
    cleanup_bundle struct bundle *outer = bundle_new(members, 1, names);
    assert_int_equal(bundle_compose(outer, &fixture->origin, &error), -EIO);
    assert_non_null(strstr(error.text, "../client.zip: "));
}

static void equal_are_those_that_hold_equal_zips(void **state)
{
    const struct fixture *fixture = *state;
    const char *const paths[] = {"openpype/version.py", "openpype/__init__.py"};
    const char *const failed[] = {"!openpype/version.py", "openpype/__init__.py"};
    cleanup_bundle struct bundle *two = bundle_of(fixture, 2, paths, NULL);
    cleanup_bundle struct bundle *same = bundle_of(fixture, 2, paths, NULL);
    cleanup_bundle struct bundle *one = bundle_of(fixture, 1, paths, NULL);
    cleanup_bundle struct bundle *bad = bundle_of(fixture, 2, failed, NULL);
    struct bundle *inner[] = {two, same, one, bad, NULL};
    struct bundle *outer[5];
    struct content_id ids[3];

    for (size_t i = 0; i < 5; i++)
        outer[i] = bundle_of(fixture, 1, paths, inner[i]);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++)
            assert_int_equal(bundle_equal(outer[i], outer[j]), i == j || i + j == 1);
    }
    /* And so are their ids. */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bundle_compose(outer[i], &fixture->origin, NULL), 0);
        assert_int_equal(bundle_id(outer[i], &ids[i]), 0);
    }
    assert_true(content_id_equal(&ids[0], &ids[1]));
    assert_false(content_id_equal(&ids[0], &ids[2]));
    for (size_t i = 0; i < 5; i++)
        bundle_unref(outer[i]);
}

/* --- Streams that the cache has lost -------------------------------------------------------------
 */

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

/* Let the cache say that the text compresses to 500 bytes. `*ret_row`: where it says so. */
static void put_wrong_row(struct cache *cache, const char *text, struct content_id *ret_id,
                          struct cache_member *ret_row)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    size_t size = strlen(text);
    struct cache_put put = {.member = {.size = size,
                                       .compressed_size = 500,
                                       .crc32 = deflate_crc32(0, text, size),
                                       .deflated = true},
                            .read = read_zeros,
                            .release = release_nothing};

    sha256_update(sha256, text, size);
    sha256_final(sha256, ret_id);
    put.id = *ret_id;
    cache_put_member(cache, &put);
    cache_settle(cache);
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
    assert_true(cache_find_member(reader, ret_id, ret_row));
}

/* `inner_first`: somebody opens the zip within before. */
static void lose_a_stream(const struct fixture *fixture, bool inner_first)
{
    const char *const paths[] = {"openpype/text", "openpype/version.py"};
    const struct source_options options = {.path = fixture->root};
    struct fixture lossy = *fixture;
    struct content_id id;
    struct cache_member row;
    char text[2000];
    char folder[64];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    fixture_write(fixture, paths[0], text);
    snprintf(folder, sizeof(folder), "%s/cache%d", fixture->root, inner_first);
    lossy.origin.spool = spool_new(NULL);
    lossy.origin.cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test");
    lossy.origin.members =
        members_new(lossy.origin.spool, lossy.origin.cache, DEFLATE_LEVEL_DEFAULT);
    put_wrong_row(lossy.origin.cache, text, &id, &row);
    assert_int_equal(source_open(&options, &lossy.origin.source, NULL), 0);
    fixture_refresh(&lossy);
    {
        cleanup_bundle struct bundle *inner = bundle_of(&lossy, 2, paths, NULL);
        cleanup_bundle struct bundle *outer = bundle_of(&lossy, 1, paths + 1, inner);
        assert_int_equal(bundle_compose(outer, &lossy.origin, NULL), 0);
        uint64_t size = bundle_size(outer);
        cache_drop_member(lossy.origin.cache, &id, row.stream);
        cache_settle(lossy.origin.cache);
        if (inner_first)
            assert_int_equal(bundle_secure(inner, &lossy.origin, NULL), 0);
        assert_int_equal(bundle_secure(outer, &lossy.origin, NULL), 0);
        assert_true(bundle_size(outer) < size);
        expect_nested(outer, inner);
    }
    source_close(lossy.origin.source);
    cache_close(lossy.origin.cache);
    assert_int_equal(members_count(lossy.origin.members), 0);
    members_free(lossy.origin.members);
    spool_free(lossy.origin.spool);
}

static void it_is_laid_out_anew_when_a_stream_within_has_another_size(void **state)
{
    lose_a_stream(*state, false);
    lose_a_stream(*state, true);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_stored_zip_has_the_crc_of_the_bytes_that_are_read),
        TEST(it_is_composed_and_secured_with_the_one_around_it),
        TEST(what_fails_within_fails_it_with_its_path),
        TEST(what_fails_within_is_left_out_of_both_knowingly),
        TEST(what_can_be_read_again_within_heals_it),
        TEST(a_name_that_no_archive_can_hold_fails_a_zip_as_well),
        TEST(equal_are_those_that_hold_equal_zips),
        TEST(it_is_laid_out_anew_when_a_stream_within_has_another_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
