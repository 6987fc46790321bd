#include "source_revision.h"

#include "source_commit.h"

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/*
 * A submodule is shown as a checkout has it: the tree of the gitlink's commit, with the attributes
 * of that commit alone. Its objects are read from its own repository (source_modules.h), and stay
 * unknown to the one around it. It lies in the tree like any folder, so links lead in and out of
 * it.
 */

/* Submodules that may lie in each other, and that a commit may have: each has a reader of its own,
 * and many paths may have one name. */
enum { DEPTH_LIMIT = 16, COUNT_LIMIT = 1024 };

void revision_begin(struct revision *revision)
{
    reader_begin(revision->own.reader);
    for (struct revision_part *part = revision->submodules; part; part = part->next)
        reader_begin(part->reader);
}

void revision_use(struct revision_part *part)
{
    if (part->is_unsure)
        reader_renew(part->reader);
    part->is_unsure = false;
}

bool revision_has_fault(const struct revision *revision)
{
    bool found = revision->own.reader->fault.code != 0;

    for (const struct revision_part *part = revision->submodules; part; part = part->next)
        found = found || part->reader->fault.code != 0;
    return found;
}

static void forget_names(struct revision_part *part)
{
    map_clear(&part->names, free);
    free(part->names_fault);
    part->names_fault = NULL;
    part->is_named = false;
}

static void part_free(struct revision_part *part)
{
    if (!part)
        return;
    git_tree_free(part->root);
    repository_give_back(part->repository, part->reader);
    forget_names(part);
    free(part->path);
    free(part);
}

CLEANUP(part, struct revision_part *, part_free)

void revision_leave_submodules(struct revision *revision)
{
    while (revision->submodules) {
        struct revision_part *part = revision->submodules;
        revision->submodules = part->next;
        revision_forget_trees(revision, part);
        part_free(part);
    }
    revision->submodule_count = 0;
    forget_names(&revision->own);
}

/* The innermost comes first: it was entered from the other. */
struct revision_part *revision_part_of(struct revision *revision, const char *real)
{
    for (struct revision_part *part = revision->submodules; part; part = part->next) {
        if (path_is_within(real, part->path))
            return part;
    }
    return &revision->own;
}

const char *revision_part_path(const struct revision_part *part, const char *real)
{
    size_t length = strlen(part->path);

    return length > 0 && real[length] == '/' ? real + length + 1 : real + length;
}

size_t revision_history_path(struct revision *revision, const char *path)
{
    cleanup_lock(&revision->lock);
    const struct revision_part *part = revision_part_of(revision, path);

    /* Of submodules in each other, the one that the source's own commits know. */
    while (part->above && part->above->above)
        part = part->above;
    return part->above ? strlen(part->path) : strlen(path);
}

/* --- Entering -----------------------------------------------------------------------------------
 */

#define AS_EMPTY "shown as an empty folder"

/* Read the part's .gitmodules, if it was not read yet. That it makes no sense is remembered. */
static int read_names(struct revision_part *part, const char *real, struct error *error)
{
    cleanup_blob git_blob *blob = NULL;
    struct error why;

    if (part->is_named)
        return 0;
    const git_tree_entry *entry = git_tree_entry_byname(part->root, ".gitmodules");
    git_filemode_t mode = entry ? git_tree_entry_filemode(entry) : 0;
    if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE)
        return 0;
    revision_use(part);
    /* Before there is memory for it. */
    if (reader_size(part->reader, git_tree_entry_id(entry)) > MODULES_SIZE_LIMIT)
        return error_set(error, -ENOLINK,
                         "%s: a submodule, " AS_EMPTY
                         ": .gitmodules cannot be understood: it is too large",
                         real);
    int r = git_blob_lookup(&blob, part->reader->git, git_tree_entry_id(entry));
    if (r < 0)
        return reader_failure(part->reader, r, real, error);
    r = modules_parse(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob), &part->names,
                      &why);
    if (r < 0)
        map_clear(&part->names, free);
    if (r < 0 && r != -EINVAL)
        return error_set(error, r, "%s: %s", real, why.text);
    if (r == -EINVAL && !(part->names_fault = strdup(why.text)))
        return error_errno(error, -ENOMEM, "%s", real);
    part->is_named = true;
    return 0;
}

/* The repository of the gitlink at `real`. */
static int find_repository(struct revision_part *above, const char *real, const git_oid *commit,
                           struct repository **ret_repository, struct error *error)
{
    bool was_fetched = false;
    struct error why;

