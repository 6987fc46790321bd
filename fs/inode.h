/*
 * inode: what the kernel knows of us.
 *
 * There are several kinds of inode, and two questions decide why: can it change, and who can find
 * it again?
 *
 * - A live folder is its path. It keeps its number as long as there is a folder at that path, so
 *   that bind mounts and working directories stay live; what is in it is asked of the view each
 * time.
 * - A frozen folder is an entry of a frozen tree, which it holds. Nothing about it ever changes.
 * - A folder of names (branches, commits, …) is its path, and is asked of the view each time.
 * - A link is its name; where it leads is asked of the view each time.
 * - A body is the content of a file. It never changes: attributes and pages may be cached for ever.
 *   When the source changes, the name leads to another number; this one serves whoever still has
 * it.
 * - The control folder `.addonfs` is constant.
 * - The generation file is constant too; what is read from it is the number of the moment.
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

struct entry; /* entry.h, which cannot be included beside search.h */
struct generation;

enum inode_kind {
    INODE_FOLDER,
    INODE_FROZEN,
    INODE_NAMES,
    INODE_LINK,
    INODE_BODY,
    INODE_CONTROL,
    INODE_GENERATION,
    INODE_TEXT,
};

struct inode {
    _Atomic unsigned references;
    enum inode_kind kind;
    uint64_t number;
    uint64_t lookups;   /* under the table's lock */
    struct stat status; /* not of a live folder, which is asked for each time */
    char *
        path; /* live folder: in the view's tree; folder of names, of a link: as view_find has it */
    struct generation *generation; /* frozen folder: the tree … */
    struct entry *entry;           /* … and what it is in it */
    struct body *body;
    char *text; /* also the name of a link */
    size_t text_size;
};

/* A new inode with one reference, not in a table. NULL without memory. */
struct inode *inode_new(enum inode_kind kind, uint64_t number);
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);

CLEANUP(inode, struct inode *, inode_unref)
#define cleanup_inode __attribute__((cleanup(cleanup_inode_scope)))

#endif
