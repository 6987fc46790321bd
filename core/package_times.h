/*
 * package_times: when what a package shows was last changed, for revisions.
 *
 * A file has the time of the commit that `git log -1 -- path` gives, a zip that of the folders it
 * is made of, so that a member which was deleted counts as well. What is reached through a link has
 * the newest time of the link and of what it leads to.
 */
#ifndef ADDONFS_PACKAGE_TIMES_H
#define ADDONFS_PACKAGE_TIMES_H

#include <addonfs/package.h>

/*
 * Set the times of all entries at and below `root` that are new (have no number); the source is in
 * the look that they were built in, or of the commit that they are of. A history that cannot be
 * read is a warning of what `affects` names, and sets `*ret_retry`: then the time is that of the
 * commit, which is later than it need be, but never one that another content had. -ENOMEM, -EMFILE,
 * …: not now; -EINTR, -ECANCELED (origin_check).
 */
int package_set_times(const struct origin *origin, struct entry *root, const char *affects,
                      struct problems *problems, bool *ret_retry, struct error *error);

#endif
