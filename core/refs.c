#include "refs_names.h"
#include "source_backend.h"
#include "source_commit.h"

#include <addonfs/refs.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *prefix_of(enum refs_kind kind)
{
    return kind == REFS_BRANCHES ? "refs/heads/" : "refs/tags/";
}

static void fill(const struct commit *commit, struct ref *ret_ref)
{
    *ret_ref = (struct ref){.time = commit->time};
    git_oid_tostr(ret_ref->commit, sizeof(ret_ref->commit), &commit->id);
}

/* The commit that a ref's object is, or a tag of. -ENOENT: none. */
static int take_object(struct repository *repository, const git_oid *object, const char *name,
                       struct ref *ret_ref, struct error *error)
{
    cleanup_free struct commit *commit = NULL;

    reader_begin(repository->reader);
    int r = commit_peel(repository->reader, object, name, &commit, error);
    if (r == 0)
        fill(commit, ret_ref);
    return r;
}

/* The commit that a ref leads to. -ENOENT: none, as that of a symbolic one that leads nowhere. */
static int take_reference(struct repository *repository, const char *name,
                          git_reference **reference, struct ref *ret_ref, struct error *error)
{
    git_oid object;
    int r = repository_reference_follow(repository, reference, &object, error);

    return r < 0 ? r : take_object(repository, &object, name, ret_ref, error);
}

/* Look a ref up by its whole name. -ENOENT: there is none. */
static int find_reference(struct repository *repository, const char *name,
                          git_reference **ret_reference, struct error *error)
{
    int r = repository_refs_begin(repository, error);

    return r < 0 ? r : repository_reference_lookup(repository, name, ret_reference, error);
}

/* The whole name of what is asked for: "refs/heads/feature/x", and `end`. */
static int whole_name(enum refs_kind kind, const char *path, const char *end,
                      char ret_name[static PATH_MAX], struct error *error)
{
    /* No component of a name begins with a dot (git-check-ref-format(1)). */
    for (const char *at = path; *path && at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        if (*at == '.' || *at == '/' || *at == '\0')
            return error_errno(error, -ENOENT, "%s", path);
    }
    int length = snprintf(ret_name, PATH_MAX, "%s%s%s", prefix_of(kind), path, *path ? end : "");
    return length < PATH_MAX ? 0 : error_errno(error, -ENAMETOOLONG, "%s", path);
}

/* Is there a ref of that name which leads to a commit, or cannot be read? 1 or 0. */
static int leads_to_commit(struct repository *repository, const char *prefix, const char *name,
                           struct error *error)
{
    cleanup_reference git_reference *reference = NULL;
    char whole[PATH_MAX];
    struct ref ref;

    if (snprintf(whole, sizeof(whole), "%s%s", prefix, name) >= (int)sizeof(whole))
        return 0;
    int r = repository_reference_lookup(repository, whole, &reference, error);
    if (r == 0)
        r = take_reference(repository, whole, &reference, &ref, error);
    return r == -ENOENT ? 0 : error_is_transient(r) ? r : 1;
}

/* A tag of something else than a commit is not there. */
static int drop_others(struct repository *repository, const char *prefix, struct ref_names *names,
                       struct error *error)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < names->count; i++) {
        struct ref_name item = names->items[i];
        int shown =
            r < 0 || item.is_folder ? 1 : leads_to_commit(repository, prefix, item.name, error);
        r = shown < 0 ? shown : r;
        if (shown == 0)
            free(item.name);
        else
            names->items[kept++] = item;
    }
    names->count = kept;
    return r;
}

/* --- Questions ----------------------------------------------------------------------------------
 */

int refs_list(struct source *source, enum refs_kind kind, const char *folder,
              struct ref_names *ret_names, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_ref_names struct ref_names names = {0};
    char prefix[PATH_MAX];
    cleanup_lock(&repository->lock);

    int r = whole_name(kind, folder, "/", prefix, error);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = repository_refs_begin(repository, error);
    if (r == 0)
        r = refs_names_list(repository, prefix, &names, error);
    if (r == 0 && kind == REFS_TAGS)
        r = drop_others(repository, prefix, &names, error);
    if (r == 0 && names.count == 0 && !repository_is_there(repository, error))
        r = -EIO;
    if (r < 0)
        return r;
    *ret_names = names;
    names = (struct ref_names){0};
    return 0;
}

/* Does any name begin with `name` and a slash? 1 or 0. */
static int is_folder(struct repository *repository, const char *name, struct error *error)
{
    char prefix[PATH_MAX];

    if (snprintf(prefix, sizeof(prefix), "%s/", name) >= (int)sizeof(prefix))
        return error_errno(error, -ENAMETOOLONG, "%s", name);
    return refs_names_exist(repository, prefix, error);
}

int refs_find(struct source *source, enum refs_kind kind, const char *path, struct ref *ret_ref,
              struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *reference = NULL;
    char name[PATH_MAX];
    cleanup_lock(&repository->lock);

    int r = whole_name(kind, path, "", name, error);
    if (r < 0)
        return r;
    r = find_reference(repository, name, &reference, error);
    if (r == 0)
        return take_reference(repository, name, &reference, ret_ref, error);
    if (r != -ENOENT)
        return r;
    int folder = is_folder(repository, name, error);
    if (folder <= 0)
        return folder < 0 ? folder : repository_is_there(repository, error) ? r : -EIO;
    *ret_ref = (struct ref){.is_folder = true};
    return 0;
}

int refs_head(struct source *source, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *head = NULL;
    git_oid object;
    cleanup_lock(&repository->lock);

    int r = find_reference(repository, "HEAD", &head, error);
    if (r == 0)
        r = repository_reference_follow(repository, &head, &object, error);
    if (r == 0)
        return take_object(repository, &object, "HEAD", ret_ref, error);
    if (r != -ENOENT)
        return r;
    return repository_is_there(repository, error)
               ? error_set(error, -ENOENT, "HEAD: there is no commit yet")
               : -EIO;
}

int refs_commit(struct source *source, const char *id, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    struct reader *reader = repository->reader;
    cleanup_free struct commit *commit = NULL;
    size_t length = strlen(id);
    git_oid oid;
    cleanup_lock(&repository->lock);

    if (length < GIT_OID_MINPREFIXLEN || length > GIT_OID_HEXSZ ||
        git_oid_fromstrn(&oid, id, length) < 0)
        return error_errno(error, -ENOENT, "%s", id);
    int r = repository_refs_begin(repository, error);
    if (r < 0)
        return r;
    reader_begin(reader);
    /* Whoever may look into the mount may ask for any. */
    reader->is_guessing = true;
    r = length == GIT_OID_HEXSZ ? commit_peel(reader, &oid, id, &commit, error)
                                : commit_find(reader, &oid, length, id, &commit, error);
    reader->is_guessing = false;
    if (r < 0 && reader->fault.code == -ENOENT && git_oid_equal(&reader->fault.object, &oid))
        return error_errno(error, -ENOENT, "%s", id);
    if (r == 0)
        fill(commit, ret_ref);
    return r;
}

bool refs_are_there(struct source *source)
{
    struct repository *repository = source->repository;
    cleanup_lock(&repository->lock);

    return !repository->git_root.is_away && !repository->common_root.is_away;
}

bool refs_has_commit(struct source *source, const char *id)
{
    struct repository *repository = source->repository;
    git_oid oid;
    git_oid found;
    size_t count;
    cleanup_lock(&repository->lock);

    return git_oid_fromstr(&oid, id) == 0 &&
           reader_find(repository->reader, &oid, GIT_OID_HEXSZ, &found, 1, &count, NULL) != -ENOENT;
}
