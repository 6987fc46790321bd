/*
 * verifying: whether a package is whole and sound, and of which commit, on standard output.
 */
#ifndef ADDONFS_VERIFYING_H
#define ADDONFS_VERIFYING_H

#include "options.h"

#include <addonfs/error.h>

/*
 * Look at what is at `package` (verify.h) and, unless `source` is NULL, where in the source it
 * comes from, with the rights of the source's owner then. Prints a line for each version and each
 * fault, or JSON. A version that is a derived one is looked for with version=git, whatever
 * `options` say. Returns 0 if it is good, 1, or a negative errno as verify_make.
 */
int verifying_run(const char *package, const char *source, const struct options *options, bool json,
                  struct error *error);

#endif
