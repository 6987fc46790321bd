/*
 * inode: what the kernel knows of us.
 *
 * There are four kinds of inode, and two questions decide why:
 * can it change, and who can find it again?
 *
 * - A live folder is its path. It keeps its number as long as there is a folder at that path, so
 * that bind mounts and working directories stay live; what is in it is asked of the view each time.
 * - A body is the content of a file. It never changes: attributes and pages may be cached for ever.
 * When the source changes, the name leads to another number; this one serves whoever still has it.
 * - The control folder `.addonfs` is constant.
 * - A text is one state of `.addonfs/status.json`: like a body, but of our own making.
 *
 * Numbers come from the view and are never used twice. A number is in the table while the kernel
 * remembers it: each lookup that was answered counts, and forgets take the count back. The table
 * holds the only reference to a body that the view has left behind.
 *
 * Thread-safe throughout. Inodes are immutable once they are in the table, but for the count.
 */
#ifndef ADDONFS_INODE_H
#define ADDONFS_INODE_H

#include <addonfs/body.h>
#include <addonfs/cleanup.h>
#include <stdint.h>
#include <sys/stat.h>

enum inode_kind {
    INODE_FOLDER,
    INODE_BODY,
    INODE_CONTROL,
    INODE_TEXT,
};

struct inode {
    _Atomic unsigned references;
    enum inode_kind kind;
    uint64_t number;
    uint64_t lookups;   /* under the table's lock */
    struct stat status; /* not of a live folder, which is asked for each time */
    char *path;         /* live folder: in the view's tree */
    struct body *body;
    char *text;
    size_t text_size;
};

struct inode_table;

/* An empty table; NULL without memory. Free it when no request can come any more. */
struct inode_table *inode_table_new(void);
void inode_table_free(struct inode_table *table);

/* How many there are. */
size_t inode_table_count(struct inode_table *table);

/* A new inode with one reference, not in a table. NULL without memory. */
struct inode *inode_new(enum inode_kind kind, uint64_t number);
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);

/* The inode of that number, with a reference for the caller, or NULL. */
struct inode *inode_get(struct inode_table *table, uint64_t number);

/*
 * Count a lookup of `inode` that is about to be answered. If its number is in the table already,
 * that one counts, and is what later requests get. 0 or -ENOMEM.
 */
int inode_remember(struct inode_table *table, struct inode *inode);

/* Take `count` lookups back. */
void inode_forget(struct inode_table *table, uint64_t number, uint64_t count);

CLEANUP(inode, struct inode *, inode_unref)
#define cleanup_inode __attribute__((cleanup(cleanup_inode_scope)))

#endif
