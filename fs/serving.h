/*
 * serving: what is mounted, until it ends.
 *
 * It ends with its mount: when somebody has unmounted it and the last who had something open in it
 * is done. A signal takes the mount away, and that is all; who reads goes on reading what is
 * whole, as after umount --lazy. Another one, or SIGQUIT, ends it at once: whoever still reads gets
 * an error then (ENOTCONN).
 */
#ifndef ADDONFS_SERVING_H
#define ADDONFS_SERVING_H

#include "filesystem.h"

#include <addonfs/error.h>
#include <pthread.h>
#include <stdbool.h>

struct daemon;

struct serving {
    const char *path;              /* the mount point, for messages; borrowed, as all of these */
    struct filesystem *filesystem; /* what is served … */
    struct fuse_session *session;  /* … on what is mounted */
    /* Signals no longer end the process: tell whoever waits for that. Negative: do not serve. */
    int (*ready)(const struct daemon *daemon);
    /* Take the mount away, although it may be in use. false: it is still there. */
    bool (*leave)(const struct daemon *daemon);
    const struct daemon *daemon; /* for these two */

    /* Afterwards: nothing is mounted any more. What is at the place now is another's, whatever the
     * kernel's list says: numbers of mounts and devices are given out again at once. */
    bool gone;

    pthread_t loop; /* the thread that waits in libfuse */
    /* What the signals' thread knows: */
    bool told;      /* one has come … */
    bool passed_on; /* … from the keeper (SIGNALS_PASSED_ON) */
    bool left;
    bool ends;
};

/* Serve, with all set that comes before `gone`. 0, or a negative errno with the error. */
int serving_run(struct serving *serving, struct error *error);

#endif
