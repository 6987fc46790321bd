/*
 * signals: what ends a session from inside.
 *
 * SIGTERM, SIGINT and SIGHUP stay blocked in all threads from before anything is mounted; a thread
 * of its own waits for them (sigwait(3)). So there is no moment at which one of them leaves a dead
 * mount, and what has to be done before the end is done by a thread that may wait, while the
 * session still answers requests.
 */
#ifndef ADDONFS_SIGNALS_H
#define ADDONFS_SIGNALS_H

#include "filesystem.h"

#include <signal.h>
#include <stdatomic.h>

struct signals {
    struct filesystem *filesystem;
    struct fuse_session *session;
    pthread_t loop;   /* the thread that is in fuse_session_loop_mt */
    pthread_t waiter; /* … and the one that waits for signals */
    atomic_bool over; /* the loop has ended */
};

/* Hold them back in this thread and all that it starts. */
void signals_hold(sigset_t *ret_before);

/* Let them end `session`, whose loop the calling thread is about to run. A negative errno. */
int signals_begin(struct signals *signals, struct filesystem *filesystem,
                  struct fuse_session *session);

/* The loop has ended. */
void signals_end(struct signals *signals);

/* The signals, for signalfd(2). */
sigset_t signals_that_end(void);

#endif