    int r = read_names(above, real, error);
    if (r < 0)
        return r;
    if (above->names_fault)
        return error_set(error, -ENOLINK,
                         "%s: a submodule, " AS_EMPTY ": .gitmodules cannot be understood: %s",
                         real, above->names_fault);
    const char *name = map_find(&above->names, revision_part_path(above, real));
    if (!name)
        return error_set(
            error, -ENOLINK,
            "%s: a submodule that .gitmodules does not name, " AS_EMPTY ": add it there", real);
    if (!modules_name_ok(name))
        return error_set(error, -ENOLINK,
                         "%s: a submodule whose name in .gitmodules leads elsewhere, " AS_EMPTY
                         ": rename it there",
                         real);
    r = modules_find(above->repository, name, commit, ret_repository, &was_fetched, &why);
    if (r == 0)
        return 0;
    if (r != -ENOENT)
        return error_set(error, r, "%s: a submodule that cannot be read: %s", real, why.text);
    if (was_fetched)
        return error_set(error, -ENOLINK,
                         "%s: a submodule without its commit %s, " AS_EMPTY
                         ": git submodule update --init, or git fetch in it",
                         real, git_oid_tostr_s(commit));
    return error_set(error, -ENOLINK,
                     "%s: a submodule that is not in .git/modules, " AS_EMPTY
                     ": git submodule update --init, or git submodule absorbgitdirs",
                     real);
}

/* Read the commit and its tree. */
static int open_part(struct revision_part *part, struct error *error)
{
    cleanup_free struct commit *commit = NULL;

    int r = repository_borrow(part->repository, &part->reader, error);
    if (r < 0)
        return r;
    reader_begin(part->reader);
    r = commit_read(part->reader, &part->commit, part->path, &commit, error);
    if (r < 0)
        return r;
    r = commit_tree(part->reader, commit, &part->root);
    return r < 0 ? reader_failure(part->reader, r, part->path, error) : 0;
}

int revision_enter(struct revision *revision, struct revision_part *above, const char *real,
                   const git_oid *commit, struct revision_part **ret_part, struct error *error)
{
    struct revision_part *known = revision_part_of(revision, real);

    if (known->above && strcmp(known->path, real) == 0) {
        *ret_part = known;
        return 0;
    }
    if (above->depth >= DEPTH_LIMIT)
        return error_set(error, -ENOLINK,
                         "%s: a submodule, " AS_EMPTY ": more than %d lie in each other", real,
                         DEPTH_LIMIT);
    if (revision->submodule_count >= COUNT_LIMIT)
        return error_set(error, -ENOLINK,
                         "%s: a submodule, " AS_EMPTY ": the commit has more than %d", real,
                         COUNT_LIMIT);
    __attribute__((cleanup(cleanup_part_scope))) struct revision_part *part =
        calloc(1, sizeof(*part));
    if (!part || !(part->path = strdup(real)))
        return error_errno(error, -ENOMEM, "%s", real);
    part->above = above;
    part->depth = above->depth + 1;
    part->commit = *commit;
    int r = find_repository(above, real, commit, &part->repository, error);
    if (r == 0)
        r = open_part(part, error);
    if (r < 0)
        return r;
    part->next = revision->submodules;
    revision->submodule_count++;
    *ret_part = revision->submodules = part;
    part = NULL;
    return 0;
}

/* --- Trees --------------------------------------------------------------------------------------
 */

enum { ENTRIES_LIMIT = 200000 }; /* of the trees that are kept: some 20 MB */

void revision_forget_trees(struct revision *revision, const struct revision_part *part)
{
    struct revision_trees *trees = &revision->trees;
    size_t kept = 0;

    for (size_t i = 0; i < trees->count; i++) {
        struct revision_tree each = trees->kept[i];
        if (part && each.part != part) {
            trees->kept[kept++] = each;
            continue;
        }
        trees->entries -= git_tree_entrycount(each.tree);
        git_tree_free(each.tree);
    }
    trees->count = kept;
}

/* Keep it, and those that were used last as far as there is room. */
static void keep_tree(struct revision_trees *trees, const struct revision_part *part,
                      git_tree *tree)
{
    size_t entries = git_tree_entrycount(tree);
    git_tree *ours = NULL;

    if (entries > ENTRIES_LIMIT || git_tree_dup(&ours, tree) < 0)
        return;
    while (trees->count == REVISION_TREES ||
           (trees->count > 0 && trees->entries + entries > ENTRIES_LIMIT)) {
        git_tree *last = trees->kept[--trees->count].tree;
        trees->entries -= git_tree_entrycount(last);
        git_tree_free(last);
    }
    memmove(trees->kept + 1, trees->kept, trees->count * sizeof(*trees->kept));
    trees->kept[0] = (struct revision_tree){part, ours};
    trees->count++;
    trees->entries += entries;
}

int revision_read_tree(struct revision *revision, const struct revision_part *part,
                       const git_oid *id, git_tree **ret_tree)
{
    struct revision_trees *trees = &revision->trees;

    for (size_t i = 0; i < trees->count; i++) {
        struct revision_tree found = trees->kept[i];
        if (found.part != part || !git_oid_equal(git_tree_id(found.tree), id))
            continue;
        memmove(trees->kept + 1, trees->kept, i * sizeof(*trees->kept));
        trees->kept[0] = found;
        return git_tree_dup(ret_tree, found.tree);
    }
    int r = git_tree_lookup(ret_tree, part->reader->git, id);
    if (r < 0)
        return r;
    keep_tree(trees, part, *ret_tree);
    return 1;
}

