/*
 * source: what a Git source tree holds, from its worktree or from a revision.
 *
 * A source is asked in looks. A look begins with `source_refresh`, which says whether anything that
 * was asked for since has changed; then folders are listed and entries looked at, by path from the
 * root:
 *
 *     bool changed;
 *     r = source_refresh(source, &changed, &error);
 *     r = source_find(source, "openpype/version.py", &entry, &error);
 *     r = source_read(entry->file, spool, CONTENT_MEMORY_LIMIT, &content, &error);
 *
 * Only what is asked for is touched: a worktree's other files are neither opened nor stat'ed. What
 * was asked for is remembered, names that were absent included (they are absent from a folder that
 * was listed), so it is exactly what the next refresh has to compare, and what a change feed has to
 * watch.
 *
 * As long as nothing about a file changes, every look answers the same `struct file`. `source_read`
 * gives the bytes of just the moment of its look, or -ESTALE.
 *
 * Links are followed inside the tree only. Nothing outside the tree is ever answered, nor anything
 * of Git's own: see source_resolve.h for how.
 *
 * Threads: refresh, list, look and find belong to one thread at a time (the view's lock);
 * source_read, source_measure and the reference counts may be used from any thread at any time.
 */
#ifndef ADDONFS_SOURCE_H
#define ADDONFS_SOURCE_H

#include <addonfs/cleanup.h>
#include <addonfs/content.h>
#include <addonfs/error.h>
#include <addonfs/file.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct source;

struct source_options {
    const char *path;     /* root of a clone, or a bare repository; borrowed */
    const char *revision; /* what `git rev-parse` understands; NULL: the worktree, HEAD if bare */
    bool lfs_pointers;    /* files of Git LFS are the pointers that are committed */
    bool poll;            /* do not watch the worktree: compare everything at every look */
};

enum source_kind {
    SOURCE_UNSEEN,  /* not looked at yet */
    SOURCE_FILE,    /* a regular file, or a link to one */
    SOURCE_FOLDER,  /* a folder, or a link to one */
    SOURCE_GITLINK, /* a submodule of which there is no more than an empty folder; `reason` … */
    SOURCE_OTHER,   /* what can be neither read nor entered; … says why */
};

/* One name in a folder. Valid until the next refresh. */
struct source_entry {
    char *name;
    enum source_kind kind;
    bool linked;       /* reached through a link */
    char *real;        /* a linked folder's path without links, else NULL */
    struct file *file; /* SOURCE_FILE: borrowed */
    char *reason;      /* SOURCE_GITLINK, SOURCE_OTHER */
    bool faulty;       /* … because an object is at fault, or a submodule is not there … */
    bool unfetched;    /* … of which nothing says that it ever was */
    uint64_t written;  /* the source's own: the look that was told of a writer's end, or 0 */
    int type;          /* the source's own: what the listing said */
    ino_t several; /* … of a name that was not looked at: its file's number, if that has others */
    unsigned char object[20];
};

/* A listed folder. Valid until the next refresh. */
struct source_folder {
    char *path;
    char *real;
    char *link; /* the last link on the way, itself without links; or NULL */
    struct source_owner owner;
    size_t count;
    struct source_entry *entries; /* sorted by name bytes; Git's own names are not among them */
    bool hides_git;               /* one such name was left out */
    int failure;                  /* negative errno: the folder cannot be listed */
    struct error *error;          /* then: why */
    uint64_t checked;             /* the look in which it was last compared */
    uint64_t asked;               /* the look in which it was last asked for */
    uint64_t changed;             /* the look in which it was last found changed, or was new */
    struct source_folder *next;   /* the source's own: what source_settle will free */
    bool dirty;                   /* … to be compared at the next look */
    bool unsure;                  /* … something to compare at every look: source_worktree.c */
    int watched;                  /* … inotify's watch descriptor, or 0 */
    struct source_folder *watch_next; /* … with the same descriptor */
    struct folder_identity {          /* the source's own, as in struct file_identity */
        dev_t device;
        ino_t inode;
        struct timespec modification;
        struct timespec change;
        mode_t denied;
        bool trusted;
        unsigned char object[20];
        unsigned char commit[20];
        struct content_id attributes;
        struct attributes_chain *chain; /* referenced */
        const struct repository *repository;
        bool faulty;      /* an object was at fault … */
        uint64_t healing; /* … when this was the number of objects_healing */
    } identity;
};

