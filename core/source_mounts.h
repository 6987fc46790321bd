/*
 * source_mounts: what is mounted inside a tree.
 *
 * A mount hides what lies below its mount point, without any event there; and mount points are not
 * entered. The kernel tells when its list of mounts changes, anywhere (proc(5), mountinfo); this
 * says whether that concerns the tree. Most mounts on a machine do not, our own among them.
 */
#ifndef ADDONFS_SOURCE_MOUNTS_H
#define ADDONFS_SOURCE_MOUNTS_H

#include <stdbool.h>

struct mounts;

/* For the tree at `path`, absolute and without links. NULL: nothing can be known. */
struct mounts *mounts_new(const char *path);
void mounts_free(struct mounts *mounts);

/* Is another mount inside the tree than the last time? Also if that cannot be told. One thread. */
bool mounts_have_changed(struct mounts *mounts);

#endif
