/*
 * source_listing: which names a folder of a worktree holds, and what they are.
 */
#ifndef ADDONFS_SOURCE_LISTING_H
#define ADDONFS_SOURCE_LISTING_H

#include "source_folder.h"

/*
 * Give `folder`, which `fd` is (it keeps its place), the names that are there now; Git's own are
 * left out. `*ret_changed` is set if they are others than before. A negative errno: as before.
 */
int listing_read(int fd, struct source_folder *folder, bool *ret_changed);

#endif
