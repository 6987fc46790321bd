/*
 * source_answers: what history_times has found out, remembered.
 *
 * In memory for the last few commits, in the cache for all mounts. A history that is cut off
 * elsewhere has other answers: see source_shallow.h.
 */
#ifndef ADDONFS_SOURCE_ANSWERS_H
#define ADDONFS_SOURCE_ANSWERS_H

#include <addonfs/cache.h>
#include <addonfs/content.h>
#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ANSWERS_KEPT = 8, /* commits, in memory: HEAD, and what it is compared with */
};

/* When paths of a commit were last changed. */
struct answers {
    git_oid commit;
    size_t count;
    char **paths; /* sorted by bytes */
    int64_t *times;
    uint64_t used; /* 0: empty */
};

/* Not locked: its owner does that. */
struct answered {
    struct content_id shallow; /* of the history that they are about */
    uint64_t uses;
    struct answers kept[ANSWERS_KEPT];
};

/* From now on it is about the history with this list; others are forgotten. */
void answered_begin(struct answered *answered, const struct content_id *shallow);

/* What is known of `commit`, or NULL; valid until the next call. `reader` may be NULL. */
const struct answers *answered_recall(struct answered *answered, struct cache_reader *reader,
                                      const git_oid *commit);

/*
 * Remember the times of `count` paths (sorted by bytes) together with what was known of the commit.
 * `cache` and `reader` may be NULL. 0 or -ENOMEM.
 */
int answered_remember(struct answered *answered, struct cache *cache, struct cache_reader *reader,
                      const git_oid *commit, const char *const *paths, const int64_t *times,
                      size_t count);

void answered_clear(struct answered *answered);

bool answers_find(const struct answers *answers, const char *path, int64_t *ret_time);

#endif
