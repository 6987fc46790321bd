/*
 * source_pack: what the index of a pack says (gitformat-pack(5)).
 *
 * It is read by pread(2), and may be another file's content at each: whatever it says is checked
 * where it is used. An index that is damaged is told from one without the object, and both from one
 * that cannot be read at the moment.
 *
 * Functions answer 0 or: PACK_DAMAGED, the file is not what it ought to be; -ENOENT, it is gone;
 * another errno, a failure of the moment (error_is_transient), which `why` (or NULL) describes.
 */
#ifndef ADDONFS_SOURCE_PACK_H
#define ADDONFS_SOURCE_PACK_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <git2.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define PACK_DAMAGED 1
#define PACK_EXCESSIVE 2 /* what the file asks for is more than it may (source_packed.h) */

struct pack_index {
    int fd; /* or -1 */
    struct stat status;
    char pack[PATH_MAX]; /* the path of its pack */
    bool is_2;           /* the version */
    uint32_t count;      /* of objects */
    off_t names;         /* where the sorted ids are, one every `step` bytes */
    off_t step;
    uint32_t fan_out[256]; /* how many ids begin with this byte or a smaller one */
};

/* Is it the name of an index? */
bool pack_is_index(const char *name);

/* Open the index at `path`, whose name ends in ".idx". The caller closes it, whatever the answer.
 */
int pack_index_open(const char *path, struct pack_index *ret_index, struct error *why);
void pack_index_close(struct pack_index *index);

/* Is its pack there, and the one that it is of? */
int pack_matches_index(const struct pack_index *index, struct error *why);

/* The same, and do all objects lie inside the pack? Reads four bytes an object. */
int pack_holds_offsets(const struct pack_index *index, struct error *why);

/* Does it name any object whose id begins so? It need not be open for that. */
bool pack_index_has(const struct pack_index *index, unsigned char first);

/*
 * The place of the first id that is not below `id`, among those that begin with the same byte;
 * `*ret_end` is the end of these.
 */
int pack_index_search(const struct pack_index *index, const git_oid *id, uint32_t *ret_at,
                      uint32_t *ret_end, struct error *why);
int pack_index_id(const struct pack_index *index, uint32_t at, git_oid *ret_id, struct error *why);

/*
 * Are the ids where those that begin with `first` are to be, such ones, and in order? What is not
 * among them is not in the pack, unless the index is damaged.
 */
int pack_index_check(const struct pack_index *index, unsigned char first, struct error *why);

/* Is all of it as it was written? Its checksum says so; reads all of it. */
int pack_index_is_whole(const struct pack_index *index, struct error *why);

/* Where in the pack the object of that id is said to lie. */
int pack_index_offset(const struct pack_index *index, uint32_t at, uint64_t *ret_offset,
                      struct error *why);

#define cleanup_pack_index __attribute__((cleanup(pack_index_close)))

#endif