void revision_place_clear(struct revision_place *place)
{
    git_tree_free(place->tree);
    attributes_chain_unref(place->attributes.chain);
    *place = (struct revision_place){0};
}

/* Of a link Git takes the text for the file. */
static bool is_attributes(const git_tree_entry *entry)
{
    return entry && git_tree_entry_type(entry) == GIT_OBJECT_BLOB;
}

/*
 * Add the .gitattributes of the place, if there is one, to those above. `folder`, bytes of the path
 * in its part, goes into the digest: patterns begin there, and mean something else elsewhere.
 */
static int add_attributes(struct revision_place *place, size_t folder)
{
    struct revision_attributes *attributes = &place->attributes;
    const git_tree_entry *own = git_tree_entry_byname(place->tree, ".gitattributes");
    const uint64_t depth = folder;

    if (!is_attributes(own))
        return 0;
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    if (!sha256)
        return -ENOMEM;
    struct attributes_chain *chain =
        attributes_chain_new(attributes->chain, git_tree_entry_id(own), folder);
    if (!chain)
        return -ENOMEM;
    attributes_chain_unref(attributes->chain);
    attributes->chain = chain;
    sha256_update(sha256, attributes->digest.bytes, sizeof(attributes->digest.bytes));
    sha256_update(sha256, git_tree_entry_id(own)->id, GIT_OID_RAWSZ);
    sha256_update(sha256, &depth, sizeof(depth));
    sha256_final(sha256, &attributes->digest);
    return 0;
}

/* In the root of a part. Patterns begin there: the same ones mean something else in another. */
static int begin_attributes(struct revision_place *place)
{
    if (place->part->above) {
        cleanup_sha256 struct sha256 *sha256 = sha256_new();
        if (!sha256)
            return -ENOMEM;
        sha256_update(sha256, place->part->path, strlen(place->part->path));
        sha256_final(sha256, &place->attributes.digest);
    }
    return add_attributes(place, 0);
}

static int go_to_root(struct revision_part *part, struct revision_place *place)
{
    revision_use(part);
    revision_place_clear(place);
    place->part = part;
    return git_tree_dup(&place->tree, part->root) < 0 ? -ENOMEM : begin_attributes(place);
}

/* Go on to `entry` of the place, which is at `real`. */
static int go_below(struct revision *revision, const git_tree_entry *entry, const char *real,
                    struct revision_place *place, struct error *error)
{
    struct revision_part *part = NULL;
    git_tree *below = NULL;

    if (git_tree_entry_filemode(entry) == GIT_FILEMODE_COMMIT) {
        int r = revision_enter(revision, place->part, real, git_tree_entry_id(entry), &part, error);
        if (r < 0)
            return r;
        r = go_to_root(part, place);
        return r < 0 ? error_errno(error, r, "%s", real) : 0;
    }
    if (git_tree_entry_type(entry) != GIT_OBJECT_TREE)
        return error_errno(error, -ENOTDIR, "%s", real);
    int r = revision_read_tree(revision, place->part, git_tree_entry_id(entry), &below);
    if (r < 0)
        return reader_failure(place->part->reader, r, real, error);
    git_tree_free(place->tree);
    place->tree = below;
    r = add_attributes(place, strlen(revision_part_path(place->part, real)));
    return r < 0 ? error_errno(error, r, "%s", real) : 0;
}

static int find(struct revision *revision, const char *real, struct revision_place *place,
                struct error *error)
{
    cleanup_free char *prefix = strdup(real);

    if (!prefix || go_to_root(&revision->own, place) < 0)
        return error_errno(error, -ENOMEM, "%s", real);
    for (char *name = prefix; *name;) {
        char *end = strchrnul(name, '/');
        char after = *end;
        if (end - name > NAME_MAX)
            return error_errno(error, -ENAMETOOLONG, "%s", real);
        *end = '\0';
        const git_tree_entry *entry = git_tree_entry_byname(place->tree, name);
        if (!entry)
            return error_errno(error, -ENOENT, "%s", real);
        int r = go_below(revision, entry, prefix, place, error);
        if (r < 0)
            return r;
        *end = after;
        name = end + (after == '/');
    }
    return 0;
}

int revision_find(struct revision *revision, const char *real, struct revision_place *ret_place,
                  struct error *error)
{
    struct revision_place place = {.part = &revision->own};

    int r = find(revision, real, &place, error);
    if (r == 0)
        *ret_place = place;
    else
        revision_place_clear(&place);
    return r;
}
