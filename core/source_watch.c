#include "source_watch.h"
#include "source_backend.h"
#include "source_mounts.h"

#include <addonfs/cleanup.h>
#include <addonfs/local.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

enum {
    /* IN_CLOSE_WRITE: who writes through mmap is seen when the file is unmapped and closed. */
    EVENTS = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
             IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
    EVENTS_OF_NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
    BUFFER_SIZE = 1 << 16,
};

/* One inode that is watched. Several paths may lead to it: through links, or before it moved. */
struct watched {
    int descriptor;
    struct source_folder *folders; /* linked by watch_next */
};

struct watch {
    int fd;
    struct mounts *mounts; /* or NULL */
    void *watched;         /* tsearch(3) tree of struct watched by descriptor; owns them */
};

static int compare(const void *a, const void *b)
{
    const struct watched *left = a;
    const struct watched *right = b;

    return (left->descriptor > right->descriptor) - (left->descriptor < right->descriptor);
}

struct watch *watch_new(int fd, const char *path, const char **ret_warning)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    *ret_warning = "inotify does not work here" WATCH_COMPARES;
    if (!watch)
        return NULL;
    if (!local_is(fd)) {
        *ret_warning = "a file system that is not known to be of this host alone" WATCH_COMPARES;
        free(watch);
        return NULL;
    }
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) {
        if (errno == EMFILE)
            *ret_warning = "no more instances of inotify (sysctl "
                           "fs.inotify.max_user_instances)" WATCH_COMPARES;
        free(watch);
        return NULL;
    }
    watch->mounts = mounts_new(path);
    return watch;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    tdestroy(watch->watched, free);
    close(watch->fd);
    mounts_free(watch->mounts);
    free(watch);
}

static struct watched *find(const struct watch *watch, int descriptor)
{
    struct watched wanted = {.descriptor = descriptor};
    struct watched *const *found = tfind(&wanted, &watch->watched, compare);

    return found ? *found : NULL;
}

static struct watched *find_or_make(struct watch *watch, int descriptor)
{
    struct watched *watched = find(watch, descriptor);

    if (watched)
        return watched;
    watched = calloc(1, sizeof(*watched));
    if (!watched)
        return NULL;
    watched->descriptor = descriptor;
    if (!tsearch(watched, &watch->watched, compare)) {
        free(watched);
        return NULL;
    }
    return watched;
}

static void forget(struct watch *watch, struct watched *watched)
{
    tdelete(watched, &watch->watched, compare);
    free(watched);
}

void watch_remove(struct watch *watch, struct source_folder *folder)
{
    struct watched *watched = folder->watched ? find(watch, folder->watched) : NULL;

    folder->watched = 0;
    if (!watched)
        return;
    struct source_folder **at = &watched->folders;
    while (*at && *at != folder)
        at = &(*at)->watch_next;
    if (*at)
        *at = folder->watch_next;
    if (watched->folders)
        return;
    (void)inotify_rm_watch(watch->fd, watched->descriptor);
    forget(watch, watched);
}

int watch_add(struct watch *watch, struct source_folder *folder, int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int descriptor = inotify_add_watch(watch->fd, path, EVENTS);
    if (descriptor < 0)
        return -errno;
    if (descriptor == folder->watched)
        return 0;
    watch_remove(watch, folder);
    struct watched *watched = find_or_make(watch, descriptor);
    if (!watched)
        return -ENOMEM;
    folder->watched = descriptor;
    folder->watch_next = watched->folders;
    watched->folders = folder;
    return 0;
}

static int note(struct watch_report *report, const char *path, const char *name)
{
    cleanup_free char *joined = *name ? path_join(path, name) : NULL;

    if (*name && !joined)
        return -ENOMEM;
    return map_put(&report->moved, *name ? joined : path, report);
}

/* A name in `folder` that is or was a folder now leads elsewhere, or (no name) the folder does. */
static void note_moved(struct watch_report *report, const struct source_folder *folder,
                       const char *name)
{
    int r = note(report, folder->path, name);

    if (r == 0 && strcmp(folder->path, folder->real) != 0)
        r = note(report, folder->real, name);
    /* Without room to say which, it may be any. */
    if (r < 0)
        report->all = true;
}

static void apply(struct watch *watch, const struct inotify_event *event,
                  struct watch_report *report)
{
    const char *name = event->len > 0 ? event->name : "";

    if (event->mask & IN_Q_OVERFLOW) {
        report->all = true;
        return;
    }
    struct watched *watched = find(watch, event->wd);
    if (!watched)
        return;
    bool moved = (event->mask & IN_ISDIR && event->mask & EVENTS_OF_NAMES) ||
                 event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED);
    report->any = true;
    for (struct source_folder *folder = watched->folders; folder; folder = folder->watch_next) {
        folder->dirty = true;
        struct source_entry *written =
            event->mask & IN_CLOSE_WRITE ? folder_entry(folder, name) : NULL;
        if (written)
            written->written = report->look;
        if (moved)
            note_moved(report, folder, name);
        /* The kernel has removed the watch. */
        if (event->mask & IN_IGNORED)
            folder->watched = 0;
    }
    if (event->mask & IN_IGNORED)
        forget(watch, watched);
}

int watch_descriptor(const struct watch *watch, int *ret_mounts)
{
    /* One of its own: asking a descriptor of this file takes the news away (proc(5)). */
    cleanup_fd int mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    cleanup_fd int both = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event readable = {.events = EPOLLIN};
    struct epoll_event changed = {.events = EPOLLPRI | EPOLLERR};

    if (both < 0 || epoll_ctl(both, EPOLL_CTL_ADD, watch->fd, &readable) < 0 ||
        (mounts >= 0 && epoll_ctl(both, EPOLL_CTL_ADD, mounts, &changed) < 0))
        return -errno;
    *ret_mounts = steal_fd(&mounts);
    return steal_fd(&both);
}

int watch_drain(struct watch *watch, struct watch_report *report)
{
    _Alignas(struct inotify_event) char buffer[BUFFER_SIZE];

    if (watch->mounts && mounts_have_changed(watch->mounts))
        report->all = true;
    for (;;) {
        ssize_t n = read(watch->fd, buffer, sizeof(buffer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            apply(watch, event, report);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}
