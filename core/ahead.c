#include <addonfs/ahead.h>

#include "bundle_compress.h"

#include <stdlib.h>

enum { THREAD_LIMIT = 16 };

struct ahead {
    const struct origin *origin;
    pthread_t threads[THREAD_LIMIT];
    size_t thread_count;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;  /* there is a file, or it ends */
    struct file **files;
    size_t count;
    size_t capacity;
    size_t next; /* of these */
    bool ending;
};

/* The next file, for the caller to unref. NULL: it ends. */
static struct file *take(struct ahead *ahead)
{
    cleanup_lock(&ahead->lock);

    while (!ahead->ending && ahead->next == ahead->count)
        pthread_cond_wait(&ahead->wake, &ahead->lock);
    return ahead->ending ? NULL : ahead->files[ahead->next++];
}

static void *compress(void *argument)
{
    struct ahead *ahead = argument;
    struct bundle_tools tools = {0};
    struct file *file;

    while ((file = take(ahead))) {
        if (origin_check(ahead->origin) == 0)
            (void)bundle_compress_file(ahead->origin, &tools, file, NULL);
        file_unref(file);
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
    /* One core is the caller's. */
    while (ahead->thread_count < cores - 1 && ahead->thread_count < THREAD_LIMIT &&
           pthread_create(&ahead->threads[ahead->thread_count], NULL, compress, ahead) == 0)
        ahead->thread_count++;
    return ahead;
}

/* Is it certain to be read in a moment? The bytes of some are only known to lie in an object. */
static bool is_small(const struct file *file)
{
    return !file->failure && !file->lfs && file->size != UINT64_MAX && !bundle_is_large(file);
}

void ahead_offer(struct ahead *ahead, struct file *file)
{
    if (!ahead || ahead->thread_count == 0 || !is_small(file))
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
    if (!ahead)
        return;
    cleanup_lock(&ahead->lock);
    ahead->ending = true;
    pthread_cond_broadcast(&ahead->wake);
    for (; ahead->next < ahead->count; ahead->next++)
        file_unref(ahead->files[ahead->next]);
}

void ahead_free(struct ahead *ahead)
{
    if (!ahead)
        return;
    ahead_stop(ahead);
    for (size_t i = 0; i < ahead->thread_count; i++)
        pthread_join(ahead->threads[i], NULL);
    free(ahead->files);
    pthread_cond_destroy(&ahead->wake);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}
