/*
 * daemon: the process, or the two, behind a mount.
 *
 * Our own repository, or root's: one process opens it, mounts, serves and unmounts.
 *
 * Root over someone else's repository takes two. The *server* becomes the owner for good before it
 * touches the repository; the *keeper* stays root, and does the two things that only root can: it
 * mounts when the server has opened the source, and unmounts when the server has ended. The keeper
 * never reads anything of the source, and does not hold the FUSE device, so a server that crashes
 * leaves a mount that answers ENOTCONN, which no tool takes for an empty folder.
 */
#ifndef ADDONFS_DAEMON_H
#define ADDONFS_DAEMON_H

#include "identity.h"
#include "options.h"
#include "place.h"

#include <addonfs/error.h>
#include <stdbool.h>

struct daemon {
    const char *source; /* absolute, without links */
    struct place *place;
    const struct options *options;
    struct identity identity; /* the source's owner */
    bool foreground;
    int report; /* where REPORT_SERVING or REPORT_FAILED goes (report.h), or -1 */
};

/*
 * Mount and serve until the mount ends, by a signal or from outside. On failure no mount is left
 * behind. 0, or a negative errno with the error, which has been reported too. The process is to end
 * then: the signals stay blocked, and one that comes late changes nothing.
 */
int daemon_run(const struct daemon *daemon, struct error *error);

/* Close every descriptor from 3 on but these two (or -1), and what syslog(3) holds. */
void daemon_close_others(int one, int other);

#endif
