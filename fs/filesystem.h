/*
 * filesystem: one mounted view, from names and numbers to inodes.
 */
#ifndef ADDONFS_FILESYSTEM_H
#define ADDONFS_FILESYSTEM_H

#include "fuse_version.h"
#include "handle.h"
#include "inode_table.h"
#include "options.h"

#include <addonfs/problem.h>
#include <addonfs/view.h>
#include <pthread.h>
#include <sys/stat.h>

/* Numbers of the control folder and of the generation file; the root's is FUSE_ROOT_ID. */
#define CONTROL_NUMBER 2
#define GENERATION_NUMBER 3

/* One mounted view: the userdata of a FUSE session. */
struct filesystem {
    struct view *view;
    struct inode_table *inodes;
    struct waiting waiting;
    struct handle_list handles;
    const struct options *options; /* borrowed */
    const char *mountpoint;        /* borrowed; absolute */
    const char *root;              /* path in the view's tree that the mount's root shows */
    pid_t pid;                     /* of the process that outlives all others of this mount */

    pthread_mutex_t lock;     /* guards what follows */
    struct inode *status;     /* the last text of status.json */
    struct problems reported; /* what has been logged … */
    time_t reporting_since;   /* … since then, by CLOCK_MONOTONIC */
    struct reaper *reaper;    /* set while it serves; see reaper.h */
};

/*
 * Extended attributes of the root: filesystem.pid in decimal digits, and the PID namespace in which
 * it counts, as readlink(2) of /proc/PID/ns/pid gives it (pid_namespaces(7)).
 */
#define PID_ATTRIBUTE "user.addonfs.pid"
#define NAMESPACE_ATTRIBUTE "user.addonfs.pid_namespace"
/* Asking for this one lets whoever waits for changes go, so that the mount is not busy. */
#define RELEASE_ATTRIBUTE "user.addonfs.release"
/* Milliseconds within which those have to close their files. */
#define RELEASE_PATIENCE 3000
/* How many files in zips are compressed, and of how many, in decimal digits (view_progress): told
 * while status.json is still being made. */
#define PROGRESS_ATTRIBUTE "user.addonfs.progress"
/* How many inodes the kernel remembers, in decimal digits. */
#define INODES_ATTRIBUTE "user.addonfs.inodes"

/* Take over `view` (even on failure). NULL without memory. */
struct filesystem *filesystem_new(struct view *view, const struct options *options,
                                  const char *mountpoint);
void filesystem_free(struct filesystem *filesystem);

/*
 * The mount is up: say what people should know, and begin to work ahead. filesystem_end is to be
 * called while the session still serves, or after its mount has gone.
 */
void filesystem_begin(struct filesystem *filesystem, struct fuse_session *session);
void filesystem_end(struct filesystem *filesystem);

/* Seconds: what never changes may be kept for as long as the kernel likes. */
#define FOREVER 1e9

/* What a lookup has found. */
struct found {
    struct inode *inode; /* a reference; NULL: nothing */
    struct stat status;
    double name_timeout; /* seconds for which the name leads there (or nowhere) */
    bool status_lasts;   /* the attributes stay so */
};

/*
 * What `name` leads to in `parent` now. -ENOENT (name_timeout tells how long that stays so),
 * -ESTALE, -EIO, -ENOMEM. -EINTR: `*interrupted` has become true before long work was done.
 */
int filesystem_lookup(struct filesystem *filesystem, const struct inode *parent, const char *name,
                      const _Atomic bool *interrupted, struct found *found);

/* Attributes as of now, and whether they stay so. Errors as filesystem_folder; -EINTR as above, of
 * a link. */
int filesystem_status(struct filesystem *filesystem, const struct inode *inode,
                      const _Atomic bool *interrupted, struct stat *ret_status, bool *ret_lasts);

/* Look, and find the entry that a live folder is now. -ESTALE: it has vanished; -EIO: not
 * computable. */
int filesystem_folder(struct filesystem *filesystem, const struct inode *inode,
                      const _Atomic bool *interrupted, struct generation **ret_generation,
                      struct entry **ret_entry);

/* Does the root show more than what is live: refs, commits, snapshots, the control folder? */
bool filesystem_shows_all(const struct filesystem *filesystem);

/* Secure the bytes of a body's inode; to be given back with body_close. Errors as body_open. */
int filesystem_open(struct filesystem *filesystem, const struct inode *inode,
                    const _Atomic bool *interrupted);

/* Where a link leads now; the caller frees it. -EINVAL: no link; -ESTALE: it has gone; -EINTR. */
int filesystem_readlink(struct filesystem *filesystem, const struct inode *inode,
                        const _Atomic bool *interrupted, char **ret_target);

/* The inode of a number that the kernel knows, with a reference, or NULL. */
struct inode *filesystem_inode(struct filesystem *filesystem, uint64_t number);

#endif
