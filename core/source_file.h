/*
 * source_file: a worktree's files.
 */
#ifndef ADDONFS_SOURCE_FILE_H
#define ADDONFS_SOURCE_FILE_H

#include "source_backend.h"
#include "source_resolve.h"

/*
 * Take the file at `real` in: what cannot be read is a file too, one with a failure. Readability is
 * tried here, once for each state of the file, so that a stat can already tell. `written` is that
 * of its entry, `before` (or NULL) the file that was there and is not unchanged. -ENOMEM and other
 * failures of the moment are returned.
 */
int file_take(struct source *source, const struct resolve_root *root, const char *path,
              const char *real, uint64_t written, const struct file *before, struct file **ret_file,
              struct error *error);

/*
 * Is the file still what it was, now that a stat says `status` and its entry `written`? Looks at
 * the bytes only where the stamp does not tell.
 */
bool file_is_unchanged(const struct resolve_root *root, struct file *file,
                       const struct stat *status, uint64_t written);

/* source_read for a worktree. */
int file_read(const struct resolve_root *root, const struct file *file, struct spool *spool,
              size_t memory_limit, struct content **ret_content, struct error *error);

/* `denied`: what an access control list takes away (see source_acl.h). */
struct source_owner file_owner_of(const struct stat *status, mode_t denied);

#endif
