/*
 * Client folders
 *
 * What is in a client's zip is also shown unpacked. That are as many files as all the rest
 * together, each with a number and a time of its own, and for a revision the time is found in its
 * history. So such a folder is lazy: nothing is done for it before somebody looks into it. From
 * then on those of the live view are filled at once, so that each goes on from the one before.
 */
#include "generation_addons.h"
#include "generation_share.h"
#include "package_times.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* The times of new files. The source of a commit's tree is held by its files alone. */
static int set_times(const struct origin *given, struct entry *folder, struct error *error)
{
    cleanup_problems struct problems problems = {0};
    const struct file *file = entry_any_file(folder);
    struct origin origin = *given;
    bool retry = false;

    if (!file || !source_commit(file->source))
        return 0;
    origin.source = file->source;
    /* That a history cannot be read has been said of the zip. */
    return package_set_times(&origin, folder, folder->name, &problems, &retry, error);
}

static int copy(const struct entry *lazy, struct entry *last, struct entry **ret_folder,
                struct error *error)
{
    cleanup_entry struct entry *folder = entry_new_folder(lazy->name, lazy->owner);

    if (!folder || (lazy->path && !(folder->path = strdup(lazy->path))) ||
        entry_copy_tree(folder, lazy->tree, last) < 0)
        return error_errno(error, -ENOMEM, "%s", lazy->name);
    folder->mtime = lazy->mtime;
    *ret_folder = steal_pointer(&folder);
    return 0;
}

/* With problems=skip the zip leaves out what cannot be read, and so does its folder. */
static int drop_unreadable(const struct origin *origin, struct entry *folder, struct error *error)
{
    struct error why;
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < folder->count; i++) {
        struct entry *child = folder->children[i];
        uint64_t size;
        int readable = child->failure ? -EIO : 0;
        if (r == 0 && child->kind == ENTRY_FOLDER && !child->failure)
            r = drop_unreadable(origin, child, error);
        /* What is compressed could be read. */
        if (r == 0 && child->kind == ENTRY_FILE && !child->failure &&
            !atomic_load(&child->file->member))
            readable = source_measure(child->file, origin->spool, &size, &why);
        if (readable < 0 && error_is_transient(readable))
            r = error_set(error, readable, "%s", why.text);
        if (r == 0 && readable < 0)
            entry_unref(child);
        else
            folder->children[kept++] = child;
    }
    folder->count = kept;
    return r;
}

int generation_make_client(const struct generation_maker *maker, struct entry *lazy,
                           struct entry *last, struct entry **ret_folder, struct error *error)
{
    cleanup_entry struct entry *folder = NULL;

    /* What was left out may be there by now: no part of the last one is taken as it is. */
    int r = copy(lazy, maker->origin->skip_problems ? NULL : last, &folder, error);
    if (r == 0 && maker->origin->skip_problems)
        r = drop_unreadable(maker->origin, folder, error);
    if (r == 0)
        r = set_times(maker->origin, folder, error);
    if (r == 0)
        *ret_folder = steal_pointer(&folder);
    return r;
}

int generation_time(const struct origin *origin, struct entry *lazy, struct error *error)
{
    cleanup_entry struct entry *folder = NULL;
    const struct file *file = entry_any_file(lazy->tree);

    if (!file || !source_commit(file->source))
        return 0;
    int r = copy(lazy, NULL, &folder, error);
    return r == 0 ? set_times(origin, folder, error) : r;
}

int generation_fill(const struct generation_maker *maker, struct entry *lazy, const char *path,
                    struct error *error)
{
    const struct share share = {maker->origin, maker->next_number, maker->vanished};
    cleanup_entry struct entry *folder = NULL;

    if (entry_filled(lazy) != lazy)
        return 0;
    int r = generation_make_client(maker, lazy, NULL, &folder, error);
    if (r < 0)
        return r;
    folder->number = lazy->number;
    for (size_t i = 0; i < folder->count; i++) {
        cleanup_free char *below = path_join(path, folder->children[i]->name);
        if (!below)
            return error_errno(error, -ENOMEM, "%s", path);
        folder->children[i] = generation_share(&share, NULL, folder->children[i], below);
    }
    atomic_store(&lazy->filled, steal_pointer(&folder));
    return 0;
}
