#include "entry_parts.h"

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
size_t entry_position(const struct entry *folder, const char *name, bool *ret_found)
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
    size_t at = entry_position(folder, name, &found);

    return found ? folder->children[at] : NULL;
}

const struct file *entry_any_file(const struct entry *entry)
{
    const struct file *found = entry->kind == ENTRY_FILE && !entry->failure ? entry->file : NULL;

    for (size_t i = 0; i < entry->count && !found; i++)
        found = entry_any_file(entry->children[i]);
    return found;
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
        if (!below && entry->failure)
            *ret_entry = entry;
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
