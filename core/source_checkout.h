/*
 * source_checkout: a blob as a clean checkout with default settings would write it.
 *
 * Text conversion (text, eol, ident) is libgit2's, with the attributes of one commit alone. It asks
 * a repository for configuration, index and attribute files; the one it gets here has none of them,
 * so the user's core.autocrlf and ~/.config/git/attributes, the host's /etc/gitattributes
 * (repository_open sees to that), info/attributes and the worktree's .gitattributes cannot matter.
 * working-tree-encoding (gitattributes(5)), which libgit2 does not know, goes through iconv.
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
