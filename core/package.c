#include "package_times.h"
#include "package_walk.h"

#include <addonfs/path.h>
#include <addonfs/pylit.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void package_free(struct package *package)
{
    if (!package)
        return;
    entry_unref(package->folder);
    problems_clear(&package->problems);
    free(package->version);
    free(package->failure_path);
    free(package->failure);
    free(package);
}

/* Split a destination: the folder it goes to, and its name there. */
static int split(const char *path, char **ret_parent, const char **ret_name)
{
    const char *slash = strrchr(path, '/');

    *ret_parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    *ret_name = slash ? slash + 1 : path;
    return *ret_parent ? 0 : -ENOMEM;
}

/* Put an entry at its rule's destination. `entry` is taken over. */
static int place(struct entry *root, const struct recipe_rule *rule, struct entry *entry_given,
                 struct error *error)
{
    cleanup_entry struct entry *entry = entry_given;
    cleanup_free char *parent = NULL;
    const char *name = NULL;
    struct entry *folder = NULL;

    if (rule->yields)
        entry->yields = true;
    int r = split(rule->destination, &parent, &name);
    if (r == 0)
        r = entry_make_folders(root, parent, root->owner, &folder);
    /* A file stands where the folder has to be: that name is what both want. */
    if (r == -ENOTDIR) {
        char first[NAME_MAX + 1];
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(rule->destination, "/"),
                 rule->destination);
        struct entry *other = entry_new_folder(first, root->owner);
        if (!other || !(other->path = strdup(rule->source)))
            entry_unref(other);
        else
            return entry_insert(root, other) < 0 ? error_errno(error, -ENOMEM, "%s", name) : 0;
        r = -ENOMEM;
    }
    if (r == 0)
        r = entry_insert(folder, steal_pointer(&entry));
    return r < 0 ? error_errno(error, r, "%s", rule->destination) : 0;
}

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
    } else {
        member->file = file_ref(entry->file);
        /* Git's rule for the bit, and not that of the folders above. */
        member->executable = (entry->file->owner.mode & S_IXUSR) != 0;
        make_private(flatten, &entry->owner);
        take_later(flatten, entry->file->mtime);
    }
    flatten->count++;
    if (!member->file && (!member->path || !member->failure))
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

