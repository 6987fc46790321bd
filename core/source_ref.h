/*
 * source_ref: what a ref says, by its whole name (gitrepository-layout(5)).
 *
 * A ref lies in a file of its own, or in the file packed-refs with many others. libgit2 reads the
 * latter through a mapping, so that one that is cut in place ends the process (SIGBUS), and
 * remembers of it what may be of another file by now. Here both are read from below the two folders
 * that a repository has, which are held open: whatever their paths lead to.
 */
#ifndef ADDONFS_SOURCE_REF_H
#define ADDONFS_SOURCE_REF_H

#include "source_packed_refs.h"

#include <addonfs/error.h>
#include <git2.h>

struct ref_store {
    struct ref_folder git_dir;    /* what a worktree has for itself */
    struct ref_folder common_dir; /* what all share; the same, but for linked worktrees */
    struct packed_refs packed;
};

/*
 * Look the names up, and answer the first that is there. The caller frees the reference. -ENOENT:
 * there is none; -EIO: its file, or packed-refs, is damaged or no file; others of the moment. The
 * error begins with the first name, or names the file.
 */
int ref_lookup(struct ref_store *store, const char *const *names, size_t count, size_t *ret_index,
               git_reference **ret_reference, struct error *error);

#endif
