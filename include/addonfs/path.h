/*
 * path: which names may become paths.
 *
 * Names come out of files that anyone may have pushed. They are checked here before they become a
 * folder, a member or a path that is opened.
 */
#ifndef ADDONFS_PATH_H
#define ADDONFS_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* An addon's name or client_dir: [A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?, at most 128 bytes. */
bool path_addon_name_ok(const char *name);

/* A version: [0-9A-Za-z][0-9A-Za-z.+_-]*, no "..", at most 128 bytes. */
bool path_version_ok(const char *version);

/* A path in a recipe: relative, components neither empty, "." nor "..", none of them Git's. */
bool path_recipe_ok(const char *path);

/*
 * Is `name` the name of Git's own folder or file? In any case of letters: on file systems that fold
 * case `.GIT` is the same folder.
 */
bool path_is_git(const char *name);

/* "folder/name", or "name" when folder is "". NULL without memory; the caller frees it. */
char *path_join(const char *folder, const char *name);

/* Is `path` equal to `folder` or below it? Every path is below "". */
bool path_is_within(const char *path, const char *folder);

#endif
