/*
 * member: compressed ZIP members, each made once for each content.
 *
 * The store maps the id of content to its member: CRC-32, sizes, and a stream that lies in the
 * spool. Two files with the same bytes share one member; so do a worktree and a revision.
 *
 *     r = members_compress(members, deflate, content, &member, &error);
 *     …
 *     member_unref(member);
 *
 * All functions may be called from any thread; a `struct deflate` belongs to one at a time.
 */
#ifndef ADDONFS_MEMBER_H
#define ADDONFS_MEMBER_H

#include <addonfs/cleanup.h>
#include <addonfs/content.h>
#include <addonfs/deflate.h>
#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>

struct members;

/* Immutable. */
struct member {
    _Atomic unsigned references;
    struct members *members; /* where it is found; not owned */
    struct content_id id;
    uint64_t size;            /* bytes of the content */
    uint64_t compressed_size; /* bytes of the stream */
    uint64_t spool_offset;    /* of the stream */
    uint32_t crc32;
    bool deflated; /* or stored as it is */
};

/* A store whose streams go to `spool`, which must outlive it. NULL without memory. */
struct members *members_new(struct spool *spool, int level);

/* Every member must have been given back. NULL is allowed. */
void members_free(struct members *members);

/*
 * The member for `content`: the one that is there, or a new one, deflated, or stored when deflate
 * does not make it smaller. The caller owns one reference. -ENOSPC and other spool errors, -ENOMEM.
 */
int members_compress(struct members *members, struct deflate *deflate, struct content *content,
                     struct member **ret_member, struct error *error);

/* How many members there are. */
size_t members_count(struct members *members);

struct member *member_ref(struct member *member);
void member_unref(struct member *member);

/* Copy a range of the stream (a zip_stream_read; `stream` is a struct member). */
int member_read(void *context, const void *stream, uint64_t offset, void *bytes, size_t size);

CLEANUP(members, struct members *, members_free)
#define cleanup_members __attribute__((cleanup(cleanup_members_scope)))
CLEANUP(member, struct member *, member_unref)
#define cleanup_member __attribute__((cleanup(cleanup_member_scope)))

#endif
