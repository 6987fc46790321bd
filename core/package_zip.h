/*
 * package_zip: a tree of entries as a zip.
 */
#ifndef ADDONFS_PACKAGE_ZIP_H
#define ADDONFS_PACKAGE_ZIP_H

#include <addonfs/package.h>

/*
 * The files below `tree` as a zip named `name`, each under its path; zips among them are stored.
 * `last` is the zip that was made at this place the last time, or NULL: if the tree is the same
 * one, so is the bundle. The entry refers to the tree. Its path is the caller's to set. A tree that
 * cannot be listed is a failed entry. -ENOMEM.
 */
int package_zip(const struct origin *origin, struct entry *tree, const char *name,
                struct entry *last, struct entry **ret_zip);

#endif
