/*
 * export_target: where an export is written to, before it is made to count.
 *
 * A target takes folders and files in the order of the tree, then is committed or thrown away.
 */
#ifndef ADDONFS_EXPORT_TARGET_H
#define ADDONFS_EXPORT_TARGET_H

#include <addonfs/entry.h>
#include <addonfs/error.h>

struct export_target {
    /* `path` begins below the root; entries come after the folder they are in. */
    int (*folder)(struct export_target *target, const char *path, const struct entry *entry,
                  struct error *error);
    /* Begin a file of `size` bytes, then its bytes in order, then its end. */
    int (*begin)(struct export_target *target, const char *path, const struct entry *entry,
                 uint64_t size, struct error *error);
    int (*bytes)(struct export_target *target, const void *bytes, size_t size, struct error *error);
    int (*end)(struct export_target *target, struct error *error);
    /* Make it count. */
    int (*commit)(struct export_target *target, struct error *error);
    /* Free it; what was not committed is removed. */
    void (*close)(struct export_target *target);
};

/*
 * A folder; made if only its last component is missing. What counts at once is `depth` names below
 * it: 2 for "<addon>/<version>/", 1 for files and folders directly in it.
 */
int export_folder_open(const char *destination, int depth, struct export_target **ret_target,
                       struct error *error);

/* An archive's format, by what it is called ("tar.gz") or, without that, by how `destination`
 * ends. */
struct export_format;
const struct export_format *export_format_find(const char *name, const char *destination);

/* `fd`: where it goes when it is whole; -1: to `destination`, a path. */
int export_archive_open(const struct export_format *format, const char *destination, int fd,
                        struct export_target **ret_target, struct error *error);

/* A file's mode when it is written out: as it shows, and writable by its owner. */
mode_t export_mode(const struct entry *entry);

#endif
