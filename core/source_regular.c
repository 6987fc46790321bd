#include "source_regular.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>

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

int regular_open_at(int folder, const char *name, const char *path, int flags, int *ret_fd,
                    struct stat *ret_status, struct error *error)
{
    cleanup_fd int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    int code = fd < 0 ? errno : 0;

    if (code == ENOENT || code == ENOTDIR)
        return -ENOENT;
    /* A socket cannot be opened. */
    if (code == ENXIO)
        return refuse(path, S_IFSOCK, error);
    if (code == ENAMETOOLONG || code == ELOOP)
        return error_errno(error, -code, "%s", path);
    if (fd < 0 || fstat(fd, ret_status) < 0)
        return error_of_the_moment(error, -errno, "%s", path);
    if (!S_ISREG(ret_status->st_mode)) {
        int r = refuse(path, ret_status->st_mode, error);
        return S_ISDIR(ret_status->st_mode) ? -EISDIR : r;
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int regular_open(const char *path, FILE **ret_file, struct error *error)
{
    cleanup_fd int fd = -1;
    struct stat status;

    *ret_file = NULL;
    int r = regular_open_at(AT_FDCWD, path, path, 0, &fd, &status, error);
    if (r == -ENOENT)
        return 0;
    if (r == -ENAMETOOLONG || r == -ELOOP)
        return error_of_the_moment(error, r, "%s", path);
    if (r < 0)
        return r == -EISDIR ? -EIO : r;
    *ret_file = fdopen(fd, "r");
    if (!*ret_file)
        return error_errno(error, -ENOMEM, "%s", path);
    (void)steal_fd(&fd);
    return 0;
}
