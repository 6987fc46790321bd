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
#include "source_version_memory.h"
#include "stamp.h"

#include <addonfs/error.h>
#include <addonfs/map.h>
#include <stdbool.h>

struct repository {
    _Atomic unsigned references;
    char *path;    /* what was opened: absolute, without links */
    bool bare;     /* it has no worktree, whatever its configuration says */
    char *git_dir; /* absolute */
    char *common_dir;
    struct objects *objects;
    struct attributes_table *attributes;
    struct history *history;
    struct version_memory *versions;
    _Atomic bool lfs_absent; /* an object of Git LFS was not there */
    pthread_mutex_t lock;    /* guards what is needed for refs */
    git_repository *handle;  /* for refs */
    struct packed_refs packed;
    struct reader *reader; /* for the objects that they name: its `git` is the handle */
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

/* Before refs are asked for, the lock being held. -EIO: packed-refs is no file; -ENOMEM. */
int repository_refs_begin(struct repository *repository, struct error *error);

/*
 * Before libgit2 is asked for refs, and when it has failed; the lock being held. It takes note of
 * packed-refs' stamp before it reads the file, and that may be too young, or the reading fail: so
 * it is to forget what it knows. The latter answers what source_git_failure does, and describes it
 * (`name` is what was asked for).
 */
int repository_refs_renew(struct repository *repository, struct error *error);
int repository_refs_failure(int code, const char *name, struct error *error);

/*
 * Is there a git dir with a HEAD? Where not, it was deleted or moved away, or cannot be entered,
 * and that a ref was not found means nothing: false with the error, -EIO.
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

/*
 * The commit that `revision` names now (gitrevisions(7)). -ENOENT: no such name; -EINVAL: it is
 * ambiguous, or no commit; -EIO: an object is missing or damaged; and failures of the moment.
 */
int repository_resolve(struct repository *repository, const char *revision, git_oid *ret_commit,
                       struct error *error);

/*
 * A descriptor that becomes readable when a ref may have changed since. The caller closes it.
 * -ENOTSUP: nothing tells that here.
 */
int repository_watch_refs(const struct repository *repository);

CLEANUP(repository, struct repository *, repository_unref)
#define cleanup_repository __attribute__((cleanup(cleanup_repository_scope)))

#endif
