/*
 * member: compressed ZIP members, each made once for each content.
 *
 * The store maps the id of content to its member: CRC-32, sizes, and a stream. Two files with the
 * same bytes share one member; so do a worktree and a revision. Behind the store stands the cache,
 * which knows members of earlier times:
 *
 *     if (!members_find(members, reader, &id, &member))
 *         r = members_compress(members, deflate, content, &member, &error);
 *     …
 *     r = member_secure(member, reader, &error);      the stream is in the spool from now on
 *     r = member_read(NULL, member, 0, bytes, size);
 *     member_unref(member);
 *
 * A stream that is only in the cache may be gone at any time, because others write there too. So
 * whoever promises to read it secures it first: the spool is the pin.
 *
 * All functions may be called from any thread; a `struct deflate` and a reader belong to one at a
 * time.
 */
#ifndef ADDONFS_MEMBER_H
#define ADDONFS_MEMBER_H

#include <addonfs/cache.h>
#include <addonfs/cleanup.h>
#include <addonfs/content.h>
#include <addonfs/deflate.h>
#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>

struct members;

/* Immutable, but for where the stream is. */
struct member {
    _Atomic unsigned references;
    struct members *members; /* where it is found; not owned */
    struct content_id id;
    uint64_t size;            /* bytes of the content */
    uint64_t compressed_size; /* bytes of the stream */
    _Atomic uint64_t extent;  /* of the spool; SPOOL_NOWHERE: the stream is in the cache alone */
    int64_t cached;           /* where the cache has the stream */
    uint32_t crc32;
    uint32_t stream_crc32; /* of the stream; only of a secured member */
    bool deflated;         /* or stored as it is */
    bool forgotten;        /* by the store, which has another one of that id; guarded by its lock */
};

/*
 * A store whose streams go to `spool` and to `cache` (or NULL), both of which must outlive it; only
 * that the cache must be closed before the store is freed, for it may still be writing. `level`: of
 * compression, 1 to 12. NULL without memory.
 */
struct members *members_new(struct spool *spool, struct cache *cache, int level);

/* Every member must have been given back. NULL is allowed. */
void members_free(struct members *members);

/* The member of that id, if it is in the store or in the cache, with a reference for the caller. */
bool members_find(struct members *members, struct cache_reader *reader, const struct content_id *id,
                  struct member **ret_member);

/*
 * The member for `content`, its stream in the spool: the one that is there, or a new one, deflated,
 * or stored when deflate does not make it smaller. Where the cache knew another size, the member
 * that came from there is forgotten, and its row dropped. The caller owns one reference. -ENOSPC
 * and other spool errors, -ENOMEM; -ECANCELED: see spool_set_stop, which ends the compression of
 * large content.
 */
int members_compress(struct members *members, struct deflate *deflate, struct content *content,
                     struct member **ret_member, struct error *error);

/*
 * See that the stream is in the spool. -ENOENT: the cache has it no more; compress its content once
 * more. -ENOSPC and other spool errors.
 */
int member_secure(struct member *member, struct cache_reader *reader, struct error *error);

bool member_is_secured(const struct member *member);

/* Where its stream is, if it is secured. */
struct spool *member_spool(const struct member *member);

/* How many members there are. */
size_t members_count(struct members *members);

/* What was done since the store was made. */
struct members_counters {
    uint64_t hits;       /* members that the cache knew */
    uint64_t misses;     /* those it was asked for and did not have, or had lost */
    uint64_t compressed; /* contents, those included that were stored in the end */
    uint64_t read;       /* files, to be compressed */
};

/* Each is exact, but they are not of one moment while others work. */
void members_counters(struct members *members, struct members_counters *ret_counters);

/* Count a file that the caller reads, to compress it. */
void members_count_read(struct members *members);

struct member *member_ref(struct member *member);
void member_unref(struct member *member);

/* The CRC-32 of a secured member's stream (for zip_crc32; `stream` is the member). */
uint32_t member_stream_crc32(const void *stream);

/*
 * The content of a secured member, out of its stream: its bytes in memory up to `memory_limit`,
 * else in the spool. -EIO: the stream does not hold it; -ENOSPC, -ENOMEM.
 */
int member_inflate(const struct member *member, size_t memory_limit, struct content **ret_content,
                   struct error *error);

/* Copy a range of the stream of a secured member (a zip_stream_read; `stream` is the member). */
int member_read(void *context, const void *stream, uint64_t offset, void *bytes, size_t size);

CLEANUP(members, struct members *, members_free)
#define cleanup_members __attribute__((cleanup(cleanup_members_scope)))
CLEANUP(member, struct member *, member_unref)
#define cleanup_member __attribute__((cleanup(cleanup_member_scope)))

#endif
