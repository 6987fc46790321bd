#include "package_walk.h"

#include <addonfs/bundle_ahead.h>
#include <addonfs/path.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Who may read a file
 *
 * A file is protected by its own mode and by those of all folders it lies in. In the mount it may
 * stand in a folder of ours, so what its folders forbid is taken off its own mode: a class of users
 * (owner, group, others) of which anyone cannot search one of them loses its bits.
 *
 * Who is of one class for the file may be of another for the folder. Its owner is no owner of a
 * folder that belongs to someone else, and may be in that folder's group or not. Someone of its
 * group, or one of the others, may own the folder, or be in its group where that is another one. A
 * class keeps its bits only if whatever its users can be may search: on disk a mode of 0705 keeps
 * the group out although others may enter.
 */
struct chain {
    const struct chain *above; /* or NULL: it is the root */
    struct source_owner owner; /* of a folder */
};

static mode_t visible_mode(const struct source_owner *file, const struct chain *chain)
{
    mode_t mode = file->mode & 0555;

    for (; chain; chain = chain->above) {
        const struct source_owner *folder = &chain->owner;
        bool same_user = folder->uid == file->uid;
        bool same_group = folder->gid == file->gid;
        bool user = folder->mode & S_IXUSR;
        bool group = folder->mode & S_IXGRP;
        bool others = folder->mode & S_IXOTH;

        if (!(same_user ? user : group && others))
            mode &= ~(mode_t)0700;
        if (!(same_user || user) || !(same_group ? group : group && others))
            mode &= ~(mode_t)0070;
        if (!(same_user || user) || !(same_group || group) || !others)
            mode &= ~(mode_t)0007;
    }
    return mode;
}

/* The folders above `real`, of which the last is the one it lies in. NULL if it is the root. */
static int chain_above(struct walk *walk, const char *real, struct chain **ret_chain,
                       const struct chain **ret_last, struct error *error)
{
    cleanup_free struct source_owner *owners = NULL;
    size_t count = 0;

    int r = source_owners_above(walk->origin->source, real, &owners, &count, error);
    if (r < 0)
        return r;
    struct chain *chain = calloc(count + 1, sizeof(*chain));
    if (!chain)
        return error_errno(error, -ENOMEM, "%s", real);
    for (size_t i = 0; i < count; i++)
        chain[i] = (struct chain){i > 0 ? &chain[i - 1] : NULL, owners[i]};
    *ret_chain = chain;
    *ret_last = count > 0 ? &chain[count - 1] : NULL;
    return 0;
}

/*
 * A folder that is being walked, and those it lies in. The stack holds PACKAGE_DEPTH_LIMIT of them,
 * so nothing large (a struct error, a path) may be in the frames that go with them.
 */
struct level {
    const struct level *above;
    struct chain chain; /* this folder's, where it really is */
    unsigned depth;
    bool linked; /* a link led here */
    const char *path;
    const char *real;
    const struct match_filter *filter; /* for the names in it */
    const struct match_filter *below;  /* for those further down */
    struct entry *last;                /* what it was, or NULL */
    bool whole;                        /* see package_walk.h */
};

/* A link to a folder that holds the link would unfold for ever. */
static bool is_loop(const struct level *level, const char *real)
{
    for (; level; level = level->above) {
        if (path_is_within(level->real, real))
            return true;
    }
    return false;
}

