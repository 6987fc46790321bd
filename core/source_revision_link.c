#include "source_resolve.h"
#include "source_revision.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Bytes of a link's target, and entries of a tree that is read, that are as much work as a step,
 * which takes about a microsecond.
 */
enum { STEP_BYTES = 256, STEP_ENTRIES = 32 };

/* A link's way through the trees: a path that grows and shrinks by components. */
struct way {
    struct revision *revision;
    struct revision_part *part; /* in which it is */
    struct revision_target *at;
    char *rest;       /* what was still to go when a link was followed last … */
    const char *left; /* … and is now: nothing, or a slash and more */
    int links;
    struct error *why;
};

static void way_end(struct way *way)
{
    free(way->rest);
}

/* What cannot be read is told apart from a link that is wrong. */
static int fail(const struct way *way, int code)
{
    struct error error;

    int r = reader_failure(way->part->reader, code, "", &error);
    return error_set(way->why, r, "%s", error_reason(error.text, ""));
}

/* Some work is about to be done for the way, or has been. */
static int way_charge(struct way *way, size_t steps)
{
    struct revision *revision = way->revision;

    if (revision->link_steps <= REVISION_STEP_LIMIT)
        revision->link_steps += steps;
    return revision->link_steps <= REVISION_STEP_LIMIT
               ? 0
               : error_set(way->why, -EFBIG, "the links of the commit take more than %zu steps",
                           REVISION_STEP_LIMIT);
}

/* Put a link's target before what is still to go. */
static int way_turn(struct way *way, const git_tree_entry *entry)
{
    cleanup_blob git_blob *target = NULL;
    char *rest = NULL;

    if (++way->links > RESOLVE_LINK_LIMIT)
        return error_set(way->why, -ELOOP, RESOLVE_LOOPS);
    int r = git_blob_lookup(&target, way->part->reader->git, git_tree_entry_id(entry));
    if (r < 0)
        return fail(way, r);
    size_t size = (size_t)git_blob_rawsize(target);
    r = way_charge(way, 1 + (size + strlen(way->left)) / STEP_BYTES);
    if (r < 0)
        return r;
    const char *text = git_blob_rawcontent(target);
    if (size > 0 && text[0] == '/')
        return error_set(way->why, -EXDEV, RESOLVE_LEAVES);
    if (size == 0 || size >= PATH_MAX || memchr(text, '\0', size))
        return error_set(way->why, -ENAMETOOLONG, RESOLVE_NO_PATH);
    if (asprintf(&rest, "%.*s%s", (int)size, text, way->left) < 0)
        return error_errno(way->why, -ENOMEM, "%s", way->at->real);
    free(way->rest);
    way->rest = rest;
    way->left = rest;
    return 0;
}

static int way_back(struct way *way)
{
    char *slash = strrchr(way->at->real, '/');

    if (way->at->real[0] == '\0')
        return error_set(way->why, -EXDEV, RESOLVE_LEAVES);
    *(slash ? slash : way->at->real) = '\0';
    way->at->mode = GIT_FILEMODE_TREE;
    way->part = revision_part_of(way->revision, way->at->real);
    return 0;
}

/* Go into the submodule that the way has come to, if it is there. */
static int way_enter(struct way *way)
{
    int r = revision_enter(way->revision, way->part, way->at->real, &way->at->object, &way->part,
                           way->why);

    if (r == 0)
        way->at->mode = GIT_FILEMODE_TREE;
    return r == -ENOLINK ? 0 : r;
}

