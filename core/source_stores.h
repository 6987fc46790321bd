/*
 * source_stores: where the objects of a repository lie on disk.
 *
 * An object lies loose, or the index of a pack names it (gitformat-pack(5)), in the repository's
 * folder of objects or in one of its alternates (gitrepository-layout(5)). libgit2 says "not found"
 * of an object too if it could not look everywhere: it passes over a pack whose index it cannot
 * open for want of a descriptor, and over a folder that it may not enter. As something may be left
 * out of a package because an object is not there, that has to be certain: stores_find is a look of
 * our own.
 *
 * A stamp says whether anything has changed there since: only then is another look worth it.
 */
#ifndef ADDONFS_SOURCE_STORES_H
#define ADDONFS_SOURCE_STORES_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <git2.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Immutable and shared. */
struct stores {
    _Atomic unsigned references;
    size_t count;
    char **folders; /* absolute, without links; the repository's own first, each once */
    size_t named_count;
    char **named; /* the same as they are named, and those that are not there: each once */
};

/*
 * Which folders there are: `objects`, and those that its lists of alternates name, and theirs.
 * -ENOMEM, or why a list or a folder cannot be read at the moment. One that is named and not there
 * holds nothing, but `objects` itself must be there.
 */
int stores_open(const char *objects, struct stores **ret_stores, struct error *why);
struct stores *stores_ref(struct stores *stores);
void stores_unref(struct stores *stores);
CLEANUP(stores, struct stores *, stores_unref)
#define cleanup_stores __attribute__((cleanup(cleanup_stores_scope)))

/*
 * Find the objects whose ids begin with the first `length` (4 to 40) hexadecimal digits of
 * `prefix`, the others of which are 0: up to `room` (1 or more) of them, and `*ret_count` is how
 * many, or more than `room` if there are others. -ENOENT: there is none for certain; -EIO: none,
 * but what might hold it is damaged. Everything else is of the moment (error_is_transient), and
 * described in `why`.
 */
int stores_find(const struct stores *stores, const git_oid *prefix, size_t length,
                git_oid *ret_objects, size_t room, size_t *ret_count, struct error *why);

/* Where in `folder` an object lies loose (ab/cdef…). False: the path would be too long. */
bool stores_loose_path(const char *folder, const git_oid *object, char ret_path[static PATH_MAX]);

/* A look at stores, to be compared with a later one. */
struct stores_stamp {
    uint64_t value;
    bool settled; /* old enough for what is read from now on to be tied to it (stamp.c) */
};

/*
 * Of what makes objects come and go: the folders of packs, the lists of alternates, and where the
 * names of stores lead.
 */
struct stores_stamp stores_stamp(const struct stores *stores);

/* The same, with every pack and index: they may be mended in place. */
struct stores_stamp stores_stamp_packs(const struct stores *stores, struct stores_stamp stamp);

/* The same, with the files in which `object` alone may lie. */
struct stores_stamp stores_stamp_object(const struct stores *stores, struct stores_stamp stamp,
                                        const git_oid *object);

/* The same, with the folders in which any object may lie loose. */
struct stores_stamp stores_stamp_loose(const struct stores *stores, struct stores_stamp stamp);

/* Is what was read after `before` was taken what is there now? */
bool stores_unchanged_since(struct stores_stamp before, struct stores_stamp now);

#endif
