/*
 * waiting: those who wait for the next generation.
 *
 * `.addonfs/generation` is a file that holds the live view's number, in decimal digits and a
 * newline. A read at its start answers the number of the moment; poll(2) says that it is readable
 * when there is another number than the one read last. As long as it is open the view looks for
 * changes by itself.
 *
 * An open file keeps a mount busy, so whoever unmounts lets the waiters go first: they find that
 * the file has ended (POLLHUP, and ENODEV when it is read).
 */
#ifndef ADDONFS_WAITING_H
#define ADDONFS_WAITING_H

#include <addonfs/view.h>
#include <sys/types.h>

struct fuse_pollhandle;
struct waiter;

struct waiting {
    struct view *view;
    pthread_mutex_t lock; /* guards the rest; held for moments */
    pthread_cond_t closed;
    struct waiter *first;
    bool releasing; /* whoever waits is let go */
    bool finished;  /* the same, for good */
};

void waiting_init(struct waiting *waiting, struct view *view);

/* Every waiter must have been closed. */
void waiting_end(struct waiting *waiting);

/* An open file; `*ret_waiter` is to be closed. -ENOMEM, -EAGAIN. */
int waiting_open(struct waiting *waiting, struct waiter **ret_waiter);
void waiting_close(struct waiting *waiting, struct waiter *waiter);

/* Read as pread(2) does. -ENODEV: it has ended; others as view_look. */
ssize_t waiting_read(struct waiting *waiting, struct waiter *waiter, off_t offset, void *bytes,
                     size_t size);

/* What poll(2) says now. `handle` (or NULL; taken over) is told when that may be otherwise. */
unsigned waiting_poll(struct waiting *waiting, struct waiter *waiter,
                      struct fuse_pollhandle *handle);

/* There is another generation: tell all. */
void waiting_advanced(struct waiting *waiting);

/* Let all go, now and from now on. */
void waiting_finish(struct waiting *waiting);

/* Let all go, and wait until they have closed, but no longer than `milliseconds`. */
void waiting_release(struct waiting *waiting, int milliseconds);

#endif
