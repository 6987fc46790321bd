/*
 * diffing: what differs between a source and a package, on standard output.
 */
#ifndef ADDONFS_DIFFING_H
#define ADDONFS_DIFFING_H

#include "options.h"

#include <addonfs/error.h>

/*
 * Print what differs between `source`, as `options` show it, and what is at `package` (diff.h),
 * which is read as the source's owner: a line each, or as JSON. Returns 0 (the same), 1, or a
 * negative errno as diff_make.
 */
int diffing_run(const char *source, const char *package, const struct options *options, bool json,
                struct error *error);

#endif
