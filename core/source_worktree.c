#include "source_worktree.h"

#include "source_acl.h"
#include "source_file.h"
#include "source_link.h"
#include "source_listing.h"
#include "stamp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

/*
 * What is compared at a look
 *
 * With a watch, the folders that events have named. Apart from these what is `unsure`: links,
 * because what is behind a link changes elsewhere; files that cannot be read, because what they
 * failed for may be elsewhere too; files with several names, because a write through another one
 * is an event of that one's folder; and folders that cannot be listed, which have no watch. Of a
 * folder that holds such an entry it is these entries alone. Without a watch (polling) it is every
 * folder.
 *
 * A file that gets another name elsewhere has another ctime, and no event of its folder tells. So
 * where a name comes that is not its file's only one, everything is compared once, and the file is
 * `unsure` from then on; that holds for names that are not asked for, too, in the folders that are.
 * If the other name is somewhere else, the file is `suspected` when it is read (source_read), and
 * its folder compared at the next look.
 */

static int look(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error)
{
    bool changed = false;

    return worktree_compare(source, -1, folder, entry, &changed, error);
}

static bool is_same_listing(const struct source_folder *folder, const struct stat *status)
{
    return folder->identity.trusted && folder->identity.device == status->st_dev &&
           folder->identity.inode == status->st_ino &&
           stamp_times_are_same(folder->identity.modification, status->st_mtim) &&
           stamp_times_are_same(folder->identity.change, status->st_ctim);
}

/*
 * Names that nobody has asked for, such as those that a filter drops: is one of them a file's that
 * has others? At the first look every file is new, and tells itself.
 */
