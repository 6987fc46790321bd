/*
 * source_pack: what the index of a pack says (gitformat-pack(5)).
 *
 * libgit2 reads objects out of packs for us, but it passes over an index that it cannot open at the
 * moment, and believes one that is damaged: an offset behind the end of the pack ends the process
 * (1.5, git_packfile_unpack_header). So an index is looked at here before libgit2 gets to see it,
 * and when libgit2 says that an object is not there.
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

/*
 * The place of the first id that is not below `id`, among those that begin with the same byte;
 * `*ret_end` is the end of these.
 */
int pack_index_search(const struct pack_index *index, const git_oid *id, uint32_t *ret_at,
                      uint32_t *ret_end, struct error *why);
int pack_index_id(const struct pack_index *index, uint32_t at, git_oid *ret_id, struct error *why);

#define cleanup_pack_index __attribute__((cleanup(pack_index_close)))

#endif
