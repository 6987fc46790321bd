/*
 * exporting: a package written out by the command line.
 */
#ifndef ADDONFS_EXPORTING_H
#define ADDONFS_EXPORTING_H

#include "options.h"

#include <addonfs/error.h>

/* Is that a way to call exporting_run? -EINVAL, as export_check: it is not. */
int exporting_check(const char *destination, const char *format, const struct options *options,
                    struct error *error);

/*
 * Write what `source` holds now to `destination` (export.h; "-": standard output), as the source's
 * owner: the folder that `options->root` names, in `format` or (NULL) as the destination is called.
 * A signal that would end the process ends it so, but only when nothing half-made is left. On a
 * terminal stderr shows how far it is. Errors as export_write; -EINVAL: standard output is a
 * terminal.
 */
int exporting_run(const char *source, const char *destination, const char *format,
                  const struct options *options, struct error *error);

#endif
