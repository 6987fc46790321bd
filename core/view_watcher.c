#include "view_parts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

enum {
    TIMER = 1000, /* ms between looks where not all changes are told */
    RETRY = 100,  /* ms until a look that failed for want of something is made again */
};

void view_watcher_init(struct view *view)
{
    pthread_mutex_init(&view->watcher.lock, NULL);
    pthread_cond_init(&view->watcher.wake, NULL);
    view->watcher.bell = -1;
}

static void ring(struct watcher *watcher)
{
    const uint64_t one = 1;

    if (watcher->bell >= 0)
        (void)!write(watcher->bell, &one, sizeof(one));
}

/* Sleep until somebody watches. False: it is over. */
static bool await_watchers(struct watcher *watcher)
{
    uint64_t rung;
    cleanup_lock(&watcher->lock);

    while (watcher->count == 0 && !watcher->ending)
        pthread_cond_wait(&watcher->wake, &watcher->lock);
    (void)!read(watcher->bell, &rung, sizeof(rung));
    return !watcher->ending;
}

/*
 * Is everything told by `fd`? That is asked after the look, which has taken from it that the source
 * was moved away, say, and that nothing more will be told.
 */
static bool may_rely(struct view *view, int fd)
{
    cleanup_lock(&view->lock);

    view->watcher.relies = fd >= 0 && source_tells_all(view->source);
    return view->watcher.relies;
}

void view_watcher_looked(struct view *view)
{
    if (!view->watcher.relies || source_tells_all(view->source))
        return;
    view->watcher.relies = false;
    ring(&view->watcher);
}

static void look_and_sleep(struct view *view)
{
    cleanup_generation struct generation *generation = NULL;
    struct source_wait wait = {-1, -1};
    cleanup_fd int refs = -1;
    int timeout = RETRY;
    int r;

    /* Where versions are derived, a worktree's hang on its commit as well. */
    if (view->shown.derive_version && !source_commit(view->source))
        refs = source_watch_refs(view->source);
    bool refs_are_told = !view->shown.derive_version || source_commit(view->source) || refs >= 0;
    {
        cleanup_lock(&view->lock);
        r = source_wait_open(view->source, &wait, NULL);
    }
    /* What happened before is seen now, what happens from now on wakes us. */
    if (r == 0)
        r = view_look(view, &generation, NULL);
    /* Nothing tells that a repository comes where there is none. */
    refs_are_told = refs_are_told && r == 0 && !generation->headless;
    if (r == 0)
        timeout = may_rely(view, wait.fd) && refs_are_told ? -1 : TIMER;
    struct pollfd events[] = {{.fd = view->watcher.bell, .events = POLLIN},
                              {.fd = r == 0 ? wait.fd : -1, .events = POLLIN},
                              {.fd = r == 0 ? refs : -1, .events = POLLIN}};
    (void)poll(events, 3, timeout);
    source_wait_close(&wait);
}

static void *watch(void *argument)
{
    struct view *view = argument;

    while (await_watchers(&view->watcher))
        look_and_sleep(view);
    return NULL;
}

int view_watch_begin(struct view *view, struct error *error)
{
    struct watcher *watcher = &view->watcher;
    cleanup_lock(&watcher->lock);

    if (!watcher->started) {
        if (watcher->bell < 0)
            watcher->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int code = watcher->bell < 0 ? errno : pthread_create(&watcher->thread, NULL, watch, view);
        if (code != 0)
            return error_errno(error, -code, "cannot wait for changes");
        watcher->started = true;
    }
    watcher->count++;
    pthread_cond_signal(&watcher->wake);
    return 0;
}

void view_watch_end(struct view *view)
{
    cleanup_lock(&view->watcher.lock);

    if (--view->watcher.count == 0)
        ring(&view->watcher);
}

void view_watcher_end(struct view *view)
{
    struct watcher *watcher = &view->watcher;

    pthread_mutex_lock(&watcher->lock);
    watcher->ending = true;
    pthread_cond_signal(&watcher->wake);
    ring(watcher);
    pthread_mutex_unlock(&watcher->lock);
    if (watcher->started)
        pthread_join(watcher->thread, NULL);
    if (watcher->bell >= 0)
        close(watcher->bell);
    pthread_cond_destroy(&watcher->wake);
    pthread_mutex_destroy(&watcher->lock);
}
