/*
 * report: what the processes of a mount tell each other.
 *
 * One message is one datagram of a socket pair: a kind, and for a failure its line, and for a mount
 * its descriptor. Whoever waits sees the end of the other process as the end of its messages.
 */
#ifndef ADDONFS_REPORT_H
#define ADDONFS_REPORT_H

#include <addonfs/error.h>

enum report {
    REPORT_END = 0,       /* the other side has gone */
    REPORT_OPENED = 'O',  /* the source is open and can be served */
    REPORT_MOUNTED = 'M', /* it is mounted; the FUSE device comes with the message */
    REPORT_SERVING = 'R',
    REPORT_LEAVE = 'L',  /* the mount shall be taken away … */
    REPORT_LEFT = 'G',   /* … and has been, or */
    REPORT_STAYED = 'S', /* … could not be */
    REPORT_GONE = 'N',   /* what was mounted is mounted no more */
    REPORT_FAILED = 'E', /* with the error */
};

/* The two ends; closed on exec. A negative errno. */
int report_pair(int ret_ends[2]);

/*
 * Send a message. `error` goes with REPORT_FAILED (otherwise NULL), `device` with REPORT_MOUNTED
 * (otherwise -1) and stays the caller's. -EPIPE: nobody is there any more.
 */
int report_send(int end, enum report report, const struct error *error, int device);

/*
 * Wait for a message. With REPORT_FAILED `*error` is filled, with REPORT_MOUNTED `*ret_device` is
 * the caller's to close. Returns the kind, or a negative errno (-EINTR: a signal came first).
 */
int report_receive(int end, struct error *error, int *ret_device);

#endif
