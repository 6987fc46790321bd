#include "fixture.h"

#include <addonfs/entry.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct source_owner owner = {0755, 0, 0};

static struct entry *leaf(const char *name, const char *path, bool yields)
{
    struct entry *entry = entry_new_failed(ENTRY_FILE, name, path, "a leaf");

    assert_non_null(entry);
    entry->yields = yields;
    return entry;
}

static void children_are_sorted_by_bytes(void **state)
{
    static const char *const names[] = {"b", "\xff", "a", "B", "aa"};
    cleanup_entry struct entry *folder = entry_new_folder("folder", owner);

    (void)state;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(entry_insert(folder, leaf(names[i], "p", false)), 0);
    assert_int_equal(folder->count, 5);
    for (size_t i = 1; i < 5; i++)
        assert_true(strcmp(folder->children[i - 1]->name, folder->children[i]->name) < 0);
    assert_string_equal(entry_child(folder, "aa")->name, "aa");
    assert_null(entry_child(folder, "ab"));
}

static void folders_of_one_name_become_one(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *first = entry_new_folder("x", owner);
    struct entry *second = entry_new_folder("x", owner);
    struct entry *found = NULL;

    (void)state;
    entry_insert(first, leaf("one", "p", false));
    entry_insert(second, leaf("two", "q", false));
    assert_int_equal(entry_insert(root, first), 0);
    assert_int_equal(entry_insert(root, second), 0);
    assert_int_equal(root->count, 1);
    assert_int_equal(entry_find(root, "x/one", &found), 0);
    assert_int_equal(entry_find(root, "x/two", &found), 0);
}

static void of_two_files_the_one_that_yields_goes(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        cleanup_entry struct entry *root = entry_new_folder("", owner);
        entry_insert(root, leaf("x", order ? "keeps" : "yields", !order));
        entry_insert(root, leaf("x", order ? "yields" : "keeps", order));
        assert_int_equal(root->count, 1);
        assert_string_equal(root->children[0]->path, "keeps");
    }
}

static void two_that_do_not_yield_are_a_failure_that_names_both(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);

    (void)state;
    entry_insert(root, leaf("x", "first/path", false));
    entry_insert(root, leaf("x", "second/path", false));
    assert_int_equal(root->count, 1);
    assert_non_null(strstr(root->children[0]->failure, "first/path"));
    assert_non_null(strstr(root->children[0]->failure, "second/path"));
}

static void folders_are_made_on_the_way(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *made = NULL;
    struct entry *again = NULL;

    (void)state;
    assert_int_equal(entry_make_folders(root, "a/b/c", owner, &made), 0);
    assert_int_equal(entry_make_folders(root, "a/b/c", owner, &again), 0);
    assert_ptr_equal(made, again);
    entry_insert(made, leaf("file", "p", false));
    assert_int_equal(entry_make_folders(root, "a/b/c/file/d", owner, &again), -ENOTDIR);
    assert_int_equal(entry_make_folders(root, "", owner, &again), 0);
    assert_ptr_equal(again, root);
}

static void a_walk_tells_absent_from_unknown(void **state)
{
    cleanup_entry struct entry *root = entry_new_folder("", owner);
    struct entry *found = NULL;

    (void)state;
    entry_insert(root, leaf("file", "p", false));
    entry_insert(root, entry_new_failed(ENTRY_FOLDER, "failed", "p", "half-written"));
    assert_int_equal(entry_find(root, "", &found), 0);
    assert_ptr_equal(found, root);
    assert_int_equal(entry_find(root, "none", &found), -ENOENT);
    assert_int_equal(entry_find(root, "file/x", &found), -ENOTDIR);
    assert_int_equal(entry_find(root, "failed", &found), 0);
    assert_int_equal(entry_find(root, "failed/x", &found), -EIO);
    assert_int_equal(entry_find(root, "failed/x/y", &found), -EIO);
}

static void the_body_is_made_once(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_entry struct entry *entry =
        entry_new_file("version.py", fixture_file(fixture, "openpype/version.py"));
    cleanup_body struct body *first = NULL;
    cleanup_body struct body *second = NULL;
    _Atomic uint64_t next = 1000;

    entry->number = 99;
    assert_int_equal(entry_body(entry, &fixture->origin, &next, &first, NULL), 0);
    assert_int_equal(entry_body(entry, &fixture->origin, &next, &second, NULL), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(body_number(first), 99);
    assert_int_equal(atomic_load(&next), 1000);
}

static void a_failed_entry_has_an_unreadable_body(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_entry struct entry *entry = leaf("x", "openpype/x", false);
    cleanup_body struct body *body = NULL;
    _Atomic uint64_t next = 1000;

    assert_int_equal(entry_body(entry, &fixture->origin, &next, &body, NULL), 0);
    assert_string_equal(body_failure(body), "openpype/x: a leaf");
}

/* A zip with one member, the file at `path` of the source. */
static struct entry *zip_of(const struct origin *origin, const char *path)
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

/* Let the cache say that this text has a stream of `size` bytes. */
static void put_a_stream_of_another_size(struct cache *cache, const char *text, uint64_t size,
                                         struct cache_member *ret_member, struct content_id *ret_id)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    struct cache_put put = {.member = {.size = strlen(text),
                                       .compressed_size = size,
                                       .crc32 = deflate_crc32(0, text, strlen(text)),
                                       .deflated = true},
                            .read = read_zeros,
                            .release = release_nothing};

    sha256_update(sha256, text, strlen(text));
    sha256_final(sha256, &put.id);
    cache_put_member(cache, &put);
    cache_settle(cache);
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
    assert_true(cache_find_member(reader, &put.id, ret_member));
    *ret_id = put.id;
}

