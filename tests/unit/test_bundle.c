#include "fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cmocka.h>

/* A bundle of these files under their own paths; a path that starts with '!' is a failed member. */
static struct bundle *bundle_of(const struct fixture *fixture, size_t count, const char *paths[])
{
    struct bundle_member *members = calloc(count, sizeof(*members));
    char *names = malloc(4096);
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        bool failed = *paths[i] == '!';
        members[i].name = strcpy(names + used, paths[i] + failed);
        used += strlen(members[i].name) + 1;
        members[i].path = failed ? strdup(paths[i] + 1) : NULL;
        members[i].file = failed ? NULL : file_ref(fixture_file(fixture, paths[i]));
        members[i].failure = failed ? strdup("is broken") : NULL;
    }
    return bundle_new(members, count, names);
}

static void it_is_composed_once_and_sorted(void **state)
{
    const struct fixture *fixture = *state;
    const char *paths[] = {"openpype/version.py", "openpype/__init__.py"};
    cleanup_bundle struct bundle *bundle = bundle_of(fixture, 2, paths);
    char bytes[1024];

    assert_int_equal(bundle_count(bundle), 2);
    assert_int_equal(members_count(fixture->origin.members), 0);
    assert_int_equal(bundle_compose(bundle, &fixture->origin, NULL), 0);
    assert_int_equal(members_count(fixture->origin.members), 2);
    assert_int_equal(bundle_secure(bundle, &fixture->origin, NULL), 0);
    ssize_t n = bundle_read(bundle, 0, bytes, sizeof(bytes));
    assert_int_equal(n, bundle_size(bundle));
    const char *first = memmem(bytes, (size_t)n, "openpype/__init__.py", 20);
    const char *second = memmem(bytes, (size_t)n, "openpype/version.py", 19);
    assert_true(first && second && first < second);
    assert_memory_equal(bytes, "PK\3\4", 4);
    assert_int_equal(bundle_read(bundle, (uint64_t)n, bytes, 1), 0);

    /* Whatever the source does, it stays what it is. */
    char again[1024];
    fixture_write(fixture, "openpype/version.py", "changed\n");
    fixture_refresh(fixture);
    assert_int_equal(bundle_compose(bundle, &fixture->origin, NULL), 0);
    assert_int_equal(bundle_read(bundle, 0, again, sizeof(again)), n);
    assert_memory_equal(again, bytes, (size_t)n);
}

static void one_member_that_cannot_be_read_fails_it(void **state)
{
    const struct fixture *fixture = *state;
    const char *paths[] = {"openpype/version.py", "!openpype/link"};
    cleanup_bundle struct bundle *bundle = bundle_of(fixture, 2, paths);
    struct problems problems = {0};
    struct error error = {0};

    assert_int_equal(bundle_compose(bundle, &fixture->origin, &error), -EIO);
    assert_string_equal(error.text, "openpype/link: is broken");
    assert_int_equal(bundle_problems(bundle, &fixture->origin, "client.zip", &problems), 0);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].path, "openpype/link");
    assert_string_equal(problems.items[0].affects[0], "client.zip");
    assert_false(problems.items[0].warning);
    problems_clear(&problems);
}

static void it_can_be_left_out_knowingly(void **state)
{
    struct fixture *fixture = *state;
    const char *paths[] = {"openpype/version.py", "!openpype/link"};
    cleanup_bundle struct bundle *bundle = bundle_of(fixture, 2, paths);
    cleanup_bundle struct bundle *without = bundle_of(fixture, 1, paths);
    struct problems problems = {0};

    fixture->origin.skip_problems = true;
    assert_int_equal(bundle_compose(bundle, &fixture->origin, NULL), 0);
    assert_int_equal(bundle_compose(without, &fixture->origin, NULL), 0);
    assert_int_equal(bundle_size(bundle), bundle_size(without));
    assert_int_equal(bundle_problems(bundle, &fixture->origin, "client.zip", &problems), 0);
    assert_int_equal(problems.count, 1);
    assert_true(problems.items[0].warning);
    problems_clear(&problems);
    assert_false(bundle_heals(bundle, &fixture->origin));
}

