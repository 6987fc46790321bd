/* Writing: one thread does what is to be done, behind everybody's back. */
#include "cache_parts.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/*
 * Ids are random, so a transaction of some thousand rows touches every page of an index, and writes
 * each of them: to the log, and then to the database. What 200,000 members write is therefore up to
 * how many transactions they come in: some GB by the thousand, a tenth of that so. (Others who
 * write wait for one, and what is lost with a killed process is compressed again.)
 */
enum {
    BATCH_JOBS = 20000, /* what one transaction writes at most … */
    BATCH_BYTES = 1 << 24,
    ALIAS_AGE = 120 * 24 * 3600, /* fingerprints change with every checkout: old ones are no use */
};

/*
 * How long a job may wait for others. A transaction writes every page of an index again that it
 * touches: written one by one as they are compressed, 26 MB of streams become 200 MB of log, while
 * all cores have other work to do.
 */
enum { GATHER = 500000000 /* ns */ };

static void release(const struct job *job)
{
    if (job->put.release)
        job->put.release(job->put.context);
    free(job->note);
}

void cache_free_jobs(struct job *job)
{
    while (job) {
        struct job *next = job->next;
        release(job);
        free(job);
        job = next;
    }
}

static uint64_t job_bytes(const struct job *job)
{
    return job->put.member.compressed_size + job->note_size;
}

/* Is what waits worth a transaction of its own? The lock is held. */
static bool is_batch(const struct cache *cache)
{
    return cache->waiting >= BATCH_JOBS || cache->waiting_bytes >= BATCH_BYTES || cache->hurried;
}

void cache_enqueue(struct cache *cache, const struct job *given)
{
    struct job *job = atomic_load(&cache->usable) ? malloc(sizeof(*job)) : NULL;

    if (!job) {
        release(given);
        return;
    }
    *job = *given;
    job->next = NULL;
    pthread_mutex_lock(&cache->lock);
    bool taken = atomic_load(&cache->usable);
    if (taken) {
        *cache->last = job;
        cache->last = &job->next;
        cache->waiting++;
        cache->waiting_bytes += job_bytes(job);
        cache->hurried = cache->hurried || job->urgent;
        if (cache->waiting == 1 || is_batch(cache))
            pthread_cond_signal(&cache->wake);
    }
    pthread_mutex_unlock(&cache->lock);
    if (!taken)
        cache_free_jobs(job);
}

void cache_put_alias(struct cache *cache, const struct content_id *key, const struct content_id *id)
{
    if (cache)
        cache_enqueue(cache, &(struct job){.kind = JOB_ALIAS, .key = *key, .put = {.id = *id}});
}

void cache_correct_alias(struct cache *cache, const struct content_id *key,
                         const struct content_id *id)
{
    if (cache)
        cache_enqueue(
            cache,
            &(struct job){.kind = JOB_ALIAS, .key = *key, .urgent = true, .put = {.id = *id}});
}

void cache_put_note(struct cache *cache, const struct content_id *key, const void *bytes,
                    size_t size)
{
    void *copy = cache ? malloc(size + 1) : NULL;

    if (!copy)
        return;
    memcpy(copy, bytes, size);
    cache_enqueue(cache,
                  &(struct job){.kind = JOB_NOTE, .key = *key, .note = copy, .note_size = size});
}

void cache_drop_member(struct cache *cache, const struct content_id *id, int64_t stream)
{
    if (cache)
        cache_enqueue(cache,
                      &(struct job){.kind = JOB_DROP, .put = {.id = *id, .member.stream = stream}});
}

void cache_put_member(struct cache *cache, const struct cache_put *put)
{
    if (!cache || put->member.compressed_size > cache->limit / CACHE_STREAM_SHARE)
        put->release(put->context);
    else
        cache_enqueue(cache, &(struct job){.kind = JOB_MEMBER, .put = *put});
}

static int do_job(struct cache *cache, const struct job *job)
{
    int64_t now = (int64_t)time(NULL);
    int r = SQLITE_OK;

    switch (job->kind) {
    case JOB_MEMBER:
        r = cache_database_put_member(cache->writer, &job->put, now);
        cache->written += job->put.member.compressed_size;
        break;
    case JOB_ALIAS:
        r = cache_database_put_alias(cache->writer, &job->key, &job->put.id, now);
        break;
    case JOB_NOTE:
        r = cache_database_put_note(cache->writer, &job->key, job->note, job->note_size, now);
        cache->written += job->note_size;
        break;
    case JOB_TOUCH:
        r = cache_database_touch(cache->writer, &job->put.id, now);
        break;
    case JOB_DROP:
        r = cache_database_drop(cache->writer, &job->put.id, job->put.member.stream);
        break;
    }
    return r;
}

/* Look at the size of the whole whenever a tenth of the limit was written, and at the first time.
 */
static int keep_limit(struct cache *cache)
{
    if (cache->written < cache->limit / 10)
        return SQLITE_OK;
    cache->written = 0;
    int r = cache_database_begin_writing(cache->writer);
    if (r == SQLITE_OK)
        r = cache_database_evict(cache->writer, cache->limit, (int64_t)time(NULL) - ALIAS_AGE);
    if (r == SQLITE_OK)
        r = cache_database_commit(cache->writer);
    return r == SQLITE_OK ? cache_database_shrink(cache->writer) : r;
}