/* There are `more` entries in the folder of `level`; `linked`: what links lead to. */
static int count(struct walk *walk, const struct level *level, bool linked, size_t more,
                 struct error *error)
{
    walk->entries += more;
    if (linked || level->linked)
        walk->linked += more;
    walk->excess = level->path;
    if (walk->entries > PACKAGE_ENTRY_LIMIT)
        return error_set(error, -EFBIG, "%s: the package has more than %zu files and folders",
                         walk->excess, PACKAGE_ENTRY_LIMIT);
    if (walk->total && (walk->total->entries += more) > walk->total->limit)
        return error_set(error, -EFBIG,
                         "%s: all packages together have more than %zu files and folders",
                         walk->excess, walk->total->limit);
    if (walk->linked > PACKAGE_LINK_LIMIT) {
        /* The folder is one of many that are the same: the link that they are all behind. */
        for (; level && level->linked; level = level->above)
            walk->excess = level->path;
        return error_set(error, -EFBIG, "%s: links lead to more than %zu files and folders",
                         walk->excess, PACKAGE_LINK_LIMIT);
    }
    walk->excess = NULL;
    return 0;
}

/* The folder that is begun with lists `names`, of which many may be left out. */
static int count_names(struct walk *walk, const struct level *level, size_t names,
                       struct error *error)
{
    walk->names += names;
    if (walk->names <= PACKAGE_NAME_LIMIT)
        return 0;
    walk->excess = level->path;
    return error_set(error, -EFBIG, "%s: the folders of the package list more than %zu names",
                     walk->excess, PACKAGE_NAME_LIMIT);
}

static bool leaves_no_trace(const struct walk *walk, const struct entry *entry)
{
    return entry->kind == ENTRY_FOLDER && entry->count == 0 && !entry->failure &&
           !walk->rule->empty_folders;
}

/* Is it one of the paths that the rule leaves out? -ENOMEM, else a truth value. */
static int is_without(const struct walk *walk, const char *folder, const char *name)
{
    const char *const *without = walk->rule->without;

    if (!without)
        return 0;
    cleanup_free char *path = path_join(folder + walk->root_length, name);
    if (!path)
        return -ENOMEM;
    const char *below = *path == '/' ? path + 1 : path;
    for (; *without; without++) {
        if (strcmp(*without, below) == 0)
            return 1;
    }
    return 0;
}

/* Does the file that was edited lie in this folder? */
static bool holds_edited(const struct walk *walk, const struct source_folder *folder)
{
    if (!walk->edited)
        return false;
    const char *slash = strrchr(walk->edited->real, '/');
    size_t length = slash ? (size_t)(slash - walk->edited->real) : 0;

    return strlen(folder->real) == length && strncmp(folder->real, walk->edited->real, length) == 0;
}

/* What is shown for a file. */
static struct file *shown_file(const struct walk *walk, struct file *file)
{
    return walk->edited && strcmp(file->real, walk->edited->real) == 0 ? walk->edited : file;
}

/* Put a child in, or leave it out with a warning. */
static int add(struct walk *walk, struct level *level, struct entry *folder,
               struct entry *child_given, struct error *error)
{
    cleanup_entry struct entry *child = child_given;

    if (!child)
        return error_errno(error, -ENOMEM, "%s", folder->name);
    if (child->failure && walk->origin->skip_problems) {
        level->whole = false;
        if (problems_add(&walk->package->problems, child->path, child->failure, true,
                         walk->affects) < 0)
            return error_errno(error, -ENOMEM, "%s", child->path);
        return 0;
    }
    child->priority = walk->rule->priority;
    if (leaves_no_trace(walk, child))
        return 0;
    return entry_insert(folder, steal_pointer(&child)) < 0
               ? error_errno(error, -ENOMEM, "%s", folder->name)
               : 0;
}

static int walk_level(struct walk *walk, struct source_folder *folder, const char *name,
                      struct level *level, struct entry **ret_entry, struct error *error);

/* What is wrong with `path` may not be so at the next look. */
static void note_fault(struct walk *walk, const char *path)
{
    if (source_may_heal(walk->origin->source, path))
        walk->package->retry = true;
}

/*
 * The entry of a folder that cannot be shown, for `code` and walk->why; or the error, if that is
 * one of the moment.
 */
