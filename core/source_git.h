/*
 * source_git: what libgit2 says of a failure, and scopes for what it hands out.
 */
#ifndef ADDONFS_SOURCE_GIT_H
#define ADDONFS_SOURCE_GIT_H

#include <addonfs/cleanup.h>
#include <git2.h>

/*
 * What the failure `code` of a function that reads no objects means: -EIO if the content is at
 * fault, otherwise a failure of the moment (error_is_transient). libgit2 clears errno when it
 * describes a failure of the system, so that is read from the words; one that is not understood is
 * -EAGAIN.
 */
int source_git_failure(int code);

/* What libgit2 said last in this thread, for a message. */
const char *source_git_message(void);

CLEANUP(blob, git_blob *, git_blob_free)
CLEANUP(commit, git_commit *, git_commit_free)
CLEANUP(object, git_object *, git_object_free)
CLEANUP(odb_object, git_odb_object *, git_odb_object_free)
CLEANUP(reference, git_reference *, git_reference_free)
CLEANUP(tree, git_tree *, git_tree_free)
CLEANUP(tree_entry, git_tree_entry *, git_tree_entry_free)
#define cleanup_blob __attribute__((cleanup(cleanup_blob_scope)))
#define cleanup_commit __attribute__((cleanup(cleanup_commit_scope)))
#define cleanup_object __attribute__((cleanup(cleanup_object_scope)))
#define cleanup_odb_object __attribute__((cleanup(cleanup_odb_object_scope)))
#define cleanup_reference __attribute__((cleanup(cleanup_reference_scope)))
#define cleanup_tree __attribute__((cleanup(cleanup_tree_scope)))
#define cleanup_tree_entry __attribute__((cleanup(cleanup_tree_entry_scope)))

#endif
