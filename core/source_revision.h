/*
 * source_revision: what a commit holds.
 *
 * source_revision.c has the commit, and what of its trees becomes folders and files;
 * source_revision_part.c finds the trees, those of submodules among them; source_revision_link.c
 * where links lead.
 */
#ifndef ADDONFS_SOURCE_REVISION_H
#define ADDONFS_SOURCE_REVISION_H

#include "source_attributes_table.h"
#include "source_backend.h"
#include "source_modules.h"

#include <limits.h>

/* The tree of the revision's commit, or of that of a submodule in it. */
struct revision_part {
    struct revision_part *above; /* that which holds the gitlink; NULL: it is the revision's own */
    struct revision_part *next;
    unsigned depth;
    char *path;                    /* of the gitlink, from the source's root; "" */
    struct repository *repository; /* borrowed */
    struct reader *reader;         /* for trees and links */
    bool is_unsure;                /* there was a look since: renew it before it reads */
    git_oid commit;
    git_tree *root;
    bool is_named;
    struct map names;  /* then: of its submodules, by path … */
    char *names_fault; /* … unless this says why they cannot be known */
};

/*
 * Steps that the links of a commit may take in one look: components of paths, each as often as a
 * link's way comes through it, and what is as much work. Anyone who may push can make each of many
 * links go over 40 others, each with two thousand components; nobody is served meanwhile. A link of
 * node_modules/.bin ("../tool/bin/run.js") takes some 20, and 20,000 of those, as many as a package
 * may have, take a fifth: what they lead through is read once. That is some seconds of work at
 * most, and about half a minute where all of it is in reading very many trees of very many entries.
 */
#define REVISION_STEP_LIMIT ((size_t)2000000)

/*
 * Trees that were read last: many links lead through the same ones, and libgit2 keeps none that is
 * large. They are few, and not as large together as hostile ones can be.
 */
enum { REVISION_TREES = 8 };
struct revision_trees {
    struct revision_tree {
        const struct revision_part *part; /* each knows the objects of its own repository */
        git_tree *tree;
    } kept[REVISION_TREES]; /* the last used first */
    size_t count;
    size_t entries; /* of all */
};

struct revision {
    pthread_mutex_t lock; /* around every use of the readers and of what was read through them */
    struct revision_part own;
    char top[1];                      /* its path: "" */
    struct revision_part *submodules; /* those of this commit that were asked for */
    size_t submodule_count;
    struct revision_trees trees;
    struct timespec time; /* of the commit */
    size_t link_steps;    /* of this look; once there were too many, for as long as the commit is */
    bool resolved;
    bool faulty;      /* something of some folder could not be read, once at least */
    uint64_t healing; /* then: modules_healing at the beginning of the look */
};

/* Before something is read: forget what could not be. After: could something not be? */
void revision_begin(struct revision *revision);
bool revision_has_fault(const struct revision *revision);

/* Before something of a part is read. */
void revision_use(struct revision_part *part);

/* Another commit is looked at, or none any more. */
void revision_leave_submodules(struct revision *revision);

/* The innermost part that was entered in which `real` lies. */
struct revision_part *revision_part_of(struct revision *revision, const char *real);

/* What is left of `real` in its part. */
const char *revision_part_path(const struct revision_part *part, const char *real);

/*
 * The part that the gitlink at `real` of `above`, to `commit`, leads to. -ENOLINK: it is not there,
 * so the folder is empty; -EIO: it cannot be known; the error, which begins with `real`, says why.
 * Others are of the moment. The lock is held.
 */
int revision_enter(struct revision *revision, struct revision_part *above, const char *real,
                   const git_oid *commit, struct revision_part **ret_part, struct error *error);

/* Which files of .gitattributes apply in a folder, and a digest of that. */
struct revision_attributes {
    struct attributes_chain *chain; /* referenced; NULL: none */
    struct content_id digest;
};

/* A folder's tree, and the part it belongs to. */
struct revision_place {
    struct revision_part *part;
    git_tree *tree;
    struct revision_attributes attributes;
};

void revision_place_clear(struct revision_place *place);
#define cleanup_place __attribute__((cleanup(revision_place_clear)))

/*
 * The folder at `real` (a path without links). -ENOENT, -ENOTDIR, -ENAMETOOLONG: there is no such
 * folder; -ENOLINK: it is a submodule, or in one, that is not there; -EIO, -ENOMEM, …: it cannot be
 * read; the error begins with `real`. The lock is held. The caller clears the place.
 */
int revision_find(struct revision *revision, const char *real, struct revision_place *ret_place,
                  struct error *error);

/*
 * The tree `id` of the part, which the caller frees. 1: it was read; 0: it was at hand; or what
 * libgit2 has answered (git_tree_lookup). The lock is held.
 */
int revision_read_tree(struct revision *revision, const struct revision_part *part,
                       const git_oid *id, git_tree **ret_tree);

/* Forget the part's trees, or those of all (NULL). */
void revision_forget_trees(struct revision *revision, const struct revision_part *part);

/*
 * `path` as the history of the source's repository knows it: what lies in a submodule is as old as
 * its gitlink. Returns bytes of `path` that count.
 */
size_t revision_history_path(struct revision *revision, const char *path);

/* Where a link leads. */
struct revision_target {
    char real[PATH_MAX]; /* without links */
    git_filemode_t mode; /* never a link; of a submodule that is not there: COMMIT */
    git_oid object;      /* not of the root */
};

/*
 * Follow the link `name` in `folder` (a path without links) by the rules of source_resolve.h. A
 * negative errno says that it leads nowhere, and `why` in words for what reason (fit for "PATH:
 * …"); or it is one of the moment. -EFBIG: the links have taken too many steps, and none is
 * followed any more. If it leads to a submodule that is not there, `why` says why. The lock is
 * held, and revision_begin was called.
 */
int revision_follow(struct revision *revision, const char *folder, const char *name,
                    struct revision_target *ret_target, struct error *why);

#endif
