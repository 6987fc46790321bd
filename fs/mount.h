/*
 * mount: the life of a mount, from the command line to its end.
 */
#ifndef ADDONFS_MOUNT_H
#define ADDONFS_MOUNT_H

#include "options.h"

#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Mount `source` at `mountpoint`. In the background it returns when the mount answers; the daemon
 * goes on in another process. In the foreground it returns when the mount has ended. On failure no
 * mount is left behind. The processes:
 *
 *     background: this process (returns) … daemon
 *     foreground: this process is the daemon
 *
 * and where the daemon has to become another user, it is in two halves: one stays root, waits, and
 * unmounts at the end; the other serves as that user.
 */
int mount_run(const char *source, const char *mountpoint, const struct options *options,
              bool foreground, struct error *error);

/*
 * Unmount, and return when the daemon has ended, but wait no longer than `timeout` seconds
 * (negative: a minute). `lazy`: take it away at once although it may be in use, and do not wait:
 * its daemon ends with the last who has something open in it. Also clears a mount whose daemon is
 * dead. -EINVAL: not an addonfs mount;
 * -EBUSY: in use, or unmounted while the daemon goes on, which the error tells.
 */
int mount_end(const char *mountpoint, bool lazy, double timeout, struct error *error);

/*
 * Take a mount away whose daemon is dead (it answers ENOTCONN), whoever still works in it. Nothing
 * is done where none is mounted. -EBUSY: one is, and lives, or hangs.
 */
int mount_clear(const char *mountpoint, struct error *error);

/*
 * Wait until the live view of the mount has another generation than `*since` (NULL: than that of
 * now; MOUNT_NO_GENERATION: it has). `timeout` in seconds, negative: for ever. Returns 1 and
 * `*ret_generation`, 0 when the time is over, or a negative errno: the mount is gone, or is none of
 * ours.
 */
int mount_wait(const char *mountpoint, const uint64_t *since, double timeout,
               uint64_t *ret_generation, struct error *error);

/* No generation has this number: see first_serial in core/view_look.c. */
#define MOUNT_NO_GENERATION UINT64_C(0)

#endif
