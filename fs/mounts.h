/*
 * mounts: what is mounted, and how it does: `addonfs status`.
 */
#ifndef ADDONFS_MOUNTS_H
#define ADDONFS_MOUNTS_H

#include <addonfs/error.h>
#include <stdbool.h>

/*
 * Print the state of the mount at `mountpoint`, or (NULL) of all that this process can see, for
 * people or as JSON (status.h). Each is asked by a process of its own, as the user who mounted it;
 * one that is dead or hangs holds nobody up: after `timeout` seconds (negative: ten) it is told as
 * what it is. Returns 0, 1 if one is dead, hangs or has errors, or a negative errno: -EINVAL,
 * nothing of ours is mounted at `mountpoint`; -ENOMEM, -EMFILE, …
 */
int mounts_run(const char *mountpoint, bool json, double timeout, struct error *error);

#endif
