/*
 * package_times: when what a package shows was last changed, for revisions.
 *
 * A file has the time of the commit that `git log -1 -- path` gives, a zip that of the folder it is
 * made of, so that a member which was deleted counts as well. What is reached through a link has
 * the newest time of the link and of what it leads to.
 */
#ifndef ADDONFS_PACKAGE_TIMES_H
#define ADDONFS_PACKAGE_TIMES_H

#include <addonfs/package.h>

/*
 * Set the times of all entries below `package->folder` that are new (have no number); the source is
 * in the look that they were built in. A history that cannot be read is a warning: then the time is
 * that of the commit, which is later than it need be, but never one that another content had, and
 * the package is to be tried again. -ENOMEM, -EMFILE, …: not now; -EINTR, -ECANCELED
 * (origin_check).
 */
int package_set_times(const struct origin *origin, struct package *package, struct error *error);

#endif
