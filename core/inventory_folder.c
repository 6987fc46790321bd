/* A folder on disk: by descriptors, so that no link is followed on the way. */
#include "inventory_parts.h"

#include <addonfs/path.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

CLEANUP(folder, DIR *, closedir)
#define cleanup_folder __attribute__((cleanup(cleanup_folder_scope)))

static const char *what_is(mode_t mode)
{
    return S_ISLNK(mode) ? "a link, which is not followed" : "neither a file nor a folder";
}

static int read_file(struct inventory_item *item, const char *name, int fd, const char *path,
                     struct inventory_reading *reading, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_errno(error, -errno, "%s", path);
    const struct archive_input input = {inventory_pread, &fd, (uint64_t)status.st_size};
    item->executable = status.st_mode & S_IXUSR;
    return inventory_take(item, name, path, &input, INVENTORY_ZIPS_LIMIT, reading, error);
}

static int enter(struct inventory_item *item, const char *name, int above, const char *path,
                 int depth, struct inventory_reading *reading, struct error *error)
{
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    cleanup_fd int fd = openat(above, name, flags);

    if (fd < 0)
        return error_errno(error, -errno, "%s", path);
    return item->kind == INVENTORY_FOLDER
               ? inventory_walk(item, fd, path, depth + 1, reading, error)
               : read_file(item, name, fd, path, reading, error);
}

static int take_name(struct inventory_item *folder, const char *name, int above, const char *path,
                     int depth, struct inventory_reading *reading, struct error *error)
{
    struct stat status;

    if (fstatat(above, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(error, -errno, "%s", path);
    enum inventory_kind kind = S_ISDIR(status.st_mode)   ? INVENTORY_FOLDER
                               : S_ISREG(status.st_mode) ? INVENTORY_FILE
                                                         : INVENTORY_OTHER;
    cleanup_inventory struct inventory_item *item = inventory_new(kind);
    int r = item ? 0 : -ENOMEM;
    if (r == 0 && kind == INVENTORY_OTHER)
        r = inventory_fault(item, "%s", what_is(status.st_mode));
    if (r == 0)
        r = map_put(&folder->children, name, item);
    if (r < 0)
        return error_errno(error, r, "%s", path);
    const struct inventory_item *given = item;
    struct inventory_item *kept = steal_pointer(&item);
    return given->kind == INVENTORY_OTHER ? 0
                                          : enter(kept, name, above, path, depth, reading, error);
}

int inventory_walk(struct inventory_item *folder, int fd, const char *path, int depth,
                   struct inventory_reading *reading, struct error *error)
{
    cleanup_fd int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    cleanup_folder DIR *names = own >= 0 ? fdopendir(own) : NULL;
    const struct dirent *found;
    int r = 0;

    if (!names)
        return error_errno(error, -errno, "%s", path);
    (void)steal_fd(&own);
    if (depth >= INVENTORY_DEPTH_LIMIT)
        return error_set(error, -ELOOP, "%s: too many folders within each other", path);
    while (r == 0 && (errno = 0, found = readdir(names))) {
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        cleanup_free char *below = path_join(path, found->d_name);
        r = below ? inventory_count(reading) : -ENOMEM;
        if (r != 0)
            return error_set(error, r > 0 ? -EFBIG : r, "%s: %s", path,
                             r > 0 ? "holds too many files" : strerror(-r));
        r = take_name(folder, found->d_name, fd, below, depth, reading, error);
    }
    if (r == 0 && errno != 0)
        r = error_errno(error, -errno, "%s", path);
    return r;
}
