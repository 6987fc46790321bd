/*
 * entry_parts: what the files that make the entries have in common.
 */
#ifndef ADDONFS_ENTRY_PARTS_H
#define ADDONFS_ENTRY_PARTS_H

#include <addonfs/entry.h>

/* Where `name` is among the children, or where it would be. */
size_t entry_position(const struct entry *folder, const char *name, bool *ret_found);

#endif
