/*
 * source_distance: how many commits one is behind another.
 */
#ifndef ADDONFS_SOURCE_DISTANCE_H
#define ADDONFS_SOURCE_DISTANCE_H

#include "source_reader.h"
#include "source_shallow.h"

#include <stdint.h>

/*
 * The number of commits that `commit` is or descends from, and `base` neither is nor descends from:
 * `git rev-list --count BASE..COMMIT`. `base` is reached from `commit` by first parents, and
 * `commit` is read with `reader`. 1, and no answer: the history is cut off where that might have a
 * say. -EIO: an object is missing or damaged; -ENOMEM, …; the error begins with `what`.
 */
int distance_count(struct reader *reader, const struct shallow *shallow, const git_oid *commit,
                   const git_oid *base, const char *what, uint64_t *ret_count, struct error *error);

#endif
