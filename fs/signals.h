/*
 * signals: what ends a session from inside.
 *
 * Every signal that would end the process, and that comes from outside, stays blocked in all
 * threads from before anything is mounted until the process ends; a thread of its own reads them
 * (signalfd(2)). So there is no moment at which one of them leaves a dead mount, and what has to be
 * done before the end is done by a thread that may wait, while the session still answers requests.
 */
#ifndef ADDONFS_SIGNALS_H
#define ADDONFS_SIGNALS_H

#include "filesystem.h"

#include <pthread.h>
#include <stdbool.h>

struct signals {
    struct filesystem *filesystem;
    struct fuse_session *session;
    pthread_t loop;   /* the thread that is in fuse_session_loop_mt */
    pthread_t waiter; /* … and the one that waits for signals */
    int arrived;      /* signalfd(2) */
    int over;         /* eventfd(2): the loop has ended */
};

/*
 * Hold them back in this thread and all that it starts. One that was ignored before is not among
 * them (nohup(1)), unless `all`: a daemon has no terminal whose end is not to be its own.
 */
void signals_hold(bool all);

/* A signalfd(2) of those that are held back, which the caller closes. A negative errno. */
int signals_open(void);

/* Let them end `session`, whose loop the calling thread is about to run. A negative errno. */
int signals_begin(struct signals *signals, struct filesystem *filesystem,
                  struct fuse_session *session);

/* The loop has ended. */
void signals_end(struct signals *signals);

#endif