static struct bundle *make_bundle(struct flatten *flatten, const struct entry *tree,
                                  const char *prefix)
{
    size_t at = 0;

    flatten->prefix_size = strlen(prefix);
    memcpy(flatten->prefix, prefix, flatten->prefix_size);
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

/* A tree becomes a zip of its files; the last one if its tree is the same. */
static int make_zip(const struct origin *origin, const struct recipe_rule *rule, struct entry *last,
                    struct entry **entry, struct error *error)
{
    struct flatten flatten = {0};
    cleanup_bundle struct bundle *bundle = NULL;
    const char *slash = strrchr(rule->destination, '/');
    const char *name = slash ? slash + 1 : rule->destination;
    struct entry *zip = NULL;

    /* The folder itself cannot be listed. */
    if ((*entry)->failure) {
        zip = entry_new_failed(ENTRY_FILE, name, (*entry)->path, (*entry)->failure);
    } else if (last && last->tree == *entry && !bundle_heals(last->bundle, origin)) {
        zip = entry_new_zip(name, last->bundle, last->owner);
        if (zip)
            zip->mtime = last->mtime;
    } else {
        bundle = make_bundle(&flatten, *entry, rule->prefix);
        if (bundle)
            zip = entry_new_zip(name, bundle, zip_owner(&flatten));
        if (zip)
            zip->mtime = flatten.newest;
    }
    if (!zip || (!zip->path && !(zip->path = strdup(rule->source)))) {
        entry_unref(zip);
        return error_errno(error, -ENOMEM, "%s", rule->destination);
    }
    zip->tree = *entry;
    *entry = zip;
    return 0;
}

/* What stood at the rule's destination the last time, or NULL. */
static struct entry *last_of(struct entry *last, const struct recipe_rule *rule)
{
    struct entry *found = NULL;

    if (!last || entry_find(last, rule->destination, &found) < 0)
        return NULL;
    if (rule->kind == RECIPE_ZIP)
        return found->kind == ENTRY_ZIP && found->tree ? found : NULL;
    return rule->kind == RECIPE_TREE && found->kind == ENTRY_FOLDER ? found : NULL;
}

static int apply_rule(struct walk *walk, const struct recipe_rule *rule, struct entry *last_package,
                      struct error *error)
{
    struct package *package = walk->package;
    cleanup_free char *affects = NULL;
    const char *slash = strrchr(rule->destination, '/');
    const char *name = slash ? slash + 1 : rule->destination;
    cleanup_entry struct entry *entry = NULL;
    int r;

    if (asprintf(&affects, "package/%s/%s%s%s", package->addon, package->version,
                 *rule->destination ? "/" : "", rule->destination) < 0) {
        affects = NULL;
        return error_errno(error, -ENOMEM, "%s", rule->source);
    }
    walk->affects = affects;
    struct entry *last = last_of(last_package, rule);
    struct entry *last_tree = last && last->tree ? last->tree : last;
    if (rule->kind == RECIPE_FILE)
        r = walk_file(walk, rule->source, name, &entry, error);
    else
        r = walk_folder(walk, rule->source, name, rule->top, rule->below, last_tree, &entry, error);
    if (r == 0 && rule->kind == RECIPE_ZIP)
        r = make_zip(walk->origin, rule, last, &entry, error);
    if (r < 0)
        return r;
    if (rule->kind == RECIPE_TREE && *rule->destination == '\0' && !entry->failure) {
        for (size_t i = 0; i < entry->count; i++) {
            if (entry_insert(package->folder, entry_ref(entry->children[i])) < 0)
                return error_errno(error, -ENOMEM, "%s", rule->source);
        }
        return 0;
    }
    /* The package's own folder cannot be filled: then it is not to be listed at all. */
    if (*rule->destination == '\0') {
        free(package->folder->failure);
        free(package->folder->path);
        package->folder->failure = steal_pointer(&entry->failure);
        package->folder->path = steal_pointer(&entry->path);
        return package->folder->failure ? 0 : error_errno(error, -ENOMEM, "%s", rule->source);
    }
    return place(package->folder, rule, steal_pointer(&entry), error);
}

static int fail(struct package *package, const char *path, const char *why, struct error *error)
{
    package->failure_path = strdup(path);
    package->failure = strdup(error_reason(why, path));
    return package->failure_path && package->failure ? 0 : error_errno(error, -ENOMEM, "%s", path);
}

/* Read the version; one that cannot be had fails the package. */
static int read_version(const struct origin *origin, const struct recipe_addon *addon,
                        struct package *package, struct error *error)
{
    struct source_entry *found = NULL;
    cleanup_content struct content *content = NULL;
    cleanup_free char *text = NULL;
    cleanup_free char *version = NULL;
    struct error why = {0};

    int r = source_find(origin->source, addon->version_file, NULL, &found, &why);
    if (r == 0 && found->kind != SOURCE_FILE)
        r = error_set(&why, -EIO, "%s: %s", addon->version_file,
                      found->reason ? found->reason : "is not a file");
    if (r == 0)
        r = source_read(found->file, origin->spool, CONTENT_MEMORY_LIMIT, &content, &why);
    if (r == 0 && content->size > CONTENT_MEMORY_LIMIT)
        r = error_set(&why, -EFBIG, "%s: too large to hold a version", addon->version_file);
    if (r == 0) {
        text = malloc((size_t)content->size + 1);
        if (!text || content_read(content, 0, text, (size_t)content->size) < 0)
            return error_errno(error, -ENOMEM, "%s", addon->version_file);
        r = pylit_string(text, (size_t)content->size, addon->version_file, addon->version_variable,
                         &version, &why);
    }
    if (r == 0 && !path_version_ok(version))
        r = error_set(&why, -EINVAL,
                      "%s: version \"%s\" is not allowed: letters, digits and . + - _ only, no "
                      "\"..\", at most 128 of them",
                      addon->version_file, version);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    if (r < 0)
        return fail(package, addon->version_file, why.text, error);
    package->version = steal_pointer(&version);
    return 0;
}

/*
 * With problems=skip a plain file that cannot be read is left out: that must be known beforehand.
 * `why` is room for the reasons, which must not be on the stack once for each folder.
 */
static int drop_unreadable(const struct origin *origin, struct package *package,
                           struct entry *folder, const char *affects, struct error *why,
                           struct error *error)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < folder->count; i++) {
        struct entry *child = folder->children[i];
        cleanup_free char *path = path_join(affects, child->name);
        uint64_t size;

        if (!path)
            r = -ENOMEM;
        if (r == 0 && child->kind == ENTRY_FOLDER && !child->failure)
            r = drop_unreadable(origin, package, child, path, why, error);
        int readable = 0;
        if (r == 0 && child->failure)
            readable = error_set(why, -EIO, "%s: %s", child->path, child->failure);
        else if (r == 0 && child->kind == ENTRY_FILE)
            readable = source_measure(child->file, origin->spool, &size, why);
        if (readable < 0 && error_is_transient(readable))
            r = readable;
        if (r == 0 && readable < 0) {
            const char *reason = error_reason(why->text, child->path);
            r = problems_add(&package->problems, child->path, reason, true, path);
            package->retry = package->retry || !child->failure;
            entry_unref(child);
            continue;
        }
        folder->children[kept++] = child;
    }
    folder->count = kept;
    return r < 0 ? error_errno(error, r, "%s", affects) : 0;
}

