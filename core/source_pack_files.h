/*
 * source_pack_files: files of packs, of which so many are open at once.
 *
 * A repository may have thousands of packs, each of which is two files. One is opened when it is
 * first needed, and closed when others are and it is the one that was not for the longest time. It
 * is opened again only as the file that it was: what is there by then may be another pack.
 *
 *     pack_file_add(files, &file, path, stamp, &fd);
 *     r = pack_file_take(&file, why);
 *     if (r == 0) {
 *         … pread(fd, …)
 *         pack_file_give(&file);
 *     }
 *     pack_file_remove(&file);
 *
 * Thread-safe; a file is added before others have it, and removed after.
 */
#ifndef ADDONFS_SOURCE_PACK_FILES_H
#define ADDONFS_SOURCE_PACK_FILES_H

#include "stamp.h"

#include <addonfs/error.h>
#include <stddef.h>

struct pack_files;

struct pack_file {
    struct pack_files *files;
    const char *path;
    struct stamp stamp;
    int *fd; /* -1 while it is closed; as it is, while it is taken */
    _Atomic unsigned users;
    struct pack_file *older; /* of those that are open, in the order of their use */
    struct pack_file *newer;
};

/* At most `limit` are open, or as many as are taken. NULL: no memory. */
struct pack_files *pack_files_new(size_t limit);
struct pack_files *pack_files_ref(struct pack_files *files);

/* NULL is allowed. */
void pack_files_unref(struct pack_files *files);

/* A file, which is open as `*fd` or is not (-1). All that is given here outlives it. */
void pack_file_add(struct pack_files *files, struct pack_file *file, const char *path,
                   struct stamp stamp, int *fd);

/* Close it. What was never added (all zeros) is left as it is. */
void pack_file_remove(struct pack_file *file);

/*
 * Have it open until it is given back. PACK_DAMAGED: another file is there, or this one was
 * changed; otherwise as source_pack.h has it.
 */
int pack_file_take(struct pack_file *file, struct error *why);
void pack_file_give(struct pack_file *file);

#endif
