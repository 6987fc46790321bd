#include <addonfs/entry.h>

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct entry *entry_new(enum entry_kind kind, const char *name)
{
    struct entry *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return NULL;
    atomic_init(&entry->references, 1);
    entry->kind = kind;
    pthread_mutex_init(&entry->making, NULL);
    pthread_mutex_init(&entry->body_lock, NULL);
    entry->name = strdup(name);
    if (!entry->name) {
        entry_unref(entry);
        return NULL;
    }
    return entry;
}

struct entry *entry_ref(struct entry *entry)
{
    atomic_fetch_add(&entry->references, 1);
    return entry;
}

void entry_unref(struct entry *entry)
{
    if (!entry || atomic_fetch_sub(&entry->references, 1) > 1)
        return;
    for (size_t i = 0; i < entry->count; i++)
        entry_unref(entry->children[i]);
    free(entry->children);
    entry_unref(entry->before);
    entry_unref(entry->tree);
    entry_unref(atomic_load(&entry->filled));
    bundle_unref(entry->bundle);
    body_unref(entry->body);
    body_unref(entry->earlier);
    pthread_mutex_destroy(&entry->body_lock);
    pthread_mutex_destroy(&entry->making);
    free(entry->name);
    if (!entry->file || entry->path != entry->file->path)
        free(entry->path);
    file_unref(entry->file);
    free(entry->failure);
    free(entry);
}

struct entry *entry_new_folder(const char *name, struct source_owner owner)
{
    struct entry *entry = entry_new(ENTRY_FOLDER, name);

    if (entry)
        entry->owner = owner;
    return entry;
}

struct entry *entry_new_file(const char *name, struct file *file)
{
    cleanup_entry struct entry *entry = entry_new(ENTRY_FILE, name);

    if (!entry)
        return NULL;
    entry->file = file_ref(file);
    entry->owner = file->owner;
    entry->mtime = file->mtime;
    entry->path = file->path;
    if (file->failure && !(entry->failure = strdup(file->failure)))
        return NULL;
    return steal_pointer(&entry);
}

struct entry *entry_new_zip(const char *name, struct bundle *bundle, struct source_owner owner)
{
    struct entry *entry = entry_new(ENTRY_ZIP, name);

    if (!entry)
        return NULL;
    entry->bundle = bundle_ref(bundle);
    entry->owner = owner;
    return entry;
}

struct entry *entry_new_failed(enum entry_kind kind, const char *name, const char *path,
                               const char *failure)
{
    cleanup_entry struct entry *entry = entry_new(kind, name);

    if (!entry)
        return NULL;
    entry->owner = (struct source_owner){kind == ENTRY_FOLDER ? 0555 : 0444, geteuid(), getegid()};
    entry->path = strdup(path);
    entry->failure = strdup(failure);
    return entry->path && entry->failure ? steal_pointer(&entry) : NULL;
}

struct entry *entry_new_lazy(const char *name, struct entry *tree)
{
    cleanup_entry struct entry *entry = entry_new_folder(name, tree->owner);

    if (!entry || (tree->path && !(entry->path = strdup(tree->path))))
        return NULL;
    entry->tree = entry_ref(tree);
    entry->lazy = true;
    return steal_pointer(&entry);
}

struct entry *entry_filled(struct entry *entry)
{
    struct entry *filled = entry->lazy ? atomic_load(&entry->filled) : NULL;

    return filled ? filled : entry;
}

int entry_fail(struct entry *folder, const char *path, const char *failure)
{
    if (folder->failure)
        return 0;
    if (!folder->path && !(folder->path = strdup(path)))
        return -ENOMEM;
    folder->failure = strdup(failure);
    return folder->failure ? 0 : -ENOMEM;
}

/* Where `name` is among the children, or where it would be. */
static size_t position(const struct entry *folder, const char *name, bool *ret_found)
{
    size_t low = 0;
    size_t high = folder->count;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(folder->children[middle]->name, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct entry *entry_child(const struct entry *folder, const char *name)
{
    bool found;
    size_t at = position(folder, name, &found);

    return found ? folder->children[at] : NULL;
}

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
    size_t at = position(folder, name, &found);

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
    size_t at = position(folder, child->name, &found);

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
        struct entry **slot = &folder->children[position(folder, name, &found)];
        if (own(slot) < 0)
            return -ENOMEM;
        folder = *slot;
        path += length + strspn(path + length, "/");
    }
    *ret_folder = folder;
    return 0;
}