static int refuse(struct walk *walk, int code, const char *path, const char *name,
                  struct entry **ret_entry, struct error *error)
{
    if (error_is_transient(code)) {
        if (error)
            *error = walk->why;
        return code;
    }
    note_fault(walk, path);
    *ret_entry = entry_new_failed(ENTRY_FOLDER, name, path, error_reason(walk->why.text, path));
    return *ret_entry ? 0 : error_errno(error, -ENOMEM, "%s", path);
}

/* The folder that `found` of `folder` is. */
static int walk_below(struct walk *walk, const struct source_folder *folder,
                      const struct source_entry *found, const struct level *level,
                      struct entry **ret_entry, struct error *error)
{
    struct source_folder *below = NULL;
    cleanup_free struct chain *way = NULL;
    struct level next = {
        .above = level,
        .chain = {.above = &level->chain},
        .depth = level->depth + 1,
        .linked = level->linked || found->linked,
        .filter = level->below,
        .below = level->below,
        .last = level->last ? entry_child(level->last, found->name) : NULL,
    };

    int r = next.depth > PACKAGE_DEPTH_LIMIT
                ? error_set(&walk->why, -ENAMETOOLONG, PACKAGE_TOO_DEEP, PACKAGE_DEPTH_LIMIT)
                : source_list_below(walk->origin->source, folder, found, &below, &walk->why);
    if (r < 0) {
        cleanup_free char *path = path_join(folder->path, found->name);
        return path ? refuse(walk, r, path, found->name, ret_entry, error)
                    : error_errno(error, -ENOMEM, "%s", folder->path);
    }
    if (found->linked) {
        r = chain_above(walk, below->real, &way, &next.chain.above, error);
        if (r < 0)
            return r;
    }
    next.chain.owner = below->owner;
    next.path = below->path;
    next.real = below->real;
    return walk_level(walk, below, found->name, &next, ret_entry, error);
}

/* Who may read the file that a link in the folder of `level` leads to, or that a rule names. */
static int linked_mode(struct walk *walk, const struct file *file, mode_t *ret_mode,
                       struct error *error)
{
    cleanup_free struct chain *way = NULL;
    const struct chain *last = NULL;

    int r = chain_above(walk, file->real, &way, &last, error);
    if (r == 0)
        *ret_mode = visible_mode(&file->owner, last);
    return r;
}

static int walk_entry(struct walk *walk, struct source_folder *folder, struct source_entry *found,
                      struct level *level, struct entry *into, struct error *error)
{
    bool drop_file = match_drops_file(level->filter, found->name);
    bool drop_folder = match_drops_folder(level->filter, found->name);
    cleanup_free char *path = NULL;
    struct entry *child = NULL;
    struct file *file;