/*
 * Open a source. -ENOENT, -ENOTDIR: no such folder; -ENOTSUP: not a repository (or of a kind that
 * is not supported); -EPERM: it belongs to someone else; the error says what to do.
 */
int source_open(const struct source_options *options, struct source **ret_source,
                struct error *error);

/* Another source of the same repository: `revision`. Errors as those of a look. */
int source_open_revision(const struct source *of, const char *revision, struct source **ret_source,
                         struct error *error);

/* Forget what is known of folders. Files live on, and can still be read. NULL is allowed. */
void source_close(struct source *source);

/* The source's path without links, absolute. */
const char *source_path(const struct source *source);

/*
 * Hand `take` each folder of Git's that the source is read from, absolute, with links: the git dir,
 * the common dir (gitrepository-layout(5)), and the objects of both it and its alternates. Some may
 * not be there. Ends with what `take` answers, if that is not 0, or with what is wrong at the
 * moment, and only then is that described. Reads the alternates as they are now.
 */
int source_git_folders(const struct source *source, int (*take)(void *context, const char *folder),
                       void *context, struct error *error);

/* The revision as it was asked for, or NULL for a worktree. */
const char *source_revision(const struct source *source);

/* Why changes are looked for by comparing instead of being watched, or NULL. Valid for ever. */
const char *source_warning(const struct source *source);

/* The commit that is shown, 40 hexadecimal digits, or NULL for a worktree. Valid until the next
 * refresh. */
const char *source_commit(const struct source *source);

/*
 * When each of the `count` paths (sorted by bytes, each once; files or folders of the commit that
 * is shown) was last changed, in seconds since 1970, as `git log -1 -- PATH` says. Only for a
 * revision. `cache` remembers it, or is NULL. `check` (or NULL) is asked every now and then, and
 * what it answers ends the walk, unless that is 0. -EIO: it cannot be known as the repository is;
 * -ENOMEM, -EMFILE, …: not now. Thread-safe.
 */
int source_times(struct source *source, struct cache *cache, const char *const *paths, size_t count,
                 int64_t *ret_times, int (*check)(const void *context), const void *context,
                 struct error *error);

/*
 * Begin a look. `*ret_changed`: something that was asked for is no longer as it was. An error means
 * that nothing can be known now (the revision does not resolve, say); list and find then fail with
 * it too.
 */
int source_refresh(struct source *source, bool *ret_changed, struct error *error);

/* Are changes told, so that a refresh in which nothing has happened costs next to nothing? */
bool source_is_watched(const struct source *source);

/*
 * Something to sleep on: `fd` becomes readable (poll(2)) when what was asked for may have changed
 * since the wait was opened. To be opened before the look whose end one sleeps after. -EMFILE,
 * -ENOMEM, … One thread at a time with the source; the descriptors are the caller's, who closes the
 * wait in any thread.
 */
struct source_wait {
    int fd;    /* or -1: nothing is told */
    int inner; /* or -1 */
};
int source_wait_open(struct source *source, struct source_wait *ret_wait, struct error *error);
void source_wait_close(struct source_wait *wait);

/*
 * Will all that may change from now on be told, as each look (source_refresh, list, find) finds out
 * anew? If not, or if `fd` is -1, look every now and then. One thread at a time with the source.
 */
bool source_tells_all(const struct source *source);

/*
 * A descriptor of the caller's that becomes readable when refs of the source's repository may have
 * changed. -ENOTSUP: nothing tells that; -EMFILE, -ENOMEM, … Thread-safe.
 */
int source_watch_refs(const struct source *source);

