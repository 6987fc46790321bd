/*
 * source_regular: files of Git's own are files.
 *
 * Whoever opens a FIFO waits until somebody writes to it, and libgit2 opens what lies there. So of
 * what it is going to open, the kind is asked first; it cannot be held to what was seen then, but
 * whoever may exchange files of a repository's between the two loses nothing but their own mount.
 */
#ifndef ADDONFS_SOURCE_REGULAR_H
#define ADDONFS_SOURCE_REGULAR_H

#include <addonfs/error.h>
#include <stdio.h>
#include <sys/stat.h>

/* -EIO with the error: what is at `path` is neither a file nor a folder, and nobody may open it. */
int regular_check(const char *folder, const char *name, struct error *error);

/*
 * Open the file `name` below the folder that is open as `folder`; `path` is what it is called in
 * messages, `flags` may be O_NOFOLLOW. The caller closes it. -ENOENT (without a word): there is
 * none; -EISDIR: a folder is there; -EIO: what else is no file; -ELOOP, -ENAMETOOLONG; others: a
 * failure of the moment (error_of_the_moment).
 */
int regular_open_at(int folder, const char *name, const char *path, int flags, int *ret_fd,
                    struct stat *ret_status, struct error *error);

/*
 * Open a file to read lines of it; the caller closes it. `*ret_file` is NULL where there is none.
 * -EIO: it is no file; others: a failure of the moment (error_of_the_moment).
 */
int regular_open(const char *path, FILE **ret_file, struct error *error);

#endif
