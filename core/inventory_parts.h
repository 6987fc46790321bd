/*
 * inventory_parts: how an inventory comes about, for the files that make one.
 */
#ifndef ADDONFS_INVENTORY_PARTS_H
#define ADDONFS_INVENTORY_PARTS_H

#include <addonfs/inventory.h>

/* Bytes that come one after the other: their id, their number, and if need be themselves. */
struct inventory_taking {
    struct inventory_item *item;
    struct inventory_reading *reading;
    struct sha256 *sha256;
    bool keeps_text; /* until there are too many */
};

/* Is a file of that name one that says what a package is? Is it called a zip? */
bool inventory_keeps_text(const char *name);
bool inventory_is_zip_name(const char *name);

/* Begin, take bytes, and end. -ENOMEM, -EINTR. 1: they are too many, which is now a fault. */
int inventory_begin(struct inventory_taking *taking, struct inventory_item *item, const char *name,
                    struct inventory_reading *reading);
int inventory_bytes(struct inventory_taking *taking, const void *bytes, size_t size);
void inventory_end(struct inventory_taking *taking);

/* Count an item. 1: there are too many; -EINTR. */
int inventory_count(struct inventory_reading *reading);

/*
 * What the archive holds, below `root`. Errors as inventory_read; -EINVAL: it is no archive. One
 * that is damaged further on is one that is broken.
 */
int inventory_unpack(struct inventory_item *root, const char *path,
                     const struct archive_input *input, bool zip_only, int zips,
                     struct inventory_reading *reading, struct error *error);

/* The same of a file that is called a zip: if it is none, it is broken. */
int inventory_look_into(struct inventory_item *item, const char *path,
                        const struct archive_input *input, int zips,
                        struct inventory_reading *reading, struct error *error);

/* An open file as input. The descriptor is what `context` points to. */
ssize_t inventory_pread(void *context, uint64_t offset, void *bytes, size_t size);

/* A folder, held by `fd`, and all below it. */
int inventory_walk(struct inventory_item *folder, int fd, const char *path, int depth,
                   struct inventory_reading *reading, struct error *error);

#endif
