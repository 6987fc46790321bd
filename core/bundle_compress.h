/*
 * bundle_compress: work on all members of a bundle at once, on all cores.
 */
#ifndef ADDONFS_BUNDLE_COMPRESS_H
#define ADDONFS_BUNDLE_COMPRESS_H

#include <addonfs/bundle.h>

/* What one thread works with; made when it is first needed. Zeroed, it is empty. */
struct bundle_tools {
    struct deflate *deflate;
    struct cache_reader *reader;
    bool asked_cache;
};

void bundle_tools_clear(struct bundle_tools *tools);

/* See that the file has its compressed form, as bundle_compress_all does for one of many. */
int bundle_compress_file(const struct origin *origin, struct bundle_tools *tools, struct file *file,
                         struct error *error);

/* Is it so large that another thread would be done with all the others meanwhile? */
bool bundle_is_large(const struct file *file);

/* The cores that this process may use: 1 or more. */
size_t bundle_cores(void);

/*
 * See that every file has its compressed form, from the cache or by compressing it now. For those
 * that cannot be read, `faults` (one for each member) gets the reason; what was there is freed.
 * -ESTALE, -ENOSPC and other failures of the moment, whose reason is there until the next call;
 * -ECANCELED: the origin says to stop.
 */
int bundle_compress_all(const struct bundle_member *members, char **faults, size_t count,
                        const struct origin *origin, struct error *error);

/*
 * See that every compressed form that there is lies in the spool. A file whose form cannot be had
 * again as it was gets another one (file_replace_member). Errors as above, and -EIO: one is
 * gone from the cache and cannot be made again.
 */
int bundle_secure_all(const struct bundle_member *members, size_t count,
                      const struct origin *origin, struct error *error);

#endif