static void names_that_no_archive_can_hold_are_failures(void **state)
{
    const struct fixture *fixture = *state;
    const char *twice[] = {"openpype/version.py", "openpype/version.py"};
    cleanup_bundle struct bundle *bundle = bundle_of(fixture, 2, twice);
    struct error error = {0};

    assert_int_equal(bundle_compose(bundle, &fixture->origin, &error), -EIO);
    assert_non_null(strstr(error.text, "two files"));
    const char *latin1[] = {"!openpype/\xe9"};
    cleanup_bundle struct bundle *other = bundle_of(fixture, 1, latin1);
    assert_int_equal(bundle_compose(other, &fixture->origin, &error), -EIO);
}

static void a_file_that_changed_before_it_was_read_is_stale(void **state)
{
    const struct fixture *fixture = *state;
    const char *paths[] = {"openpype/version.py"};
    cleanup_bundle struct bundle *bundle = bundle_of(fixture, 1, paths);

    fixture_write(fixture, "openpype/version.py", "__version__ = \"4\"\n");
    assert_int_equal(bundle_compose(bundle, &fixture->origin, NULL), -ESTALE);
    assert_int_equal(bundle_compose(bundle, &fixture->origin, NULL), -ESTALE);
}

static void equal_means_the_same_files_under_the_same_names(void **state)
{
    const struct fixture *fixture = *state;
    const char *paths[] = {"openpype/version.py", "openpype/__init__.py"};
    const char *turned[] = {"openpype/__init__.py", "openpype/version.py"};
    const char *failed[] = {"openpype/__init__.py", "!openpype/version.py"};
    cleanup_bundle struct bundle *one = bundle_of(fixture, 2, paths);
    cleanup_bundle struct bundle *two = bundle_of(fixture, 2, turned);
    cleanup_bundle struct bundle *three = bundle_of(fixture, 1, paths);
    cleanup_bundle struct bundle *four = bundle_of(fixture, 2, failed);

    assert_true(bundle_equal(one, two));
    assert_false(bundle_equal(one, three));
    assert_false(bundle_equal(one, four));
    fixture_write(fixture, "openpype/version.py", "changed\n");
    fixture_refresh(fixture);
    cleanup_bundle struct bundle *five = bundle_of(fixture, 2, paths);
    assert_false(bundle_equal(one, five));
}

static int count_opens(int watch)
{
    char events[4096];
    ssize_t n = read(watch, events, sizeof(events));

    return n < 0 ? 0 : (int)(n / (ssize_t)sizeof(struct inotify_event));
}

static void what_cannot_be_read_is_not_read_again_and_again(void **state)
{
    struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    struct fixture revision = *fixture;
    const char *paths[] = {"openpype/version.py", "openpype/big.bin"};
    char object[128];
    char path[256];

    fixture_write(fixture, paths[1],
                  "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n");
    fixture_commit(fixture, NULL);
    fixture_object(fixture, paths[1], object);
    snprintf(path, sizeof(path), "%s/%s", fixture->root, object);
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(inotify_add_watch(watch, path, IN_OPEN) > 0);
    assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
    fixture_refresh(&revision);
    for (int skip = 0; skip < 2; skip++) {
        cleanup_bundle struct bundle *bundle = bundle_of(&revision, 2, paths);
        revision.origin.skip_problems = skip;
        assert_int_equal(bundle_compose(bundle, &revision.origin, NULL), skip ? 0 : -EIO);
        assert_true(count_opens(watch) > 0);
        for (int i = 0; i < 10; i++) {
            struct error error = {0};
            assert_int_equal(bundle_compose(bundle, &revision.origin, &error), skip ? 0 : -EIO);
            assert_true(skip || strstr(error.text, "LFS"));
            assert_false(bundle_heals(bundle, &revision.origin));
        }
        assert_int_equal(count_opens(watch), 0);
    }
    source_close(revision.origin.source);
    close(watch);
}

