/*
 * source_reader: reading a repository's objects, and being sure of what could not be read.
 *
 * Everything that we let libgit2 do with commits, trees and blobs reads objects through a `struct
 * reader`: a repository of libgit2's around an object database whose only backend is ours. That
 * backend reads loose objects (source_loose.h) and packs (source_packed.h), and knows three things
 * that libgit2 does not tell:
 *
 *   - whether an object is missing or damaged for certain, or could not be had at the moment (no
 *     descriptors, no memory, …), which must never be taken for the former: error_is_transient;
 *   - that something was missing although libgit2 went on without it;
 *   - that packs have come and gone under it (git gc): then it opens them anew and tries again.
 *
 *     reader_begin(reader);
 *     r = git_blob_lookup(&blob, reader->git, &id);
 *     if (r < 0 || reader->fault.code)
 *         return reader_failure(reader, r, path, error);
 *
 * A reader belongs to one thread at a time, and shares with others what source_objects.h holds.
 */
#ifndef ADDONFS_SOURCE_READER_H
#define ADDONFS_SOURCE_READER_H

#include "source_git.h"
#include "source_objects.h"

#include <git2/sys/odb_backend.h>
#include <time.h>

struct reader {
    git_repository *git; /* to ask libgit2 for objects */
    struct fault fault;  /* the first since reader_begin */
    struct reader *next; /* its owner's, and … */
    time_t renewed; /* … when it was last renewed for one who borrows it: once a second will do */
    bool is_guessing; /* what is missing is not worth remembering: anybody may ask for anything */

    git_odb_backend backend; /* the rest is the reader's own */
    struct objects *objects;
    struct stores *stores;
    struct stores_stamp opened; /* of `stores`, when the packs were opened */
    uint64_t healed;            /* objects_healed at that time */
    struct known_pack **packs;  /* all stores' */
    size_t pack_count;
    size_t last_pack; /* in which something was found */
    bool lacks_pack;  /* there is one that is damaged */
};

/* A reader without folder and configuration. -ENOMEM, or what is wrong at the moment. */
int reader_new(struct objects *objects, struct reader **ret_reader, struct error *error);

/* A reader around `*repository`, which is taken over (and becomes NULL) if that succeeds. */
int reader_attach(struct objects *objects, git_repository **repository, struct reader **ret_reader,
                  struct error *error);

/* NULL is allowed. */
void reader_free(struct reader *reader);

/* Forget what could not be read. */
void reader_begin(struct reader *reader);

/* Let go of packs that have gone (git gc): at the beginning of something, for a few stats. */
void reader_renew(struct reader *reader);

/* stores_find in what is there now. */
int reader_find(struct reader *reader, const git_oid *prefix, size_t length, git_oid *ret_objects,
                size_t room, size_t *ret_count, struct error *why);

/* The size that an object says it has, without reading it; 0: not known, reading it tells why. */
size_t reader_size(struct reader *reader, const git_oid *object);

/*
 * What it means that a function of libgit2 has answered `code` (which may be 0), or that an object
 * could not be read. Returns -EIO if it is certain that the content is at fault, otherwise a
 * failure of the moment (error_is_transient); the error begins with `path`.
 */
int reader_failure(const struct reader *reader, int code, const char *path, struct error *error);

CLEANUP(reader, struct reader *, reader_free)
#define cleanup_reader __attribute__((cleanup(cleanup_reader_scope)))

#endif
