#include "source_resolve.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* Folders that a link's way may be deep: each costs a descriptor. */
enum { DEPTH_LIMIT = 256 };

/* openat2 answers EAGAIN when anything on the machine is renamed at that moment (openat2(2)). */
enum { RETRY_LIMIT = 1000 };

/*
 * EAGAIN for ever, although the name is there: somebody holds a lease on the file (fcntl(2),
 * F_SETLEASE; file servers do so for their clients), which our attempts have asked back. That is a
 * matter of this file alone, and of the moment.
 */
static bool is_leased(int fd, const char *path, int flags, struct open_how how)
{
    how.flags = (uint64_t)(unsigned)(O_PATH | O_CLOEXEC | (flags & (O_NOFOLLOW | O_DIRECTORY)));
    cleanup_fd int place =
        flags & O_NONBLOCK ? (int)syscall(SYS_openat2, fd, path, &how, sizeof(how)) : -1;

    return place >= 0;
}

static int open_how(int fd, const char *path, int flags, uint64_t resolve)
{
    /* Next to O_PATH openat2 allows no flag that would mean nothing. */
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY)),
        .resolve = RESOLVE_NO_MAGICLINKS | resolve,
    };

    for (int i = 0; i < RETRY_LIMIT; i++) {
        int opened = (int)syscall(SYS_openat2, fd, path, &how, sizeof(how));
        if (opened >= 0)
            return opened;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return is_leased(fd, path, flags, how) ? -EBUSY : -EAGAIN;
}

static int open_beneath(int fd, const char *path, int flags, uint64_t resolve)
{
    return open_how(fd, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV | resolve);
}

/* --- The root -----------------------------------------------------------------------------------
 */

static int note_root(struct resolve_root *root)
{
    struct stat status;

    if (fstat(root->fd, &status) < 0)
        return -errno;
    root->device = status.st_dev;
    root->inode = status.st_ino;
    root->owner = status.st_uid;
    return 0;
}

int resolve_begin(struct resolve_root *root, const char *path)
{
    root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root->fd < 0 ? -errno : note_root(root);
}

/* Does `path` lead to the root? */
static bool leads_to_root(const struct resolve_root *root, const char *path)
{
    struct statx status;

    /* Without asking the file system: were our own mount there, it would be us. */
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO,
              &status) < 0)
        return false;
    return makedev(status.stx_dev_major, status.stx_dev_minor) == root->device &&
           status.stx_ino == root->inode;
}

/*
 * Open the folder at `path`, which no mount may hide, and to which no link may lead: whoever may
 * put one there could choose any folder of the owner's.
 */
static int open_in_place(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    cleanup_free char *parent = strndup(path, (size_t)(name - path));

    if (!parent)
        return -ENOMEM;
    cleanup_fd int above = open_how(AT_FDCWD, parent, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    if (above < 0)
        return above;
    return open_beneath(above, *name ? name : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW,
                        RESOLVE_NO_SYMLINKS);
}

/*
 * Are both folders on one mount? Without asking the file system: one of them may be our own. Linux
 * before 5.8 does not tell a mount's number, but which file system it is.
 */
static bool are_on_one_mount(int a, int b)
{
    enum { FLAGS = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC };
    struct statx of_a;
    struct statx of_b;

    if (statx(a, "", FLAGS, STATX_MNT_ID, &of_a) < 0 ||
        statx(b, "", FLAGS, STATX_MNT_ID, &of_b) < 0)
        return false;
    if (of_a.stx_mask & of_b.stx_mask & STATX_MNT_ID)
        return of_a.stx_mnt_id == of_b.stx_mnt_id;
    return of_a.stx_dev_major == of_b.stx_dev_major && of_a.stx_dev_minor == of_b.stx_dev_minor;
}

int resolve_renew(struct resolve_root *root, const char *path)
{
    struct stat status;

    root->is_away = !leads_to_root(root, path);
    if (!root->is_away)
        return 0;
    cleanup_fd int fd = open_in_place(path);
    bool is_fit = fd >= 0 && are_on_one_mount(fd, root->fd) && fstat(fd, &status) == 0;
    bool is_ours = is_fit && status.st_uid == root->owner;
    if (is_ours) {
        /* In one step: whoever resolves at this moment has one of the two. */
        if (dup3(fd, root->fd, O_CLOEXEC) < 0)
            return -errno;
        root->is_away = false;
        int r = note_root(root);
        return r < 0 ? r : 1;
    }
    if (fstat(root->fd, &status) < 0)
        return -errno;
    if (status.st_nlink > 0)
        return 0;
    return is_fit ? -EPERM : -ENOENT;
}

/* What lies at `folder`: in the root, if that is where its path leads, whatever hides the root. */
static int stat_folder(const struct resolve_root *root, const char *path, const char *folder,
                       struct stat *ret_status)
{
    if (strcmp(folder, path) == 0 || !path_is_within(folder, path))
        return stat(folder, ret_status);
    return fstatat(root->fd, folder + strlen(path) + 1, ret_status, 0);
}

int resolve_hide(struct resolve_root *root, const char *path, const char *git_dir,
                 const char *common_dir)
{
    const char *folders[] = {git_dir, common_dir};
    struct stat status;

    for (size_t i = 0; i < 2; i++) {
        if (stat_folder(root, path, folders[i], &status) < 0)
            return -errno;
        if (!S_ISDIR(status.st_mode))
            return -ENOTDIR;
        root->git[i].device = status.st_dev;
        root->git[i].inode = status.st_ino;
    }
    return 0;
}

int resolve_open(const struct resolve_root *root, const char *real, int flags)
{
    return open_beneath(root->fd, *real ? real : ".", flags, RESOLVE_NO_SYMLINKS);
}

bool resolve_is_git(const struct resolve_root *root, const struct stat *status)
{
    for (size_t i = 0; i < 2; i++) {
        if (root->git[i].device == status->st_dev && root->git[i].inode == status->st_ino)
            return true;
    }
    return false;
}

struct way {
    const struct resolve_root *root;
    size_t depth;
    struct {
        int fd;
        char *name;
    } folders[DEPTH_LIMIT];
    char *rest; /* what is still to go: nothing, or a slash and more */
    int links;
};

static void way_pop(struct way *way)
{
    way->depth--;
    close(way->folders[way->depth].fd);
    free(way->folders[way->depth].name);
}

static void way_end(struct way *way)
{
    while (way->depth > 0)
        way_pop(way);
    free(way->rest);
}

static int way_push(struct way *way, int *fd, const char *name)
{
    char *copy = way->depth < DEPTH_LIMIT ? strdup(name) : NULL;

    if (way->depth == DEPTH_LIMIT)
        return -ENAMETOOLONG;
    if (!copy)
        return -ENOMEM;
    way->folders[way->depth].fd = steal_fd(fd);
    way->folders[way->depth].name = copy;
    way->depth++;
    return 0;
}

static int way_top(const struct way *way)
{
    return way->depth > 0 ? way->folders[way->depth - 1].fd : way->root->fd;
}

/* Put a link's target before what is still to go. */
static int way_turn(struct way *way, int link, const char **ret_reason)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(link, "", target, sizeof(target));
    char *rest = NULL;

    if (++way->links > RESOLVE_LINK_LIMIT) {
        *ret_reason = RESOLVE_LOOPS;
        return -ELOOP;
    }
    if (length < 0)
        return -errno;
    if (length == 0 || (size_t)length == sizeof(target)) {
        *ret_reason = RESOLVE_NO_PATH;
        return -ENAMETOOLONG;
    }
    if (target[0] == '/') {
        *ret_reason = RESOLVE_LEAVES;
        return -EXDEV;
    }
    if (asprintf(&rest, "%.*s%s", (int)length, target, way->rest) < 0)
        return -ENOMEM;
    free(way->rest);
    way->rest = rest;
    /* Targets add up: 40 links of 4 KiB are the most there can be. */
    return 0;
}