static void what_of_a_revision_can_be_read_again_is_and_stays_so(void **state)
{
    struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    struct fixture revision = *fixture;
    const char *paths[] = {"openpype/version.py", "openpype/lib/tools.py"};
    char object[128];
    char place[256];
    char kept[256];

    fixture_object(fixture, paths[1], object);
    snprintf(place, sizeof(place), "%s/%s", fixture->root, object);
    snprintf(kept, sizeof(kept), "%s/kept", fixture->root);
    assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
    fixture_refresh(&revision);
    for (int skip = 0; skip < 2; skip++) {
        cleanup_bundle struct bundle *bundle = bundle_of(&revision, 2, paths);
        revision.origin.skip_problems = skip;
        assert_int_equal(rename(place, kept), 0);
        assert_int_equal(bundle_compose(bundle, &revision.origin, NULL), skip ? 0 : -EIO);
        assert_false(bundle_heals(bundle, &revision.origin));
        assert_int_equal(rename(kept, place), 0);
        /* Whoever asks: the view does so more than once. */
        for (int i = 0; i < 3; i++)
            assert_int_equal(bundle_heals(bundle, &revision.origin), skip);
        assert_int_equal(bundle_compose(bundle, &revision.origin, NULL), 0);
        source_close(revision.origin.source);
        assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
        fixture_refresh(&revision);
    }
    source_close(revision.origin.source);
}

/* Neither faults nor left out: with whatever number of descriptors. */
static void without_descriptors_nothing_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    struct source_options options = {.path = fixture->root, .revision = "HEAD"};
    const char *paths[] = {"openpype/version.py", "openpype/lib/tools.py"};
    int failures = 0;

    fixture->origin.skip_problems = true;
    for (int packed = 0; packed < 2; packed++) {
        int r = -EMFILE;
        for (int left = 0; left < 12 && r != 0; left++) {
            struct fixture revision = *fixture;
            assert_int_equal(source_open(&options, &revision.origin.source, NULL), 0);
            fixture_refresh(&revision);
            cleanup_bundle struct bundle *bundle = bundle_of(&revision, 2, paths);
            fixture_take_descriptors(left);
            r = bundle_compose(bundle, &revision.origin, NULL);
            int again = bundle_compose(bundle, &revision.origin, NULL);
            fixture_give_descriptors();
            if (r != 0)
                assert_int_equal(r, -EMFILE);
            assert_int_equal(again, r);
            failures += r != 0;
            assert_int_equal(bundle_compose(bundle, &revision.origin, NULL), 0);
            assert_int_equal(bundle_secure(bundle, &revision.origin, NULL), 0);
            char bytes[1024];
            ssize_t n = bundle_read(bundle, 0, bytes, sizeof(bytes));
            for (size_t i = 0; i < 2; i++)
                assert_non_null(memmem(bytes, (size_t)n, paths[i], strlen(paths[i])));
            source_close(revision.origin.source);
        }
        assert_int_equal(r, 0);
        assert_true(failures > packed);
        fixture_pack(fixture);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_is_composed_once_and_sorted),
        TEST(one_member_that_cannot_be_read_fails_it),
        TEST(it_can_be_left_out_knowingly),
        TEST(names_that_no_archive_can_hold_are_failures),
        TEST(a_file_that_changed_before_it_was_read_is_stale),
        TEST(equal_means_the_same_files_under_the_same_names),
        TEST(what_cannot_be_read_is_not_read_again_and_again),
        TEST(what_of_a_revision_can_be_read_again_is_and_stays_so),
        TEST(without_descriptors_nothing_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
