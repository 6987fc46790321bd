#include "export_target.h"

#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Each unit (a version's folder, or a file of `upload/`) is filled under a name with a leading dot
 * beside its place, which an AYON server passes over, and then exchanged with what stands there.
 * One export may hold several: they count one after the other, each whole.
 */
struct unit {
    char *temporary;
    char *final;
    char *above; /* the folder that it is in */
    bool made_above;
    struct timespec mtime;
};

struct folder_target {
    struct export_target target;
    char *destination;
    bool made_destination;
    int depth; /* see export_folder_open */
    size_t count;
    struct unit *units;
    int fd; /* of the file being written */
    char *path;
    const struct entry *entry;
    bool committed;
};

/* Is something mounted on the folder? Its device says so only if it is of another file system. */
static bool is_mounted_on(const char *path)
{
    struct statx status;

    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &status) == 0 &&
           status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/*
 * Walk the tree, and remove it if `removes`. -EBUSY: something is mounted below it, which is passed
 * over, for it belongs to someone else. Other errors are not told.
 */
static int walk_tree(char *path, bool removes)
{
    char *const paths[] = {path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    FTSENT *found;
    int r = 0;

    while (tree && (found = fts_read(tree))) {
        if (found->fts_info == FTS_D) {
            if (found->fts_level > 0 && is_mounted_on(found->fts_accpath)) {
                (void)fts_set(tree, found, FTS_SKIP);
                r = -EBUSY;
            }
        } else if (removes) {
            (void)remove(found->fts_accpath);
        }
    }
    if (tree)
        fts_close(tree);
    return r;
}

static void close_folder(struct export_target *target)
{
    struct folder_target *folder = (struct folder_target *)target;

    if (folder->fd >= 0)
        close(folder->fd);
    for (size_t i = 0; i < folder->count; i++) {
        struct unit *unit = &folder->units[i];
        if (unit->temporary)
            (void)walk_tree(unit->temporary, true);
        if (unit->made_above && !folder->committed)
            (void)rmdir(unit->above);
        free(unit->temporary);
        free(unit->final);
        free(unit->above);
    }
    if (folder->made_destination && !folder->committed)
        (void)rmdir(folder->destination);
    free(folder->units);
    free(folder->destination);
    free(folder->path);
    free(folder);
}

/* What is behind the unit in `path`: "" for the unit itself; NULL: `path` is above all units. */
static const char *behind_unit(const struct folder_target *folder, const char *path)
{
    for (int depth = folder->depth; depth > 1; depth--) {
        path = strchr(path, '/');
        if (!path)
            return NULL;
        path++;
    }
    return path + strcspn(path, "/");
}

static int name_unit(const struct folder_target *folder, const char *path, struct unit *unit)
{
    const char *slash = strrchr(path, '/');

    unit->final = path_join(folder->destination, path);
    if (slash &&
        asprintf(&unit->above, "%s/%.*s", folder->destination, (int)(slash - path), path) < 0)
        unit->above = NULL;
    else if (!slash)
        unit->above = strdup(folder->destination);
    return unit->final && unit->above ? 0 : -ENOMEM;
}

/* Make it under its temporary name; a file stays open. What mkdtemp makes is private. */
static int make_unit(struct folder_target *folder, struct unit *unit, const struct entry *entry,
                     struct error *error)
{
    cleanup_free char *temporary = NULL;
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&temporary, "%s/.%s.XXXXXX", unit->above, strrchr(unit->final, '/') + 1) < 0) {
        temporary = NULL;
        return error_errno(error, -ENOMEM, "%s", unit->final);
    }
    if (entry->kind != ENTRY_FOLDER)
        folder->fd = mkostemp(temporary, O_CLOEXEC);
    if (entry->kind == ENTRY_FOLDER ? !mkdtemp(temporary) : folder->fd < 0)
        return error_errno(error, -errno, "%s", temporary);
    unit->temporary = steal_pointer(&temporary);
    if (chmod(unit->temporary, export_mode(entry) & ~mask) < 0)
        return error_errno(error, -errno, "%s", unit->temporary);
    return 0;
}

static int add_unit(struct folder_target *folder, const char *path, const struct entry *entry,
                    struct error *error)
{
    struct unit *units = reallocarray(folder->units, folder->count + 1, sizeof(*units));

    if (!units)
        return error_errno(error, -ENOMEM, "%s", path);
    folder->units = units;
    struct unit *unit = &units[folder->count++];
    *unit = (struct unit){.mtime = entry->mtime};
    if (name_unit(folder, path, unit) < 0)
        return error_errno(error, -ENOMEM, "%s", path);
    unit->made_above = folder->depth > 1 && mkdir(unit->above, 0755) == 0;
    if (folder->depth > 1 && !unit->made_above && errno != EEXIST)
        return error_errno(error, -errno, "%s", unit->above);
    return make_unit(folder, unit, entry, error);
}

