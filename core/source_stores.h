/*
 * source_stores: where the objects of a repository lie on disk.
 *
 * libgit2 says "not found" of an object too if it could not look everywhere: it passes over a pack
 * whose index it cannot open for want of a descriptor, and over a folder that it may not enter. As
 * something may be left out of a package because an object is not there, that has to be certain. So
 * this is a look of our own, for when libgit2 has failed: an object lies loose, or the index of a
 * pack names it (gitformat-pack(5)), in the repository's folder of objects or in one of its
 * alternates (gitrepository-layout(5)).
 *
 * It also says whether anything has changed there since: only then is another try worth it.
 */
#ifndef ADDONFS_SOURCE_STORES_H
#define ADDONFS_SOURCE_STORES_H

#include <git2.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stores {
    size_t count;
    char **folders; /* absolute; the repository's own first, then its alternates, each once */
};

/*
 * Which folders there are, the first being `objects`. -ENOMEM, or why a list of alternates cannot
 * be read.
 */
int stores_open(const char *objects, struct stores *ret_stores);
void stores_clear(struct stores *stores);

/*
 * Find the object whose id begins with the first `length` (4 to 40) hexadecimal digits of `prefix`,
 * the others of which are 0. -ENOENT: there is none for certain; -EEXIST: more than one; -EIO:
 * none, but what might hold it is damaged. Everything else is of the moment: error_is_transient.
 */
int stores_find(const struct stores *stores, const git_oid *prefix, size_t length,
                git_oid *ret_object);

/* Where in `folder` an object lies loose (ab/cdef…). False: the path would be too long. */
bool stores_loose_path(const char *folder, const git_oid *object, char ret_path[static PATH_MAX]);

/* A look at stores, to be compared with a later one. */
struct stores_stamp {
    uint64_t value;
    bool settled; /* old enough for what is read from now on to be tied to it (stamp.c) */
};

/* Of what makes objects come and go: the folders of packs, and the lists of alternates. */
struct stores_stamp stores_stamp(const struct stores *stores);

/* The same, with the files in which `object` alone may lie. */
struct stores_stamp stores_stamp_of(const struct stores *stores, struct stores_stamp stamp,
                                    const git_oid *object);

bool stores_stamp_is_same(struct stores_stamp before, struct stores_stamp now);

#endif
