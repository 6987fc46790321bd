#include <addonfs/bundle_ahead.h>

#include "bundle_compress.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The walk finds files about as fast as so many cores compress them. */
enum { THREAD_LIMIT = 16 };

/* A thread, and what it is compressing. */
struct worker {
    struct ahead *ahead;
    pthread_t thread;
    struct file *file; /* or NULL */
};

struct ahead {
    const struct origin *origin;
    struct worker workers[THREAD_LIMIT];
    size_t worker_count;
    _Atomic size_t busy; /* workers that have a file; once 0 after the end, it stays 0 */

    pthread_mutex_t lock;    /* guards the rest, and what the workers compress */
    pthread_cond_t wake;     /* there is a file, or it ends */
    pthread_cond_t finished; /* a worker is done with its file */
    struct file **files;     /* all that were offered: references, until the end */
    size_t count;
    size_t capacity;
    size_t next; /* of these */
    bool ending;
};

/* Is a worker compressing this file? The lock is held. */
static bool is_at(const struct ahead *ahead, const struct file *file)
{
    for (size_t i = 0; i < ahead->worker_count; i++) {
        if (ahead->workers[i].file == file)
            return true;
    }
    return false;
}

/* Give the worker the next file, and a reference. False: it ends. */
static bool take(struct worker *worker)
{
    struct ahead *ahead = worker->ahead;
    cleanup_lock(&ahead->lock);

    while (!worker->file) {
        while (!ahead->ending && ahead->next == ahead->count)
            pthread_cond_wait(&ahead->wake, &ahead->lock);
        if (ahead->ending)
            return false;
        struct file *file = ahead->files[ahead->next++];
        /* Two zips may hold it, or a look that began anew has found it again. */
        if (!atomic_load(&file->member) && !is_at(ahead, file))
            worker->file = file_ref(file);
    }
    atomic_fetch_add(&ahead->busy, 1);
    return true;
}

static void finish(struct worker *worker)
{
    struct ahead *ahead = worker->ahead;
    struct file *file = worker->file;
    {
        cleanup_lock(&ahead->lock);
        worker->file = NULL;
        atomic_fetch_sub(&ahead->busy, 1);
        pthread_cond_broadcast(&ahead->finished);
    }
    file_unref(file);
}

static void *compress(void *argument)
{
    struct worker *worker = argument;
    const struct origin *origin = worker->ahead->origin;
    struct bundle_tools tools = {0};

    while (take(worker)) {
        if (origin_check(origin) == 0)
            (void)bundle_compress_file(origin, &tools, worker->file, NULL);
        finish(worker);
    }
    bundle_tools_clear(&tools);
    return NULL;
}

struct ahead *ahead_begin(const struct origin *origin)
{
    size_t cores = bundle_cores();
    struct ahead *ahead = cores > 1 ? calloc(1, sizeof(*ahead)) : NULL;

    if (!ahead)
        return NULL;
    ahead->origin = origin;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->wake, NULL);
    pthread_cond_init(&ahead->finished, NULL);
    /* One core is the caller's. */
    while (ahead->worker_count < cores - 1 && ahead->worker_count < THREAD_LIMIT) {
        struct worker *worker = &ahead->workers[ahead->worker_count];
        worker->ahead = ahead;
        if (pthread_create(&worker->thread, NULL, compress, worker) != 0)
            break;
        ahead->worker_count++;
    }
    return ahead;
}

/* Is it certain to be read in a moment? The bytes of some are only known to lie in an object. */
static bool is_small(const struct file *file)
{
    return !file->failure && !file->lfs && file->size != UINT64_MAX && !bundle_is_large(file);
}

void ahead_offer(struct ahead *ahead, struct file *file)
{
    if (!ahead || ahead->worker_count == 0 || !is_small(file))
        return;
    cleanup_lock(&ahead->lock);
    if (ahead->ending)
        return;
    if (ahead->count == ahead->capacity) {
        size_t capacity = ahead->capacity ? 2 * ahead->capacity : 1024;
        struct file **files = reallocarray(ahead->files, capacity, sizeof(struct file *));
        if (!files)
            return;
        ahead->files = files;
        ahead->capacity = capacity;
    }
    ahead->files[ahead->count++] = file_ref(file);
    pthread_cond_signal(&ahead->wake);
}

void ahead_stop(struct ahead *ahead)
{
    struct file **files;
    size_t count;

    if (!ahead)
        return;
    {
        cleanup_lock(&ahead->lock);
        files = ahead->files;
        count = ahead->count;
        ahead->files = NULL;
        ahead->count = ahead->capacity = ahead->next = 0;
        ahead->ending = true;
        pthread_cond_broadcast(&ahead->wake);
    }
    for (size_t i = 0; i < count; i++)
        file_unref(files[i]);
    free(files);
}

int ahead_join(struct ahead *ahead, const struct file *file, const struct origin *origin)
{
    int r = 0;

    if (!ahead || atomic_load(&ahead->busy) == 0)
        return 0;
    cleanup_lock(&ahead->lock);
    while (!atomic_load(&file->member) && is_at(ahead, file) && (r = origin_check(origin)) == 0) {
        const struct timespec end = origin_patience();
        (void)pthread_cond_clockwait(&ahead->finished, &ahead->lock, CLOCK_MONOTONIC, &end);
    }
    return r;
}

void ahead_free(struct ahead *ahead)
{
    if (!ahead)
        return;
    ahead_stop(ahead);
    for (size_t i = 0; i < ahead->worker_count; i++)
        pthread_join(ahead->workers[i].thread, NULL);
    pthread_cond_destroy(&ahead->finished);
    pthread_cond_destroy(&ahead->wake);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}
