/*
 * source_bases: objects of packs that others are deltas against.
 *
 * Who walks through the history reads trees each of which is a delta against the one before it.
 * With the last ones at hand a tree costs one delta, without them a whole chain of these. Known by
 * their packs and offsets. All packs of a repository and its submodules have one room for them, of
 * so many and so many bytes, however many packs there are and whoever reads them. Thread-safe.
 */
#ifndef ADDONFS_SOURCE_BASES_H
#define ADDONFS_SOURCE_BASES_H

#include <git2.h>
#include <stddef.h>
#include <stdint.h>

struct bases;

/* Immutable. */
struct base {
    _Atomic unsigned references;
    uint64_t pack;
    uint64_t offset;
    git_object_t type;
    size_t size;
    unsigned char bytes[];
};

/* NULL: no memory. */
struct bases *bases_new(void);

struct bases *bases_ref(struct bases *bases);

/* NULL is allowed. */
void bases_unref(struct bases *bases);

/* A number for a pack, which no other has or will have. */
uint64_t bases_add_pack(struct bases *bases);

/* Let go of those of a pack. */
void bases_drop_pack(struct bases *bases, uint64_t pack);

/* The base at this offset, which the caller gives back; NULL: it is not at hand. */
struct base *bases_get(struct bases *bases, uint64_t pack, uint64_t offset);
void base_unref(struct base *base);

/* Keep a copy, in place of others. Without memory, or of one that is too large, none is kept. */
void bases_put(struct bases *bases, uint64_t pack, uint64_t offset, git_object_t type,
               const void *bytes, size_t size);

#endif
