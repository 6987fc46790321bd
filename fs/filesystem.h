/*
 * filesystem: one mounted view, from names and numbers to inodes.
 */
#ifndef ADDONFS_FILESYSTEM_H
#define ADDONFS_FILESYSTEM_H

#define FUSE_USE_VERSION 312

#include "handle.h"
#include "options.h"

#include <addonfs/problem.h>
#include <addonfs/view.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/stat.h>

/* The control folder's own number; the root's is FUSE_ROOT_ID. */
#define CONTROL_NUMBER 2

/* One mounted view: the userdata of a FUSE session. */
struct filesystem {
    struct view *view;
    struct inode_table *inodes;
    struct handle_list handles;
    const struct options *options; /* borrowed */
    const char *mountpoint;        /* borrowed; absolute */
    const char *root;              /* path in the view's tree that the mount's root shows */
    pid_t pid;                     /* of the process that outlives all others of this mount */

    pthread_mutex_t lock;     /* guards what follows */
    struct inode *status;     /* the last text of status.json */
    struct problems reported; /* what has been logged */
};

/*
 * Extended attributes of the root: filesystem.pid in decimal digits, and the PID namespace in which
 * it counts, as readlink(2) of /proc/PID/ns/pid gives it (pid_namespaces(7)).
 */
#define PID_ATTRIBUTE "user.addonfs.pid"
#define NAMESPACE_ATTRIBUTE "user.addonfs.pid_namespace"
/* How many inodes the kernel remembers, in decimal digits. */
#define INODES_ATTRIBUTE "user.addonfs.inodes"

/* Take over `view` (even on failure). NULL without memory. */
struct filesystem *filesystem_new(struct view *view, const struct options *options,
                                  const char *mountpoint);
void filesystem_free(struct filesystem *filesystem);

/* The mount is up: say what people should know, and begin to work ahead. */
void filesystem_begin(struct filesystem *filesystem);

/* Look, and find the entry that a live folder is now. -ESTALE: it has vanished; -EIO: not
 * computable. */
int filesystem_folder(struct filesystem *filesystem, const struct inode *inode,
                      struct generation **ret_generation, struct entry **ret_entry);

/* Attributes of a live folder. */
void filesystem_folder_status(const struct filesystem *filesystem, uint64_t number,
                              const struct entry *entry, struct stat *ret_status);

/*
 * The inode that `name` leads to in `parent` now, with a reference, its attributes, and whether
 * they stay so. -ENOENT, -ESTALE, -EIO, -ENOMEM.
 */
int filesystem_lookup(struct filesystem *filesystem, const struct inode *parent, const char *name,
                      struct inode **ret_inode, struct stat *ret_status, bool *ret_forever);

/* Attributes as of now, and whether they stay so. Errors as filesystem_folder. */
int filesystem_status(struct filesystem *filesystem, const struct inode *inode,
                      struct stat *ret_status, bool *ret_forever);

/* The inode of a number that the kernel knows, with a reference, or NULL. */
struct inode *filesystem_inode(struct filesystem *filesystem, uint64_t number);

/* Does the root list the control folder? (It can be opened by name in any case.) */
bool filesystem_lists_control(const struct filesystem *filesystem);

#endif
