/*
 * output: what a command prints.
 */
#ifndef ADDONFS_OUTPUT_H
#define ADDONFS_OUTPUT_H

#include <addonfs/error.h>

/* What was printed counts only when it has gone out: send the rest. -EIO: it cannot be written. */
int output_finish(struct error *error);

#endif
