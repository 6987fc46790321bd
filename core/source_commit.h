/*
 * source_commit: what a commit says, as Git reads it.
 *
 * libgit2 refuses a commit whose author it cannot parse, which Git shows: such commits are in old
 * histories, written by scripts. What we need of one, its tree, its parents and its committer's
 * time, is read from its raw bytes (Git, commit.c, parse_commit_buffer).
 */
#ifndef ADDONFS_SOURCE_COMMIT_H
#define ADDONFS_SOURCE_COMMIT_H

#include "source_reader.h"

#include <stdint.h>

struct commit {
    git_oid id;
    git_oid tree;
    int64_t time; /* of the committer, seconds since 1970; 0: none can be read, as in Git */
    size_t parent_count;
    git_oid parents[];
};

/*
 * Read a commit, which is the caller's to free. As reader_failure, also if it is another kind of
 * object; the error begins with `what`.
 */
int commit_read(struct reader *reader, const git_oid *id, const char *what,
                struct commit **ret_commit, struct error *error);

/* The commit that an object is, or a tag leads to. -ENOENT: it leads to none. */
int commit_peel(struct reader *reader, const git_oid *id, const char *what,
                struct commit **ret_commit, struct error *error);

/*
 * The same of an id of which `length` digits are known. Objects that lead to no commit do not
 * count. -ENOENT: there is none, or more than one.
 */
int commit_find(struct reader *reader, const git_oid *prefix, size_t length, const char *what,
                struct commit **ret_commit, struct error *error);

/* Its tree, as reader_failure. */
int commit_tree(struct reader *reader, const struct commit *commit, git_tree **ret_tree);

#endif
