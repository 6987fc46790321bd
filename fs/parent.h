/*
 * parent: where `..` leads.
 *
 * The kernel finds that by itself; a listing has to tell the same number as stat(2) of `..` would.
 */
#ifndef ADDONFS_PARENT_H
#define ADDONFS_PARENT_H

#include "filesystem.h"

/*
 * The number of the folder above the one that `handle` lists, whose content has been taken. The
 * root is its own. NUMBER_UNKNOWN: it is not known now.
 */
uint64_t parent_number(const struct filesystem *filesystem, const struct handle *handle);

/* What libfuse tells where it does not know (fuse.c, FUSE_UNKNOWN_INO). */
#define NUMBER_UNKNOWN 0xffffffff

#endif