/* Forget what this look did not ask for. Call it when a look that found changes is complete. */
void source_settle(struct source *source);

/*
 * List a folder ("" is the root). -ENOENT, -ENOTDIR, -EACCES, -EXDEV (another file system is
 * mounted there), -EPERM (Git's own), -ENAMETOOLONG, -ENOLINK (it is, or lies in, a submodule that
 * is not there), -EIO, -ENOMEM; the error starts with the path.
 */
int source_list(struct source *source, const char *path, struct source_folder **ret_folder,
                struct error *error);

/*
 * List the folder that `entry` of `parent` is; both are of this look. As source_list of its path,
 * but without finding the way there again.
 */
int source_list_below(struct source *source, const struct source_folder *parent,
                      const struct source_entry *entry, struct source_folder **ret_folder,
                      struct error *error);

/*
 * The owners of the folders above `real`, a path without links, from the root down: who reaches a
 * file that a link leads to has come through these. Each counts as asked for. One that cannot be
 * listed is answered as ours alone (0700), because nothing is known of it. The caller frees
 * `*ret_owners`. -ENOMEM, -EMFILE, …: not now.
 */
int source_owners_above(struct source *source, const char *real, struct source_owner **ret_owners,
                        size_t *ret_count, struct error *error);

/*
 * The number of the current look, which counts up. A folder whose `changed` is not above the number
 * of an earlier look is as it was then, provided that it is not `unsure`: names, kinds, and files,
 * which are the same pointers.
 */
uint64_t source_look_number(const struct source *source);

/*
 * The last look in which the owner or mode of any known folder was found changed, or whether it can
 * be listed.
 */
uint64_t source_owners_changed(const struct source *source);

/*
 * Look at an entry, so that its kind is known. What is wrong with it is in the entry. -ENOMEM, …:
 * not now; -EFBIG: the links of the commit are too much work, and the error names the folder.
 */
int source_look(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error);

/* List the folders on the way and look at the last component. Errors as source_list. */
int source_find(struct source *source, const char *path, struct source_folder **ret_folder,
                struct source_entry **ret_entry, struct error *error);

/*
 * Is what is at `path`, which this look has asked for, not to be had because something of a commit
 * is at fault or not there, and so may be at a later look? A link that leads nowhere always will.
 */
bool source_may_heal(const struct source *source, const char *path);

/*
 * Is `real`, an empty folder of a worktree (a path without links), a submodule that was not checked
 * out? Looks at `.gitmodules`, which counts as asked for. Errors are those of the moment.
 */
int source_is_unfetched(struct source *source, const char *real, struct spool *spool,
                        bool *ret_unfetched, struct error *error);

/*
 * Take the bytes of `file`. -ESTALE: the file is no longer what it was at its look. -EIO, -EACCES,
 * …: it cannot be read; the error starts with the path. -ENOSPC, -ENOMEM: no room. Its source may
 * have been closed meanwhile.
 */
int source_read(struct file *file, struct spool *spool, size_t memory_limit,
                struct content **ret_content, struct error *error);

/* Bytes of `file`, and whether it can be read: errors as source_read. Reads only what it must. */
int source_measure(struct file *file, struct spool *spool, uint64_t *ret_size, struct error *error);

/*
 * A number that moves on when something that could not be read may be readable now, although its
 * file is the same one: of a revision, when something has changed where objects lie of which one
 * was missing or damaged; of a worktree, where a change makes another file of it, every second (a
 * disk may have erred). Taken before something is read, it says later whether another try is worth
 * it. Thread-safe.
 */
uint64_t source_healing(struct source *source);

/* The same of the repository's objects, whatever the source shows. */
uint64_t source_objects_healing(const struct source *source);

/* The same of what trees are made of, submodules included: not of objects of Git LFS. */
uint64_t source_trees_healing(const struct source *source);

/* The version of libgit2. */
const char *source_library_version(void);

CLEANUP(source, struct source *, source_close)
#define cleanup_source __attribute__((cleanup(cleanup_source_scope)))

#endif
