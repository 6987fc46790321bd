/*
 * refs_names: which names there are, in files of their own and in packed-refs.
 *
 * A prefix is that of whole names, and ends in a slash: "refs/tags/feature/". The lock of the
 * repository is held, and repository_refs_begin has been called.
 */
#ifndef ADDONFS_REFS_NAMES_H
#define ADDONFS_REFS_NAMES_H

#include "source_repository.h"

#include <addonfs/refs.h>

/* What is directly below the prefix; the caller's, to be cleared. -EIO, -ENOMEM, … */
int refs_names_list(struct repository *repository, const char *prefix, struct ref_names *ret_names,
                    struct error *error);

/* Does any name begin with the prefix? 1 or 0, or as above. */
int refs_names_exist(struct repository *repository, const char *prefix, struct error *error);

#endif
