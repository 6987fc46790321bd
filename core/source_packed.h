/*
 * source_packed: reading objects out of a pack (gitformat-pack(5)).
 *
 * An object in a pack is deflated, and may be a delta against another, that one against a third,
 * and so on. libgit2 reads packs through mappings: whoever truncates one in place ends the process
 * (SIGBUS), and so does a disk that fails; and what was looked at before libgit2 is asked may be
 * something else by then. So packs are read here, by pread(2), and each byte once: what is checked
 * is what is used. Whatever a file says, the answer is the object, damage, or an error of the
 * moment; that the object is the one that was meant, its id tells (source_reader.c).
 *
 * Whoever calls them has the files open: of the index for packed_find, of both for what reads.
 * Functions answer as source_pack.h has it. Thread-safe.
 */
#ifndef ADDONFS_SOURCE_PACKED_H
#define ADDONFS_SOURCE_PACKED_H

#include "source_bases.h"
#include "source_loose.h"
#include "source_pack.h"

/* What reading one object may ask for, along its whole chain of deltas. */
struct packed_limits {
    size_t links;    /* deltas; with more it is damaged */
    uint64_t object; /* bytes of one delta, or of what it is against or makes … */
    uint64_t work;   /* … and of all these together */
};

struct packed {
    const struct pack_index *index;
    int fd;              /* or -1 */
    uint64_t end;        /* of the objects: the checksum follows */
    struct bases *bases; /* lives as long, at least … */
    uint64_t number;     /* … and knows this pack by that */
    struct packed_limits limits;
};

/* The pack of an index that was found good (pack_holds_offsets), and so many bytes; not yet open.
 * The index and `bases` outlive it. */
void packed_begin(const struct pack_index *index, uint64_t size, struct bases *bases,
                  struct packed *ret_pack);
void packed_end(struct packed *pack);

/* Where the object lies. -ENOENT: not in this pack. */
int packed_find(const struct packed *pack, const git_oid *object, uint64_t *ret_offset,
                struct error *why);

/*
 * Read the object at `offset`; `backend` is whom the memory is for. PACK_EXCESSIVE: it is beyond
 * the limits. One that is no delta may have any size.
 */
int packed_read(const struct packed *pack, uint64_t offset, git_odb_backend *backend,
                struct raw_object *ret_raw, struct error *why);

/* Only its size, as it says itself. */
int packed_size(const struct packed *pack, uint64_t offset, uint64_t *ret_size, struct error *why);

#endif