static void look_for_other_names(struct source *source, struct source_folder *folder, int fd)
{
    struct worktree *worktree = worktree_of(source);

    for (size_t i = 0; worktree->watch && source->look > 1 && i < folder->count; i++) {
        struct source_entry *entry = &folder->entries[i];
        struct stat status;
        if (entry->kind != SOURCE_UNSEEN || entry->type != DT_REG ||
            fstatat(fd, entry->name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_nlink < 2 ||
            status.st_ino == entry->several)
            continue;
        entry->several = status.st_ino;
        worktree->other_names = true;
    }
}

static int list(struct source *source, struct source_folder *folder, int fd, bool *ret_changed)
{
    struct stat status;
    int r = 0;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (*folder->path != '\0' && resolve_is_git(&worktree_of(source)->root, &status))
        return -EPERM;
    if (!is_same_listing(folder, &status)) {
        bool trusted = stamp_is_old(status.st_ctim);
        mode_t denied = acl_denied(fd, status.st_mode);
        r = listing_read(fd, folder, ret_changed);
        if (r < 0)
            return r;
        folder->identity.device = status.st_dev;
        folder->identity.inode = status.st_ino;
        folder->identity.modification = status.st_mtim;
        folder->identity.change = status.st_ctim;
        folder->identity.denied = denied;
        folder->identity.trusted = trusted;
    }
    look_for_other_names(source, folder, fd);
    if (folder_own(source, folder, file_owner_of(&status, folder->identity.denied)))
        *ret_changed = true;
    if (folder->failure) {
        folder->failure = 0;
        *ret_changed = true;
    }
    return 0;
}

static void unwatch(struct source *source, struct source_folder *folder)
{
    struct worktree *worktree = worktree_of(source);

    if (worktree->watch)
        watch_remove(worktree->watch, folder);
    folder->watched = 0;
}

/* Compare everything from now on. */
static void watch_no_more(struct source *source, const char *warning)
{
    struct worktree *worktree = worktree_of(source);

    watch_free(worktree->watch);
    worktree->watch = NULL;
    atomic_store(&source->warning, warning);
    source->poll = true;
}

/* Before it is listed: what happens from now on is told. */
static int watch(struct source *source, struct source_folder *folder, int fd)
{
    struct worktree *worktree = worktree_of(source);
    int r = worktree->watch ? watch_add(worktree->watch, folder, fd) : 0;

    if (r == -ENOMEM)
        return r;
    if (r == -ENOSPC)
        watch_no_more(source, "more folders than inotify watches (sysctl "
                              "fs.inotify.max_user_watches)" WATCH_COMPARES);
    else if (r < 0)
        watch_no_more(source, "inotify does not work here" WATCH_COMPARES);
    return 0;
}

static int load(struct source *source, struct source_folder *folder, bool *ret_changed,
                struct error *error)
{
    cleanup_fd int fd =
        resolve_open(&worktree_of(source)->root, folder->real, O_RDONLY | O_DIRECTORY);
    int r = fd < 0 ? fd : watch(source, folder, fd);

    source_set_unsure(source, folder, false);
    if (r == 0)
        r = list(source, folder, fd, ret_changed);
    for (size_t i = 0; r == 0 && i < folder->count; i++) {
        struct source_entry *entry = &folder->entries[i];
        if (entry->kind != SOURCE_UNSEEN)
            r = worktree_compare(source, fd, folder, entry, ret_changed, error);
    }
    if (r == 0)
        return 0;
    unwatch(source, folder);
    source_set_unsure(source, folder, true);
    if (error_is_transient(r) && r != -ESTALE)
        return error_errno(error, r, "%s", folder->path);

    struct error why;
    if (r == -EXDEV)
        error_set(&why, r, "%s: " RESOLVE_MOUNT ", which is not entered", folder->path);
    else if (r == -EPERM)
        error_set(&why, r, "%s: Git's own folder, which is never shown", folder->path);
    else
        error_errno(&why, r, "%s", *folder->path ? folder->path : source_path(source));
    if (folder_fail(folder, r, &why))
        *ret_changed = true;
    return 0;
}

static int load_unsure(struct source *source, struct source_folder *folder, bool *ret_changed,
                       struct error *error)
{
    cleanup_fd int fd = -1;
    int r = 0;

    source_set_unsure(source, folder, false);
    for (size_t i = 0; r == 0 && i < folder->count; i++) {
        struct source_entry *entry = &folder->entries[i];
        bool several = entry->file && entry->file->identity.several;
        if (!entry->linked && !several && !(entry->file && entry->file->failure))
            continue;
        if (several && fd < 0)
            fd = resolve_open(&worktree_of(source)->root, folder->real, O_PATH | O_DIRECTORY);
        r = worktree_compare(source, fd, folder, entry, ret_changed, error);
    }
    if (r < 0)
        source_set_unsure(source, folder, true);
    return r;
}

static int hide_repository(struct source *source)
{
    const struct repository *repository = source->repository;

    return resolve_hide(&worktree_of(source)->root, source_path(source), repository->git_dir,
                        repository->common_dir);
}

/*
 * The source may be deleted and made again, as `git clone` into the same place does. Nothing is
 * shown before its repository is there, for whose folders are not to be shown must be known first.
 */
static int renew(struct source *source, struct error *error)
{
    struct worktree *worktree = worktree_of(source);
    int r = resolve_renew(&worktree->root, source_path(source));

    if (r == -ENOENT)
        return error_set(error, -EIO, "%s: the folder was deleted", source_path(source));
    if (r == -EPERM)
        return error_set(error, -EIO, "%s: the folder was deleted, and another user's is there now",
                         source_path(source));
    if (r < 0)
        return error_errno(error, r, "%s", source_path(source));
    worktree->is_new = worktree->is_new || r == 1;
    if (!worktree->is_new)
        return 0;
    r = hide_repository(source);
    if (r == -ENOTDIR)
        return error_set(error, -EIO,
                         "%s: no folder any more, as in a worktree of another repository: mount it "
                         "again",
                         source->repository->git_dir);
    if (r < 0)
        return error_errno(error, r, "%s", source->repository->git_dir);
    worktree->is_new = false;
    source_mark(source, "", "");
    return 0;
}

static int begin(struct source *source, struct error *error)
{
    struct worktree *worktree = worktree_of(source);
    struct watch_report report = {.look = source->look};

    link_forget_all(&worktree->links);
    if (!worktree->watch)
        return renew(source, error);
    int r = watch_drain(worktree->watch, &report);
    /* What was read until it failed is nowhere else. */
    if (report.all || worktree->other_names)
        source_mark(source, "", "");
    else if (report.moved.count > 0)
        source_mark_below(source, &report.moved);
    worktree->other_names = false;
    map_clear(&report.moved, NULL);
    source->pending = source->pending || report.any;
    if (r < 0)
        watch_no_more(source, "inotify does not work here" WATCH_COMPARES);
    return renew(source, error);
}

static int await(struct source *source, struct source_wait *ret_wait)
{
    const struct worktree *worktree = worktree_of(source);

    if (!worktree->watch)
        return 0;
    int fd = watch_descriptor(worktree->watch, &ret_wait->inner);
    ret_wait->fd = fd < 0 ? -1 : fd;
    return fd < 0 ? fd : 0;
}

static bool tells_all(const struct source *source)
{
    const struct worktree *worktree = worktree_of(source);

    /* Nothing tells that a folder comes to where there is none. */
    return worktree->watch && source->unsure == 0 && !worktree->root.is_away && !worktree->is_new;
}

static int read_file(struct source *source, const struct file *file, struct spool *spool,
                     size_t memory_limit, struct content **ret_content, struct error *error)
{
    return file_read(&worktree_of(source)->root, file, spool, memory_limit, ret_content, error);
}

static void close_worktree(struct source *source)
{
    struct worktree *worktree = source->state;

    if (!worktree)
        return;
    link_forget_all(&worktree->links);
    watch_free(worktree->watch);
    close(worktree->root.fd);
    free(worktree);
}

int source_worktree_open(struct source *source, struct error *error)
{
    struct worktree *worktree = calloc(1, sizeof(*worktree));

    if (!worktree)
        return error_errno(error, -ENOMEM, "%s", source_path(source));
    source->state = worktree;
    int r = resolve_begin(&worktree->root, source_path(source));
    if (r < 0)
        return error_errno(error, r, "%s", source_path(source));
    r = hide_repository(source);
    if (r < 0)
        return error_errno(error, r, "%s", source->repository->git_dir);
    cleanup_fd int test = resolve_open(&worktree->root, "", O_PATH | O_DIRECTORY);
    if (test == -ENOSYS || test == -EPERM)
        return error_errno(error, test, "%s: openat2 is not allowed here (Linux 5.6 or later)",
                           source_path(source));
    if (test < 0)
        return error_errno(error, test, "%s", source_path(source));
    if (source->poll)
        return 0;
    const char *warning;
    worktree->watch = watch_new(test, source_path(source), &warning);
    if (!worktree->watch)
        watch_no_more(source, warning);
    return 0;
}

const struct source_backend source_worktree = {
    .begin = begin,
    .load = load,
    .load_unsure = load_unsure,
    .look = look,
    .read = read_file,
    .wait = await,
    .tells_all = tells_all,
    .forget = unwatch,
    .close = close_worktree,
};
