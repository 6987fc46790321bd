/*
 * bundle_ahead: compressing files while others are still being looked for.
 *
 * The first look at a source takes one core. The others begin meanwhile with what it has found:
 *
 *     origin.ahead = ahead_begin(&origin);
 *     …                                        package_build offers the files of zips
 *     ahead_stop(ahead);                       nothing more is begun
 *     …                                        bundle_compose joins what is
 *     ahead_free(ahead);                       before the source is closed
 *
 * It is a head start and nothing else: what cannot be read is left to bundle_compose, which says
 * why. So are files that are large, with which composing begins anyway, and those whose size is not
 * known (a revision's, Git LFS's): it would do again what takes long here.
 */
#ifndef ADDONFS_BUNDLE_AHEAD_H
#define ADDONFS_BUNDLE_AHEAD_H

#include <addonfs/bundle.h>

/* The origin must outlive it. NULL where there is no core to spare, or no memory: which is allowed
 * below. */
struct ahead *ahead_begin(const struct origin *origin);

/* Compress this file when there is time; it is referenced until then. Any thread. */
void ahead_offer(struct ahead *ahead, struct file *file);

/*
 * Begin with no file any more. What is being read or compressed goes on: a file that hangs must not
 * hold a mount. Any thread, any number of times; bundle_compose does it as well.
 */
void ahead_stop(struct ahead *ahead);

/*
 * If the file is being compressed, wait until that has ended, one way or the other. 0, or what
 * origin_check says of the origin of the one who waits. Any thread; after ahead_stop, so that
 * nobody begins with the file in between.
 */
int ahead_join(struct ahead *ahead, const struct file *file, const struct origin *origin);

/* Stop, and wait for what is being compressed, however long its file takes to be read. */
void ahead_free(struct ahead *ahead);

#endif
