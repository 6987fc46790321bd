/*
 * source_repository: a Git repository, shared by all sources of it.
 *
 * A handle of libgit2 belongs to one thread; the object database may be shared once it is set up
 * (libgit2, docs/threading.md). So there is one handle for refs, under a lock, and each source and
 * reader has a plain handle of its own around the one object database: `repository_borrow` lends
 * one from a pool. A plain handle has no folder and an empty configuration.
 */
#ifndef ADDONFS_SOURCE_REPOSITORY_H
#define ADDONFS_SOURCE_REPOSITORY_H

#include "source_checkout.h"
#include "source_history.h"

#include <addonfs/error.h>
#include <stdbool.h>

struct repository {
    _Atomic unsigned references;
    char *path;    /* what was opened: absolute, without links */
    bool bare;     /* it has no worktree, whatever its configuration says */
    char *git_dir; /* absolute */
    char *common_dir;
    git_odb *objects;
    struct history *history;
    pthread_mutex_t lock;   /* guards the rest */
    git_repository *handle; /* for refs */
    struct checkout *idle;
};

/* Errors as source_open. The only place that reads the repository's configuration. */
int repository_open(const char *path, struct repository **ret_repository, struct error *error);

struct repository *repository_ref(struct repository *repository);
void repository_unref(struct repository *repository);

/* A handle for the calling thread. NULL without memory. */
struct checkout *repository_borrow(struct repository *repository);
void repository_give_back(struct repository *repository, struct checkout *checkout);

/*
 * The commit that `revision` names now (gitrevisions(7)). -ENOENT: no such revision; -EINVAL: it is
 * ambiguous, or no commit.
 */
int repository_resolve(struct repository *repository, const char *revision, git_oid *ret_commit,
                       struct error *error);

/*
 * A descriptor that becomes readable when a ref may have changed since. The caller closes it.
 * -ENOTSUP: nothing tells that here.
 */
int repository_watch_refs(const struct repository *repository);

/* What libgit2 said last in this thread, for a message. */
const char *source_git_message(void);

CLEANUP(repository, struct repository *, repository_unref)
#define cleanup_repository __attribute__((cleanup(cleanup_repository_scope)))

#endif
