/*
 * source_checkout: a blob as a clean checkout with default settings would write it.
 *
 * What the attributes of the commit alone say of a path, libgit2 is asked. It looks in a repository
 * for configuration, index and attribute files; the one it gets here has none of them, so the
 * user's ~/.config/git/attributes, the host's /etc/gitattributes (repository_open sees to that),
 * info/attributes and the worktree's .gitattributes cannot matter. What they ask for is done by
 * source_conversion.h (text, eol, ident) and iconv (working-tree-encoding).
 *
 * What Git cannot encode, it writes in UTF-8 and tells of; its status is 0. Here such a file cannot
 * be read: nobody looks at what a mount says.
 */
#ifndef ADDONFS_SOURCE_CHECKOUT_H
#define ADDONFS_SOURCE_CHECKOUT_H

#include "source_reader.h"

#include <addonfs/content.h>

/* Make `plain`, the repository of a reader, fit for checkout_blob. 0 or -ENOMEM. */
int checkout_prepare(git_repository *plain);

/*
 * The bytes of `object` as they stand at `path` in a checkout of `commit`. -EIO: the object, or one
 * that its attributes come from, is missing or damaged, or it cannot be converted; -ENOSPC,
 * -ENOMEM, -EMFILE, …: not now.
 */
int checkout_blob(struct reader *reader, const git_oid *object, const git_oid *commit,
                  const char *path, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error);

/* What converts: another text where the same blob may give other bytes. */
#define CHECKOUT_CONVERTER_SIZE 64
void checkout_converter(char text[static CHECKOUT_CONVERTER_SIZE]);

#endif
