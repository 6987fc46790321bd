/*
 * diff: what differs between a source and a package that was made of it some time.
 *
 * Names, bytes and exec bits are compared, not times, and zips by what they hold, however they are
 * compressed. Folders without files count where the package is in folders; archives often have
 * none. Several addons are matched by name and version: what else is deployed is none of the
 * source's business, but a version that is not there is a difference.
 */
#ifndef ADDONFS_DIFF_H
#define ADDONFS_DIFF_H

#include <addonfs/deployment.h>
#include <addonfs/error.h>
#include <addonfs/view.h>
#include <stdbool.h>

enum difference_kind {
    DIFFERENCE_MISSING, /* the source has it alone */
    DIFFERENCE_EXTRA,   /* the package has it alone */
    DIFFERENCE_BYTES,
    DIFFERENCE_MODE,    /* one can be executed */
    DIFFERENCE_KIND,    /* a file here, a folder there */
    DIFFERENCE_FAULT,   /* what the package has there is damaged, or leads out of it */
    DIFFERENCE_VERSION, /* the version is not deployed */
    DIFFERENCE_ADDON,   /* no version is */
};

struct difference {
    enum difference_kind kind;
    char *path; /* in the package, through zips as well: "private/client.zip/openpype/a.py" */
    char *text; /* more about it, or NULL */
};

struct diff {
    struct generation *generation; /* what it was compared with; a reference */
    char *package;                 /* as it was given */
    enum deployment_shape shape;
    size_t compared; /* versions that are on both sides */
    size_t count;
    struct difference *items; /* sorted by path */
};

/*
 * Compare what the view shows now with what is at `package` (inventory.h). -EIO: something of the
 * source cannot be read; -EINVAL: the package is none, or not of an addon of the source; -EINTR,
 * and errors as inventory_read, view_look and view_body.
 */
int diff_make(struct view *view, const char *package, const _Atomic bool *interrupted,
              struct diff *ret_diff, struct error *error);
void diff_clear(struct diff *diff);
#define cleanup_diff __attribute__((cleanup(diff_clear)))

/*
 * Compare an inventory of what there should be with one of what there is, whose path is `path`, and
 * add the differences. 0 or -ENOMEM.
 */
int diff_compare(struct diff *diff, const struct inventory_item *should,
                 const struct inventory_item *is, const char *path, bool empty_folders);

/*
 * Does a version that is deployed differ from what the view shows for it in a generation that
 * view_look has just answered, or in a frozen one? Errors as diff_make.
 */
int diff_deployment(struct view *view, struct generation *generation,
                    const struct deployment *deployment, bool empty_folders,
                    struct inventory_reading *reading, bool *ret_differs, struct error *error);

/* "missing", …: a constant. */
const char *difference_kind_name(enum difference_kind kind);

/*
 * As one JSON object: `source`, `revision`, `commit`, `package`, `shape` (deployment.h), `same`,
 * `compared` (how many versions), `differences` ([{kind, path, detail}]). With a final newline; the
 * caller frees it. -ENOMEM.
 */
int diff_json(const struct view *view, const struct diff *diff, char **ret_text,
              struct error *error);

#endif
