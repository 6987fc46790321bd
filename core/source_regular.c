#include "source_regular.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

static int refuse(const char *path, mode_t mode, struct error *error)
{
    return error_set(error, -EIO, "%s: %s, where Git has a file", path,
                     S_ISDIR(mode)    ? "a folder"
                     : S_ISFIFO(mode) ? "a FIFO"
                     : S_ISSOCK(mode) ? "a socket"
                                      : "a device");
}

static int check(const char *folder, const char *name, bool may_be_folder, struct error *error)
{
    cleanup_free char *path = path_join(folder, name);
    struct stat status;

    if (!path)
        return error_errno(error, -ENOMEM, "%s/%s", folder, name);
    /* Whatever else is wrong with it, whoever opens it is told. */
    if (stat(path, &status) < 0 || S_ISREG(status.st_mode) ||
        (may_be_folder && S_ISDIR(status.st_mode)))
        return 0;
    return refuse(path, status.st_mode, error);
}

int regular_check(const char *folder, const char *name, struct error *error)
{
    return check(folder, name, true, error);
}

int regular_check_file(const char *folder, const char *name, struct error *error)
{
    return check(folder, name, false, error);
}

int regular_open(const char *path, FILE **ret_file, struct error *error)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    /* A socket cannot be opened. */
    if (fd < 0 && errno == ENXIO)
        return refuse(path, S_IFSOCK, error);
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, -errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return refuse(path, status.st_mode, error);
    *ret_file = fdopen(fd, "r");
    if (!*ret_file)
        return error_errno(error, -ENOMEM, "%s", path);
    (void)steal_fd(&fd);
    return 0;
}
