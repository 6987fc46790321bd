#include "export_target.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Each version folder is filled under a name with a leading dot beside its place, which an AYON
 * server passes over, and then exchanged with what stands there. One export may hold several
 * addons: they count one after the other, each whole.
 */
struct version {
    char *temporary;
    char *final;
    char *addon_folder;
    bool made_addon_folder;
    struct timespec mtime;
};

struct folder_target {
    struct export_target target;
    char *destination;
    bool made_destination;
    size_t count;
    struct version *versions;
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
        struct version *version = &folder->versions[i];
        if (version->temporary)
            (void)walk_tree(version->temporary, true);
        if (version->made_addon_folder && !folder->committed)
            (void)rmdir(version->addon_folder);
        free(version->temporary);
        free(version->final);
        free(version->addon_folder);
    }
    if (folder->made_destination && !folder->committed)
        (void)rmdir(folder->destination);
    free(folder->versions);
    free(folder->destination);
    free(folder->path);
    free(folder);
}

/* "<addon>/<version>": begin it under a temporary name. */
static int add_version(struct folder_target *folder, const char *path, const struct entry *entry,
                       struct error *error)
{
    const char *slash = strchr(path, '/');
    struct version *versions = reallocarray(folder->versions, folder->count + 1, sizeof(*versions));

    if (!versions)
        return error_errno(error, -ENOMEM, "%s", path);
    folder->versions = versions;
    struct version *version = &versions[folder->count++];
    *version = (struct version){.mtime = entry->mtime};
    if (asprintf(&version->addon_folder, "%s/%.*s", folder->destination, (int)(slash - path),
                 path) < 0)
        version->addon_folder = NULL;
    if (asprintf(&version->final, "%s/%s", folder->destination, path) < 0)
        version->final = NULL;
    if (!version->addon_folder || !version->final)
        return error_errno(error, -ENOMEM, "%s", path);
    version->made_addon_folder = mkdir(version->addon_folder, 0755) == 0;
    if (!version->made_addon_folder && errno != EEXIST)
        return error_errno(error, -errno, "%s", version->addon_folder);

    char *temporary = NULL;
    if (asprintf(&temporary, "%s/.%s.XXXXXX", version->addon_folder, slash + 1) < 0)
        return error_errno(error, -ENOMEM, "%s", path);
    if (!mkdtemp(temporary)) {
        int r = error_errno(error, -errno, "%s", temporary);
        free(temporary);
        return r;
    }
    version->temporary = temporary;
    /* mkdtemp makes it private; what it becomes is what the umask allows. */
    mode_t mask = umask(0);
    umask(mask);
    if (chmod(temporary, export_mode(entry) & ~mask) < 0)
        return error_errno(error, -errno, "%s", temporary);
    return 0;
}

/* Where "<addon>/<version>/…" is for now. */
static char *place(const struct folder_target *folder, const char *path)
{
    const char *slash = strchr(path, '/');
    const char *rest = slash ? strchr(slash + 1, '/') : NULL;
    char *result = NULL;

    if (!rest || folder->count == 0 ||
        asprintf(&result, "%s%s", folder->versions[folder->count - 1].temporary, rest) < 0)
        return NULL;
    return result;
}

static int add_folder(struct export_target *target, const char *path, const struct entry *entry,
                      struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;
    const char *slash = strchr(path, '/');
    cleanup_free char *at = NULL;

    if (!slash)
        return 0; /* the addon's folder: made with its version */
    if (!strchr(slash + 1, '/'))
        return add_version(folder, path, entry, error);
    at = place(folder, path);
    if (!at)
        return error_errno(error, -ENOMEM, "%s", path);
    return mkdir(at, export_mode(entry)) < 0 ? error_errno(error, -errno, "%s", at) : 0;
}

static int begin_file(struct export_target *target, const char *path, const struct entry *entry,
                      uint64_t size, struct error *error)
{
    struct folder_target *folder = (struct folder_target *)target;

    (void)size;
    free(folder->path);
    folder->path = place(folder, path);
    folder->entry = entry;
    if (!folder->path)
        return error_errno(error, -ENOMEM, "%s", path);
    folder->fd = open(folder->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, export_mode(entry));
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
        if (walk_tree(folder->versions[i].final, false) < 0)
            return error_set(error, -EBUSY, "%s: something is mounted below it: umount it first",
                             folder->versions[i].final);
    }
    for (size_t i = 0; i < folder->count; i++) {
        struct version *version = &folder->versions[i];
        struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, version->mtime};
        (void)utimensat(AT_FDCWD, version->temporary, times, 0);
        /* What stood there gets the temporary name, and goes when the target is closed. */
        int r = renameat2(AT_FDCWD, version->temporary, AT_FDCWD, version->final, RENAME_EXCHANGE);
        if (r < 0 && errno == ENOENT) {
            r = renameat2(AT_FDCWD, version->temporary, AT_FDCWD, version->final, RENAME_NOREPLACE);
            if (r == 0) {
                free(version->temporary);
                version->temporary = NULL;
            }
        }
        if (r < 0)
            return error_errno(error, -errno, "%s", version->final);
        folder->committed = true;
    }
    return 0;
}

int export_folder_open(const char *destination, struct export_target **ret_target,
                       struct error *error)
{
    struct folder_target *folder = calloc(1, sizeof(*folder));
    struct stat status;

    if (!folder)
        return error_errno(error, -ENOMEM, "%s", destination);
    folder->target = (struct export_target){add_folder, begin_file,    add_bytes,
                                            end_file,   commit_folder, close_folder};
    folder->fd = -1;
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