/* Take back what take_batch has given. */
static void return_batch(struct cache *cache, struct job *jobs)
{
    struct job **end = &jobs;
    cleanup_lock(&cache->lock);

    for (; *end; end = &(*end)->next) {
        cache->waiting++;
        cache->waiting_bytes += job_bytes(*end);
    }
    if (!cache->first)
        cache->last = end;
    *end = cache->first;
    cache->first = jobs;
}

/*
 * Write jobs in one transaction, and free them. False: it could not be done. Once `*hand_over` (or
 * NULL) becomes true another thread is to do it: the jobs wait again.
 */
static bool write_batch(struct cache *cache, struct job *jobs, const _Atomic bool *hand_over)
{
    int r = atomic_load(&cache->usable) ? cache_database_begin_writing(cache->writer) : SQLITE_BUSY;

    for (const struct job *job = jobs; job && r == SQLITE_OK; job = job->next) {
        if (hand_over && atomic_load(hand_over)) {
            cache_database_rollback(cache->writer);
            return_batch(cache, jobs);
            return false;
        }
        r = do_job(cache, job);
    }
    if (r == SQLITE_OK)
        r = cache_database_commit(cache->writer);
    if (r == SQLITE_OK)
        r = keep_limit(cache);
    if (r == SQLITE_ABORT)
        cache_set_fault(cache, cache->path, "what is to be written cannot be read");
    else if (r != SQLITE_OK && !cache_is_busy(r))
        cache_give_up(cache, cache->writer, r);
    /* Others wait for the lock that a transaction holds. */
    if (r != SQLITE_OK)
        cache_database_rollback(cache->writer);
    cache_free_jobs(jobs);
    return r == SQLITE_OK;
}

/* Give the jobs that are there some time to become a batch. The lock is held. */
static void await_batch(struct cache *cache)
{
    struct timespec end;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += GATHER;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    while (r == 0 && !is_batch(cache) && cache->settling == 0 && !cache->ending &&
           atomic_load(&cache->usable))
        r = pthread_cond_timedwait(&cache->wake, &cache->lock, &end);
}

/* Take as many of the first jobs as one transaction writes; NULL if none waits. The lock is held.
 */
static struct job *take_batch(struct cache *cache)
{
    struct job *jobs = cache->first;
    struct job **end = &cache->first;
    uint64_t bytes = 0;
    size_t count = 0;

    for (; *end && count < BATCH_JOBS && bytes < BATCH_BYTES; end = &(*end)->next) {
        bytes += job_bytes(*end);
        count++;
    }
    if (count == 0)
        return NULL;
    cache->first = *end;
    *end = NULL;
    if (!cache->first)
        cache->last = &cache->first;
    cache->waiting -= count;
    cache->waiting_bytes -= bytes;
    cache->hurried = cache->hurried && cache->first;
    return jobs;
}

/* What is to be written next; NULL if it is not this thread any more that writes. */
static struct job *take_jobs(struct cache *cache)
{
    cleanup_lock(&cache->lock);

    cache->writing = false;
    while (!cache->first && !cache->ending && atomic_load(&cache->usable)) {
        pthread_cond_broadcast(&cache->quiet);
        pthread_cond_wait(&cache->wake, &cache->lock);
    }
    if (cache->first)
        await_batch(cache);
    struct job *jobs = cache->ending ? NULL : take_batch(cache);
    cache->writing = jobs != NULL;
    if (!jobs)
        pthread_cond_broadcast(&cache->quiet);
    return jobs;
}

/* Nothing is written any more: this process is not to stand in the way of others. */
static void let_go(struct cache *cache)
{
    cache_database_close(cache->writer);
    cache->writer = NULL;
    if (!atomic_load(&cache->damaged))
        return;
    cleanup_fd int lock = cache_lock_folder(cache);
    if (lock >= 0)
        cache_set_aside(cache, &cache->file);
}

void *cache_write_jobs(void *argument)
{
    struct cache *cache = argument;
    struct job *jobs;

    /* Whoever waits for an answer comes first. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
    while ((jobs = take_jobs(cache))) {
        (void)write_batch(cache, jobs, &cache->ending);
        if (atomic_load(&cache->usable))
            cache_database_rest(cache->writer);
    }
    if (!atomic_load(&cache->usable))
        let_go(cache);
    return NULL;
}

void cache_write_rest(struct cache *cache)
{
    if (!atomic_load(&cache->usable))
        return;
    /* Where others hold the database for so long once, nobody waits for the rest. */
    while (cache->first && atomic_load(&cache->usable) &&
           write_batch(cache, take_batch(cache), NULL))
        ;
    if (!atomic_load(&cache->usable))
        let_go(cache);
}

void cache_settle(struct cache *cache)
{
    if (!cache || !cache->has_thread)
        return;
    cleanup_lock(&cache->lock);
    cache->settling++;
    pthread_cond_signal(&cache->wake);
    while (cache->first || cache->writing)
        pthread_cond_wait(&cache->quiet, &cache->lock);
    cache->settling--;
}