int entry_find(struct entry *root, const char *path, struct entry **ret_entry)
{
    struct entry *entry = root;

    while (*path) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        if (entry->kind != ENTRY_FOLDER)
            return -ENOTDIR;
        memcpy(name, path, length);
        name[length] = '\0';
        struct entry *below = entry_child(entry, name);
        if (!below)
            return entry->failure ? -EIO : -ENOENT;
        entry = entry_filled(below);
        if (entry->lazy)
            break;
        path += length + strspn(path + length, "/");
    }
    *ret_entry = entry;
    return entry->lazy ? -EINPROGRESS : 0;
}

static int make_body(struct entry *entry, const struct origin *origin, uint64_t number,
                     struct body **ret_body, struct error *error)
{
    char *text = NULL;

    if (!entry->failure)
        return entry->kind == ENTRY_ZIP
                   ? body_of_zip(entry->bundle, origin, number, ret_body, error)
                   : body_of_file(entry->file, origin, number, ret_body, error);
    if (asprintf(&text, "%s: %s", entry->path, entry->failure) < 0)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    *ret_body = body_unreadable(number, text);
    free(text);
    return *ret_body ? 0 : error_errno(error, -ENOMEM, "%s", entry->name);
}

/*
 * Take the new body, unless it says or holds the same as one that there was; answer the one taken.
 * What the entry holds no more is for the caller to unref without the lock: a zip's
 * body takes its time.
 */
static struct body *take_body(struct entry *entry, struct body *made, struct body *gone[static 2])
{
    cleanup_lock(&entry->body_lock);
    struct body *earlier = entry->earlier;

    if (entry->body && body_failure(entry->body) && body_failure(made) &&
        strcmp(body_failure(made), body_failure(entry->body)) == 0) {
        gone[0] = made;
        return body_ref(entry->body);
    }
    if (earlier && !body_failure(made)) {
        entry->earlier = NULL;
        bool same = body_renew(earlier, made);
        /* An inode keeps its attributes, the kernel holds on to them: others are another inode. */
        if (same && entry->other_owner)
            body_set_mtime(made, body_mtime(earlier));
        gone[0] = same && !entry->other_owner ? made : earlier;
        made = same && !entry->other_owner ? earlier : made;
    }
    gone[1] = entry->body;
    entry->body = made;
    return body_ref(made);
}

/*
 * The last body, unless it may be another by now. A failed entry cannot heal; what only could not
 * be read may: an object that is fetched, say.
 */
static struct body *lasting_body(struct entry *entry)
{
    cleanup_lock(&entry->body_lock);
    struct body *body = entry->body;

    bool lasts = body && (!body_failure(body) || entry->failure) && !body_is_outdated(body);
    return lasts ? body_ref(body) : NULL;
}

int entry_body(struct entry *entry, const struct origin *origin, _Atomic uint64_t *next_number,
               struct body **ret_body, struct error *error)
{
    struct body *gone[2] = {NULL, NULL};
    struct body *body = lasting_body(entry);

    if (body) {
        *ret_body = body;
        return 0;
    }
    int r = origin_lock(origin, &entry->making);
    if (r < 0)
        return error_errno(error, r, "%s", entry->name);
    __attribute__((cleanup(cleanup_unlock_scope), unused)) pthread_mutex_t *held = &entry->making;
    /* Another thread may have made it meanwhile; but none makes one now. */
    body = lasting_body(entry);
    if (!body) {
        uint64_t number = entry->body ? atomic_fetch_add(next_number, 1) : entry->number;
        r = make_body(entry, origin, number, &body, error);
        if (r < 0)
            return r;
        body_set_mtime(body, entry->mtime);
        body = take_body(entry, body, gone);
    }
    body_unref(gone[0]);
    body_unref(gone[1]);
    *ret_body = body;
    return 0;
}

uint64_t entry_number(struct entry *entry)
{
    cleanup_lock(&entry->body_lock);

    return entry->body ? body_number(entry->body) : entry->number;
}

void entry_succeed(struct entry *next, struct entry *last)
{
    cleanup_lock(&last->body_lock);
    bool has_own = last->body && !body_failure(last->body);
    struct body *earlier = has_own ? last->body : last->earlier;

    if (earlier)
        next->earlier = body_ref(earlier);
    next->other_owner = (!has_own && last->other_owner) || last->owner.mode != next->owner.mode ||
                        last->owner.uid != next->owner.uid || last->owner.gid != next->owner.gid;
}
