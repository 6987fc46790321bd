#include "fixture.h"

#include "source_backend.h"
#include "source_checkout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char *const path = "openpype/lib/tools.py";

/* Files as two looks of a worktree or of a revision would make them, alike in everything. */
static struct file *make(const struct fixture *fixture, bool of_revision)
{
    struct file *file = file_new(fixture->origin.source, path, path, NULL);

    assert_non_null(file);
    file->owner = (struct source_owner){0644, 1, 2};
    if (of_revision) {
        file->size = UINT64_MAX;
        file->identity.object[3] = 7;
        file->identity.attributes.bytes[0] = 8;
        return file;
    }
    file->size = 10;
    file->mtime = (struct timespec){1, 2};
    file->identity.device = 3;
    file->identity.inode = 4;
    file->identity.change = (struct timespec){5, 6};
    file->identity.trusted = true;
    return file;
}

static struct content_id key_of(const struct file *file)
{
    struct content_id key;

    assert_true(file_key(file, &key));
    return key;
}

static bool same_key(const struct file *a, const struct file *b)
{
    struct content_id left = key_of(a);
    struct content_id right = key_of(b);

    return content_id_equal(&left, &right);
}

static void what_is_alike_is_equal(void **state)
{
    for (int of_revision = 0; of_revision < 2; of_revision++) {
        cleanup_file struct file *one = make(*state, of_revision);
        cleanup_file struct file *two = make(*state, of_revision);
        assert_true(file_equal(one, one));
        assert_true(file_equal(one, two));
        assert_true(same_key(one, two));
        assert_false(file_equal(one, NULL));
        assert_false(file_equal(NULL, one));
    }
    assert_true(file_equal(NULL, NULL));
    cleanup_file struct file *worktree = make(*state, false);
    cleanup_file struct file *revision = make(*state, true);
    assert_false(file_equal(worktree, revision));
    assert_false(file_equal(revision, worktree));
    assert_false(same_key(worktree, revision));
}

static void any_difference_of_a_stat_is_one(void **state)
{
    for (int i = 0; i < 6; i++) {
        cleanup_file struct file *one = make(*state, false);
        cleanup_file struct file *two = make(*state, false);
        two->size += i == 0;
        two->mtime.tv_sec += i == 1;
        two->mtime.tv_nsec += i == 2;
        two->identity.inode += i == 3;
        two->identity.change.tv_nsec += i == 4;
        two->identity.device += i == 5;
        assert_false(file_equal(one, two));
        assert_false(same_key(one, two));
    }
}

static void another_owner_or_mode_is_another_file_with_the_same_bytes(void **state)
{
    for (int i = 0; i < 3; i++) {
        cleanup_file struct file *one = make(*state, false);
        cleanup_file struct file *two = make(*state, false);
        two->owner.mode ^= i == 0 ? 0111 : 0;
        two->owner.uid += i == 1;
        two->owner.gid += i == 2;
        assert_false(file_equal(one, two));
        assert_true(same_key(one, two));
    }
}

/* Which key a file has does not hang on its name, but that conversion may go by it. */
static void a_stat_is_known_by_no_path_and_a_blob_by_its_own(void **state)
{
    const struct fixture *fixture = *state;

    for (int of_revision = 0; of_revision < 2; of_revision++) {
        cleanup_file struct file *one = make(fixture, of_revision);
        cleanup_file struct file *linked = make(fixture, of_revision);
        free(linked->path);
        linked->path = strdup("openpype/link");
        linked->real = strdup(path);
        assert_false(file_equal(one, linked));
        assert_true(same_key(one, linked));
        free(linked->real);
        linked->real = strdup("openpype/other.py");
        assert_int_equal(same_key(one, linked), !of_revision);
    }
}

static void young_time_stamps_count_only_with_the_bytes(void **state)
{
    cleanup_file struct file *one = make(*state, false);
    cleanup_file struct file *two = make(*state, false);

    two->identity.trusted = false;
    assert_false(file_equal(one, two));
    one->id_known = two->id_known = true;
    assert_true(file_equal(one, two));
    two->id.bytes[0]++;
    assert_false(file_equal(one, two));
}

static void a_blob_is_what_its_id_and_its_attributes_are(void **state)
{
    cleanup_file struct file *one = make(*state, true);
    cleanup_file struct file *later = make(*state, true);
    cleanup_file struct file *other = make(*state, true);
    cleanup_file struct file *converted = make(*state, true);

    later->mtime.tv_sec++;
    assert_true(file_equal(one, later));
    assert_true(same_key(one, later));
    other->identity.object[0]++;
    assert_false(file_equal(one, other));
    assert_false(same_key(one, other));
    converted->identity.attributes.bytes[31]++;
    assert_false(file_equal(one, converted));
    assert_false(same_key(one, converted));
}

static void a_file_that_cannot_be_read_equals_no_other_and_has_no_key(void **state)
{
    cleanup_file struct file *one = make(*state, false);
    cleanup_file struct file *two = make(*state, false);
    struct content_id key;

    one->failure = strdup("is broken");
    two->failure = strdup("is broken");
    assert_true(file_equal(one, one));
    assert_false(file_equal(one, two));
    assert_false(file_key(one, &key));
}

static void a_blob_has_settled_and_a_file_when_its_change_is_old(void **state)
{
    cleanup_file struct file *blob = make(*state, true);
    cleanup_file struct file *file = make(*state, false);

    assert_true(file_has_settled(blob));
    assert_true(file_has_settled(file));
    clock_gettime(CLOCK_REALTIME, &file->identity.change);
    assert_false(file_has_settled(file));
}

/* What lies in the cache was made by one conversion of ours. */
static void the_key_of_a_blob_tells_what_converts_it(void **state)
{
    cleanup_file struct file *blob = make(*state, true);
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    struct content_id expected;
    struct content_id key = key_of(blob);

    sha256_update(sha256, "blob", 5);
    sha256_update(sha256, CHECKOUT_CONVERSION, strlen(CHECKOUT_CONVERSION) + 1);
    sha256_update(sha256, blob->identity.object, 20);
    sha256_update(sha256, blob->identity.attributes.bytes, 32);
    sha256_update(sha256, path, strlen(path));
    sha256_final(sha256, &expected);
    assert_true(content_id_equal(&key, &expected));
}

static void a_file_lives_as_long_as_it_is_referred_to(void **state)
{
    struct file *file = make(*state, false);

    assert_ptr_equal(file_ref(file), file);
    file_unref(file);
    assert_string_equal(file->path, path);
    file_unref(file);
    file_unref(NULL);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_alike_is_equal),
        TEST(any_difference_of_a_stat_is_one),
        TEST(another_owner_or_mode_is_another_file_with_the_same_bytes),
        TEST(a_stat_is_known_by_no_path_and_a_blob_by_its_own),
        TEST(young_time_stamps_count_only_with_the_bytes),
        TEST(a_blob_is_what_its_id_and_its_attributes_are),
        TEST(a_file_that_cannot_be_read_equals_no_other_and_has_no_key),
        TEST(a_blob_has_settled_and_a_file_when_its_change_is_old),
        TEST(the_key_of_a_blob_tells_what_converts_it),
        TEST(a_file_lives_as_long_as_it_is_referred_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
