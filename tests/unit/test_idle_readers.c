/* However many read at once: as many readers as there are cores stay, and keep no pages. */
#include "fixture.h"
#include "source_repository.h"

#include <addonfs/cache.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { READERS = 300 };

static void those_of_the_cache(void **state)
{
    const struct fixture *fixture = *state;
    struct cache_reader *readers[READERS];
    char folder[64];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    snprintf(folder, sizeof(folder), "%s/cache", fixture->root);
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "codec");
    assert_null(cache_fault(cache));
    int64_t before = sqlite3_memory_used();
    for (int i = 0; i < READERS; i++) {
        struct content_id none = {{0}};
        struct cache_member member;
        readers[i] = cache_reader_begin(cache);
        assert_non_null(readers[i]);
        assert_false(cache_find_member(readers[i], &none, &member));
    }
    for (int i = 0; i < READERS; i++)
        cache_reader_end(readers[i]);
    /* Their descriptors SQLite keeps for others, as long as anybody has a lock of the file. */
    assert_true(sqlite3_memory_used() - before < (cores + 1) << 17);
    cache_close(cache);
}

static void those_of_the_repository(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_repository struct repository *repository = NULL;
    struct reader *readers[READERS];

    assert_int_equal(repository_open(fixture->root, &repository, NULL), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(repository_borrow(repository, &readers[i], NULL), 0);
    for (int i = 0; i < READERS; i++)
        repository_give_back(repository, readers[i]);
    assert_true(repository->idle_count <= sysconf(_SC_NPROCESSORS_ONLN));
    for (int i = 0; i < 2; i++)
        assert_int_equal(repository_borrow(repository, &readers[i], NULL), 0);
    for (int i = 0; i < 2; i++)
        repository_give_back(repository, readers[i]);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(those_of_the_cache),
        TEST(those_of_the_repository),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
