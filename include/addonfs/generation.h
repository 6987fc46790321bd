/*
 * generation: one state of a source, as the tree that a mount shows.
 *
 * Immutable, reference-counted, numbered. Generations of a live view share all entries that did not
 * change; so an entry that is the same pointer is the same content, and a path that leads to
 * another pointer has changed. What cannot be computed is in the tree as a failed entry: absence is
 * a statement, so a folder whose content is not known is never an empty one.
 *
 * A generation of the live view hangs on a source that moves: what was not read in time cannot be
 * had any more. `generation_freeze` makes one that holds all its bytes, with an id that tells the
 * content. The generation of a commit is frozen by nature.
 */
#ifndef ADDONFS_GENERATION_H
#define ADDONFS_GENERATION_H

#include <addonfs/bundle.h>
#include <addonfs/cleanup.h>
#include <addonfs/entry.h>
#include <addonfs/error.h>
#include <addonfs/map.h>
#include <addonfs/problem.h>
#include <addonfs/recipe.h>
#include <stdint.h>

struct generation_addon {
    char *name;
    char *version; /* NULL: cannot be had */
};

struct generation {
    _Atomic unsigned references;
    uint64_t serial;             /* counts up */
    struct entry *root;          /* holds `package` */
    const struct recipe *recipe; /* or NULL */
    const char *layout;          /* or NULL */
    char *commit;                /* of a revision, 40 hexadecimal digits; else NULL */
    size_t addon_count;
    struct generation_addon *addons;
    struct problems problems; /* those known without reading content */
    bool unhealthy;           /* a folder of it could not be computed */
    bool retry;               /* something was left out that may be there at the next look */
    uint64_t healing;         /* a commit's: the last source_objects_healing it was tried at */
    char id[41];              /* frozen: what it is called, 40 hexadecimal digits; else "" */
    bool unreadable;          /* frozen: something in it cannot be read */
    char frozen_as[41];       /* live: the id of its frozen copy, once there is one; the view's */
    size_t held_count;        /* frozen: bodies that are open as long as it lives */
    struct body **held;
    /* Called when the last reference has gone, before anything is freed; or NULL. */
    void (*forget)(void *context, const struct generation *generation);
    void *forget_context;
};

/*
 * Build what the source of `origin` holds in its present look (source_refresh has answered 0, or
 * what it failed with is to be shown). `last` is the one before, or NULL; `serial` is this one's
 * number; inode numbers come from `next_number`. -ENOMEM, -EMFILE, -ESTALE, …: not now. One thread
 * at a time with the source.
 */
int generation_build(const struct origin *origin, struct generation *last, uint64_t serial,
                     _Atomic uint64_t *next_number, struct map *vanished,
                     struct generation **ret_generation, struct error *error);

/*
 * A frozen copy: files and zips are the same, and are held; folders have numbers of their own. What
 * cannot be read stays so. The id is a function of names, exec bits and bytes. -ESTALE: something
 * has changed and can be had no more; -ENOSPC, -ENOMEM.
 */
int generation_freeze(const struct generation *generation, const struct origin *origin,
                      _Atomic uint64_t *next_number, struct generation **ret_frozen,
                      struct error *error);

struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

/*
 * Two frozen ones of the same id: do they have the same owners and modes, so that nobody can tell
 * which is which?
 */
bool generation_is_same_for_all(const struct generation *one, const struct generation *other);

/* A reference, unless the last one has just gone. */
bool generation_try_ref(struct generation *generation);

CLEANUP(generation, struct generation *, generation_unref)
#define cleanup_generation __attribute__((cleanup(cleanup_generation_scope)))

#endif
