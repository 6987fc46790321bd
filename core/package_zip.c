#include "package_zip.h"

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct flatten {
    struct bundle_member *members;
    size_t count;
    size_t capacity;
    char *names; /* one after the other, each NUL-terminated */
    size_t names_size;
    size_t names_capacity;
    char prefix[PATH_MAX]; /* of the names in the current folder */
    size_t prefix_size;
    bool mixed_uid;
    bool mixed_gid;
    struct source_owner owner; /* the most private of all */
    struct timespec newest;    /* of files and folders */
};

static void take_later(struct flatten *flatten, struct timespec time)
{
    if (time.tv_sec > flatten->newest.tv_sec ||
        (time.tv_sec == flatten->newest.tv_sec && time.tv_nsec > flatten->newest.tv_nsec))
        flatten->newest = time;
}

static void make_private(struct flatten *flatten, const struct source_owner *owner)
{
    if (flatten->count == 0) {
        flatten->owner = *owner;
        flatten->owner.mode &= 0444;
        return;
    }
    flatten->mixed_uid = flatten->mixed_uid || flatten->owner.uid != owner->uid;
    flatten->mixed_gid = flatten->mixed_gid || flatten->owner.gid != owner->gid;
    flatten->owner.mode &= owner->mode;
}

/*
 * A zip is as private as its most private member. Where members have several owners or groups, the
 * zip is ours, and a class keeps its right only if no class of any member lacks it.
 */
static struct source_owner zip_owner(const struct flatten *flatten)
{
    struct source_owner owner = flatten->owner;

    if (flatten->count == 0)
        return (struct source_owner){0444, geteuid(), getegid()};
    if (flatten->mixed_gid && (owner.mode & 0044) != 0044)
        owner.mode &= 0400;
    if (flatten->mixed_uid && (owner.mode & 0444) != 0444)
        owner.mode = 0;
    if (flatten->mixed_uid) {
        owner.uid = geteuid();
        owner.mode |= 0400; /* we could read them all */
    }
    if (flatten->mixed_gid)
        owner.gid = getegid();
    return owner;
}

/* Room for `size` more of what has `*capacity` and `used`, or NULL without memory. */
static void *grow(void *array, size_t *capacity, size_t used, size_t more, size_t size)
{
    size_t room = *capacity ? *capacity : 256;

    while (room < used + more)
        room *= 2;
    if (room == *capacity)
        return array;
    void *grown = reallocarray(array, room, size);
    if (grown)
        *capacity = room;
    return grown;
}

/* The member `entry`, whose name is `flatten->prefix` and its own. */
static int append(struct flatten *flatten, const struct entry *entry)
{
    size_t length = strlen(entry->name);
    struct bundle_member *members =
        grow(flatten->members, &flatten->capacity, flatten->count, 1, sizeof(*flatten->members));
    if (members)
        flatten->members = members;
    char *names = grow(flatten->names, &flatten->names_capacity, flatten->names_size,
                       flatten->prefix_size + length + 1, 1);
    if (names)
        flatten->names = names;
    if (!members || !names)
        return -ENOMEM;
    struct bundle_member *member = &members[flatten->count];
    *member = (struct bundle_member){.name = NULL};
    if (entry->failure) {
        member->path = strdup(entry->path);
        member->failure = strdup(entry->failure);
    } else if (entry->kind == ENTRY_ZIP) {
        member->bundle = bundle_ref(entry->bundle);
        make_private(flatten, &entry->owner);
        take_later(flatten, entry->mtime);
    } else {
        member->file = file_ref(entry->file);
        /* Git's rule for the bit, and not that of the folders above. */
        member->executable = (entry->file->owner.mode & S_IXUSR) != 0;
        make_private(flatten, &entry->owner);
        take_later(flatten, entry->file->mtime);
    }
    flatten->count++;
    if (entry->failure && (!member->path || !member->failure))
        return -ENOMEM;
    memcpy(names + flatten->names_size, flatten->prefix, flatten->prefix_size);
    memcpy(names + flatten->names_size + flatten->prefix_size, entry->name, length + 1);
    flatten->names_size += flatten->prefix_size + length + 1;
    return 0;
}

static int flatten_folder(struct flatten *flatten, const struct entry *folder);

static int flatten_below(struct flatten *flatten, const struct entry *folder)
{
    size_t size = flatten->prefix_size;
    size_t length = strlen(folder->name);

    if (size + length + 1 > sizeof(flatten->prefix))
        return -ENAMETOOLONG;
    memcpy(flatten->prefix + size, folder->name, length);
    flatten->prefix[size + length] = '/';
    flatten->prefix_size = size + length + 1;
    int r = flatten_folder(flatten, folder);
    flatten->prefix_size = size;
    return r;
}

/* Does "folder/" come before `name`, or "name/" if that is a folder? Only where folder < name. */
static bool comes_first(const char *folder, const struct entry *next)
{
    size_t length = strlen(folder);

    return strncmp(folder, next->name, length) != 0 || next->name[length] > '/';
}

/*
 * Members in the order of their whole names, which is not quite that of the names in a folder: a
 * file "lib.py" comes before what is in the folder "lib". So a folder waits for such names; those
 * that wait begin with each other.
 */
static int flatten_folder(struct flatten *flatten, const struct entry *folder)
{
    cleanup_free const struct entry **waiting = calloc(folder->count + 1, sizeof(struct entry *));
    size_t count = 0;
    int r = waiting ? 0 : -ENOMEM;

    /* A name that has gone, or is another one, moves nothing but the time of its folder. */
    take_later(flatten, folder->mtime);
    for (size_t i = 0; r == 0 && i <= folder->count; i++) {
        const struct entry *child = i < folder->count ? folder->children[i] : NULL;
        while (r == 0 && count > 0 && (!child || comes_first(waiting[count - 1]->name, child)))
            r = flatten_below(flatten, waiting[--count]);
        if (r < 0 || !child)
            break;
        if (child->kind == ENTRY_FOLDER && !child->failure)
            waiting[count++] = child;
        else
            r = append(flatten, child);
    }
    return r;
}

static struct bundle *make_bundle(struct flatten *flatten, const struct entry *tree)
{
    size_t at = 0;

    if (flatten_folder(flatten, tree) < 0) {
        bundle_members_free(flatten->members, flatten->count);
        free(flatten->names);
        return NULL;
    }
    /* Now that the pool moves no more. */
    for (size_t i = 0; i < flatten->count; i++) {
        flatten->members[i].name = flatten->names + at;
        at += strlen(flatten->names + at) + 1;
    }
    return bundle_new(flatten->members, flatten->count, flatten->names);
}

int package_zip(const struct origin *origin, struct entry *tree, const char *name,
                struct entry *last, struct entry **ret_zip)
{
    struct flatten flatten = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    struct entry *zip = NULL;

    if (tree->failure) {
        zip = entry_new_failed(ENTRY_FILE, name, tree->path, tree->failure);
    } else if (last && last->tree == tree && !bundle_heals(last->bundle, origin)) {
        zip = entry_new_zip(name, last->bundle, last->owner);
        if (zip)
            zip->mtime = last->mtime;
    } else {
        bundle = make_bundle(&flatten, tree);
        if (bundle)
            zip = entry_new_zip(name, bundle, zip_owner(&flatten));
        if (zip)
            zip->mtime = flatten.newest;
    }
    if (!zip)
        return -ENOMEM;
    zip->tree = entry_ref(tree);
    *ret_zip = zip;
    return 0;
}
