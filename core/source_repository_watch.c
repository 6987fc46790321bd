#include "source_repository.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

/*
 * Refs are files: HEAD and packed-refs in the git dir or the common dir, the others in refs/ below
 * these, each replaced by renaming. Every folder of refs is watched, so that a branch is seen whose
 * folder is new: that folder's creation wakes whoever waits, who then watches anew.
 */
enum {
    EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE |
             IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW,
    EVENTS_OF_THE_WAY = IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD,
    FOLDERS_AT_ONCE = 16, /* descriptors that nftw(3) may use */
};

/* nftw(3) hands nothing through. */
static _Thread_local int watch_fd;

static int watch_folder(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)place;
    /* One that has just gone is no failure: its going is an event of the folder above. */
    if (type == FTW_D && inotify_add_watch(watch_fd, path, EVENTS | IN_MASK_ADD) < 0 &&
        errno != ENOENT)
        return -errno;
    return 0;
}

/*
 * Every folder that the path leads through: one that is moved takes the refs away, and nothing
 * below it tells. Of these nothing else is asked, for some are busy (/tmp). One that we may not
 * read cannot be watched.
 */
static int watch_way(int fd, const char *folder)
{
    cleanup_free char *path = strdup(folder);

    if (!path)
        return -ENOMEM;
    /* One may be watched for its refs as well (IN_MASK_ADD). */
    for (char *slash = strrchr(path, '/'); slash && slash > path; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (inotify_add_watch(fd, path, EVENTS_OF_THE_WAY) < 0)
            return errno == EACCES ? -ENOTSUP : -errno;
    }
    return 0;
}

/* Refs that are elsewhere (git-new-workdir) change without an event here. */
static bool is_link(const char *folder, const char *name)
{
    cleanup_free char *path = path_join(folder, name);
    struct stat status;

    return path && lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

static int watch_tree(int fd, const char *folder)
{
    cleanup_free char *refs = NULL;

    if (asprintf(&refs, "%s/refs", folder) < 0) {
        refs = NULL;
        return -ENOMEM;
    }
    if (is_link(folder, "refs") || is_link(folder, "packed-refs"))
        return -ENOTSUP;
    int r = watch_way(fd, folder);
    if (r < 0)
        return r;
    if (inotify_add_watch(fd, folder, EVENTS | IN_MASK_ADD) < 0)
        return -errno;
    watch_fd = fd;
    r = nftw(refs, watch_folder, FOLDERS_AT_ONCE, FTW_PHYS);
    /* A worktree's own git dir may have none. */
    return r == -1 && errno != ENOENT ? -errno : r < -1 ? r : 0;
}

int repository_watch_refs(const struct repository *repository)
{
    cleanup_fd int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (fd < 0)
        return errno == EMFILE ? -ENOTSUP : -errno;
    int r = watch_tree(fd, repository->common_dir);
    if (r == 0 && strcmp(repository->git_dir, repository->common_dir) != 0)
        r = watch_tree(fd, repository->git_dir);
    if (r == -ENOSPC || r == -ENOENT || r == -ENOTDIR)
        return -ENOTSUP;
    return r < 0 ? r : steal_fd(&fd);
}