/* The path that the way has come, with `name` at its end (NULL: nothing). */
static char *way_path(const struct way *way, const char *name)
{
    char *path = strdup("");

    for (size_t i = 0; path && i < way->depth; i++) {
        char *longer = path_join(path, way->folders[i].name);
        free(path);
        path = longer;
    }
    if (path && name) {
        char *longer = path_join(path, name);
        free(path);
        path = longer;
    }
    return path;
}

/* Take one component. Returns 1 when the way has ended at `*ret_real`. */
static int way_step(struct way *way, const char *name, char **ret_real, struct stat *ret_status,
                    const char **ret_reason)
{
    cleanup_fd int fd = -1;

    if (path_is_git(name)) {
        *ret_reason = RESOLVE_GIT;
        return -EPERM;
    }
    fd = open_beneath(way_top(way), name, O_PATH | O_NOFOLLOW, 0);
    if (fd == -EXDEV)
        *ret_reason = RESOLVE_MOUNT;
    if (fd == -ENOENT)
        *ret_reason = RESOLVE_BROKEN;
    if (fd < 0)
        return fd;
    if (fstat(fd, ret_status) < 0)
        return -errno;
    if (S_ISLNK(ret_status->st_mode))
        return way_turn(way, fd, ret_reason);
    if (S_ISDIR(ret_status->st_mode)) {
        if (resolve_is_git(way->root, ret_status)) {
            *ret_reason = RESOLVE_GIT;
            return -EPERM;
        }
        return way_push(way, &fd, name);
    }
    /* Not even a slash leads on from a file (path_resolution(7)). */
    if (*way->rest != '\0') {
        *ret_reason = RESOLVE_BROKEN;
        return -ENOTDIR;
    }
    *ret_real = way_path(way, name);
    return *ret_real ? 1 : -ENOMEM;
}

int resolve_link(const struct resolve_root *root, const char *folder, const char *name,
                 char **ret_real, struct stat *ret_status, const char **ret_reason)
{
    __attribute__((cleanup(way_end))) struct way way = {.root = root};

    *ret_reason = NULL;
    way.rest = path_join(folder, name);
    if (!way.rest)
        return -ENOMEM;
    for (;;) {
        char component[NAME_MAX + 1];
        const char *start = way.rest + strspn(way.rest, "/");
        size_t length = strcspn(start, "/");
        int r = 0;

        if (length == 0)
            break;
        if (length > NAME_MAX) {
            *ret_reason = RESOLVE_NO_PATH;
            return -ENAMETOOLONG;
        }
        memcpy(component, start, length);
        component[length] = '\0';
        memmove(way.rest, start + length, strlen(start + length) + 1);
        if (strcmp(component, ".") == 0)
            continue;
        if (strcmp(component, "..") != 0) {
            r = way_step(&way, component, ret_real, ret_status, ret_reason);
        } else if (way.depth == 0) {
            *ret_reason = RESOLVE_LEAVES;
            r = -EXDEV;
        } else {
            way_pop(&way);
        }
        if (r != 0)
            return r < 0 ? r : 0;
    }
    /* It ended in a folder. */
    if (fstat(way_top(&way), ret_status) < 0)
        return -errno;
    *ret_real = way_path(&way, NULL);
    return *ret_real ? 0 : -ENOMEM;
}
