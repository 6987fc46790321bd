/*
 * list: what a source holds, on standard output.
 */
#ifndef ADDONFS_LIST_H
#define ADDONFS_LIST_H

#include "options.h"

#include <addonfs/error.h>

/*
 * Print the addons of `source` and what is wrong with them, as a table for people or as JSON
 * (listing.h). Returns 0, 1 if something cannot be read, or a negative errno as view_open.
 */
int list_run(const char *source, const struct options *options, bool json, struct error *error);

#endif
