/*
 * view_parts: what a view is made of, for the files that make it.
 */
#ifndef ADDONFS_VIEW_PARTS_H
#define ADDONFS_VIEW_PARTS_H

#include <addonfs/map.h>
#include <addonfs/refs.h>
#include <addonfs/view.h>

/*
 * Frozen generations by id
 *
 * A table knows all that are alive (held by inodes of the kernel, say) without holding them. Those
 * that were used last it holds: `always` so many, however long ago that was, and up to `most` for
 * KEPT_SECONDS. So who goes by path, and has nothing open between two system calls, finds the tree
 * there the next time. A generation that has lost its last reference takes itself out.
 *
 * A snapshot of 3,000 members takes about half a megabyte, the tree of a commit a little more.
 */
enum {
    KEPT_SNAPSHOTS = 16,
    KEPT_COMMITS = 8,
    MOST_SNAPSHOTS = 128,
    MOST_COMMITS = 32,
    KEPT_SECONDS = 300,
};

struct frozen_table {
    pthread_mutex_t lock; /* guards the rest; held for moments */
    struct map by_id;     /* of struct generation, which it does not own */
    size_t always;
    size_t most;
    size_t count;
    struct frozen_kept {
        struct generation *generation;
        time_t used;            /* by CLOCK_MONOTONIC */
    } kept[MOST_SNAPSHOTS + 1]; /* the one used last comes first */
    struct view *view;
    const char *folder; /* where it shows */
};

/* References that a table has given up, to be given back without any lock: that may free them. */
struct frozen_gone {
    size_t count;
    struct frozen_item {
        struct generation *generation;
        bool tell; /* see view_on_dropped */
    } items[MOST_SNAPSHOTS + 8];
};

/* A source that changes under every look is given up after so many: nothing true can be said of it.
 */
enum { VIEW_ATTEMPTS = 64 };

struct view {
    struct origin origin;
    struct ahead *ahead; /* what the first look has begun, or NULL */
    struct generation_options shown;
    struct source *source;
    struct spool *spool;
    struct members *members;
    struct cache *cache;
    struct timespec opened; /* when */
    _Atomic uint64_t next_number;
    _Atomic bool stop;
    pthread_t preparation;
    bool prepares;

    struct frozen_table commits;
    struct frozen_table snapshots;
    pthread_mutex_t commit_lock;   /* held while the tree of a commit is built, one at a time … */
    pthread_mutex_t snapshot_lock; /* … or the live one is frozen */
    pthread_mutex_t fill_lock;     /* held while a folder of a frozen tree is filled */

    pthread_mutex_t names_lock; /* guards the next */
    struct map numbers;         /* of links and folders that come and go, by path */

    pthread_mutex_t lock; /* around looks: the source's folders, and the rest */
    struct generation *current;
    struct map vanished;         /* see generation_share.h */
    struct generation_head head; /* see generation_maker */
    bool fills_clients;          /* somebody has looked into one */
    bool outdated;               /* the last look did not end */
    bool incomplete;             /* it left files out … */
    uint64_t healing;    /* … or zips did, that were tried at this number of source_healing */
    uint64_t recovering; /* what could not be computed was tried at this number, … */
    struct content_id horizon;       /* … and with the history ending here */
    void (*advanced)(void *context); /* see view_on_advanced */
    void *advanced_context;
    void (*dropped)(void *context, uint64_t parent, const char *name); /* see view_on_dropped */
    void *dropped_context;

    struct watcher {
        pthread_mutex_t lock; /* guards the rest */
        pthread_cond_t wake;
        pthread_t thread;
        bool started;
        bool ending;
        size_t count; /* who watches */
        int bell;     /* eventfd(2): rung when `count` falls to 0, at the end, and as below */
        /* Guarded by view.lock: it sleeps until it is told. Whoever finds that it may not be rings.
         */
        bool relies;
    } watcher;
};

void frozen_table_init(struct frozen_table *table, struct view *view, const char *folder,
                       size_t always, size_t most);

/* Drop what is kept. No generation of it may live on. */
void frozen_table_clear(struct frozen_table *table);

/* The generation of that id, with a reference, or NULL. It is now the one used last. */
struct generation *frozen_use(struct frozen_table *table, const char *id, struct frozen_gone *gone);

/*
 * Put a generation in (taken over) and use it, or the one that is there already, if nobody can tell
 * them apart and it is not made `anew`: with a reference for the caller. NULL without memory.
 */
struct generation *frozen_put(struct frozen_table *table, struct generation *generation, bool anew,
                              struct frozen_gone *gone);

/* Give back what the calls before have given up, once for each `gone`. No lock may be held. */
void frozen_release(struct frozen_table *table, struct frozen_gone *gone);

/* That id leads nowhere any more. */
void frozen_take_out(struct frozen_table *table, const char *id);

/* Drop what has not been used for too long. */
void frozen_expire(struct frozen_table *table);

/* Add all that are alive, sorted; -ENOMEM. */
int frozen_list(struct frozen_table *table, struct view_names *names);

/* -ENOMEM. The name is copied. */
int view_names_add(struct view_names *names, const char *name, enum view_kind kind,
                   uint64_t number);

/* The tree of the commit (40 digits), built if need be. -ENOENT: it is gone; errors as view_find.
 */
int view_commit(struct view *view, const char *id, const _Atomic bool *interrupted,
                struct generation **ret_generation, struct error *error);

/* The live view as it is now, frozen. Errors as view_find, and -ENOSPC. */
int view_snapshot(struct view *view, const _Atomic bool *interrupted,
                  struct generation **ret_generation, struct error *error);

/* Tell (view_on_dropped) which names of folder `last` are not in `next`, top ones only. */
void view_tell_vanished(struct view *view, const struct entry *last, const struct entry *next);

/* Can something that was left out of this tree (with problems=skip) be had now? */
bool view_heals(struct entry *entry, const struct origin *origin);

/*
 * The number of a link or folder in a folder of names, the same as long as the view lives, unless
 * there have been too many. 0: no memory.
 */
uint64_t view_number_of(struct view *view, const char *folder, const char *name);

/* End the thread of view_watcher.c, if there is one. */
void view_watcher_init(struct view *view);
void view_watcher_end(struct view *view);

/* Something was looked at, and view.lock is still held: does the thread sleep on what tells all? */
void view_watcher_looked(struct view *view);

/* Free what view_names.c keeps. */
void view_forget_names(struct view *view);

#endif
