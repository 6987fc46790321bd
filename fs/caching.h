/*
 * caching: looking after the cache from the command line.
 */
#ifndef ADDONFS_CACHING_H
#define ADDONFS_CACHING_H

#include "options.h"

#include <addonfs/error.h>

/* Is that a way to call caching_run? -EINVAL: there is no such action, or no cache. */
int caching_check(const char *action, const struct options *options, struct error *error);

/*
 * `action` is "stats" (print what there is, for people or as JSON), "prune" (down to the options'
 * cache_size) or "clear" (of both what has gone, as JSON only), of the options' cache or the
 * default one. 0, or a negative errno as cache_upkeep.h has them.
 */
int caching_run(const char *action, const struct options *options, bool json, struct error *error);

#endif
