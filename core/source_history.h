/*
 * source_history: when a path of a commit was last changed.
 *
 * The answer is that of `git --no-replace-objects log -1 --format=%ct COMMIT -- PATH`: from a
 * commit the path is followed to the first parent in which it is the same (git-log(1), History
 * Simplification, default mode), and the commit with no such parent is the one. At a shallow
 * boundary there are no parents.
 *
 * All paths are followed in one walk, and parted only where they part. What was found for a commit
 * is remembered, in memory for the last few commits and in the cache for all mounts, and ends later
 * walks that come by it; so the second walk costs what is new.
 */
#ifndef ADDONFS_SOURCE_HISTORY_H
#define ADDONFS_SOURCE_HISTORY_H

#include "source_reader.h"

#include <addonfs/cache.h>

struct history;

/*
 * A history of what `objects` (which outlives it) holds. `common_dir` is where Git keeps `shallow`.
 * Errors as reader_new.
 */
int history_new(struct objects *objects, const char *common_dir, struct history **ret_history,
                struct error *error);
void history_free(struct history *history);

/*
 * When each of the `count` paths (sorted by bytes, each once; files or folders that `commit` has)
 * was last changed, in seconds since 1970 as the committer's clock had it. A path that the commit
 * has not is as old as the history. `cache` remembers the answers, or is NULL. `check` (or NULL) is
 * asked at every commit, and what it answers ends the walk, unless that is 0. -EIO: an object is
 * missing or damaged, or `shallow` cannot be read; -ENOMEM, -EMFILE, …: not now. Thread-safe, one
 * walk at a time.
 */
int history_times(struct history *history, struct cache *cache, const git_oid *commit,
                  const char *const *paths, size_t count, int64_t *ret_times,
                  int (*check)(const void *context), const void *context, struct error *error);

#endif
