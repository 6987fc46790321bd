/*
 * operations: the answers to the kernel's requests.
 */
#ifndef ADDONFS_OPERATIONS_H
#define ADDONFS_OPERATIONS_H

#define FUSE_USE_VERSION 35

#include "inode.h"
#include "options.h"

#include <addonfs/view.h>
#include <fuse_lowlevel.h>

/* The control folder's own number; the root's is FUSE_ROOT_ID. */
#define CONTROL_NUMBER 2

/* One mounted view: the userdata of a FUSE session. */
struct filesystem {
    struct view *view;
    struct inode_table *inodes;
    const struct options *options; /* borrowed */
    const char *mountpoint;        /* borrowed; absolute */
    const char *root;              /* path in the view's tree that the mount's root shows */
    pid_t pid;                     /* of the process that outlives all others of this mount */

    pthread_mutex_t lock;     /* guards what follows */
    struct inode *status;     /* the last text of status.json */
    struct problems reported; /* what has been logged */
};

/* The name of the extended attribute of the root that holds filesystem.pid, in decimal digits. */
#define PID_ATTRIBUTE "user.addonfs.pid"

extern const struct fuse_lowlevel_ops filesystem_operations;

/* Take over `view` (even on failure; NULL: adopted later). NULL without memory. */
struct filesystem *filesystem_new(struct view *view, const struct options *options,
                                  const char *mountpoint);
/* Give `shell`, made without a view, all that `filesystem` has, and end `filesystem`. */
void filesystem_adopt(struct filesystem *shell, struct filesystem *filesystem);
void filesystem_free(struct filesystem *filesystem);

#endif
