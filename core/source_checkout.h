/*
 * source_checkout: a blob as a clean checkout with default settings would write it.
 *
 * What the attributes of the commit alone say of a path (source_attributes.h) is done by
 * source_conversion.h (text, eol, ident) and iconv (working-tree-encoding). Nothing else is looked
 * at: the user's ~/.config/git/attributes, the host's /etc/gitattributes, info/attributes and the
 * worktree's .gitattributes cannot matter.
 *
 * What Git cannot encode, it writes in UTF-8 and tells of; its status is 0. Here such a file cannot
 * be read: nobody looks at what a mount says.
 */
#ifndef ADDONFS_SOURCE_CHECKOUT_H
#define ADDONFS_SOURCE_CHECKOUT_H

#include "source_attributes_table.h"

#include <addonfs/content.h>

/* Another text whenever what is behind this header makes other bytes of the same blob under the
 * same attributes: what is in caches is known by it. */
#define CHECKOUT_CONVERSION "3"

struct checkout {
    struct reader *reader;
    struct attributes_table *table; /* of the reader's repository */
    git_oid object;
    const struct attributes_chain *chain; /* that applies where it stands */
    const char *path;                     /* from where the chain's paths begin */
};

/*
 * The bytes of the object as they stand at its path in a checkout. -EIO: the object, or one that
 * its attributes come from, is missing or damaged, or it cannot be converted; -ENOSPC, -ENOMEM,
 * -EMFILE, …: not now. The error begins with the path.
 */
int checkout_blob(const struct checkout *checkout, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error);

#endif
