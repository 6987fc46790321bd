/*
 * source_backend: what a worktree and a revision each do in their own way.
 *
 * source_look.c keeps the folders that were asked for; a backend fills and compares them.
 */
#ifndef ADDONFS_SOURCE_BACKEND_H
#define ADDONFS_SOURCE_BACKEND_H

#include "source_folder.h"
#include "source_repository.h"

#include <addonfs/map.h>
#include <addonfs/source.h>

struct source_backend {
    /* Find out what there is to look at (a revision's commit). Sets source->renewed if it moved. */
    int (*begin)(struct source *source, struct error *error);
    /*
     * Bring `folder`, whose path and real are set, up to date: names, owner, identity, and every
     * entry that had been looked at. `*ret_changed` if anything differs. A failure is written to
     * the folder (folder_fail), not returned; -ENOMEM is returned.
     */
    int (*load)(struct source *source, struct source_folder *folder, bool *ret_changed,
                struct error *error);
    /*
     * The same for a folder that is watched, in which nothing has happened, but which is `unsure`:
     * only the entries that may have become others without that. NULL: no folder is watched.
     */
    int (*load_unsure)(struct source *source, struct source_folder *folder, bool *ret_changed,
                       struct error *error);
    /* Look at an entry for the first time. */
    int (*look)(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error);
    int (*read)(struct source *source, const struct file *file, struct spool *spool,
                size_t memory_limit, struct content **ret_content, struct error *error);
    /* source_wait_open. */
    int (*wait)(struct source *source, struct source_wait *ret_wait);
    bool (*tells_all)(const struct source *source);
    /* The folder is about to be freed; or NULL. */
    void (*forget)(struct source *source, struct source_folder *folder);
    /* Free source->state: nothing will be asked any more. */
    void (*close)(struct source *source);
};

struct source {
    _Atomic unsigned references; /* one of its own, until source_close; the others are files' */
    const struct source_backend *backend;
    char *revision;
    char commit[41];   /* "" for a worktree */
    uint64_t look;     /* number of the current look */
    bool renewed;      /* begin found another commit: every folder must be loaded again */
    bool poll;         /* as in source_options */
    bool lfs_pointers; /* likewise */
    uint64_t owners;   /* see source_owners_changed */
    bool pending;      /* folders have become dirty and were not compared yet */
    bool unreported;   /* a refresh has found changes, and failed */
    size_t unsure;     /* how many folders are */
    _Atomic(const char *) warning; /* see source_warning */
    struct error broken;           /* why the current look can answer nothing; code 0: it can */
    void *folders;                 /* tsearch(3) tree of struct source_folder by path; owns them */

    pthread_mutex_t suspects_lock;
    struct map suspects; /* paths of folders with a file that was found changed when it was read */

    struct file *modules_file; /* the `.gitmodules` that was read last, of a worktree, or NULL … */
    struct map modules;        /* … and the names in it, by path */

    struct repository *repository;
    void *state; /* the backend's */
};

/* The record of the folder at `path`, if it was asked for, or NULL. */
struct source_folder *source_known(const struct source *source, const char *path);

/*
 * Every folder at or below `path` (without links: `real`) is to be compared. With the root for both
 * that is all of them.
 */
void source_mark(struct source *source, const char *path, const char *real);

/* The same for many paths, with or without links, in one walk. */
void source_mark_below(struct source *source, const struct map *paths);

/* Is there anything in the folder to be compared at every look? */
void source_set_unsure(struct source *source, struct source_folder *folder, bool unsure);

extern const struct source_backend source_worktree;
extern const struct source_backend source_revision_backend;

/* Prepare source->state for the backend. */
int source_worktree_open(struct source *source, struct error *error);
int source_revision_open(struct source *source, struct error *error);

/*
 * A file of `source` with one reference; all strings are copied, `link` may be NULL. NULL without
 * memory.
 */
struct file *file_new(struct source *source, const char *path, const char *real, const char *link);

/* Let go of the last `.gitmodules`. */
void source_forget_modules(struct source *source);

struct source *source_ref(struct source *source);
void source_unref(struct source *source);

#endif
