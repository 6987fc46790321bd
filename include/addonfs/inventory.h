/*
 * inventory: what a folder or an archive holds, as a tree: names, exec bits, sizes, and of every
 * file the id of its bytes.
 *
 *     r = inventory_read("/srv/addons/openpype", &reading, &root, &error);
 *     item = inventory_find(root, "3.15.12/private/client.zip/openpype/version.py");
 *     …
 *     inventory_free(root);
 *
 * A zip in it is a file that has a tree of its own, so what two of them hold can be compared
 * however they are compressed. Nothing is followed that leads anywhere else: links are items with a
 * fault, and so is what an archive holds under a name that leads out of it. A fault is a property
 * of what was read, and no failure of the reading; it says what is wrong in a few words.
 *
 * An inventory belongs to one thread at a time.
 */
#ifndef ADDONFS_INVENTORY_H
#define ADDONFS_INVENTORY_H

#include <addonfs/archive_reader.h>
#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/map.h>
#include <addonfs/sha256.h>
#include <addonfs/view.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What one package may hold: more is not read, and a fault. An addon has some thousand files and a
 * hundred megabytes; an archive of a few kilobytes may claim anything.
 */
#define INVENTORY_BYTES_LIMIT ((uint64_t)16 << 30)
#define INVENTORY_ITEMS_LIMIT ((size_t)500000)
#define INVENTORY_DEPTH_LIMIT 64 /* components of a path */
#define INVENTORY_ZIPS_LIMIT 4   /* zips within each other that are looked into */

/* Files that say what a package is keep their bytes up to this size: package.py, version.py, … */
#define INVENTORY_TEXT_LIMIT ((uint64_t)1 << 20)

enum inventory_kind {
    INVENTORY_FOLDER,
    INVENTORY_FILE,
    INVENTORY_OTHER, /* a link, a device, a member that may not be followed: see its fault */
};

struct inventory_item {
    enum inventory_kind kind;
    bool is_archive;      /* a file whose content is below it, or the root of an archive */
    bool executable;      /* file: by its owner */
    uint64_t size;        /* file: bytes */
    struct content_id id; /* file: of its bytes */
    char *text;           /* of a file that says what a package is: its bytes, and a NUL … */
    char *fault;          /* or NULL: then a file's bytes are not known, nor what it is */
    char *broken;         /* of an archive, or of what is called a zip: why not all that it holds
                             can be known; or NULL */
    struct map children;  /* by name: of struct inventory_item */
};

/* What is read and how far. */
struct inventory_reading {
    const _Atomic bool *interrupted; /* ends it with -EINTR when it becomes true; or NULL */
    uint64_t bytes;                  /* read so far; 0 to begin with */
    size_t items;                    /* likewise */
};

/*
 * Read what is at `path`: a folder with all below it, or a file that must be an archive. -ENOENT,
 * -EACCES, …, of it or of anything below it: the error names it; -EINVAL: a file that is no
 * archive; -EINTR; -ENOSPC, -ENOMEM. A zip within an archive goes through an unlinked temporary
 * file.
 */
int inventory_read(const char *path, struct inventory_reading *reading,
                   struct inventory_item **ret_root, struct error *error);

struct inventory_item *inventory_new(enum inventory_kind kind);
void inventory_free(struct inventory_item *item);

/*
 * Put `child` (taken over, even on failure) into the tree at `path`, with the folders that it
 * needs. What is there already, or in the way, gets a fault and stays. 0 or -ENOMEM.
 */
int inventory_put(struct inventory_item *root, const char *path, struct inventory_item *child);

/* What is at `path` ("" is the root); borrowed. NULL: nothing. */
struct inventory_item *inventory_find(struct inventory_item *root, const char *path);

/* Give an item a fault, unless it has one. 0 or -ENOMEM. */
int inventory_fault(struct inventory_item *item, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Fill `item`, a file called `name`, from its bytes, and look into it if it is called a zip.
 * `zips`: how many more may be within each other. What is wrong with the bytes is a fault; errors
 * as inventory_read. `path` is for messages.
 */
int inventory_take(struct inventory_item *item, const char *name, const char *path,
                   const struct archive_input *input, int zips, struct inventory_reading *reading,
                   struct error *error);

/*
 * What a view shows at `path` ("package/openpype/3.15.12") in a generation that view_look has just
 * answered, or in a frozen one: the bytes that a mount would serve. -EIO: something in it cannot be
 * read, which the error names; -ENOENT; others as view_find_entry and view_open_body.
 */
int inventory_of_view(struct view *view, struct generation *generation, const char *path,
                      struct inventory_reading *reading, struct inventory_item **ret_root,
                      struct error *error);

/* Are there files in it, or below it? */
bool inventory_has_files(const struct inventory_item *item);

CLEANUP(inventory, struct inventory_item *, inventory_free)
#define cleanup_inventory __attribute__((cleanup(cleanup_inventory_scope)))

#endif
