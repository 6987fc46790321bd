#include "waiting.h"
#include "fuse_version.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

struct waiter {
    struct waiter *next;
    struct waiter *previous;
    struct fuse_pollhandle *handle;
    uint64_t serial; /* the one read last */
};

void waiting_init(struct waiting *waiting, struct view *view)
{
    pthread_condattr_t attributes;

    waiting->view = view;
    pthread_mutex_init(&waiting->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiting->closed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void waiting_end(struct waiting *waiting)
{
    pthread_cond_destroy(&waiting->closed);
    pthread_mutex_destroy(&waiting->lock);
}

int waiting_open(struct waiting *waiting, struct waiter **ret_waiter)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    int r = waiter ? view_watch_begin(waiting->view, NULL) : -ENOMEM;

    if (r < 0) {
        free(waiter);
        return r;
    }
    cleanup_lock(&waiting->lock);
    waiter->next = waiting->first;
    if (waiter->next)
        waiter->next->previous = waiter;
    waiting->first = waiter;
    *ret_waiter = waiter;
    return 0;
}

void waiting_close(struct waiting *waiting, struct waiter *waiter)
{
    {
        cleanup_lock(&waiting->lock);
        if (waiter->previous)
            waiter->previous->next = waiter->next;
        else
            waiting->first = waiter->next;
        if (waiter->next)
            waiter->next->previous = waiter->previous;
        if (!waiting->first)
            pthread_cond_broadcast(&waiting->closed);
    }
    if (waiter->handle)
        fuse_pollhandle_destroy(waiter->handle);
    free(waiter);
    view_watch_end(waiting->view);
}

static bool has_ended(struct waiting *waiting)
{
    cleanup_lock(&waiting->lock);

    return waiting->releasing || waiting->finished;
}

static int look(struct waiting *waiting, uint64_t *ret_serial)
{
    cleanup_generation struct generation *generation = NULL;
    int r = view_look(waiting->view, &generation, NULL);

    if (r == 0)
        *ret_serial = generation->serial;
    return r;
}

ssize_t waiting_read(struct waiting *waiting, struct waiter *waiter, off_t offset, void *bytes,
                     size_t size)
{
    char text[32];
    uint64_t serial = 0;

    if (has_ended(waiting))
        return -ENODEV;
    if (offset == 0) {
        int r = look(waiting, &serial);
        if (r < 0)
            return r;
        cleanup_lock(&waiting->lock);
        waiter->serial = serial;
    } else {
        cleanup_lock(&waiting->lock);
        serial = waiter->serial;
    }
    size_t length = (size_t)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)serial);
    if ((size_t)offset >= length)
        return 0;
    if (size > length - (size_t)offset)
        size = length - (size_t)offset;
    memcpy(bytes, text + offset, size);
    return (ssize_t)size;
}

unsigned waiting_poll(struct waiting *waiting, struct waiter *waiter,
                      struct fuse_pollhandle *handle)
{
    struct fuse_pollhandle *old = NULL;
    uint64_t serial = 0;

    if (handle) {
        cleanup_lock(&waiting->lock);
        old = waiter->handle;
        waiter->handle = handle;
    }
    if (old)
        fuse_pollhandle_destroy(old);
    /* From here on it is told of what this look does not see. */
    int r = look(waiting, &serial);
    cleanup_lock(&waiting->lock);
    if (waiting->releasing || waiting->finished)
        return POLLHUP;
    return r < 0 || serial != waiter->serial ? POLLIN : 0;
}

static void tell_all(struct waiting *waiting)
{
    for (struct waiter *waiter = waiting->first; waiter; waiter = waiter->next) {
        if (waiter->handle)
            (void)fuse_lowlevel_notify_poll(waiter->handle);
    }
}

void waiting_advanced(struct waiting *waiting)
{
    cleanup_lock(&waiting->lock);

    tell_all(waiting);
}

void waiting_finish(struct waiting *waiting)
{
    cleanup_lock(&waiting->lock);

    waiting->finished = true;
    tell_all(waiting);
}

void waiting_release(struct waiting *waiting, int milliseconds)
{
    struct timespec end;
    cleanup_lock(&waiting->lock);

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += milliseconds / 1000;
    waiting->releasing = true;
    tell_all(waiting);
    while (waiting->first && pthread_cond_timedwait(&waiting->closed, &waiting->lock, &end) == 0)
        ;
    /* Whoever comes now finds a mount that goes on, until it does not. */
    waiting->releasing = false;
}
