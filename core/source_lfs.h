/*
 * source_lfs: files that Git LFS keeps outside Git's objects.
 *
 * What is committed of such a file is a pointer, a short text that names the SHA-256 and the size
 * of the content; that lies in lfs/objects/ of the repository once it was fetched. A checkout with
 * git-lfs has the content, one without it the pointer. Here it is the content wherever it can be
 * had: a package with pointers in it is of no use to anybody.
 *
 * Formats: git-lfs, docs/spec.md ("The Pointer", "The Server" for the place of objects). An
 * `lfs.storage` of the configuration is not looked at.
 */
#ifndef ADDONFS_SOURCE_LFS_H
#define ADDONFS_SOURCE_LFS_H

#include <addonfs/content.h>
#include <addonfs/file.h>

/* A pointer is shorter than this. */
#define LFS_POINTER_LIMIT 1024

/* Are the `size` bytes of a whole file those of a pointer, be it one that makes no sense? */
bool lfs_is_pointer(const void *bytes, uint64_t size);

/* What it points to. False: it makes no sense. */
bool lfs_parse(const void *bytes, size_t size, struct lfs_pointer *ret_pointer);

/*
 * See that the object is there. -ENOENT, or another reason why it cannot be read. `git_dir` is the
 * repository's (of linked worktrees the one that they share).
 */
int lfs_look(const char *git_dir, const struct lfs_pointer *pointer);

/*
 * Read the object; `path` names the file for messages. -EIO: it is not there, or is not what its
 * name says; -ENOSPC, -EMFILE, …: not now.
 */
int lfs_read(const char *git_dir, const struct lfs_pointer *pointer, const char *path,
             struct spool *spool, size_t memory_limit, struct content **ret_content,
             struct error *error);

#define LFS_ABSENT "a Git LFS pointer without its object: git lfs pull"

#endif
