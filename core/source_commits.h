/*
 * source_commits: the commits that a walk through history comes by, the newest first.
 *
 * A walk puts in each commit that it has to look at, once, together with whatever it keeps of it,
 * and takes the newest out until none waits. (By the committer's clock. A walk must not hang on
 * clocks being right, but is short where they are: paths that parted meet again.) What was taken
 * can still be found by its id.
 */
#ifndef ADDONFS_SOURCE_COMMITS_H
#define ADDONFS_SOURCE_COMMITS_H

#include "source_commit.h"

#include <stddef.h>

/* The first member of what the walk keeps of a commit. */
struct visit {
    git_oid id;
    struct commit *commit;
};

struct commits {
    struct visit **heap; /* those that wait: the newest first */
    size_t count;
    size_t capacity;
    void *by_id; /* tsearch(3) tree of all */
};

struct visit *commits_find(const struct commits *commits, const git_oid *id);

/*
 * Put in a commit that is not there yet; `visit` is empty but for what follows it, and is the
 * walk's until commits_clear. The commit is taken over (and becomes NULL) if that succeeds. 0 or
 * -ENOMEM.
 */
int commits_add(struct commits *commits, struct visit *visit, struct commit **commit);

/* The newest of those that wait, which is not NULL: it waits no longer. */
struct visit *commits_take(struct commits *commits);

/* It is not found any longer, and the caller's again (visit_clear). It must have been taken. */
void commits_forget(struct commits *commits, struct visit *visit);

/* Free the commit. */
void visit_clear(struct visit *visit);

/* Call `release` for each that is there; it calls visit_clear and frees what it is part of. */
void commits_clear(struct commits *commits, void (*release)(void *visit));

#endif
