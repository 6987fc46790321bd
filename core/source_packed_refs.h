/*
 * source_packed_refs: the file packed-refs, in which many refs lie (git-pack-refs(1)).
 *
 * It is read into memory as a whole, never through a mapping, and anew only when its stamp has
 * changed or could not be trusted yet. When it is read each line is looked at once, and where the
 * names begin is noted, in their order, whatever order the file has (that of Git before 2.15 and of
 * JGit is another). So a question is a binary search, and a file that is damaged is refused as a
 * whole, and not read again to find that out. It may hold anything, so what is kept of it is
 * bounded: by PACKED_REFS_LIMIT, and a line by what a path may be long.
 *
 * One thread at a time.
 */
#ifndef ADDONFS_SOURCE_PACKED_REFS_H
#define ADDONFS_SOURCE_PACKED_REFS_H

#include "stamp.h"

#include <addonfs/error.h>
#include <git2.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes: three million refs. Offsets into it have 32 bits. */
#define PACKED_REFS_LIMIT ((size_t)256 << 20)

/* A folder, and what it is called in messages. Neither is owned. */
struct ref_folder {
    int fd;
    const char *path;
};

/* What is in the file, as it was read last; all 0 at first. */
struct packed_refs {
    char *text;      /* of `size` bytes, whole lines; NULL: none was read, or there is no file */
    uint32_t *lines; /* where those of refs begin, sorted by name */
    size_t size;
    size_t count;
    size_t room;         /* of `lines` */
    struct error damage; /* code 0: there is none */
    struct stamp stamp;  /* of the file that was read … */
    bool is_settled;     /* … and it told the truth then: the same stamp is the same text */
    bool is_current;     /* it is of this question */
};

void packed_refs_clear(struct packed_refs *refs);

/*
 * A question begins. If its stamp is not trusted, the file is read anew, once, and again for what
 * it does not have. One that is replaced meanwhile is read at the next name: what had a file of its
 * own, and is packed since (git-pack-refs(1)), may have been here before with another id.
 */
void packed_refs_begin(struct packed_refs *refs);

/*
 * The first of `count` whole names that is in the file in `folder`. 1, and which it is and the
 * object's id; 0: none is there; -EIO: it is damaged, too large or no file; others of the moment.
 */
int packed_refs_find(struct packed_refs *refs, const struct ref_folder *folder,
                     const char *const *names, size_t count, size_t *ret_index, git_oid *ret_id,
                     struct error *error);

/*
 * Hand on each name that begins with `prefix`, in their order, as it is now, until `take` answers
 * something else than 0, which is returned. Otherwise 0, or as above.
 */
int packed_refs_each(struct packed_refs *refs, const struct ref_folder *folder, const char *prefix,
                     int (*take)(void *context, const char *name), void *context,
                     struct error *error);

#endif
