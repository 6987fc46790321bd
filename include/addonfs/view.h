/*
 * view: what a mount shows, always as it is now.
 *
 *     r = view_open(&options, &view, &error);
 *     r = view_look(view, &generation, &error);
 *     r = entry_find(generation->root, "package/openpype", &entry);
 *     …
 *     generation_unref(generation);
 *
 * A generation is one state of the source as a tree of entries: immutable, reference-counted,
 * numbered. `view_look` finds out whether the source is still in the state of the current
 * generation and otherwise makes the next one: what had been changed before the call is in what it
 * answers. Generations share all entries that did not change; so an entry that is the same pointer
 * is the same content, and a path that leads to another pointer has changed.
 *
 * What cannot be computed is in the tree as a failed entry: absence is a statement, so a folder
 * whose content is not known is never an empty one.
 *
 * Thread-safe throughout.
 */
#ifndef ADDONFS_VIEW_H
#define ADDONFS_VIEW_H

#include <addonfs/bundle.h>
#include <addonfs/cleanup.h>
#include <addonfs/entry.h>
#include <addonfs/error.h>
#include <addonfs/problem.h>
#include <addonfs/recipe.h>
#include <stdint.h>

struct view;

struct view_options {
    struct source_options source;
    bool skip_problems;
    int level;                /* of compression; 0: DEFLATE_LEVEL_DEFAULT */
    bool no_cache;            /* keep compressed members for the time of this view only */
    const char *cache_folder; /* NULL: cache_default_folder() */
    uint64_t cache_size;      /* bytes; 0: CACHE_SIZE_DEFAULT */
};

/* Inode numbers below this one are for the file system's own use; numbers are never used twice. */
#define VIEW_FIRST_NUMBER 64

struct generation_addon {
    char *name;
    char *version; /* NULL: cannot be had */
};

struct generation {
    _Atomic unsigned references;
    uint64_t serial;             /* counts up from 1 */
    struct entry *root;          /* holds `package` */
    const struct recipe *recipe; /* or NULL */
    const char *layout;          /* or NULL */
    char *commit;                /* of a revision, 40 hexadecimal digits; else NULL */
    size_t addon_count;
    struct generation_addon *addons;
    struct problems problems; /* those known without reading content */
};

/*
 * Open a source and look at it. Besides the errors of source_open: no layout is recognised, a
 * version cannot be read; the error is one line that says what to do.
 */
int view_open(const struct view_options *options, struct view **ret_view, struct error *error);

/* Every generation and body must have been given back. NULL is allowed. */
void view_close(struct view *view);

/*
 * Compose every zip in a thread of the view's own, ahead of whoever asks for it. To be called once,
 * and best by a process that forks no more. view_close ends the thread.
 */
void view_prepare(struct view *view);

/*
 * What people should know but no entry is affected by, such as a cache that cannot be used: number
 * `index`, one line that lives as long as the view, or NULL behind the last.
 */
const char *view_warning(const struct view *view, size_t index);

/* The state of the source now. -ENOMEM, -EMFILE, …: not now; nothing else fails. */
int view_look(struct view *view, struct generation **ret_generation, struct error *error);

/*
 * The body of an entry of a generation that view_look has just answered. -ESTALE: the source has
 * changed since, look again.
 */
int view_body(struct view *view, struct entry *entry, struct body **ret_body, struct error *error);

/* body_open with the view's origin. */
int view_open_body(struct view *view, struct body *body, struct error *error);

/* A number for an inode of the file system's own. */
uint64_t view_number(struct view *view);

/*
 * Everything that is wrong now: looks, composes every zip, and adds up. `*ret_generation` is the
 * state that was examined.
 */
int view_problems(struct view *view, struct generation **ret_generation, struct problems *problems,
                  struct error *error);

/* The source; only its constant properties (path, revision) may be asked. */
const struct source *view_source(const struct view *view);

struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

CLEANUP(view, struct view *, view_close)
#define cleanup_view __attribute__((cleanup(cleanup_view_scope)))
CLEANUP(generation, struct generation *, generation_unref)
#define cleanup_generation __attribute__((cleanup(cleanup_generation_scope)))

#endif