/* What `path` is in the part that the way is in. The caller frees the entry. */
static int way_find(struct way *way, const char *path, git_tree_entry **ret_entry)
{
    const struct revision_part *part = way->part;
    cleanup_tree git_tree *below = NULL;
    const git_tree *tree = part->root;

    for (;;) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX)
            return error_set(way->why, -ENAMETOOLONG, RESOLVE_NO_PATH);
        memcpy(name, path, length);
        name[length] = '\0';
        int r = way_charge(way, 1);
        if (r < 0)
            return r;
        const git_tree_entry *entry = git_tree_entry_byname(tree, name);
        if (!entry)
            return error_set(way->why, -ENOENT, RESOLVE_BROKEN);
        if (path[length] == '\0')
            return git_tree_entry_dup(ret_entry, entry) < 0
                       ? error_errno(way->why, -ENOMEM, "%s", name)
                       : 0;
        git_tree *next = NULL;
        r = revision_read_tree(way->revision, part, git_tree_entry_id(entry), &next);
        if (r == GIT_ENOTFOUND && part->reader->fault.code == 0)
            return error_set(way->why, -ENOENT, RESOLVE_BROKEN);
        if (r < 0)
            return fail(way, r);
        git_tree_free(below);
        below = next;
        tree = next;
        r = r > 0 ? way_charge(way, git_tree_entrycount(tree) / STEP_ENTRIES) : 0;
        if (r < 0)
            return r;
        path += length + 1;
    }
}

/* Take one component. */
static int way_step(struct way *way, const char *name)
{
    cleanup_tree_entry git_tree_entry *entry = NULL;
    cleanup_free char *next = NULL;

    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return way_back(way);
    if (path_is_git(name))
        return error_set(way->why, -EPERM, RESOLVE_GIT);
    next = path_join(way->at->real, name);
    if (!next)
        return error_errno(way->why, -ENOMEM, "%s", name);
    /* A submodule that is not there, as `why` says. */
    if (way->at->mode == GIT_FILEMODE_COMMIT)
        return -ENOLINK;
    if (strlen(next) >= sizeof(way->at->real))
        return error_set(way->why, -ENOENT, RESOLVE_BROKEN);
    revision_use(way->part);
    int r = way_find(way, revision_part_path(way->part, next), &entry);
    if (r < 0)
        return r;
    git_filemode_t mode = git_tree_entry_filemode(entry);
    if (mode == GIT_FILEMODE_LINK)
        return way_turn(way, entry);
    memcpy(way->at->real, next, strlen(next) + 1);
    way->at->mode = mode;
    way->at->object = *git_tree_entry_id(entry);
    return mode == GIT_FILEMODE_COMMIT ? way_enter(way) : 0;
}

int revision_follow(struct revision *revision, const char *folder, const char *name,
                    struct revision_target *ret_target, struct error *why)
{
    __attribute__((cleanup(way_end))) struct way way = {
        .revision = revision, .at = ret_target, .why = why};

    ret_target->mode = GIT_FILEMODE_TREE;
    if (strlen(folder) >= sizeof(ret_target->real))
        return error_set(why, -ENAMETOOLONG, RESOLVE_NO_PATH);
    memcpy(ret_target->real, folder, strlen(folder) + 1);
    way.part = revision_part_of(revision, folder);
    way.rest = strdup(name);
    if (!way.rest)
        return error_errno(why, -ENOMEM, "%s", name);
    way.left = way.rest;
    while (*way.left) {
        char component[NAME_MAX + 1];
        const char *start = way.left + strspn(way.left, "/");
        size_t length = strcspn(start, "/");
        /* Neither a name nor a dot leads on from a file, nor even a slash (path_resolution(7)). */
        if (ret_target->mode != GIT_FILEMODE_TREE && ret_target->mode != GIT_FILEMODE_COMMIT)
            return error_set(why, -ENOTDIR, RESOLVE_BROKEN);
        if (length == 0)
            return 0;
        if (length > NAME_MAX)
            return error_set(why, -ENAMETOOLONG, RESOLVE_NO_PATH);
        memcpy(component, start, length);
        component[length] = '\0';
        way.left = start + length;
        int r = way_charge(&way, 1);
        if (r == 0)
            r = way_step(&way, component);
        if (r < 0)
            return r;
    }
    return 0;
}
