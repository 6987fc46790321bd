/*
 * source_objects: reading a repository's objects, and being sure of what could not be read.
 *
 * Everything that we let libgit2 do with commits, trees, blobs and attributes reads objects through
 * a `struct reader`: a repository of libgit2's without folder and configuration, around an object
 * database whose only backend is ours. That backend reads loose objects, hands on to libgit2's own
 * for packs, and knows three things that libgit2 does not tell:
 *
 *   - whether an object is missing or damaged for certain (-EIO), or could not be had at the moment
 *     (no descriptors, no memory, …; or nobody knows why), which must never be taken for the
 * former: error_is_transient;
 *   - that something was missing although libgit2 went on without it, as it does for attributes;
 *   - that packs have come and gone under it (git gc): then it opens them anew and tries again.
 *
 *     reader_begin(reader);
 *     r = git_blob_lookup(&blob, reader->plain, &id);
 *     if (r < 0 || reader->fault.code)
 *         return reader_failure(reader, r, path, error);
 *
 * A reader belongs to one thread at a time, and shares nothing with others but what is known to be
 * missing or damaged: that is not looked for again before something has changed where it may lie.
 */
#ifndef ADDONFS_SOURCE_OBJECTS_H
#define ADDONFS_SOURCE_OBJECTS_H

#include "source_git.h"
#include "source_stores.h"

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <stdint.h>

struct objects;

/*
 * The objects of a repository whose common folder is `common_dir`. -ENOMEM, or why they cannot be
 * looked for at the moment.
 */
int objects_open(const char *common_dir, struct objects **ret_objects);

/* After the last of its readers. */
void objects_free(struct objects *objects);

/*
 * A number that moves on when an object that was missing or damaged may be readable now. Taken
 * before something is read, it says later whether another try is worth it. Thread-safe.
 */
uint64_t objects_healing(struct objects *objects);

/* An object that could not be read. */
struct fault {
    int code; /* -ENOENT (missing) and -EIO (damaged) for certain; others of the moment; 0: none */
    git_oid object; /* or the beginning of its id */
    char text[160]; /* what was said of it */
};

struct reader {
    git_repository *plain; /* to ask libgit2 for objects */
    struct fault fault;    /* the first since reader_begin */
    struct reader *next;   /* its owner's */

    git_odb_backend backend; /* the rest is the reader's own */
    struct objects *objects;
    struct stores stores;
    struct stores_stamp opened; /* of `stores`, when the packs were opened */
    git_odb_backend **packs;    /* libgit2's, one for each pack, all stores' */
    size_t pack_count;
    size_t last_pack; /* in which something was found */
};

/* -ENOMEM, or what is wrong at the moment. */
int reader_new(struct objects *objects, struct reader **ret_reader);

/*
 * A reader that reads for `repository`, which is taken over, even on failure, and becomes `plain`.
 */
int reader_attach(struct objects *objects, git_repository *repository, struct reader **ret_reader);

/* NULL is allowed. */
void reader_free(struct reader *reader);

/* Forget what could not be read. */
void reader_begin(struct reader *reader);

/*
 * What it means that a function of libgit2 has answered `code` (which may be 0), or that an object
 * could not be read. Returns -EIO if it is certain that the content is at fault, otherwise a
 * failure of the moment (error_is_transient); the error begins with `path`.
 */
int reader_failure(const struct reader *reader, int code, const char *path, struct error *error);

CLEANUP(reader, struct reader *, reader_free)
#define cleanup_reader __attribute__((cleanup(cleanup_reader_scope)))

#endif
