#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of those who were signalled and live on: how long one may wait for its end after SIGKILL. */
static const struct timespec patience = {.tv_nsec = 50000000};

/* A request whose thread has had a signal, of which the kernel tells once only. */
struct signalled {
    pid_t thread;
    _Atomic bool *interrupted;
    struct signalled *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct signalled *all;
static bool is_watched; /* a thread looks after them */

/* How many they are: hardly ever any, and no request waits for the lock then. */
static _Atomic unsigned count;

/* Is the thread about to end? The kernel turns every signal that ends it into SIGKILL (proc(5)). */
static bool is_dying(pid_t thread)
{
    static const char key[] = "SigPnd:";
    char path[48];
    char line[256];
    bool dying = false;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)thread);
    FILE *status = thread > 0 ? fopen(path, "re") : NULL;
    while (status && fgets(line, sizeof(line), status)) {
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            dying = strtoull(line + sizeof(key) - 1, NULL, 16) >> (SIGKILL - 1) & 1;
    }
    if (status)
        fclose(status);
    return dying;
}

/* Ends when there is nobody left to look after. */
static void *watch(void *nothing)
{
    pthread_mutex_lock(&lock);
    while (all) {
        for (struct signalled *each = all; each; each = each->next) {
            if (is_dying(each->thread))
                atomic_store(each->interrupted, true);
        }
        pthread_mutex_unlock(&lock);
        nanosleep(&patience, NULL);
        pthread_mutex_lock(&lock);
    }
    is_watched = false;
    pthread_mutex_unlock(&lock);
    return nothing;
}

/* Without memory or a thread its end has to wait for the answer. */
static void look_after(pid_t thread, _Atomic bool *interrupted)
{
    struct signalled *added = malloc(sizeof(*added));
    pthread_t watcher;

    if (!added)
        return;
    pthread_mutex_lock(&lock);
    *added = (struct signalled){thread, interrupted, all};
    all = added;
    atomic_fetch_add(&count, 1);
    if (!is_watched && pthread_create(&watcher, NULL, watch, NULL) == 0) {
        pthread_detach(watcher);
        is_watched = true;
    }
    pthread_mutex_unlock(&lock);
}

static void forget(const _Atomic bool *interrupted)
{
    if (atomic_load(&count) == 0)
        return;
    pthread_mutex_lock(&lock);
    struct signalled **at = &all;
    while (*at && (*at)->interrupted != interrupted)
        at = &(*at)->next;
    struct signalled *found = *at;
    if (found) {
        *at = found->next;
        atomic_fetch_sub(&count, 1);
    }
    pthread_mutex_unlock(&lock);
    free(found);
}

static void on_interrupt(fuse_req_t request, void *context)
{
    _Atomic bool *interrupted = context;
    pid_t thread = fuse_req_ctx(request)->pid;

    if (is_dying(thread))
        atomic_store(interrupted, true);
    else if (thread > 0)
        look_after(thread, interrupted);
}

void interrupt_begin(fuse_req_t request, _Atomic bool *interrupted)
{
    fuse_req_interrupt_func(request, on_interrupt, interrupted);
}

void interrupt_end(fuse_req_t request, const _Atomic bool *interrupted)
{
    fuse_req_interrupt_func(request, NULL, NULL);
    forget(interrupted);
}
