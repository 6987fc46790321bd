/*
 * status: what `.addonfs/status.json` says.
 *
 * One JSON object (RFC 8259): `pid`, `source`, `mountpoint`, `worktree`, `revision`, `commit`,
 * `generation`, `layout`, `addons` ([{name, version}]), `problems` ([{path, reason, severity,
 * affects}]), `cache`, `compressed`, `read`, `versions`. Paths that are not UTF-8 are written as
 * messages write them (error.h). It holds no file's content.
 *
 * Since the mount began: `compressed` files were compressed, and `read` files were read for that
 * (one whose bytes turn out to be known is read only). `cache`: of the compressed forms that were
 * needed, `hits` came from the cache and `misses` did not; null without a cache.
 */
#ifndef ADDONFS_STATUS_H
#define ADDONFS_STATUS_H

#include <addonfs/error.h>
#include <addonfs/view.h>
#include <sys/types.h>

/* What the view does not know. */
struct status_mount {
    pid_t pid;              /* of the process that serves */
    const char *mountpoint; /* absolute */
    const char *version;    /* of addonfs */
    const char *fuse;       /* of libfuse */
};

/*
 * The text, with a final newline, NUL-terminated and the caller's to free. Completes the scan
 * first: every problem there is now is in it. `interrupted` and errors as view_problems.
 */
int status_json(struct view *view, const struct status_mount *mount,
                const _Atomic bool *interrupted, char **ret_text, struct error *error);

#endif
