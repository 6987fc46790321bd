/* Where the database is: a folder of ours alone, which processes share. */
#include "cache_parts.h"

#include <addonfs/local.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

char *cache_default_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *folder = NULL;
    int length;

    /* XDG Base Directory Specification: a relative path is to be ignored. */
    if (cache && *cache == '/')
        length = asprintf(&folder, "%s/addonfs", cache);
    else if (home && *home == '/')
        length = asprintf(&folder, "%s/.cache/addonfs", home);
    else
        length = asprintf(&folder, "/var/cache/addonfs");
    return length < 0 ? NULL : folder;
}

int cache_make_folder(const char *folder)
{
    cleanup_free char *path = strdup(folder);

    if (!path)
        return -ENOMEM;
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * What others could write would end up in packages. And several hosts cannot have one database: a
 * write-ahead log needs memory that all its users share, which one kernel has. So homes on NFS have
 * no cache there, not one for each host either:
 *
 *  - that memory is a mapped file, and a server that does not answer, or another host of the same
 *    name that truncates it, ends the process with SIGBUS, and every mount with it;
 *  - locks of a network can be waited for within a request, while the cache may never delay one;
 *  - a hundred workstations and farm nodes would each keep up to `cache_size` in one quota.
 *
 * What is lost is the second that compressing takes at a mount. Nor is another folder taken
 * unasked, such as one in /var/tmp: where a home lies, encrypted perhaps, is not ours to change. A
 * studio has local scratch folders, and says so once, in XDG_CACHE_HOME or with `cache=`.
 */
const char *cache_refuse_folder(const char *folder)
{
    cleanup_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return errno == ELOOP || errno == ENOTDIR ? "is a link or no folder" : strerror(errno);
    if (status.st_uid != geteuid())
        return "belongs to someone else";
    if (status.st_mode & 0077)
        return "is open to others (chmod 700)";
    if (!local_is(fd))
        return "may be shared with other hosts (choose a local folder: cache=DIR)";
    return access(folder, W_OK) < 0 ? strerror(errno) : NULL;
}

int cache_lock_folder(const struct cache *cache)
{
    cleanup_free char *path = path_join(cache->folder, "lock");
    cleanup_fd int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

    if (fd >= 0 && flock(fd, LOCK_EX) < 0)
        return -errno;
    return fd >= 0 ? steal_fd(&fd) : -errno;
}

static void set_aside_one(const struct cache *cache, const char *suffix)
{
    cleanup_free char *from = NULL;
    cleanup_free char *to = NULL;

    if (asprintf(&from, "%s%s", cache->path, suffix) < 0) {
        from = NULL;
        return;
    }
    if (asprintf(&to, "%s.damaged%s", cache->path, suffix) < 0) {
        to = NULL;
        return;
    }
    if (rename(from, to) < 0 && errno == ENOENT)
        (void)unlink(to);
}

void cache_set_aside(const struct cache *cache, const struct stat *file)
{
    struct stat now;

    if (lstat(cache->path, &now) < 0 || now.st_dev != file->st_dev || now.st_ino != file->st_ino)
        return;
    set_aside_one(cache, "");
    set_aside_one(cache, "-wal");
    set_aside_one(cache, "-shm");
}
