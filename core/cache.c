#include "cache_parts.h"

#include <addonfs/path.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    READER_BUSY = 100,   /* milliseconds: a reader rather misses than waits */
    WRITER_BUSY = 60000, /* the writer has time */
    TOUCH_AGE = 3600,    /* seconds: use is noted once in so long */
    FAILURE_LIMIT = 100, /* of the moment, one after the other: then it is none any more */
};

struct cache_reader {
    struct cache *cache;
    struct cache_database *database;
    struct cache_reader *next; /* while it is idle */
};

/* --- Faults -------------------------------------------------------------------------------------
 */

void cache_set_fault(struct cache *cache, const char *path, const char *reason)
{
    char *text = NULL;
    cleanup_lock(&cache->lock);

    atomic_store(&cache->usable, false);
    pthread_cond_signal(&cache->wake);
    if (cache->fault || asprintf(&text, "%s: %s: going on without the cache", path, reason) < 0)
        return;
    cache->fault = text;
}

const char *cache_fault(struct cache *cache)
{
    if (!cache)
        return NULL;
    cleanup_lock(&cache->lock);
    return cache->fault;
}

void cache_give_up(struct cache *cache, const struct cache_database *database, int result)
{
    const char *reason = cache_database_message(database);

    if (cache_database_is_damaged(result)) {
        reason = "the database is damaged and is set aside";
        atomic_store(&cache->damaged, true);
    } else if (result == CACHE_DATABASE_FOREIGN) {
        reason = "is not a cache of this version of addonfs";
    } else if (result == CACHE_DATABASE_NO_LOG) {
        reason = "the file system cannot hold a database (choose another folder: cache=DIR)";
    }
    cache_set_fault(cache, cache->path, reason);
}

bool cache_is_busy(int result)
{
    return (result & 0xff) == SQLITE_BUSY || (result & 0xff) == SQLITE_LOCKED;
}

/* Without descriptors or memory there is no reading now; that is no fault of the cache. */
static bool is_of_the_moment(int result)
{
    return (result & 0xff) == SQLITE_CANTOPEN || (result & 0xff) == SQLITE_NOMEM ||
           result == SQLITE_IOERR_NOMEM;
}

/* Reading has failed: it is a miss, or the end of the cache. */
static void fail_reading(struct cache *cache, const struct cache_database *database, int result)
{
    if (cache_is_busy(result) ||
        (is_of_the_moment(result) && atomic_fetch_add(&cache->failures, 1) < FAILURE_LIMIT))
        return;
    cache_give_up(cache, database, result);
}

/* --- Reading ------------------------------------------------------------------------------------
 */

static struct cache_reader *idle_reader(struct cache *cache)
{
    cleanup_lock(&cache->lock);
    struct cache_reader *reader = cache->idle;

    if (reader) {
        cache->idle = reader->next;
        cache->idle_count--;
    }
    return reader;
}

static void reader_free(struct cache_reader *reader)
{
    cache_database_close(reader->database);
    free(reader);
}

static struct cache_reader *new_reader(struct cache *cache)
{
    struct cache_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return NULL;
    reader->cache = cache;
    /* Who makes one holds the folder's lock: another process may just be setting it aside. */
    int r = cache_database_open(cache->path, cache->codec, READER_BUSY, false, &reader->database);
    if (r == SQLITE_OK)
        return reader;
    fail_reading(cache, reader->database, r);
    reader_free(reader);
    return NULL;
}

struct cache_reader *cache_reader_begin(struct cache *cache)
{
    if (!cache || !atomic_load(&cache->usable))
        return NULL;
    struct cache_reader *reader = idle_reader(cache);
    if (!reader)
        reader = new_reader(cache);
    int r = reader ? cache_database_begin_reading(reader->database) : SQLITE_NOMEM;
    if (r == SQLITE_OK) {
        atomic_store(&cache->failures, 0);
        return reader;
    }
    if (reader) {
        fail_reading(cache, reader->database, r);
        reader_free(reader);
    }
    return NULL;
}

/* More than one a core would only take memory: there were many readers at once. */
static bool keep_idle(struct cache *cache, struct cache_reader *reader)
{
    cleanup_lock(&cache->lock);

    if (cache->idle_count >= cache->idle_limit)
        return false;
    reader->next = cache->idle;
    cache->idle = reader;
    cache->idle_count++;
    return true;
}

void cache_reader_end(struct cache_reader *reader)
{
    if (!reader)
        return;
    struct cache *cache = reader->cache;
    bool good = cache_database_commit(reader->database) == SQLITE_OK && atomic_load(&cache->usable);
    if (good)
        cache_database_rest(reader->database);
    if (!good || !keep_idle(cache, reader))
        reader_free(reader);
}

