/*
 * source_shallow: where a shallow clone's history ends.
 */
#ifndef ADDONFS_SOURCE_SHALLOW_H
#define ADDONFS_SOURCE_SHALLOW_H

#include <addonfs/content.h>
#include <addonfs/error.h>
#include <git2.h>
#include <stdbool.h>

/* Git's list of commits whose parents were not fetched. It is small, and changes with a fetch. */
struct shallow {
    size_t count;
    git_oid *commits;     /* sorted; none: nothing is cut off */
    struct content_id id; /* of the list; that of a whole history too */
};

/*
 * Read the list of the repository whose common folder is `common_dir`. What the caller has is
 * cleared. -EIO: it is damaged, or may not be read; others are of the moment
 * (error_is_transient).
 */
int shallow_read(const char *common_dir, struct shallow *ret_shallow, struct error *error);
void shallow_clear(struct shallow *shallow);
#define cleanup_shallow __attribute__((cleanup(shallow_clear)))

/* Were the parents that `commit` has not fetched? */
bool shallow_cuts(const struct shallow *shallow, const git_oid *commit);

#endif
