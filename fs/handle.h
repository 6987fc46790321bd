/*
 * handle: an open file or folder.
 *
 * A file's handle holds its inode, whose body stays open. A folder's holds what was in the folder
 * when its listing began, so that offsets stay what they are.
 *
 * The kernel releases handles in its own time, and those that are open when a mount ends not at
 * all: so a list knows them all.
 */
#ifndef ADDONFS_HANDLE_H
#define ADDONFS_HANDLE_H

#include "inode.h"
#include "waiting.h"

#include <addonfs/view.h>

struct handle {
    struct inode *inode;
    pthread_mutex_t lock;          /* guards the next three */
    struct generation *generation; /* live folder */
    struct entry *entry;           /* live or frozen folder: borrowed from its tree */
    struct view_names names;       /* folder of names, and the root */
    struct waiter *waiter;         /* generation file */
    struct handle *next;           /* the list's */
    struct handle *previous;
};

struct handle_list {
    pthread_mutex_t lock;
    struct waiting *waiting; /* where waiters are closed; borrowed */
    struct handle *first;
};

void handle_list_init(struct handle_list *list, struct waiting *waiting);

/* Close what is still open. No request can come any more. */
void handle_list_clear(struct handle_list *list);

/* A handle for `inode` (taken over, even on failure; a body's has been opened). NULL without
 * memory. */
struct handle *handle_open(struct handle_list *list, struct inode *inode);
void handle_close(struct handle_list *list, struct handle *handle);

#endif
