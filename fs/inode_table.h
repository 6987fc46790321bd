/*
 * inode_table: the inodes that the kernel remembers, by number.
 *
 * A number is in the table while the kernel has it: each lookup that was answered counts, and
 * forgets take the count back. The table holds a reference to each. Thread-safe.
 */
#ifndef ADDONFS_INODE_TABLE_H
#define ADDONFS_INODE_TABLE_H

#include "inode.h"

struct inode_table;

/* An empty table; NULL without memory. Free it when no request can come any more. */
struct inode_table *inode_table_new(void);
void inode_table_free(struct inode_table *table);

/* How many there are. */
size_t inode_table_count(struct inode_table *table);

/* The inode of that number, with a reference for the caller, or NULL. */
struct inode *inode_get(struct inode_table *table, uint64_t number);

/*
 * Count a lookup of `inode` that is about to be answered. If its number is in the table already,
 * that one counts, and is what later requests get. 0 or -ENOMEM.
 */
int inode_remember(struct inode_table *table, struct inode *inode);

/* Take `count` lookups back. */
void inode_forget(struct inode_table *table, uint64_t number, uint64_t count);

#endif
