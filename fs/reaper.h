/*
 * reaper: lets the kernel forget names that lead nowhere any more, or that the view keeps no more.
 *
 * The kernel remembers names until memory is short, and as long as it does, we have to keep what
 * they lead to: an archive of thousands of members, say. So a name that has gone from the live
 * tree, and that of a frozen tree which nobody has looked up for minutes, is taken out of the
 * kernel's cache. Whoever has something open below it, or works there, goes on doing so. This only
 * frees memory sooner, with one exception: a process that works in the root of such a frozen tree
 * for longer than that has no path any more (getcwd(2) answers ENOENT) until the name is looked up
 * again.
 *
 * Asking the kernel may have to wait for a request that we are to answer (fuse_lowlevel.h,
 * fuse_lowlevel_notify_inval_entry). So it is done by a thread of its own, which holds no lock, and
 * which must have ended before requests are answered no more.
 */
#ifndef ADDONFS_REAPER_H
#define ADDONFS_REAPER_H

#include <stdint.h>

struct fuse_session;
struct reaper;

/* NULL without memory or thread: then nothing is reaped. */
struct reaper *reaper_new(struct fuse_session *session);

/* Let the kernel forget `name` in the folder `parent`, soon. Any thread, at any time. */
void reaper_add(struct reaper *reaper, uint64_t parent, const char *name);

/* End the thread, while the session still serves or after its mount has gone. NULL is allowed. */
void reaper_free(struct reaper *reaper);

#endif