/* Where `path`, below a unit, is for now. */
static char *place(const struct folder_target *folder, const char *path)
{
    const char *rest = behind_unit(folder, path);
    char *result = NULL;

    if (!rest || folder->count == 0 ||
        asprintf(&result, "%s%s", folder->units[folder->count - 1].temporary, rest) < 0)
        return NULL;
    return result;
}

static int add_folder(struct export_target *target, const char *path, const struct entry *entry,
                      struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;
    const char *rest = behind_unit(folder, path);
    cleanup_free char *at = NULL;

    if (!rest)
        return 0; /* made with what is in it */
    if (!*rest)
        return add_unit(folder, path, entry, error);
    at = place(folder, path);
    if (!at)
        return error_errno(error, -ENOMEM, "%s", path);
    return mkdir(at, export_mode(entry)) < 0 ? error_errno(error, -errno, "%s", at) : 0;
}

static int begin_file(struct export_target *target, const char *path, const struct entry *entry,
                      uint64_t size, struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;
    const char *rest = behind_unit(folder, path);

    (void)size;
    free(folder->path);
    folder->path = NULL;
    folder->entry = entry;
    if (rest && !*rest) {
        int r = add_unit(folder, path, entry, error);
        if (r < 0)
            return r;
    }
    folder->path = place(folder, path);
    if (!folder->path)
        return error_errno(error, -ENOMEM, "%s", path);
    if (*rest)
        folder->fd =
            open(folder->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, export_mode(entry));
    return folder->fd < 0 ? error_errno(error, -errno, "%s", folder->path) : 0;
}

static int add_bytes(struct export_target *target, const void *bytes, size_t size,
                     struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;
    const char *from = bytes;

    while (size > 0) {
        ssize_t n = write(folder->fd, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(error, -errno, "%s", folder->path);
        from += n;
        size -= (size_t)n;
    }
    return 0;
}

static int end_file(struct export_target *target, struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, folder->entry->mtime};
    int r = 0;

    if (futimens(folder->fd, times) < 0 || fsync(folder->fd) < 0)
        r = -errno;
    if (close(folder->fd) < 0 && r == 0)
        r = -errno;
    folder->fd = -1;
    return r < 0 ? error_errno(error, r, "%s", folder->path) : 0;
}

static int commit_folder(struct export_target *target, struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;

    /* What stood there is removed in the end. It must not hold what cannot be. */
    for (size_t i = 0; i < folder->count; i++) {
        if (walk_tree(folder->units[i].final, false) < 0)
            return error_set(error, -EBUSY, "%s: something is mounted below it: umount it first",
                             folder->units[i].final);
    }
    for (size_t i = 0; i < folder->count; i++) {
        struct unit *unit = &folder->units[i];
        struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, unit->mtime};
        (void)utimensat(AT_FDCWD, unit->temporary, times, 0);
        /* What stood there gets the temporary name, and goes when the target is closed. */
        int r = renameat2(AT_FDCWD, unit->temporary, AT_FDCWD, unit->final, RENAME_EXCHANGE);
        if (r < 0 && errno == ENOENT) {
            r = renameat2(AT_FDCWD, unit->temporary, AT_FDCWD, unit->final, RENAME_NOREPLACE);
            if (r == 0) {
                free(unit->temporary);
                unit->temporary = NULL;
            }
        }
        if (r < 0)
            return error_errno(error, -errno, "%s", unit->final);
        folder->committed = true;
    }
    return 0;
}

int export_folder_open(const char *destination, int depth, struct export_target **ret_target,
                       struct error *error)
{
    struct folder_target *folder = calloc(1, sizeof(*folder));
    struct stat status;

    if (!folder)
        return error_errno(error, -ENOMEM, "%s", destination);
    folder->target = (struct export_target){add_folder, begin_file,    add_bytes,
                                            end_file,   commit_folder, close_folder};
    folder->fd = -1;
    folder->depth = depth;
    folder->destination = strdup(destination);
    int r = folder->destination ? 0 : -ENOMEM;
    if (r == 0) {
        folder->made_destination = mkdir(destination, 0755) == 0;
        if ((!folder->made_destination && errno != EEXIST) || stat(destination, &status) < 0)
            r = -errno;
        else if (!S_ISDIR(status.st_mode))
            r = -ENOTDIR;
    }
    if (r < 0) {
        close_folder(&folder->target);
        return error_errno(error, r, "%s", destination);
    }
    *ret_target = &folder->target;
    return 0;
}
