/*
 * source_revision: what a commit holds.
 *
 * source_revision.c has the commit, its trees, and what of them becomes folders and files;
 * source_revision_link.c where links lead.
 */
#ifndef ADDONFS_SOURCE_REVISION_H
#define ADDONFS_SOURCE_REVISION_H

#include "source_backend.h"

#include <limits.h>

struct revision {
    struct reader *reader; /* for trees and links */
    pthread_mutex_t lock;  /* around every use of it and of what was read through it */
    git_oid commit;
    git_tree *root;
    struct timespec time; /* of the commit */
    bool resolved;
    bool faulty;      /* something of some folder could not be read, once at least */
    uint64_t healing; /* then: objects_healing at the beginning of the look */
};

/*
 * The tree of the folder at `real` (a path without links), and the digest of the attributes that
 * apply in it. -ENOENT, -ENOTDIR, -ENAMETOOLONG: there is no such folder; -EIO, -ENOMEM, …: it
 * cannot be read; the error begins with `real`. The lock is held.
 */
int revision_find_tree(struct revision *revision, const char *real, git_tree **ret_tree,
                       struct content_id *ret_attributes, struct error *error);

/* Where a link leads. */
struct revision_target {
    char real[PATH_MAX]; /* without links */
    git_filemode_t mode; /* never a link */
    git_oid object;      /* not of the root */
};

/*
 * Follow the link `name` in `folder` (a path without links) by the rules of source_resolve.h. A
 * negative errno says that it leads nowhere, and `why` in words for what reason (fit for "PATH:
 * …"); or it is one of the moment. The lock is held, and the reader has begun.
 */
int revision_follow(struct revision *revision, const char *folder, const char *name,
                    struct revision_target *ret_target, struct error *why);

#endif
