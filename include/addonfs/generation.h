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
#include <addonfs/package.h>
#include <addonfs/problem.h>
#include <addonfs/recipe.h>
#include <stdint.h>

/* What people want to see of a source. Immutable. */
struct generation_options {
    struct recipe_choice choice;
    bool no_license;       /* leave out the rules for a license */
    bool prefixed_uploads; /* of layouts with a manifest: as servers before July 2023 take them */
    const char *version;   /* every package's, in place of the declared one; or NULL */
    bool derive_version;   /* a version of its own for every commit and every content (version.h) */
};

/* What generations of one view are built with, one after the other. */
struct generation_maker {
    const struct origin *origin;
    const struct generation_options *options;
    _Atomic uint64_t *next_number; /* of inodes */
    struct map *vanished;          /* see generation_share.h; NULL: there is nothing before */
    struct generation_head *head;  /* what a worktree's commit holds; kept by the maker's owner */
    size_t entry_limit;            /* of all packages together; 0: PACKAGE_TOTAL_LIMIT */
    bool fills_clients;            /* client folders are filled at once */
};

/* See generation_version.c. */
struct generation_head {
    char commit[41];
    bool incomplete;  /* something of it was missing, or could not be read … */
    uint64_t healing; /* … when this was source_objects_healing */
    size_t count;
    struct head_addon *addons;
};
void generation_head_clear(struct generation_head *head);

struct generation_addon {
    char *name;    /* NULL: cannot be had */
    char *version; /* likewise */
    char *origin;  /* see struct package; likewise */
    size_t source_count;
    char **sources;         /* files and folders of the source that it is made of */
    struct entry *declared; /* with derive_version: its folder as the source declares it; or NULL */
};

struct generation {
    _Atomic unsigned references;
    uint64_t serial;    /* counts up */
    struct entry *root; /* holds `client`, `package` and `upload` */
    char *layout;       /* "a", "c+d", …; or NULL */
    char *commit;       /* of a revision, 40 hexadecimal digits; else NULL */
    char head[41];      /* of a worktree with derive_version: what was HEAD; else "" */
    char *headless;     /* why there is none; else NULL */
    size_t addon_count;
    struct generation_addon *addons; /* of a frozen one without sources */
    struct recipe_matches matches;   /* live: what the addons are, in the same order */
    struct recipe *own;              /* live: the source's own recipe, or NULL … */
    struct file *own_file;           /* … and the file that says it */
    struct problems problems;        /* those known without reading content */
    bool unhealthy;                  /* a folder of it could not be computed */
    bool retry;                      /* something was left out that may be there at the next look */
    _Atomic uint64_t healing; /* a commit's: the last source_objects_healing it was tried at */
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
 * Build what the source of the maker holds in its present look (source_refresh has answered 0, or
 * what it failed with is to be shown). `last` is the one before, or NULL; `serial` is this one's
 * number. -ENOMEM, -EMFILE, -ESTALE, …: not now. One thread at a time with the source.
 */
int generation_build(const struct generation_maker *maker, struct generation *last, uint64_t serial,
                     struct generation **ret_generation, struct error *error);

/*
 * Fill a lazy folder of a tree, of which `path` is the path. Its files' times are those of their
 * paths in the source, which may take a while to find out: `generation_time` does that, and no
 * more, so that it need not be done with a lock held. Nothing is done that has been done. One
 * thread at a time for a folder. Errors as generation_build; -EINTR, -ECANCELED (origin_check).
 */
int generation_fill(const struct generation_maker *maker, struct entry *lazy, const char *path,
                    struct error *error);
int generation_time(const struct origin *origin, struct entry *lazy, struct error *error);

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

/*
 * Two of the same commit, the later of which was built because the other may have healed: is
 * everything as it was, so that the one that is known may stay?
 */
bool generation_is_as_before(const struct generation *known, const struct generation *built,
                             const struct origin *origin);

/* A reference, unless the last one has just gone. */
bool generation_try_ref(struct generation *generation);

CLEANUP(generation, struct generation *, generation_unref)
#define cleanup_generation __attribute__((cleanup(cleanup_generation_scope)))

#endif