    /* What is dropped whatever it is need not be looked at. */
    if (drop_file && drop_folder)
        return 0;
    int r = is_without(walk, folder->path, found->name);
    if (r != 0)
        return r < 0 ? error_errno(error, r, "%s", found->name) : 0;
    r = source_look(walk->origin->source, folder, found, error);
    if (r == -EFBIG)
        walk->excess = level->path;
    if (r < 0 || (found->kind == SOURCE_FILE ? drop_file : drop_folder))
        return r;
    r = count(walk, level, found->linked, 1, error);
    if (r < 0)
        return r;
    level->whole = level->whole && !found->linked && found->kind != SOURCE_GITLINK;
    if (found->kind != SOURCE_FILE && !(path = path_join(folder->path, found->name)))
        return error_errno(error, -ENOMEM, "%s", found->name);
    switch (found->kind) {
    case SOURCE_FILE:
        file = shown_file(walk, found->file);
        level->whole = level->whole && file == found->file;
        if (walk->rule->zip)
            ahead_offer(walk->origin->ahead, file);
        child = entry_new_file(found->name, file);
        if (child)
            child->owner.mode = visible_mode(&found->file->owner, &level->chain);
        if (child && found->linked) {
            /* The folders that protect a link's target are those of the target. */
            mode_t mode = 0;
            r = linked_mode(walk, found->file, &mode, error);
            if (r == 0)
                child->owner.mode &= mode;
        }
        break;
    case SOURCE_FOLDER:
        if (found->linked && !walk->rule->linked_folders)
            return 0;
        if (found->linked && is_loop(level, found->real))
            child = entry_new_failed(ENTRY_FOLDER, found->name, path,
                                     "the link leads to a folder that holds the link");
        else
            r = walk_below(walk, folder, found, level, &child, error);
        break;
    case SOURCE_GITLINK:
        note_fault(walk, path);
        r = problems_add(&walk->package->problems, path, found->reason, true, walk->affects);
        if (r < 0)
            return error_errno(error, r, "%s", path);
        if (!walk->rule->empty_folders)
            return 0;
        child = entry_new_folder(found->name, into->owner);
        if (child && !(child->path = strdup(path)))
            return error_errno(error, -ENOMEM, "%s", path);
        break;
    case SOURCE_OTHER:
    case SOURCE_UNSEEN:
        note_fault(walk, path);
        child = entry_new_failed(ENTRY_FILE, found->name, path,
                                 found->reason ? found->reason : "cannot be looked at");
        break;
    }
    if (r < 0) {
        entry_unref(child);
        return r;
    }
    return add(walk, level, into, child, error);
}

/* Is the folder what it was, apart from the folders in it? */
static bool is_as_it_was(const struct walk *walk, const struct source_folder *folder,
                         const struct entry *last)
{
    return last && last->whole && !last->failure && !folder->unsure &&
           folder->changed <= last->look &&
           source_owners_changed(walk->origin->source) <= last->look &&
           strcmp(last->path, folder->path) == 0;
}

/* Take the folder as it was, with what the folders in it have become. */
static int renew_level(struct walk *walk, struct source_folder *folder, struct level *level,
                       struct entry **ret_entry, struct error *error)
{
    cleanup_entry struct entry *renewed = NULL;

    int r = count(walk, level, false, level->last->count, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < folder->count; i++) {
        const struct source_entry *found = &folder->entries[i];
        cleanup_entry struct entry *child = NULL;
        if (found->kind != SOURCE_FOLDER || match_drops_folder(level->filter, found->name))
            continue;
        r = is_without(walk, folder->path, found->name);
        if (r < 0)
            return error_errno(error, r, "%s", folder->path);
        if (r > 0)
            continue;
        struct entry *before = entry_child(level->last, found->name);
        r = walk_below(walk, folder, found, level, &child, error);
        if (r < 0)
            return r;
        if (leaves_no_trace(walk, child)) {
            entry_unref(child);
            child = NULL;
        }
        if (child == before)
            continue;
        if (!renewed)
            renewed = entry_copy_folder(level->last);
        if (!renewed || entry_replace(renewed, found->name, steal_pointer(&child)) < 0)
            return error_errno(error, -ENOMEM, "%s", folder->path);
    }
    if (renewed) {
        renewed->mtime = folder->identity.modification;
        renewed->look = source_look_number(walk->origin->source);
        renewed->whole = true;
    }
    *ret_entry = renewed ? steal_pointer(&renewed) : entry_ref(level->last);
    return 0;
}

/* An empty folder of a worktree may be a submodule, of which that is to be told. */
static int tell_unfetched(struct walk *walk, const struct source_folder *folder,
                          struct level *level, struct error *error)
{
    const struct origin *origin = walk->origin;
    bool unfetched = false;

    if (folder->count > 0 || folder->hides_git || source_commit(origin->source))
        return 0;
    level->whole = false;
    int r = source_is_unfetched(origin->source, folder->real, origin->spool, &unfetched, error);
    if (r == 0 && unfetched &&
        problems_add(&walk->package->problems, folder->path,
                     "a submodule that is not checked out, shown as an empty folder: git submodule "
                     "update --init",
                     true, walk->affects) < 0)
        r = error_errno(error, -ENOMEM, "%s", folder->path);
    return r;
}

