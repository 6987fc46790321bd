/*
 * source_repository: a Git repository, shared by all sources of it.
 *
 * A handle of libgit2 belongs to one thread (libgit2, docs/threading.md). So there is one for refs,
 * under a lock, and whoever reads objects has a reader of their own: `repository_borrow` lends one
 * from a pool. They share the packs that are known (source_objects.h); libgit2 has one limit for
 * what all handles of a process cache.
 */
#ifndef ADDONFS_SOURCE_REPOSITORY_H
#define ADDONFS_SOURCE_REPOSITORY_H

#include "source_attributes_table.h"
#include "source_history.h"
#include "source_reader.h"
#include "source_ref.h"
#include "source_resolve.h"
#include "source_version_memory.h"
#include "stamp.h"

#include <addonfs/error.h>
#include <addonfs/map.h>
#include <stdbool.h>

struct repository {
    _Atomic unsigned references;
    char *path;    /* what was opened: absolute, without links */
    bool bare;     /* it has no worktree, whatever its configuration says */
    char *git_dir; /* absolute, without links */
    char *common_dir;
    struct objects *objects;
    struct attributes_table *attributes;
    struct history *history;
    struct version_memory *versions;
    _Atomic bool lfs_absent;         /* an object of Git LFS was not there */
    pthread_mutex_t lock;            /* guards what is needed for refs */
    struct resolve_root git_root;    /* what lies at `git_dir`, if that is another, and … */
    struct resolve_root common_root; /* … at `common_dir`: their descriptors are those of … */
    struct ref_store refs;
    git_repository *handle;  /* for expressions: what it asks for refs is asked of `refs` … */
    struct error refs_fault; /* … and what was wrong with the first of these, or code 0;
                                -ENOENT: it has no log */
    const char *log_of;      /* the ref whose log it is to have, whatever it asks for; or NULL */
    struct reader *reader;   /* for the objects that they name: its `git` is the handle */
    pthread_mutex_t idle_lock;
    struct reader *idle; /* `idle_limit` at most: as many as there are cores */
    uint64_t opened;     /* what the reader that was made or renewed last saw of packs */
    long idle_count;
    long idle_limit;
    pthread_mutex_t modules_lock; /* around adding one, and guards: */
    struct map modules_absent;    /* where one may come: of struct sight, by path */
    _Atomic unsigned modules_few; /* of these, by name although a folder would do */
    _Atomic(struct module *) modules;
    _Atomic uint64_t modules_came; /* how often one that was not there may have come */
};

/*
 * Errors as source_open. The only place that reads the repository's configuration, and the user's
 * (whose safe.directory counts).
 */
int repository_open(const char *path, struct repository **ret_repository, struct error *error);

/*
 * The same of a git dir (absolute, without links) of which nothing but objects is asked for: no
 * revision, no history, no version. Its configuration is not read. A submodule of `around`, whose
 * room for packs it shares.
 */
int repository_open_objects(const struct repository *around, const char *git_dir,
                            struct repository **ret_repository, struct error *error);

struct repository *repository_ref(struct repository *repository);
void repository_unref(struct repository *repository);

/* A reader for the calling thread. -ENOMEM, or what is wrong at the moment. */
int repository_borrow(struct repository *repository, struct reader **ret_reader,
                      struct error *error);

/* NULL is allowed. */
void repository_give_back(struct repository *repository, struct reader *reader);

/* Hold the folders in which refs are; they are closed by repository_unref. Once. */
int repository_refs_open(struct repository *repository, struct error *error);

/*
 * Before refs are asked for, the lock being held. They are those of the repository that was opened
 * and permitted, or of one that has been made in its place since (resolve_renew), and never of what
 * a link or a mount leads to there. -EIO: there is none.
 */
int repository_refs_begin(struct repository *repository, struct error *error);

/*
 * Is there a HEAD in the git dir? Where not, it is being deleted or made, and that a ref was not
 * found means nothing: false with the error, -EIO.
 */
bool repository_is_there(const struct repository *repository, struct error *error);

/*
 * The ref of that whole name, and what object one leads to in the end; the lock being held.
 * `*reference`, the caller's, becomes the last on the way. -ENOENT: there is none, or it leads
 * nowhere; others as of ref_lookup.
 */
int repository_reference_lookup(struct repository *repository, const char *name,
                                git_reference **ret_reference, struct error *error);
int repository_reference_follow(struct repository *repository, git_reference **reference,
                                git_oid *ret_object, struct error *error);

/* The same of what a user calls it: "main" is a tag, or a branch, or … (gitrevisions(7)). */
int repository_reference_guess(struct repository *repository, const char *name, git_oid *ret_object,
                               struct error *error);

/* Let libgit2 ask us for refs, through `repository->handle` (source_refdb.c). Once. */
int repository_refs_attach(struct repository *repository, struct error *error);

/*
 * The commit that `revision` names now (gitrevisions(7)). -ENOENT: no such name; -EINVAL: it is
 * ambiguous, or no commit; -EIO: an object is missing or damaged; and failures of the moment.
 * (source_expression.c)
 */
int repository_resolve(struct repository *repository, const char *revision, git_oid *ret_commit,
                       struct error *error);

/*
 * A descriptor that becomes readable when a ref may have changed since, or the repository been
 * moved away. The caller closes it. -ENOTSUP: nothing tells that here, or there is none.
 */
int repository_watch_refs(const struct repository *repository);

CLEANUP(repository, struct repository *, repository_unref)
#define cleanup_repository __attribute__((cleanup(cleanup_repository_scope)))

#endif
