/*
 * source_ref: what a ref says, by its whole name (gitrepository-layout(5), git-pack-refs(1)).
 *
 * A ref lies in a file of its own, or in the file packed-refs with many others. libgit2 reads the
 * latter through a mapping, so that one that is cut in place ends the process (SIGBUS), and
 * remembers of it what may be of another file by now. Here it is read into memory, anew when its
 * stamp has changed.
 */
#ifndef ADDONFS_SOURCE_REF_H
#define ADDONFS_SOURCE_REF_H

#include "stamp.h"

#include <addonfs/error.h>
#include <git2.h>

/* What is in packed-refs, as it was read last; all 0 at first. One thread at a time. */
struct packed_refs {
    char *text; /* of `size`; NULL: none was read, or there is no such file */
    size_t size;
    struct stamp stamp; /* of the file that was read … */
    bool is_settled;    /* … and it told the truth then: the same stamp is the same text */
    bool is_current;    /* it is of this question */
};

void packed_refs_clear(struct packed_refs *refs);

/* A question begins: the file is looked at anew, once, and again for what it does not have. */
void packed_refs_begin(struct packed_refs *refs);

/*
 * Look `name` up in a worktree of its own at `git_dir`, and what all share at `common_dir`. The
 * caller frees the reference. -ENOENT: there is none; -EIO: its file, or packed-refs, is damaged or
 * no file; others of the moment.
 */
int ref_lookup(struct packed_refs *packed, const char *git_dir, const char *common_dir,
               const char *name, git_reference **ret_reference, struct error *error);

#endif