static int walk_level(struct walk *walk, struct source_folder *folder, const char *name,
                      struct level *level, struct entry **ret_entry, struct error *error)
{
    cleanup_entry struct entry *entry = NULL;
    struct source_owner owner = folder->owner;

    int r = count_names(walk, level, folder->count, error);
    if (r < 0)
        return r;
    if (is_as_it_was(walk, folder, level->last) && !holds_edited(walk, folder))
        return renew_level(walk, folder, level, ret_entry, error);
    level->whole = true;
    owner.mode = visible_mode(&owner, &level->chain);
    entry = entry_new_folder(name, owner);
    if (!entry || !(entry->path = strdup(folder->path)))
        return error_errno(error, -ENOMEM, "%s", folder->path);
    entry->priority = walk->rule->priority;
    entry->mtime = folder->identity.modification;
    for (size_t i = 0; i < folder->count; i++) {
        /* Links may be long, and the reader may be gone. */
        r = origin_check(walk->origin);
        if (r < 0)
            return error_set(error, r, "%s: is being ended", folder->path);
        r = walk_entry(walk, folder, &folder->entries[i], level, entry, error);
        if (r < 0)
            return r;
    }
    if (folder->hides_git && !match_drops_file(level->filter, ".git")) {
        level->whole = false;
        if (problems_add(&walk->package->problems, folder->path,
                         "holds a .git, which is never shown", true, walk->affects) < 0)
            return error_errno(error, -ENOMEM, "%s", folder->path);
    }
    r = tell_unfetched(walk, folder, level, error);
    if (r < 0)
        return r;
    entry->look = source_look_number(walk->origin->source);
    entry->whole = level->whole;
    *ret_entry = steal_pointer(&entry);
    return 0;
}

int walk_folder(struct walk *walk, const char *path, const char *name, struct entry *last,
                struct entry **ret_entry, struct error *error)
{
    struct source_folder *folder = NULL;
    cleanup_free struct chain *way = NULL;
    struct level level = {
        .depth = 1,
        .filter = &walk->rule->top,
        .below = &walk->rule->below,
        .last = last,
    };

    walk->root_length = strlen(path);
    int r = source_list(walk->origin->source, path, &folder, &walk->why);
    if (r < 0)
        return refuse(walk, r, path, name, ret_entry, error);
    r = chain_above(walk, folder->real, &way, &level.chain.above, error);
    if (r < 0)
        return r;
    level.chain.owner = folder->owner;
    level.path = folder->path;
    level.real = folder->real;
    return walk_level(walk, folder, name, &level, ret_entry, error);
}

int walk_file(struct walk *walk, const char *path, const char *name, struct entry **ret_entry,
              struct error *error)
{
    struct source_folder *folder = NULL;
    struct source_entry *found = NULL;
    struct entry *entry = NULL;

    int r = source_find(walk->origin->source, path, &folder, &found, &walk->why);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = walk->why;
        return r;
    }
    if (r < 0 || found->kind != SOURCE_FILE)
        note_fault(walk, path);
    if (r < 0) {
        entry = entry_new_failed(ENTRY_FILE, name, path, error_reason(walk->why.text, path));
    } else if (found->kind != SOURCE_FILE) {
        entry = entry_new_failed(ENTRY_FILE, name, path,
                                 found->reason ? found->reason : "a folder, where a file belongs");
    } else {
        mode_t mode = 0;
        r = linked_mode(walk, found->file, &mode, error);
        if (r < 0)
            return r;
        entry = entry_new_file(name, shown_file(walk, found->file));
        if (entry)
            entry->owner.mode = mode;
    }
    if (!entry)
        return error_errno(error, -ENOMEM, "%s", path);
    entry->priority = walk->rule->priority;
    *ret_entry = entry;
    return 0;
}
