#include <addonfs/source_version.h>

#include "source_backend.h"
#include "source_commit.h"
#include "source_distance.h"
#include "source_shallow.h"

#include <addonfs/pylit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct search {
    struct reader *reader;
    struct shallow shallow;
    const char *path;
    const char *variable;
    char what[64]; /* "history of 546187e…" */
    git_oid blob;  /* in which … */
    char *value;   /* … C has this value */
    struct error *error;
};

static int fail(const struct search *search, int code)
{
    return reader_failure(search->reader, code, search->what, search->error);
}

/* Which blob the commit has at the path. -ENOENT: none. */
static int find_blob(const struct search *search, const struct commit *commit, git_oid *ret_blob)
{
    cleanup_tree git_tree *tree = NULL;
    cleanup_tree_entry git_tree_entry *entry = NULL;

    int r = commit_tree(search->reader, commit, &tree);
    if (r < 0)
        return fail(search, r);
    r = git_tree_entry_bypath(&entry, tree, search->path);
    if (r == GIT_ENOTFOUND && search->reader->fault.code == 0)
        return -ENOENT;
    if (r < 0)
        return fail(search, r);
    if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB ||
        git_tree_entry_filemode(entry) == GIT_FILEMODE_LINK)
        return -ENOENT;
    *ret_blob = *git_tree_entry_id(entry);
    return 0;
}

/* The value in the blob. -EINVAL, or -ENOENT: none can be read, and `why` says why. */
static int read_value(const struct search *search, const git_oid *id, char **ret_value,
                      struct error *why)
{
    cleanup_blob git_blob *blob = NULL;

    int r = git_blob_lookup(&blob, search->reader->git, id);
    if (r < 0)
        return fail(search, r);
    git_object_size_t size = git_blob_rawsize(blob);
    if (size > CONTENT_MEMORY_LIMIT)
        return error_set(why, -EINVAL, "%s: too large to hold a version", search->path);
    return pylit_string(git_blob_rawcontent(blob), (size_t)size, search->path, search->variable,
                        ret_value, why);
}

/* What C has. */
static int begin(struct search *search, const struct commit *commit)
{
    int r = find_blob(search, commit, &search->blob);
    if (r == -ENOENT)
        return error_set(search->error, r, "%s: no such file in commit %s", search->path,
                         git_oid_tostr_s(&commit->id));
    return r < 0 ? r : read_value(search, &search->blob, &search->value, search->error);
}

/* Has the commit the same value? */
static int compare(const struct search *search, const struct commit *commit, bool *ret_same)
{
    cleanup_free char *value = NULL;
    struct error why;
    git_oid blob;

    int r = find_blob(search, commit, &blob);
    *ret_same = r == 0 && git_oid_equal(&blob, &search->blob);
    if (r == -ENOENT || (r == 0 && *ret_same))
        return 0;
    if (r == 0)
        r = read_value(search, &blob, &value, &why);
    if (r == -ENOENT || r == -EINVAL)
        return 0;
    if (r == -ENOMEM)
        return error_errno(search->error, r, "%s", search->what);
    *ret_same = r == 0 && strcmp(value, search->value) == 0;
    return r;
}

static int fail_shallow(const struct search *search)
{
    return error_set(
        search->error, -EIO,
        "%s: the %s ends, because this is a shallow clone, before it is known how many "
        "commits ago %s became \"%s\": git fetch --unshallow",
        search->path, search->what, search->variable, search->value);
}

/* From C on, find D. */
static int find_base(const struct search *search, const struct commit *commit, git_oid *ret_base)
{
    cleanup_free struct commit *current = NULL;
    const struct commit *at = commit;

    while (at->parent_count > 0) {
        cleanup_free struct commit *parent = NULL;
        bool same = false;
        if (shallow_cuts(&search->shallow, &at->id))
            return fail_shallow(search);
        int r = commit_read(search->reader, &at->parents[0], search->what, &parent, search->error);
        if (r == 0)
            r = compare(search, parent, &same);
        if (r < 0)
            return r;
        if (!same)
            break;
        free(current);
        at = current = steal_pointer(&parent);
    }
    *ret_base = at->id;
    return 0;
}

static int search_base(struct search *search, const git_oid *id, struct version_base *ret_base)
{
    cleanup_free struct commit *commit = NULL;
    git_oid base;
    uint64_t commits = 0;

    reader_begin(search->reader);
    int r = commit_read(search->reader, id, search->what, &commit, search->error);
    if (r < 0)
        return r;
    r = begin(search, commit);
    if (r == 0)
        r = find_base(search, commit, &base);
    if (r < 0)
        return r;
    r = distance_count(search->reader, &search->shallow, id, &base, search->what, &commits,
                       search->error);
    if (r > 0)
        return fail_shallow(search);
    if (r < 0)
        return r;
    git_oid_tostr(ret_base->commit, sizeof(ret_base->commit), &base);
    ret_base->commits = commits;
    return 0;
}

int source_version_base(struct source *source, const char *commit, const char *path,
                        const char *variable, struct version_base *ret_base, struct error *error)
{
    struct repository *repository = source->repository;
    struct search search = {.path = path, .variable = variable, .error = error};
    git_oid id;

    if (strlen(commit) != GIT_OID_HEXSZ || git_oid_fromstr(&id, commit) < 0)
        return error_set(error, -EINVAL, "%s: not the id of a commit", commit);
    if (version_memory_find(repository->versions, commit, path, variable, ret_base))
        return 0;
    snprintf(search.what, sizeof(search.what), "history of commit %.12s", commit);
    int r = shallow_read(repository->common_dir, &search.shallow, error);
    if (r < 0)
        return r;
    r = repository_borrow(repository, &search.reader, error);
    if (r == 0)
        r = search_base(&search, &id, ret_base);
    if (r == 0)
        version_memory_put(repository->versions, commit, path, variable, ret_base);
    repository_give_back(repository, search.reader);
    shallow_clear(&search.shallow);
    free(search.value);
    return r;
}

bool source_version_horizon(const struct source *source, struct content_id *ret_horizon)
{
    cleanup_shallow struct shallow shallow = {.count = 0};

    if (shallow_read(source->repository->common_dir, &shallow, NULL) < 0)
        return false;
    *ret_horizon = shallow.id;
    return true;
}
