/*
 * listing: what a source holds, in numbers.
 *
 * Everything is composed for that, so what is wrong with it is known as well.
 */
#ifndef ADDONFS_LISTING_H
#define ADDONFS_LISTING_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/view.h>
#include <stdint.h>

struct listing_addon {
    const char *name;    /* of the generation, as the next; NULL: not known */
    const char *version; /* likewise */
    uint64_t files;      /* in its package, zips included; of those that can be read … */
    uint64_t size;       /* … bytes */
    uint64_t members;    /* files in its client's zip … */
    uint64_t zipped;     /* … whose bytes this is; both 0 without one */
    uint64_t upload;     /* bytes of the zip to upload; 0: it cannot be read */
};

struct listing {
    struct generation *generation; /* a reference */
    struct problems problems;
    size_t count;
    struct listing_addon *addons; /* as in `generation->addons` */
};

/* Look, and count. `interrupted` and errors as view_problems. */
int listing_make(struct view *view, const _Atomic bool *interrupted, struct listing *ret_listing,
                 struct error *error);
void listing_clear(struct listing *listing);
#define cleanup_listing __attribute__((cleanup(listing_clear)))

/*
 * As one JSON object: `source`, `revision`, `commit`, `layout`, `addons` ([{name, version, files,
 * size, members, client, upload}]), `problems`, as in status.json. With a final newline; the
 * caller frees it. -ENOMEM.
 */
int listing_json(const struct view *view, const struct listing *listing, char **ret_text,
                 struct error *error);

#endif