static void expect_body(struct entry *entry, const struct origin *origin,
                        _Atomic uint64_t *next_number, const char *bytes, size_t size)
{
    cleanup_body struct body *body = NULL;
    cleanup_free char *read = malloc(size + 1);

    assert_int_equal(entry_body(entry, origin, next_number, &body, NULL), 0);
    assert_null(body_failure(body));
    assert_int_equal(body_size(body), size);
    assert_int_equal(body_open(body, origin, NULL), 0);
    assert_int_equal(body_read(body, 0, read, size + 1), size);
    assert_memory_equal(read, bytes, size);
    body_close(body);
}

/*
 * The cache says how large a member is; when the zip is opened its stream is gone, and compressing
 * gives one of another size, for another version of the library does.
 */
static void a_zip_that_comes_out_otherwise_is_another_body(void **state)
{
    const struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root};
    cleanup_spool struct spool *spool = spool_new(NULL);
    cleanup_members struct members *members = NULL;
    cleanup_cache struct cache *cache = NULL;
    _Atomic uint64_t next_number = 100;
    struct cache_member lost;
    struct content_id id;
    char text[2000] = "";
    char folder[64];
    bool changed = false;

    memset(text, 'x', sizeof(text) - 1);
    fixture_write(fixture, "openpype/text", text);
    snprintf(folder, sizeof(folder), "%s/cache", fixture->root);
    struct origin without = {.spool = spool, .members = members_new(spool, NULL, 6), .level = 6};
    struct origin with = without;
    cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test");
    assert_null(cache_fault(cache));
    with.cache = cache;
    with.members = members = members_new(spool, cache, 6);
    for (int i = 0; i < 2; i++) {
        struct origin *origin = i ? &with : &without;
        assert_int_equal(source_open(&options, &origin->source, NULL), 0);
        assert_int_equal(source_refresh(origin->source, &changed, NULL), 0);
    }

    /* What it ought to be. */
    char expected[300];
    struct entry *entry = zip_of(&without, "openpype/text");
    struct body *body = NULL;
    assert_int_equal(entry_body(entry, &without, &next_number, &body, NULL), 0);
    assert_int_equal(body_open(body, &without, NULL), 0);
    size_t size = body_size(body);
    assert_int_equal(body_read(body, 0, expected, sizeof(expected)), size);
    body_close(body);
    body_unref(body);
    entry_unref(entry);

    put_a_stream_of_another_size(cache, text, 500, &lost, &id);
    struct entry *one = zip_of(&with, "openpype/text");
    struct entry *two = zip_of(&with, "openpype/text");
    struct body *first = NULL;
    struct body *second = NULL;
    one->number = 5;
    assert_int_equal(entry_body(one, &with, &next_number, &first, NULL), 0);
    assert_int_equal(entry_body(two, &with, &next_number, &second, NULL), 0);
    assert_true(body_size(first) > size && body_size(second) > size);
    cache_drop_member(cache, &id, lost.stream);
    cache_settle(cache);
    /* Both are told to look again, the second one although the member is there by then. */
    assert_int_equal(body_open(first, &with, NULL), -ESTALE);
    assert_int_equal(body_open(second, &with, NULL), -ESTALE);
    assert_int_equal(body_open(first, &with, NULL), -ESTALE);
    assert_true(body_size(first) > size);
    expect_body(one, &with, &next_number, expected, size);
    expect_body(two, &with, &next_number, expected, size);
    body = NULL;
    assert_int_equal(entry_body(one, &with, &next_number, &body, NULL), 0);
    assert_int_equal(body_number(first), 5);
    assert_true(body_number(body) >= 100);
    body_unref(body);
    /* Who comes later finds it right at once, and so does the next mount. */
    struct entry *three = zip_of(&with, "openpype/text");
    expect_body(three, &with, &next_number, expected, size);
    cache_settle(cache);
    struct cache_reader *reader = cache_reader_begin(cache);
    assert_true(cache_find_member(reader, &id, &lost));
    assert_true(lost.compressed_size < 500);
    cache_reader_end(reader);

    body_unref(first);
    body_unref(second);
    entry_unref(one);
    entry_unref(two);
    entry_unref(three);
    source_close(without.source);
    source_close(with.source);
    assert_int_equal(members_count(with.members), 0);
    members_free(without.members);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_sorted_by_bytes),
        cmocka_unit_test(folders_of_one_name_become_one),
        cmocka_unit_test(of_two_files_the_one_that_yields_goes),
        cmocka_unit_test(two_that_do_not_yield_are_a_failure_that_names_both),
        cmocka_unit_test(folders_are_made_on_the_way),
        cmocka_unit_test(a_walk_tells_absent_from_unknown),
        TEST(the_body_is_made_once),
        TEST(a_zip_that_comes_out_otherwise_is_another_body),
        TEST(a_failed_entry_has_an_unreadable_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
