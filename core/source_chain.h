/*
 * source_chain: is it safe to ask libgit2 for an object of a pack?
 *
 * An object in a pack may be a delta against another, that one against a third, and so on
 * (gitformat-pack(5)). libgit2 (1.5, pack_dependency_chain) follows such a chain without an end if
 * it leads in a circle, and allocates what an object's header claims. So the headers are followed
 * here first, in a mapping that all readers share: that costs as good as nothing. (Mapped, as
 * libgit2 maps the same files: whoever truncates a pack in place ends the process either way. Git
 * never does.)
 */
#ifndef ADDONFS_SOURCE_CHAIN_H
#define ADDONFS_SOURCE_CHAIN_H

#include "source_pack.h"

#include <addonfs/error.h>
#include <git2.h>
#include <stddef.h>
#include <stdint.h>

struct chain_pack {
    const unsigned char *index;
    size_t index_size;
    const unsigned char *pack;
    size_t pack_size;
    const struct pack_index *layout; /* of the index; its fd may be closed */
};

/*
 * Map a pack and its index, which was found good (pack_holds_offsets) and outlives the mapping.
 * -ENOENT: it is gone; others of the moment, described in `why`.
 */
int chain_map(const struct pack_index *index, struct chain_pack *ret_pack, struct error *why);
void chain_unmap(struct chain_pack *pack);

/* Where the object lies. -ENOENT: not in this pack. */
int chain_find(const struct chain_pack *pack, const git_oid *object, uint64_t *ret_offset);

/* Does the chain of the object at `offset` end, with sizes that can be? 0 or PACK_DAMAGED. */
int chain_check(const struct chain_pack *pack, uint64_t offset);

#endif
