/*
 * operations: the answers to the kernel's requests.
 */
#ifndef ADDONFS_OPERATIONS_H
#define ADDONFS_OPERATIONS_H

#include "filesystem.h"

/* Their userdata is a struct filesystem. */
extern const struct fuse_lowlevel_ops filesystem_operations;

#endif