/* Make the package's folder, whose version is known. */
static int fill(struct walk *walk, const struct recipe_addon *addon, struct entry *last,
                struct error *error)
{
    const struct origin *origin = walk->origin;
    struct package *package = walk->package;
    struct source_owner ours = {0555, geteuid(), getegid()};
    int r = 0;

    package->folder = entry_new_folder(package->version, ours);
    if (!package->folder)
        return error_errno(error, -ENOMEM, "%s", addon->name);
    for (size_t i = 0; r == 0 && i < addon->rule_count; i++) {
        const struct recipe_rule *rule = &addon->rules[i];
        /* Entries that are served belong to their path; the trees of zips are not served. */
        bool same_paths = last && strcmp(last->name, package->version) == 0;
        bool renews = !origin->skip_problems && (same_paths || rule->kind == RECIPE_ZIP);
        r = apply_rule(walk, rule, renews ? last : NULL, error);
    }
    if (r == 0 && origin->skip_problems) {
        cleanup_free char *affects = NULL;
        if (asprintf(&affects, "package/%s/%s", addon->name, package->version) < 0) {
            affects = NULL;
            return error_errno(error, -ENOMEM, "%s", addon->name);
        }
        r = drop_unreadable(origin, package, package->folder, affects, &walk->why, error);
    }
    if (r == 0 && source_commit(origin->source))
        r = package_set_times(origin, package, error);
    return r;
}

int package_build(const struct origin *origin, const struct recipe_addon *addon, struct entry *last,
                  struct package **ret_package, struct error *error)
{
    cleanup_package struct package *package = calloc(1, sizeof(*package));
    struct walk walk = {.origin = origin, .package = package};
    struct error why = {0};

    if (!package)
        return error_errno(error, -ENOMEM, "%s", addon->name);
    package->addon = addon->name;
    int r = read_version(origin, addon, package, error);
    if (r == 0 && package->version) {
        r = fill(&walk, addon, last, &why);
        if (r < 0 && walk.excess) {
            free(package->version);
            package->version = NULL;
            entry_unref(package->folder);
            package->folder = NULL;
            r = fail(package, walk.excess, why.text, error);
        } else if (r < 0 && error) {
            *error = why;
        }
    }
    if (r == 0)
        *ret_package = steal_pointer(&package);
    return r;
}
