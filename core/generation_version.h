/*
 * generation_version: a version of its own for every commit, and every content of a worktree.
 */
#ifndef ADDONFS_GENERATION_VERSION_H
#define ADDONFS_GENERATION_VERSION_H

#include <addonfs/generation.h>

/*
 * Find out the version for `declared`, the package as its source declares it, which is of the
 * source's commit, or of a worktree whose HEAD `generation` has. 0: `*ret_version` is the caller's
 * to free. A version that cannot be derived: `*ret_version` is NULL, and the package is a failed
 * one. -ENOMEM, -ESTALE, …: not now.
 */
int generation_derive_version(const struct generation_maker *maker,
                              const struct recipe_match *match, const struct generation *generation,
                              struct package *declared, char **ret_version, struct error *error);

#endif
