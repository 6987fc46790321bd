/*
 * exporting: a package written out by the command line.
 */
#ifndef ADDONFS_EXPORTING_H
#define ADDONFS_EXPORTING_H

#include "options.h"

#include <addonfs/error.h>

/*
 * Write what `source` holds now to `destination` (export.h), as the source's owner. A signal that
 * would end the process ends it so, but only when nothing half-made is left.
 */
int exporting_run(const char *source, const char *destination, const struct options *options,
                  struct error *error);

#endif
