/*
 * status: what `.addonfs/status.json` says.
 *
 * One JSON object (RFC 8259): `pid`, `source`, `mountpoint`, `worktree`, `revision`, `commit`,
 * `generation`, `layout`, `addons` ([{name, version}]), `problems` ([{path, reason, severity,
 * affects}]), `cache`, `compressed`, `read`, `members`, `ready`, `versions`. Paths that are not
 * UTF-8 are written as messages write them (error.h). It holds no file's content.
 *
 * Since the mount began: `compressed` files were compressed, and `read` files were read for that
 * (one whose bytes turn out to be known is read only). `cache`: of the compressed forms that were
 * needed, `hits` came from the cache and `misses` did not; null without a cache.
 *
 * Of the `members` files in the packages' zips `ready` are compressed by now; both null while that
 * is not known (view_progress).
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

/* --- Of many mounts -----------------------------------------------------------------------------
 */

enum status_state {
    STATUS_ALIVE,
    STATUS_BUSY,   /* it answers, but has not told its state in time: it still compresses */
    STATUS_DEAD,   /* nobody serves it any more */
    STATUS_HANGS,  /* it does not answer */
    STATUS_HIDDEN, /* it does not answer this user */
};

struct status_report {
    char *mountpoint;
    enum status_state state;
    const char *text;  /* of its status.json, or NULL */
    bool has_progress; /* else the next two are not known; what `text` says is newer */
    uint64_t ready;    /* see view_progress */
    uint64_t members;
};

/* What people are told of a state: a constant. */
const char *status_state_text(enum status_state state);

/* What a status.json says, but for what is in the report. */
struct status_summary {
    char *source;
    char *revision; /* NULL: the worktree */
    char *commit;   /* or NULL */
    char *layout;   /* or NULL */
    double generation;
    bool has_cache;
    double hits;
    double misses;
    size_t addon_count;
    char **addons; /* "openpype 3.15.12" */
    size_t problem_count;
    char **problems; /* "error: path: reason" */
    size_t errors;   /* how many of them are */
};

/*
 * What the text of a report says, and how much is compressed into the report. -EINVAL: it is no
 * status.json of this version; -ENOMEM.
 */
int status_read(struct status_report *report, struct status_summary *ret_summary,
                struct error *error);
void status_summary_clear(struct status_summary *summary);
#define cleanup_status_summary __attribute__((cleanup(status_summary_clear)))

/*
 * All as one JSON object: `mounts`: [{`mountpoint`, `state` ("alive", "busy", "dead", "hangs",
 * "hidden"), `ready`, `members` (null: not known), `status` (as in status.json, or null)}]. With a
 * final newline; the caller frees it. `*ret_has_errors`: one is dead, hangs, or has a problem that
 * is an error. -ENOMEM.
 */
int status_list(struct status_report *reports, size_t count, char **ret_text, bool *ret_has_errors,
                struct error *error);

#endif
