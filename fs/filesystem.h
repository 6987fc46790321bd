/*
 * filesystem: from names and numbers to inodes, for operations.c.
 */
#ifndef ADDONFS_FILESYSTEM_H
#define ADDONFS_FILESYSTEM_H

#include "operations.h"

/* Look, and find the entry that a live folder is now. -ESTALE: it has vanished; -EIO: not
 * computable. */
int filesystem_folder(struct filesystem *filesystem, const struct inode *inode,
                      struct generation **ret_generation, struct entry **ret_entry);

/* Attributes of a live folder. */
void filesystem_folder_status(const struct filesystem *filesystem, uint64_t number,
                              const struct entry *entry, struct stat *ret_status);

/* The inode that `name` leads to in `parent` now, with a reference. -ENOENT, -ESTALE, -EIO,
 * -ENOMEM. */
int filesystem_lookup(struct filesystem *filesystem, const struct inode *parent, const char *name,
                      struct inode **ret_inode);

/* Attributes as of now, and whether they stay so. Errors as filesystem_folder. */
int filesystem_status(struct filesystem *filesystem, const struct inode *inode,
                      struct stat *ret_status, bool *ret_forever);

/* The inode of a number that the kernel knows, with a reference, or NULL. */
struct inode *filesystem_inode(struct filesystem *filesystem, uint64_t number);

/* Does the root list the control folder? (It can be opened by name in any case.) */
bool filesystem_lists_control(const struct filesystem *filesystem);

#endif