/* Did reading find what it looked for? A damaged row is a miss, and goes. */
static bool conclude(struct cache_reader *reader, int result, bool damaged,
                     const struct content_id *id, int64_t stream)
{
    if (damaged && id)
        cache_drop_member(reader->cache, id, stream);
    if (result == SQLITE_ROW)
        return true;
    if (result != SQLITE_DONE && result != SQLITE_ABORT)
        fail_reading(reader->cache, reader->database, result);
    return false;
}

bool cache_find_alias(struct cache_reader *reader, const struct content_id *key,
                      struct content_id *ret_id)
{
    bool damaged = false;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_find_alias(reader->database, key, ret_id, &damaged);
    /* A damaged alias is written anew once the file has been read. */
    return conclude(reader, r, damaged, NULL, 0);
}

bool cache_find_note(struct cache_reader *reader, const struct content_id *key, void **ret_bytes,
                     size_t *ret_size)
{
    bool damaged = false;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_find_note(reader->database, key, ret_bytes, ret_size, &damaged);
    return conclude(reader, r, damaged, NULL, 0);
}

bool cache_find_member(struct cache_reader *reader, const struct content_id *id,
                       struct cache_member *ret_member)
{
    bool damaged = false;
    int64_t used = 0;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_find_member(reader->database, id, ret_member, &used, &damaged);
    if (!conclude(reader, r, damaged, id, 0))
        return false;
    if (used < (int64_t)time(NULL) - TOUCH_AGE)
        cache_enqueue(reader->cache, &(struct job){.kind = JOB_TOUCH, .put = {.id = *id}});
    return true;
}

bool cache_read_stream(struct cache_reader *reader, const struct content_id *id,
                       const struct cache_member *member,
                       int (*take)(void *context, uint64_t offset, const void *bytes, size_t size),
                       void *context)
{
    bool damaged = false;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_read_stream(reader->database, id, member, take, context, &damaged);
    return conclude(reader, r, damaged, id, member->stream);
}

/* --- Opening ------------------------------------------------------------------------------------
 */

/* Open the writer's connection; one attempt to begin anew. */
static void open_database(struct cache *cache)
{
    cleanup_fd int lock = cache_lock_folder(cache);
    int r = SQLITE_OK;

    if (lock < 0) {
        cache_set_fault(cache, cache->folder, strerror(-lock));
        return;
    }
    for (int i = 0; i < 2; i++) {
        r = cache_database_open(cache->path, cache->codec, WRITER_BUSY, true, &cache->writer);
        if (!cache_database_is_damaged(r) || lstat(cache->path, &cache->file) < 0)
            break;
        cache_database_close(cache->writer);
        cache->writer = NULL;
        cache_set_aside(cache, &cache->file);
    }
    if (r == SQLITE_OK && lstat(cache->path, &cache->file) == 0)
        atomic_store(&cache->usable, true);
    else
        cache_give_up(cache, cache->writer, r);
}

struct cache *cache_open(const char *folder, uint64_t size, const char *codec)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    pthread_condattr_t attributes;

    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cache->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_cond_init(&cache->quiet, NULL);
    /* Once: it is read from a file. */
    cache->idle_limit = sysconf(_SC_NPROCESSORS_ONLN);
    cache->last = &cache->first;
    cache->limit = size;
    cache->written = size; /* so that the first write looks at the size of the whole */
    cache->codec = strdup(codec);
    int r = cache_make_folder(folder);
    const char *refusal = r < 0 ? strerror(-r) : cache_refuse_folder(folder);
    /* SQLite is told to follow no link at all, and homes often lie behind one. */
    cache->folder = refusal ? strdup(folder) : realpath(folder, NULL);
    cache->path = cache->folder ? path_join(cache->folder, "members.sqlite") : NULL;
    if (!cache->folder || !cache->path || !cache->codec) {
        cache_close(cache);
        return NULL;
    }
    if (refusal) {
        cache_set_fault(cache, folder, refusal);
        return cache;
    }
    open_database(cache);
    if (atomic_load(&cache->usable)) {
        cache->has_thread = pthread_create(&cache->thread, NULL, cache_write_jobs, cache) == 0;
        if (!cache->has_thread)
            cache_set_fault(cache, cache->path, "no thread to write with");
    }
    return cache;
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    if (cache->has_thread) {
        pthread_mutex_lock(&cache->lock);
        cache->ending = true;
        pthread_cond_signal(&cache->wake);
        pthread_mutex_unlock(&cache->lock);
        pthread_join(cache->thread, NULL);
        cache_write_rest(cache);
    }
    while (cache->idle)
        reader_free(idle_reader(cache));
    cache_free_jobs(cache->first);
    cache_database_close(cache->writer);
    pthread_cond_destroy(&cache->quiet);
    pthread_cond_destroy(&cache->wake);
    pthread_mutex_destroy(&cache->lock);
    free(cache->fault);
    free(cache->codec);
    free(cache->path);
    free(cache->folder);
    free(cache);
}
