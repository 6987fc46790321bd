/* One name of a folder of the worktree: what it leads to now, and whether that is another. */
#include "source_worktree.h"

#include "source_file.h"
#include "source_link.h"

#include <addonfs/path.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Let the entry hold what `file` became. A failure that stays the same is no change. */
static void replace(struct source_entry *entry, struct file *file, bool *ret_changed)
{
    bool same = entry->file && entry->file->failure && file->failure &&
                strcmp(entry->file->failure, file->failure) == 0 &&
                entry->file->identity.inode == file->identity.inode;

    if (same) {
        file_unref(file);
        return;
    }
    file_unref(entry->file);
    entry->file = file;
    entry->kind = SOURCE_FILE;
    *ret_changed = true;
}

/* The entry's `written`, or that of what a link leads to, whose folder was asked for as well. */
static uint64_t written_of(const struct source *source, const struct source_entry *entry,
                           const char *real)
{
    const char *slash = strrchr(real, '/');
    cleanup_free char *parent = NULL;

    if (!entry->linked)
        return entry->written;
    parent = slash ? strndup(real, (size_t)(slash - real)) : strdup("");
    const struct source_folder *folder = parent ? source_known(source, parent) : NULL;
    const struct source_entry *target =
        folder ? folder_entry(folder, slash ? slash + 1 : real) : NULL;
    return target ? target->written : 0;
}

/* `status` is of what lies at `real`; it counts only if the entry has a file that can be read. */
static int look_at_file(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, const char *real, const struct stat *status,
                        bool *ret_changed, struct error *error)
{
    const struct resolve_root *root = &worktree_of(source)->root;
    uint64_t written = written_of(source, entry, real);
    cleanup_free char *path = NULL;
    struct file *file = NULL;

    if (entry->file && strcmp(entry->file->real, real) == 0 &&
        file_is_unchanged(root, entry->file, status, written)) {
        if (entry->file->identity.several)
            source_set_unsure(source, folder, true);
        return 0;
    }
    path = path_join(folder->path, entry->name);
    if (!path)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    int r = file_take(source, root, path, real, written, entry->file, &file, error);
    if (r < 0)
        return r;
    /* What it failed for may pass without the folder changing. */
    if (file->failure || file->identity.several)
        source_set_unsure(source, folder, true);
    if (file->identity.several && !(entry->file && entry->file->identity.several &&
                                    entry->file->identity.inode == file->identity.inode))
        worktree_of(source)->other_names = true;
    replace(entry, file, ret_changed);
    return 0;
}

/*
 * A linked folder's path may lead to another folder by now although it is the same text: one above
 * it was swapped where nobody could watch. Then nothing that was listed below it counts.
 */
static int compare_linked(struct source *source, const struct source_folder *folder,
                          const struct source_entry *entry, const struct stat *status,
                          struct error *error)
{
    cleanup_free char *path = path_join(folder->path, entry->name);

    if (!path)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    const struct source_folder *known = source_known(source, path);
    if (known && !known->failure &&
        (known->identity.device != status->st_dev || known->identity.inode != status->st_ino))
        source_mark(source, path, entry->real);
    return 0;
}

static int look_at_link(struct source *source, struct source_folder *folder,
                        struct source_entry *entry, bool *ret_changed, struct error *error)
{
    const struct link *link = NULL;
    const char *reason;
    char text[128];
    enum source_kind before = entry->kind;

    entry->linked = true;
    source_set_unsure(source, folder, true);
    int r = link_follow(&worktree_of(source)->links, &worktree_of(source)->root, folder->real,
                        entry->name, &link, error);
    if (r < 0)
        return r;
    if (link->code == 0 && S_ISREG(link->status.st_mode)) {
        if (before != SOURCE_FILE) {
            source_entry_forget(entry);
            entry->linked = true;
        }
        return look_at_file(source, folder, entry, link->real, &link->status, ret_changed, error);
    }
    if (link->code == 0 && S_ISDIR(link->status.st_mode)) {
        if (before == SOURCE_FOLDER && strcmp(entry->real, link->real) == 0)
            return compare_linked(source, folder, entry, &link->status, error);
        source_entry_forget(entry);
        entry->linked = true;
        entry->real = strdup(link->real);
        if (!entry->real)
            return error_errno(error, -ENOMEM, "%s", entry->name);
        entry->kind = SOURCE_FOLDER;
        *ret_changed = true;
        return 0;
    }
    if (link->code == 0)
        reason = "the link leads to what is neither a file nor a folder";
    else
        reason = link->reason ? link->reason : strerror_r(-link->code, text, sizeof(text));
    if (before == SOURCE_OTHER && strcmp(entry->reason, reason) == 0)
        return 0;
    source_entry_forget(entry);
    entry->linked = true;
    *ret_changed = true;
    return source_entry_reject(entry, error, "%s", reason);
}

static const char *kind_name(int type)
{
    switch (type) {
    case DT_FIFO:
        return "a FIFO";
    case DT_SOCK:
        return "a socket";
    case DT_CHR:
    case DT_BLK:
        return "a device";
    default:
        return "of an unknown kind";
    }
}

int worktree_compare(struct source *source, int directory, struct source_folder *folder,
                     struct source_entry *entry, bool *ret_changed, struct error *error)
{
    cleanup_free char *real = NULL;
    struct stat status;

    switch (entry->type) {
    case DT_DIR:
        entry->kind = SOURCE_FOLDER;
        return 0;
    case DT_LNK:
        return look_at_link(source, folder, entry, ret_changed, error);
    case DT_REG:
        break;
    default:
        return entry->kind == SOURCE_OTHER
                   ? 0
                   : source_entry_reject(entry, error, "is %s, not a file or a folder",
                                         kind_name(entry->type));
    }
    real = path_join(folder->real, entry->name);
    if (!real)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    /* Gone or of another kind since it was listed: file_take finds out and says so. */
    if (entry->file && !entry->file->failure &&
        fstatat(directory, entry->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        memset(&status, 0, sizeof(status));
    return look_at_file(source, folder, entry, real, &status, ret_changed, error);
}
