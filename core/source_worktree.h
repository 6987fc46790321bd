/*
 * source_worktree: a source that is the worktree, for the files that make it. What is compared at a
 * look is written at the top of source_worktree.c.
 */
#ifndef ADDONFS_SOURCE_WORKTREE_H
#define ADDONFS_SOURCE_WORKTREE_H

#include "source_backend.h"
#include "source_resolve.h"
#include "source_watch.h"

struct worktree {
    struct resolve_root root;
    struct watch *watch; /* or NULL */
    struct map links;    /* those that were followed in this look: see source_link.h */
    bool other_names;    /* a file that is known may have got another name */
    bool is_new;         /* another folder is the root, and was not looked at yet */
};

static inline struct worktree *worktree_of(const struct source *source)
{
    return source->state;
}

/*
 * Compare an entry of a folder with what there is, and take what has changed; `*ret_changed`
 * becomes true then. `directory` is the folder's descriptor; only an entry with a file that can be
 * read needs it. Failures of the moment only: what cannot be read is an entry that says why. Part
 * of a look: one thread at a time.
 */
int worktree_compare(struct source *source, int directory, struct source_folder *folder,
                     struct source_entry *entry, bool *ret_changed, struct error *error);

#endif
