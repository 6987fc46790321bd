/*
 * refs: the names that a repository has for its commits.
 *
 *     r = refs_find(source, REFS_BRANCHES, "feature/x", &ref, &error);
 *     r = refs_list(source, REFS_TAGS, "", &names, &error);
 *
 * Every call reads what is there now: nothing is remembered but what cannot change. A name with
 * slashes is a file in folders; a tag that leads to no commit is not there.
 *
 * Thread-safe.
 */
#ifndef ADDONFS_REFS_H
#define ADDONFS_REFS_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/source.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMMIT_ID_SIZE 41 /* 40 hexadecimal digits and a NUL */

enum refs_kind {
    REFS_BRANCHES, /* refs/heads/ */
    REFS_TAGS,     /* refs/tags/ */
};

struct ref {
    bool is_folder;              /* names begin with it, and a slash */
    char commit[COMMIT_ID_SIZE]; /* otherwise */
    int64_t time;                /* of the commit, seconds since 1970 */
};

struct ref_name {
    char *name;
    bool is_folder;
};

struct ref_names {
    size_t count;
    struct ref_name *items; /* sorted by bytes, each once */
};

/* What `path` ("feature/x") is. -ENOENT; -EIO: it names an object that is missing, or is damaged.
 */
int refs_find(struct source *source, enum refs_kind kind, const char *path, struct ref *ret_ref,
              struct error *error);

/* What is directly in `folder` ("" or "feature"). -EIO, -ENOMEM. */
int refs_list(struct source *source, enum refs_kind kind, const char *folder,
              struct ref_names *ret_names, struct error *error);
void ref_names_clear(struct ref_names *names);
#define cleanup_ref_names __attribute__((cleanup(ref_names_clear)))

/* What HEAD is. -ENOENT: there is no commit yet. Otherwise as refs_find. */
int refs_head(struct source *source, struct ref *ret_ref, struct error *error);

/*
 * The commit of an object id, whole or abbreviated to at least four hexadecimal digits (that of an
 * annotated tag leads to its commit). -ENOENT: none, or more than one; -EIO.
 */
int refs_commit(struct source *source, const char *id, struct ref *ret_ref, struct error *error);

/*
 * The first parent of a commit (a whole id). 1; 0: it has none, or a shallow clone ends there;
 * -EIO: an object is missing or damaged; -EINVAL, -ENOMEM, …
 */
int refs_parent(struct source *source, const char *id, char ret_parent[static COMMIT_ID_SIZE],
                struct error *error);

/*
 * Was the repository where it was opened, when it was looked for last? Otherwise all of the above
 * answer -EIO: it was moved away or deleted, and what is there, if anything, may not be shown.
 */
bool refs_are_there(struct source *source);

/*
 * Can it be that the commit of this whole id is in the repository? Looked for on the disk: the
 * others may answer from memory what Git has thrown away since.
 */
bool refs_has_commit(struct source *source, const char *id);

#endif
