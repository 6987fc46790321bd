/* Trees of entries while they are built. */
#include "entry_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static int insert_at(struct entry *folder, size_t at, struct entry *child)
{
    if (folder->count == folder->capacity) {
        size_t capacity = folder->capacity ? 2 * folder->capacity : 8;
        struct entry **children = reallocarray(folder->children, capacity, sizeof(struct entry *));
        if (!children) {
            entry_unref(child);
            return -ENOMEM;
        }
        folder->children = children;
        folder->capacity = capacity;
    }
    memmove(&folder->children[at + 1], &folder->children[at],
            (folder->count - at) * sizeof(struct entry *));
    folder->children[at] = child;
    folder->count++;
    return 0;
}

struct entry *entry_copy_folder(const struct entry *folder)
{
    cleanup_entry struct entry *copy = entry_new_folder(folder->name, folder->owner);
    size_t room = folder->count > 0 ? folder->count : 1;

    if (!copy || (folder->path && !(copy->path = strdup(folder->path))))
        return NULL;
    copy->mtime = folder->mtime;
    copy->priority = folder->priority;
    copy->children = calloc(room, sizeof(struct entry *));
    if (!copy->children)
        return NULL;
    copy->capacity = room;
    for (; copy->count < folder->count; copy->count++)
        copy->children[copy->count] = entry_ref(folder->children[copy->count]);
    return steal_pointer(&copy);
}

bool entry_same_children(const struct entry *a, const struct entry *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = a->children[i] == b->children[i];
    return same;
}

/*
 * See that the folder in `slot` is nobody else's, so that it may be changed. From then on it is
 * more than one walk has made. 0 or -ENOMEM.
 */
static int own(struct entry **slot)
{
    struct entry *shared = *slot;

    if (atomic_load(&shared->references) == 1) {
        shared->whole = false;
        return 0;
    }
    *slot = entry_copy_folder(shared);
    if (!*slot) {
        *slot = shared;
        return -ENOMEM;
    }
    entry_unref(shared);
    return 0;
}

int entry_replace(struct entry *folder, const char *name, struct entry *child)
{
    bool found;
    size_t at = entry_position(folder, name, &found);

    if (!found)
        return child ? insert_at(folder, at, child) : 0;
    entry_unref(folder->children[at]);
    folder->children[at] = child;
    if (!child) {
        folder->count--;
        memmove(&folder->children[at], &folder->children[at + 1],
                (folder->count - at) * sizeof(struct entry *));
    }
    return 0;
}

/* Put the children of `from` into `into` as well. */
static int merge(struct entry *into, struct entry *from)
{
    int r = 0;

    for (size_t i = 0; i < from->count && r == 0; i++)
        r = entry_insert(into, entry_ref(from->children[i]));
    return r;
}

static int conflict(struct entry **slot, const struct entry *other)
{
    cleanup_free char *failure = NULL;
    struct entry *known = *slot;
    struct entry *failed;

    if (asprintf(&failure, "two sources for one path of the package: %s and %s",
                 known->path ? known->path : known->name,
                 other->path ? other->path : other->name) < 0) {
        failure = NULL;
        return -ENOMEM;
    }
    failed = entry_new_failed(known->kind == ENTRY_ZIP ? ENTRY_FILE : known->kind, known->name,
                              other->path ? other->path : other->name, failure);
    if (!failed)
        return -ENOMEM;
    failed->priority = known->priority;
    *slot = failed;
    entry_unref(known);
    return 0;
}

int entry_insert(struct entry *folder, struct entry *child_given)
{
    cleanup_entry struct entry *child = child_given;
    bool found;
    size_t at = entry_position(folder, child->name, &found);

    if (!found)
        return insert_at(folder, at, steal_pointer(&child));
    struct entry **slot = &folder->children[at];
    if ((*slot)->kind == ENTRY_FOLDER && child->kind == ENTRY_FOLDER && !(*slot)->failure &&
        !child->failure)
        return own(slot) < 0 ? -ENOMEM : merge(*slot, child);
    if (child->priority < (*slot)->priority)
        return 0;
    if (child->priority > (*slot)->priority) {
        entry_unref(*slot);
        *slot = steal_pointer(&child);
        return 0;
    }
    return conflict(slot, child);
}

/* A file or folder of the tree as it stands elsewhere. */
static struct entry *copy_child(struct entry *child, struct entry *last)
{
    struct entry *copy = NULL;

    if (child->failure) {
        copy = entry_new_failed(child->kind, child->name, child->path, child->failure);
    } else if (child->kind == ENTRY_FOLDER) {
        if (last && last->tree == child)
            return entry_ref(last);
        copy = entry_new_folder(child->name, child->owner);
        if (copy && ((child->path && !(copy->path = strdup(child->path))) ||
                     entry_copy_tree(copy, child, last) < 0)) {
            entry_unref(copy);
            copy = NULL;
        }
    } else if (child->file) {
        copy = entry_new_file(child->name, child->file);
    }
    if (copy) {
        copy->owner = child->owner;
        copy->mtime = child->mtime;
    }
    return copy;
}

int entry_copy_tree(struct entry *folder, struct entry *tree, struct entry *last)
{
    if (last && last->kind != ENTRY_FOLDER)
        last = NULL;
    if (tree->failure && entry_fail(folder, tree->path, tree->failure) < 0)
        return -ENOMEM;
    folder->children = calloc(tree->count > 0 ? tree->count : 1, sizeof(struct entry *));
    if (!folder->children)
        return -ENOMEM;
    folder->capacity = tree->count > 0 ? tree->count : 1;
    for (; folder->count < tree->count; folder->count++) {
        struct entry *child = tree->children[folder->count];
        struct entry *copy = copy_child(child, last ? entry_child(last, child->name) : NULL);
        if (!copy)
            return -ENOMEM;
        folder->children[folder->count] = copy;
    }
    folder->tree = entry_ref(tree);
    return 0;
}

int entry_make_folders(struct entry *folder, const char *path, struct source_owner owner,
                       struct entry **ret_folder)
{
    while (*path) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, length);
        name[length] = '\0';
        struct entry *below = entry_child(folder, name);
        if (!below) {
            below = entry_new_folder(name, owner);
            if (!below || entry_insert(folder, below) < 0)
                return -ENOMEM;
        }
        if (below->kind != ENTRY_FOLDER || below->failure)
            return -ENOTDIR;
        bool found;
        struct entry **slot = &folder->children[entry_position(folder, name, &found)];
        if (own(slot) < 0)
            return -ENOMEM;
        folder = *slot;
        path += length + strspn(path + length, "/");
    }
    *ret_folder = folder;
    return 0;
}
