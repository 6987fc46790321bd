/*
 * reaper: lets the kernel forget names that the view keeps no more.
 *
 * The kernel caches frozen trees for ever, and as long as it does, we have to. So when a snapshot
 * is no longer among those that are kept, its name is taken out of the kernel's cache; whoever
 * still uses it goes on doing so. This only frees memory sooner: nothing is wrong if it does not
 * happen.
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
