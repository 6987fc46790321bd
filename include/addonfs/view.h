/*
 * view: what a mount shows, always as it is now.
 *
 *     r = view_open(&options, &view, &error);
 *     r = view_look(view, &generation, &error);
 *     r = entry_find(generation->root, "package/openpype", &entry);
 *     …
 *     generation_unref(generation);
 *
 * `view_look` finds out whether the source is still in the state of the current generation and
 * otherwise makes the next one: what had been changed before the call is in what it answers.
 *
 * Thread-safe throughout.
 */
#ifndef ADDONFS_VIEW_H
#define ADDONFS_VIEW_H

#include <addonfs/generation.h>
#include <stdint.h>

struct view;

struct view_options {
    struct source_options source;
    struct generation_options shown; /* strings are borrowed as long as the view lives … */
    const char *recipe_path;         /* … in place of `shown.choice.recipe`: a file, or NULL */
    bool skip_problems;
    int level;                /* of compression; 0: DEFLATE_LEVEL_DEFAULT */
    bool no_cache;            /* keep compressed members for the time of this view only */
    const char *cache_folder; /* NULL: cache_default_folder() */
    uint64_t cache_size;      /* bytes; 0: CACHE_SIZE_DEFAULT */
    bool prepares; /* view_prepare will be called, and view_open begins with it, in threads … */
    /* … for which a view_open that fails waits, however long a file takes to be read. This is told
     * of the failure before; it need not return. Or NULL. */
    void (*failed)(void *context, const struct error *error);
    void *failed_context;
};

/* Inode numbers below this one are for the file system's own use; numbers are never used twice. */
#define VIEW_FIRST_NUMBER 64

/*
 * Open a source and look at it. Besides the errors of source_open: no layout is recognised, a
 * version cannot be read; the error is one line that says what to do. The cache is opened beside
 * the source, so its folder is made even if there is no source.
 */
int view_open(const struct view_options *options, struct view **ret_view, struct error *error);

/* Every generation and body must have been given back. NULL is allowed. */
void view_close(struct view *view);

/*
 * Let long work end early, for good: what has to be compressed fails from now on (-ECANCELED). Any
 * thread.
 */
void view_stop(struct view *view);

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
 * changed since, look again. -EINTR: `*interrupted` (or NULL) has become true meanwhile;
 * -ECANCELED: view_stop was called.
 */
int view_body(struct view *view, struct entry *entry, const _Atomic bool *interrupted,
              struct body **ret_body, struct error *error);

/* body_open with the view's origin; other errors as view_body. */
int view_open_body(struct view *view, struct body *body, const _Atomic bool *interrupted,
                   struct error *error);

/*
 * Find an entry by its path, as entry_find does, in a generation that view_look has just answered,
 * or in a frozen one (`*generation` holds the result). Fills lazy folders on the way. -ESTALE: the
 * source has changed since, look again; else as entry_find, view_look and view_body.
 */
int view_find_entry(struct view *view, struct generation *generation, const char *path,
                    const _Atomic bool *interrupted, struct entry **ret_entry, struct error *error);

/* The same of an entry that was found: one of a frozen generation is filled if it is lazy. */
int view_fill_frozen(struct view *view, struct entry *entry, const char *path,
                     const _Atomic bool *interrupted, struct entry **ret_entry,
                     struct error *error);

/* A new number, for an inode of the file system's own. */
uint64_t view_new_number(struct view *view);

/*
 * The names beside the live tree. A folder of names is a path:
 *
 * - "": HEAD, branches, tags, commits, snapshots (and what a generation's root holds)
 * - "branches", "tags": refs; below them ("branches/feature") those with slashes
 * - "commits": trees of commits; every commit can be found, listed are HEAD and those that are in
 *   use or were looked up lately
 * - "snapshots": frozen copies of the live tree, and a link `current` to that of now, which is made
 *   when it is asked for
 *
 * Links and ref folders may change at any time. What is in a frozen tree never does. Its name may
 * lead to another one later, or nowhere: a commit that Git has thrown away; a snapshot that nobody
 * has looked up for minutes, or of which only owners or modes are others now.
 */
enum view_kind {
    VIEW_FOLDER, /* of names */
    VIEW_LINK,
    VIEW_FROZEN, /* the root of a frozen tree */
};

struct view_name {
    enum view_kind kind;
    uint64_t number; /* the name's, whatever it leads to; of a frozen tree: its root's */
    char *target;    /* of a link */
    struct timespec mtime;
    struct generation *frozen; /* a reference */
};

struct view_names {
    size_t count;
    struct view_listed {
        char *name;
        enum view_kind kind;
        uint64_t number; /* 0: not known before it is looked up */
    } * items;
};

/*
 * Find a name. -ENOENT; -EIO: it is there, but cannot be had; -EINTR: `*interrupted` (or NULL) has
 * become true meanwhile; others as view_look.
 */
int view_find(struct view *view, const char *folder, const char *name,
              const _Atomic bool *interrupted, struct view_name *ret_name, struct error *error);
void view_name_clear(struct view_name *name);
#define cleanup_view_name __attribute__((cleanup(view_name_clear)))

/* What is in a folder of names, sorted. -ENOENT: there is no such folder (any more). */
int view_list(struct view *view, const char *folder, struct view_names *ret_names,
              struct error *error);
void view_names_clear(struct view_names *names);
#define cleanup_view_names __attribute__((cleanup(view_names_clear)))

/* Attributes of a folder of names that is known to have been there. */
void view_folder(struct view *view, const char *folder, struct view_name *ret_name);

/*
 * Tell when the live view has another generation: `advanced` is called in any thread, with no lock
 * of the view held, after a look has found that. To be set before the first request.
 */
void view_on_advanced(struct view *view, void (*advanced)(void *context), void *context);

/*
 * As long as anyone watches (each begin needs its end), a thread looks as soon as something may
 * have changed; it sleeps in between. -EAGAIN, -ENOMEM: there can be no such thread.
 */
int view_watch_begin(struct view *view, struct error *error);
void view_watch_end(struct view *view);

/*
 * Tell of names that whoever has cached them may let go: a frozen tree is kept no more by the view;
 * a name has gone from the live tree (with all below it). `parent` is the number of the folder that
 * it is or was in. Called from any thread, with no lock of the view held. To be set before the
 * first request.
 */
void view_on_dropped(struct view *view,
                     void (*dropped)(void *context, uint64_t parent, const char *name),
                     void *context);

/*
 * Everything that is wrong now: looks, composes every zip, and adds up. `*ret_generation` is the
 * state that was examined. `interrupted` and errors as view_body.
 */
int view_problems(struct view *view, const _Atomic bool *interrupted,
                  struct generation **ret_generation, struct problems *problems,
                  struct error *error);

/* What its store of members has done. */
void view_counters(const struct view *view, struct members_counters *ret_counters);

/*
 * How many members of the zips in its packages are compressed, of how many. False: not known at the
 * moment, for somebody is looking. Waits for nobody.
 */
bool view_progress(struct view *view, uint64_t *ret_done, uint64_t *ret_total);

/* Does it have a cache, be it one that cannot be used? */
bool view_has_cache(const struct view *view);

/* The source; only its constant properties (path, revision) may be asked. */
const struct source *view_source(const struct view *view);

/* The same, for questions about its repository (refs.h), which are thread-safe. */
struct source *view_repository(struct view *view);

/* Does it derive versions (version=git)? */
bool view_derives_versions(const struct view *view);

CLEANUP(view, struct view *, view_close)
#define cleanup_view __attribute__((cleanup(cleanup_view_scope)))

#endif
