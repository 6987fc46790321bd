/*
 * exporting: a package written out by the command line.
 */
#ifndef ADDONFS_EXPORTING_H
#define ADDONFS_EXPORTING_H

#include "options.h"

#include <addonfs/error.h>

/*
 * Write what `source` holds now to `destination` (export.h; "-": standard output), as the source's
 * owner: the folder that `options->root` names, in `format` or (NULL) as the destination is called.
 * A signal that would end the process ends it so, but only when nothing half-made is left. On a
 * terminal stderr shows how far it is. Errors as export_write.
 */
int exporting_run(const char *source, const char *destination, const char *format,
                  const struct options *options, struct error *error);

#endif
