/*
 * The end of a cache: whoever closes it writes what waits. Functions of the C library are replaced
 * here, so that a test knows when the closing has begun, and never waits for a lock that it holds.
 */
#include "fixture.h"

#include <addonfs/cache.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[40];
static pthread_t closer;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static bool closing;   /* the closer waits for the writer's end */
static uint64_t slept; /* microseconds that the closer would have slept */

static void set(bool *flag)
{
    pthread_mutex_lock(&lock);
    *flag = true;
    pthread_cond_broadcast(&turn);
    pthread_mutex_unlock(&lock);
}

static void await(const bool *flag)
{
    pthread_mutex_lock(&lock);
    while (!*flag)
        pthread_cond_wait(&turn, &lock);
    pthread_mutex_unlock(&lock);
}

static bool is_closer(void)
{
    return pthread_equal(pthread_self(), closer);
}

/* What the closer does when it has told the writer to end. */
int pthread_join(pthread_t th, void **thread_return)
{
    int (*original)(pthread_t, void **) =
        (int (*)(pthread_t, void **))dlsym(RTLD_NEXT, "pthread_join");

    set(&closing);
    return original(th, thread_return);
}

/* SQLite sleeps while others hold the database. The writer does so until it is told to end. */
static void sleep_for(uint64_t microseconds)
{
    if (is_closer())
        slept += microseconds;
    else
        await(&closing);
}

int usleep(useconds_t useconds)
{
    sleep_for(useconds);
    return 0;
}

int nanosleep(const struct timespec *requested_time, struct timespec *remaining)
{
    (void)remaining;
    sleep_for((uint64_t)requested_time->tv_sec * 1000000 +
              (uint64_t)requested_time->tv_nsec / 1000);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    closer = pthread_self();
    closing = false;
    slept = 0;
    snprintf(folder, sizeof(folder), "/tmp/addonfs-unit-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return fixture_remove_all(folder);
}

static struct cache *open_cache(void)
{
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");

    assert_non_null(cache);
    assert_null(cache_fault(cache));
    return cache;
}

static struct content_id id_of(uint32_t n)
{
    struct content_id id = {{0}};

    memcpy(id.bytes, &n, sizeof(n));
    return id;
}

/* Are those from 0 to `count` all there? */
static void expect_aliases(uint32_t count)
{
    cleanup_cache struct cache *cache = open_cache();
    struct cache_reader *reader = cache_reader_begin(cache);
    struct content_id found;

    for (uint32_t n = 0; n < count; n++) {
        const struct content_id key = id_of(n);
        assert_true(cache_find_alias(reader, &key, &found));
        assert_memory_equal(&found, &key, sizeof(key));
    }
    cache_reader_end(reader);
}

/* More than one transaction takes, most of which waits when the cache is closed. */
enum { MANY = 50000 };

static void put_many(struct cache *cache)
{
    for (uint32_t n = 0; n < MANY; n++) {
        const struct content_id id = id_of(n);
        cache_put_alias(cache, &id, &id);
    }
}

static void whoever_closes_writes_what_waits(void **state)
{
    struct cache *cache = open_cache();

    (void)state;
    put_many(cache);
    cache_close(cache);
    expect_aliases(MANY);
}

static void whoever_closes_waits_once_for_others_who_hold_the_database(void **state)
{
    enum { PATIENCE = 60000000 }; /* as the writer's */
    struct cache *cache = open_cache();
    sqlite3 *other = NULL;
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), "%s/members.sqlite", folder);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put_many(cache);
    slept = 0;
    cache_close(cache);
    assert_int_equal(slept, PATIENCE);
    sqlite3_close(other);
}

/* Of the members that are written: the first one by the thread that is told to end meanwhile. */
static struct {
    bool begun;
    unsigned by_writer;
    unsigned by_closer;
} reads;

static int read_member(void *context, uint64_t offset, void *bytes, size_t size)
{
    (void)context;
    (void)offset;
    if (is_closer()) {
        reads.by_closer++;
    } else {
        reads.by_writer++;
        set(&reads.begun);
        await(&closing);
    }
    memset(bytes, 'x', size);
    return 0;
}

static void release(void *context)
{
    (void)context;
}

static void whoever_closes_does_not_wait_for_a_thread_behind_all_others(void **state)
{
    enum { COUNT = 10 };
    struct cache *cache = open_cache();
    struct cache_member found;

    (void)state;
    memset(&reads, 0, sizeof(reads));
    for (uint32_t n = 0; n < COUNT; n++)
        cache_put_member(cache, &(struct cache_put){.id = id_of(n),
                                                    .member = {.size = 9, .compressed_size = 9},
                                                    .read = read_member,
                                                    .release = release});
    await(&reads.begun);
    cache_close(cache);
    assert_int_equal(reads.by_writer, 1);
    assert_int_equal(reads.by_closer, COUNT);
    cache = open_cache();
    struct cache_reader *reader = cache_reader_begin(cache);
    for (uint32_t n = 0; n < COUNT; n++) {
        const struct content_id id = id_of(n);
        assert_true(cache_find_member(reader, &id, &found));
    }
    cache_reader_end(reader);
    cache_close(cache);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(whoever_closes_writes_what_waits),
        TEST(whoever_closes_does_not_wait_for_a_thread_behind_all_others),
        TEST(whoever_closes_waits_once_for_others_who_hold_the_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
