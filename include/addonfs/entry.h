/*
 * entry: a name in a package, and the tree that names make.
 *
 * A tree of entries is built once (by the package module), shared with its predecessor where
 * nothing has changed and numbered (by the view), and immutable from then on, with two exceptions:
 * the body of a file or a zip is made when it is first asked for, and so is the content of a lazy
 * folder. While a tree is built it takes in parts of the one before it; a folder that others refer
 * to as well is copied before it is changed.
 *
 * A folder can have failed and still have children: those that are known. Then it cannot be listed,
 * but they can be looked up; what is not among them is not known to be absent.
 */
#ifndef ADDONFS_ENTRY_H
#define ADDONFS_ENTRY_H

#include <addonfs/body.h>
#include <addonfs/bundle.h>
#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/source.h>
#include <stdint.h>
#include <time.h>

enum entry_kind {
    ENTRY_FOLDER,
    ENTRY_FILE,
    ENTRY_ZIP,
};

struct entry {
    _Atomic unsigned references;
    enum entry_kind kind;
    char *name;
    uint64_t number; /* inode number; 0 until the view gives one */
    struct source_owner owner;
    struct timespec mtime;
    struct shown { /* the seconds that this path has been shown with since the view was opened */
        time_t first;
        time_t last;
    } shown;
    char *path;    /* what it comes from in the source, for messages; or NULL */
    char *failure; /* why it can be neither read nor listed, or NULL */
    int priority;  /* while building: of two of the same name the higher one stays */
    uint64_t look; /* folder: the look (source_look_number) it was built in … */
    bool whole;    /* … and nothing but the folder's own change makes it another: see walk */

    size_t count; /* folder */
    size_t capacity;
    struct entry **children; /* sorted by name bytes */
    struct entry
        *before; /* what a failed folder was before it failed, so that it can heal; or NULL */

    struct file *file;     /* file */
    struct bundle *bundle; /* zip */
    /* A folder of which the zip, or the lazy folder, or the folder that was lazy, is made; or NULL.
     */
    struct entry *tree;
    bool lazy;                      /* folder: the children are those of `filled` … */
    _Atomic(struct entry *) filled; /* … which is this folder with them, once they are there */

    pthread_mutex_t making;    /* held while a body is made, which takes its time */
    pthread_mutex_t body_lock; /* guards the rest; held for moments */
    struct body *body;         /* the last one made, or NULL */
    struct body
        *earlier;     /* zip: of the one before at this path, which may be the same; or NULL … */
    bool other_owner; /* … but for its owner or mode */
};

/* New ones have one reference; all strings are copied, files and bundles referenced. NULL: no
 * memory. */
struct entry *entry_new_folder(const char *name, struct source_owner owner);
struct entry *entry_new_file(const char *name, struct file *file);
struct entry *entry_new_zip(const char *name, struct bundle *bundle, struct source_owner owner);

/* One that can be neither read nor listed: `kind` says as what it shows. */
struct entry *entry_new_failed(enum entry_kind kind, const char *name, const char *path,
                               const char *failure);

/* A lazy folder of what the folder `tree` (referenced) holds. */
struct entry *entry_new_lazy(const char *name, struct entry *tree);

struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry);

/* The child of that name, or NULL. */
struct entry *entry_child(const struct entry *folder, const char *name);

/* The first file of the source's in the tree; NULL if it has none. */
const struct file *entry_any_file(const struct entry *entry);

/* A lazy folder as it was filled, if it was; any other entry as it is. */
struct entry *entry_filled(struct entry *entry);

/* Let a folder be one that cannot be listed, unless it is already. 0 or -ENOMEM. */
int entry_fail(struct entry *folder, const char *path, const char *failure);

/*
 * What is below `tree` (of a zip, say) as the content of a folder of another place: copies without
 * numbers into `folder`, which is empty. `last` is the folder that was made in this way before, or
 * NULL: what it was made of and has not changed is taken from there. 0 or -ENOMEM.
 */
int entry_copy_tree(struct entry *folder, struct entry *tree, struct entry *last);

/*
 * Put `child` (taken over, even on failure) into `folder`, while building. Folders of the same name
 * become one; of two others the one of the higher priority stays; if they have the same, the name
 * becomes a failed entry that names both. 0 or -ENOMEM.
 */
int entry_insert(struct entry *folder, struct entry *child);

/* A folder with the same name, attributes and children, but no number. NULL without memory. */
struct entry *entry_copy_folder(const struct entry *folder);

/* Are their children the very same? */
bool entry_same_children(const struct entry *a, const struct entry *b);

/* Let the name `name` of `folder` be `child` (taken over, even on failure), or no name if that is
 * NULL, whatever it was. 0 or -ENOMEM. */
int entry_replace(struct entry *folder, const char *name, struct entry *child);

/*
 * The folder at `path` below `folder`, made where it is missing, while building. -ENOTDIR:
 * something else is there. -ENOMEM.
 */
int entry_make_folders(struct entry *folder, const char *path, struct source_owner owner,
                       struct entry **ret_folder);

/*
 * Walk from `root` to `path` ("" is root itself). The result is borrowed. -ENOENT, -ENOTDIR; -EIO:
 * `*ret_entry`, a folder on the way, cannot be computed; -EINPROGRESS: `*ret_entry`, a lazy folder,
 * is to be filled first.
 */
int entry_find(struct entry *root, const char *path, struct entry **ret_entry);

/*
 * The body of a file or a zip, with a reference for the caller. A zip that has the same bytes as
 * the one before at its path is that one, with its number and time. An unreadable one is tried
 * again each time: if it can be read now, there is a new body, under a number from `next_number`;
 * so there is for one that is outdated. Errors as body_of_file.
 */
int entry_body(struct entry *entry, const struct origin *origin, _Atomic uint64_t *next_number,
               struct body **ret_body, struct error *error);

/* The number that the name leads to now: that of the body, once there is one. Waits for nobody. */
uint64_t entry_number(struct entry *entry);

/*
 * Let `next`, a zip that takes the place of `last`, be the same file if it has the same bytes; with
 * another owner or mode be another one, of the same time. Waits for nobody: of a `last` that is
 * being made, nothing is known yet.
 */
void entry_succeed(struct entry *next, struct entry *last);

CLEANUP(entry, struct entry *, entry_unref)
#define cleanup_entry __attribute__((cleanup(cleanup_entry_scope)))

#endif
