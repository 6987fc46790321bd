/*
 * source_checkout: a blob as a clean checkout with default settings would write it.
 *
 * Text conversion (text, eol, ident) is libgit2's, with the attributes of one commit alone. It asks
 * a repository for configuration and attribute files; the one it gets here has only the object
 * database, no folder and an empty configuration, so the user's core.autocrlf, info/attributes and
 * the worktree's .gitattributes cannot matter. working-tree-encoding (gitattributes(5)), which
 * libgit2 does not know, goes through iconv.
 */
#ifndef ADDONFS_SOURCE_CHECKOUT_H
#define ADDONFS_SOURCE_CHECKOUT_H

#include <addonfs/content.h>
#include <addonfs/error.h>
#include <git2.h>

/* A handle for one thread at a time. */
struct checkout {
    git_repository *plain; /* objects only: no folder, no configuration */
    struct checkout *next; /* its owner's */
};

/* Around `objects`, which is referenced. NULL without memory. */
struct checkout *checkout_new(git_odb *objects);
void checkout_free(struct checkout *checkout);

/*
 * The bytes of `object` as they stand at `path` in a checkout of `commit`. -EIO: the object is
 * missing or damaged, or cannot be converted; -ENOSPC, -ENOMEM. One thread at a time.
 */
int checkout_blob(struct checkout *checkout, const git_oid *object, const git_oid *commit,
                  const char *path, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error);

#endif
