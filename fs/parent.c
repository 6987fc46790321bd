#include "parent.h"

#include <string.h>

/* What is left of `path` without its last component. NULL without memory. */
static char *above(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? strndup(path, (size_t)(slash - path)) : strdup("");
}

/* The number of a folder of names. */
static uint64_t number_of_names(const struct filesystem *filesystem, const char *path)
{
    cleanup_view_name struct view_name name = {.target = NULL};

    if (*path == '\0')
        return FUSE_ROOT_ID;
    view_folder(filesystem->view, path, &name);
    return name.number ? name.number : NUMBER_UNKNOWN;
}

static uint64_t above_live(const struct filesystem *filesystem, const struct handle *handle)
{
    cleanup_free char *path = above(handle->inode->path);
    struct entry *entry = NULL;

    if (path && strcmp(path, filesystem->root) == 0)
        return FUSE_ROOT_ID;
    return path && handle->generation && entry_find(handle->generation->root, path, &entry) == 0
               ? entry->number
               : NUMBER_UNKNOWN;
}

/* The folder below `folder` that holds `entry`, or NULL. Trees have few folders. */
static const struct entry *holder_of(const struct entry *folder, const struct entry *entry)
{
    const struct entry *holder = NULL;

    for (size_t i = 0; i < folder->count && !holder; i++) {
        const struct entry *child = entry_filled(folder->children[i]);
        if (child == entry)
            holder = folder;
        else if (child->kind == ENTRY_FOLDER)
            holder = holder_of(child, entry);
    }
    return holder;
}

static uint64_t above_frozen(const struct filesystem *filesystem, const struct inode *inode)
{
    const struct generation *tree = inode->generation;

    if (inode->entry != tree->root) {
        const struct entry *holder = holder_of(tree->root, inode->entry);
        return holder ? holder->number : NUMBER_UNKNOWN;
    }
    /* That of a commit is called after it. */
    bool commit = tree->commit && strcmp(tree->commit, tree->id) == 0;
    return number_of_names(filesystem, commit ? "commits" : "snapshots");
}

uint64_t parent_number(const struct filesystem *filesystem, const struct handle *handle)
{
    const struct inode *inode = handle->inode;

    switch (inode->kind) {
    case INODE_FOLDER:
        return inode->number == FUSE_ROOT_ID ? FUSE_ROOT_ID : above_live(filesystem, handle);
    case INODE_FROZEN:
        return above_frozen(filesystem, inode);
    case INODE_NAMES: {
        cleanup_free char *path = above(inode->path);
        return path ? number_of_names(filesystem, path) : NUMBER_UNKNOWN;
    }
    default:
        return FUSE_ROOT_ID;
    }
}
