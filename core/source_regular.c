#include "source_regular.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>

static int refuse(const char *path, mode_t mode, struct error *error)
{
    return error_set(error, -EIO, "%s: %s, where Git has a file", path,
                     S_ISDIR(mode)    ? "a folder"
                     : S_ISFIFO(mode) ? "a FIFO"
                     : S_ISSOCK(mode) ? "a socket"
                                      : "a device");
}

int regular_check(const char *folder, const char *name, struct error *error)
{
    cleanup_free char *path = path_join(folder, name);
    struct stat status;

    if (!path)
        return error_errno(error, -ENOMEM, "%s/%s", folder, name);
    /* Whatever else is wrong with it, whoever opens it is told. */
    return stat(path, &status) < 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)
               ? 0
               : refuse(path, status.st_mode, error);
}

static void close_walk(FTS **walk)
{
    if (*walk)
        fts_close(*walk);
}

int regular_check_below(const char *folder, const char *name, struct error *error)
{
    cleanup_free char *path = path_join(folder, name);
    char *const roots[] = {path, NULL};
    const FTSENT *found;

    if (!path)
        return error_errno(error, -ENOMEM, "%s/%s", folder, name);
    __attribute__((cleanup(close_walk))) FTS *walk =
        fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return error_of_the_moment(error, -errno, "%s", path);
    while ((found = fts_read(walk))) {
        if (found->fts_info == FTS_DEFAULT)
            return refuse(found->fts_path, found->fts_statp->st_mode, error);
    }
    return errno == 0 ? 0 : error_of_the_moment(error, -errno, "%s", path);
}

int regular_check_mode(const char *path, mode_t mode, struct error *error)
{
    return S_ISREG(mode) ? 0 : refuse(path, mode, error);
}

int regular_open(const char *path, FILE **ret_file, struct error *error)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    *ret_file = NULL;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    /* A socket cannot be opened. */
    if (fd < 0 && errno == ENXIO)
        return refuse(path, S_IFSOCK, error);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_of_the_moment(error, -errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return refuse(path, status.st_mode, error);
    *ret_file = fdopen(fd, "r");
    if (!*ret_file)
        return error_errno(error, -ENOMEM, "%s", path);
    (void)steal_fd(&fd);
    return 0;
}
