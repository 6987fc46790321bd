#include <addonfs/cache.h>
#include <addonfs/cache_upkeep.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static int read_stream(void *context, uint64_t offset, void *bytes, size_t size)
{
    (void)context;
    (void)offset;
    memset(bytes, 's', size);
    return 0;
}

static void release_nothing(void *context)
{
    (void)context;
}

static void put(struct cache *cache, uint8_t number, uint64_t size)
{
    struct cache_put member = {
        .member = {.size = 2 * size, .compressed_size = size, .deflated = true},
        .read = read_stream,
        .release = release_nothing,
    };

    memset(member.id.bytes, number, sizeof(member.id.bytes));
    cache_put_member(cache, &member);
}

static bool has(struct cache *cache, uint8_t number)
{
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
    struct cache_member member;
    struct content_id id;

    memset(id.bytes, number, sizeof(id.bytes));
    return cache_find_member(reader, &id, &member);
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"lock", "members.sqlite", "members.sqlite-wal",
                                        "members.sqlite-shm"};
    char path[100];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* While a cache is in use, as by a mount. */
static void a_cache_is_looked_after_while_it_is_used(void **state)
{
    char folder[] = "/tmp/addonfs-upkeep-XXXXXX";
    struct cache_removed removed;
    struct cache_stats stats;
    struct error error = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(cache_stats(folder, &stats, &error), 0);
    assert_false(stats.exists);
    {
        cleanup_cache struct cache *cache = cache_open(folder, 1 << 30, "test");
        for (uint8_t i = 1; i <= 10; i++)
            put(cache, i, 1000);
        cache_settle(cache);
        assert_int_equal(cache_stats(folder, &stats, &error), 0);
        assert_true(stats.exists && stats.members == 10 && stats.streams == 10000);
        assert_true(stats.content == 20000 && stats.used_day == 10 && stats.disk > 10000);
        assert_int_equal(cache_prune(folder, 10000, &removed, &error), 0);
        assert_true(removed.members == 0 && removed.streams == 0);
        assert_int_equal(cache_stats(folder, &stats, &error), 0);
        assert_int_equal(stats.members, 10);
        assert_int_equal(cache_prune(folder, 5000, &removed, &error), 0);
        assert_true(removed.members == 6 && removed.streams == 6000 && removed.content == 12000);
        assert_int_equal(cache_stats(folder, &stats, &error), 0);
        assert_int_equal(stats.members, 4);
        assert_int_equal(cache_clear(folder, &removed, &error), 0);
        assert_true(removed.members == 4 && removed.streams == 4000 && removed.content == 8000);
        for (uint8_t i = 1; i <= 10; i++)
            assert_false(has(cache, i));
        put(cache, 1, 1000);
        cache_settle(cache);
        assert_true(has(cache, 1));
        assert_null(cache_fault(cache));
    }
    assert_int_equal(cache_stats(folder, &stats, &error), 0);
    assert_int_equal(stats.members, 1);
    remove_folder(folder);
}

static void what_is_not_ours_is_refused(void **state)
{
    char folder[] = "/tmp/addonfs-upkeep-XXXXXX";
    struct cache_removed removed;
    struct cache_stats stats;
    struct error error = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(cache_stats(folder, &stats, &error), -EPERM);
    assert_int_equal(cache_clear(folder, &removed, &error), -EPERM);
    assert_int_equal(cache_prune(folder, 1, &removed, &error), -EPERM);
    assert_non_null(strstr(error.text, "is open to others (chmod 700)"));
    assert_int_equal(cache_clear("/nowhere/at/all", &removed, &error), 0);
    assert_true(removed.members == 0 && removed.disk == 0);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_is_looked_after_while_it_is_used),
        cmocka_unit_test(what_is_not_ours_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
