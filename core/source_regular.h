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

/*
 * Is `name` in `folder` a file, or nothing at all? -EIO with the error: it is something else.
 * A folder is none of a ref's file ("refs/heads/feature"), and Git looks further: it is not told.
 */
int regular_check(const char *folder, const char *name, struct error *error);

/* The same, and of a folder, too: -EIO. */
int regular_check_file(const char *folder, const char *name, struct error *error);

/* Open a file to read lines of it; the caller closes it. -ENOENT, and no error: there is none;
 * -EIO: it is no file; others of open(2). */
int regular_open(const char *path, FILE **ret_file, struct error *error);

#endif
