#include "reaper.h"
#include "fuse_version.h"

#include <addonfs/cleanup.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { LIMIT = 1024 }; /* names that wait; more are left to the kernel */

struct item {
    struct item *next;
    uint64_t parent;
    char name[];
};

struct reaper {
    struct fuse_session *session;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    struct item *first;
    struct item **last;
    size_t count;
    bool ending;
};

static struct item *take(struct reaper *reaper)
{
    cleanup_lock(&reaper->lock);

    while (!reaper->first && !reaper->ending)
        pthread_cond_wait(&reaper->wake, &reaper->lock);
    struct item *item = reaper->ending ? NULL : reaper->first;
    if (!item)
        return NULL;
    reaper->first = item->next;
    if (!reaper->first)
        reaper->last = &reaper->first;
    reaper->count--;
    return item;
}

static void *reap(void *argument)
{
    struct reaper *reaper = argument;
    struct item *item;

    while ((item = take(reaper))) {
        (void)fuse_lowlevel_notify_inval_entry(reaper->session, item->parent, item->name,
                                               strlen(item->name));
        free(item);
    }
    return NULL;
}

struct reaper *reaper_new(struct fuse_session *session)
{
    struct reaper *reaper = calloc(1, sizeof(*reaper));

    if (!reaper)
        return NULL;
    reaper->session = session;
    reaper->last = &reaper->first;
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_cond_init(&reaper->wake, NULL);
    if (pthread_create(&reaper->thread, NULL, reap, reaper) != 0) {
        free(reaper);
        return NULL;
    }
    return reaper;
}

void reaper_add(struct reaper *reaper, uint64_t parent, const char *name)
{
    size_t size = strlen(name) + 1;
    cleanup_lock(&reaper->lock);
    struct item *item = reaper->count < LIMIT ? malloc(sizeof(*item) + size) : NULL;

    if (!item)
        return;
    item->next = NULL;
    item->parent = parent;
    memcpy(item->name, name, size);
    *reaper->last = item;
    reaper->last = &item->next;
    reaper->count++;
    pthread_cond_signal(&reaper->wake);
}

void reaper_free(struct reaper *reaper)
{
    if (!reaper)
        return;
    pthread_mutex_lock(&reaper->lock);
    reaper->ending = true;
    pthread_cond_signal(&reaper->wake);
    pthread_mutex_unlock(&reaper->lock);
    pthread_join(reaper->thread, NULL);
    while (reaper->first) {
        struct item *item = reaper->first;
        reaper->first = item->next;
        free(item);
    }
    pthread_cond_destroy(&reaper->wake);
    pthread_mutex_destroy(&reaper->lock);
    free(reaper);
}
