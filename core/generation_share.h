/*
 * generation_share: the next tree, with everything taken over from the last one that did not
 * change.
 */
#ifndef ADDONFS_GENERATION_SHARE_H
#define ADDONFS_GENERATION_SHARE_H

#include <addonfs/entry.h>
#include <addonfs/map.h>

/*
 * What a share works with. `vanished` (or NULL: nothing was before) remembers with which times
 * paths were shown that are there no more: of struct shown, by path; see generation_share.c.
 */
struct share {
    const struct origin *origin;
    _Atomic uint64_t *next_number;
    struct map *vanished;
};

/*
 * Number the tree `next` (taken over), which is at `path` in the view, as the successor of `last`
 * (NULL: there is none), and set the times that hang on what changed. Returns the tree to use:
 * `last` again, with one more reference, if nothing differs; or `next`, which then shares what did
 * not change.
 */
struct entry *generation_share(const struct share *share, struct entry *last, struct entry *next,
                               const char *path);

#endif
