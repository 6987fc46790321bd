/*
 * surroundings: what a mount point may neither lie in nor hide.
 *
 * What lies below a mount point cannot be read any more, and a daemon that needs it would wait for
 * itself, for ever. So before anything is mounted every folder that will be read or written is
 * looked up from the root down, link by link, and none of these steps may be the mount point.
 * Folders are compared by device and inode: the same one may have several paths.
 */
#ifndef ADDONFS_SURROUNDINGS_H
#define ADDONFS_SURROUNDINGS_H

#include "options.h"
#include "place.h"

#include <addonfs/error.h>
#include <addonfs/view.h>

/* Before anything of the source is read: the source itself, and Git's folders. -EINVAL. */
int surroundings_check(const struct place *place, const char *source, struct error *error);

/*
 * With the open view of that source, as the user who reads it: where Git's data lies, what the
 * package is made of, and where caches and temporary files go. -EINVAL, -ENOMEM, and errors of
 * view_look.
 */
int surroundings_check_view(const struct place *place, struct view *view,
                            const struct options *options, struct error *error);

#endif
