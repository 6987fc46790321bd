/*
 * view_parts: what a view is made of, for the files that make it.
 */
#ifndef ADDONFS_VIEW_PARTS_H
#define ADDONFS_VIEW_PARTS_H

#include <addonfs/map.h>
#include <addonfs/refs.h>
#include <addonfs/view.h>

/* Frozen trees that are kept although nobody holds them: snapshots as promised, commits for speed.
 */
enum { KEPT_SNAPSHOTS = 16, KEPT_COMMITS = 8 };

/*
 * Frozen generations by id. The tables know all that are alive (held by inodes of the kernel, say)
 * without holding them; `kept` holds the last few. A generation that has lost its last reference
 * takes itself out.
 */
struct frozen_table {
    pthread_mutex_t lock; /* guards the rest; held for moments */
    struct map by_id;     /* of struct generation, which it does not own */
    struct generation *kept[KEPT_SNAPSHOTS];
    size_t kept_limit;
    const char *folder;                                                 /* where it shows */
    void (*dropped)(void *context, const char *folder, const char *id); /* see view_on_dropped */
    void *dropped_context;
};

struct view {
    struct origin origin;
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
    pthread_mutex_t commit_lock; /* held while the tree of a commit is built, one at a time */

    pthread_mutex_t names_lock; /* guards the next two */
    struct map numbers;         /* of names that come and go, by path */
    struct map seen_commits;    /* by id: those that were looked up */

    pthread_mutex_t lock; /* around looks: the source's folders, and the rest */
    struct generation *current;
    struct map vanished; /* see generation_share.h */
    bool outdated;       /* the last look did not end */
    bool incomplete;     /* it left files out … */
    uint64_t healing;    /* … or zips did, that were tried at this number of source_healing */
    void (*advanced)(void *context); /* see view_on_advanced */
    void *advanced_context;

    struct watcher {
        pthread_mutex_t lock; /* guards the rest */
        pthread_cond_t wake;
        pthread_t thread;
        bool started;
        bool ending;
        size_t count; /* who watches */
        int bell;     /* eventfd(2): rung when `count` falls to 0, and at the end */
    } watcher;
};

void frozen_table_init(struct frozen_table *table, const char *folder, size_t kept_limit);

/* Drop what is kept. No generation of it may live on. */
void frozen_table_clear(struct frozen_table *table);

/* The generation of that id, with a reference, or NULL. */
struct generation *frozen_table_find(struct frozen_table *table, const char *id);

/*
 * Put a generation in and keep it, or answer the one that is there already: with a reference for
 * the caller, whose own is taken over. NULL without memory.
 */
struct generation *frozen_table_add(struct frozen_table *table, struct generation *generation);

/* For map_each: adds the key to a struct ref_names. */
int view_collect_id(void *context, const char *id, void *value);

/* The ids of all that are alive, sorted; -ENOMEM. */
int frozen_table_list(struct frozen_table *table, struct ref_names *ret_names);

/* The tree of the commit (40 digits), built if need be. Errors as view_look. */
int view_commit(struct view *view, const char *id, struct generation **ret_generation,
                struct error *error);

/* The live view as it is now, frozen. Errors as view_look, and -ENOSPC. */
int view_snapshot(struct view *view, struct generation **ret_generation, struct error *error);

/* The number of a name in a folder of names, the same as long as the view lives. 0: no memory. */
uint64_t view_number_of(struct view *view, const char *folder, const char *name);

/* End the thread of view_watcher.c, if there is one. */
void view_watcher_init(struct view *view);
void view_watcher_end(struct view *view);

/* Free what view_names.c keeps. */
void view_forget_names(struct view *view);

#endif
