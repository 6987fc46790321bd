/*
 * source_modules: the repositories of submodules.
 *
 * A revision holds of a submodule its path and a commit (a gitlink). Which repository that commit
 * is in, `.gitmodules` of the same revision says: it gives the path a name, and Git keeps what it
 * has fetched in modules/NAME of the git dir (gitmodules(5), gitrepository-layout(5)). Only objects
 * are read there: its configuration, hooks and worktree have no say.
 *
 * Both files and names are data that anybody may have written. A name never leads out of modules/
 * (CVE-2018-11235), nor does a link there: whenever one is looked for, the path without links has
 * to lie in modules/. What lies below it is the user's own, and may be linked as for Git.
 * `.gitmodules` includes nothing.
 */
#ifndef ADDONFS_SOURCE_MODULES_H
#define ADDONFS_SOURCE_MODULES_H

#include "source_repository.h"

#include <addonfs/map.h>

/* Larger is no `.gitmodules` that somebody wrote. */
#define MODULES_SIZE_LIMIT ((size_t)1 << 20)

/*
 * The names in the text of a `.gitmodules`, by path; where a path has two, the last counts.
 * `*names`, which is empty, is the caller's to clear with free(3). -EINVAL: it cannot be
 * understood; -ENOMEM, -EMFILE, …: not now.
 */
int modules_parse(const char *text, size_t size, struct map *names, struct error *why);

/* May this be the name of a submodule? */
bool modules_name_ok(const char *name);

/*
 * The repository of the submodule `name` that has `commit`, borrowed: it lives as long as
 * `repository`. -ENOENT: there is none, or it has no such commit (`*ret_fetched`: it was fetched
 * once); -EIO: it cannot be known, since a folder cannot be read; other failures are of the moment.
 * Both are described.
 */
int modules_find(struct repository *repository, const char *name, const git_oid *commit,
                 struct repository **ret_module, bool *ret_fetched, struct error *why);

/*
 * objects_healing of the repository and of those of its submodules; it moves on as well when a
 * submodule that modules_find did not have may have come.
 */
uint64_t modules_healing(struct repository *repository);

/* Of a repository that is being freed. */
void modules_free(struct repository *repository);

#endif
