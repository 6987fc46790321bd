/*
 * ahead: compressing files while others are still being looked for.
 *
 * The first look at a source takes one core. The others begin meanwhile with what it has found:
 *
 *     origin.ahead = ahead_begin(&origin);
 *     …                                        package_build offers the files of zips
 *     ahead_end(origin.ahead);
 *
 * It is a head start and nothing else: what cannot be read is left to bundle_compose, which says
 * why. So are files that are large, or whose size is not known (a revision's, Git LFS's): they
 * would keep ahead_end waiting.
 */
#ifndef ADDONFS_AHEAD_H
#define ADDONFS_AHEAD_H

#include <addonfs/bundle.h>

/* The origin must outlive it. NULL where there is no core to spare, or no memory: which is allowed
 * below. */
struct ahead *ahead_begin(const struct origin *origin);

/* Compress this file when there is time; it is referenced until then. Any thread. */
void ahead_offer(struct ahead *ahead, struct file *file);

/* Wait for what is being compressed; the rest is dropped. */
void ahead_end(struct ahead *ahead);

#endif
