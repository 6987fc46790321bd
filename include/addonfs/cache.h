/*
 * cache: compressed members on disk, so that the same bytes are compressed once, ever.
 *
 * One SQLite database, shared by all mounts and processes of a user. It maps
 *
 *     the id of content + codec   ->  CRC-32, sizes, DEFLATE stream
 *     a file's fingerprint        ->  the id of its content, without reading it
 *     any key                     ->  a note: bytes that took long to find out
 *
 * where the codec says which compressor made the stream, at which level: other bytes, another key.
 *
 * The cache never changes the content that is served and never fails a request. (A ZIP's
 * layout is made of the sizes that it knows; should a stream be lost and come out in another size,
 * the ZIP is laid out anew: see bundle_secure.) Every row and every stream
 * carries a checksum, bound to its key and verified when it is loaded; a bad one is a miss, and is
 * deleted. Whatever else goes wrong (a full disk, a read-only folder, a damaged database, a foreign
 * file, a folder that hosts share) ends the use of the cache with one warning (cache_fault). A
 * damaged database is set aside as `members.sqlite.damaged`, and the next one to open the cache
 * begins anew.
 *
 * Reading is done in transactions of a thread's own, each on its own connection. Writing is done by
 * one thread of the cache, behind everybody's back:
 *
 *     struct cache_reader *reader = cache_reader_begin(cache);
 *     if (cache_find_alias(reader, &key, &id) && cache_find_member(reader, &id, &found)) …
 *     cache_reader_end(reader);
 *     cache_put_alias(cache, &key, &id);
 *
 * A cache or reader that is NULL knows nothing and takes nothing. Thread-safe but for readers, each
 * of which belongs to one thread.
 */
#ifndef ADDONFS_CACHE_H
#define ADDONFS_CACHE_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/sha256.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of streams that are kept unless one says otherwise. */
#define CACHE_SIZE_DEFAULT (UINT64_C(1) << 30)

/* A longer stream is not kept: it would throw out all others. */
#define CACHE_STREAM_SHARE 4

struct cache;
struct cache_reader;

/* All about a member but its stream. */
struct cache_member {
    uint64_t size;            /* bytes of the content */
    uint64_t compressed_size; /* bytes of the stream */
    uint32_t crc32;           /* of the content */
    bool deflated;            /* or stored */
    int64_t stream;           /* where the cache has it */
};

/*
 * `$XDG_CACHE_HOME/addonfs`, else `$HOME/.cache/addonfs`, else `/var/cache/addonfs` (a mount from
 * fstab has no HOME). NULL without memory; the caller frees it.
 */
char *cache_default_folder(void);

/*
 * Open the cache in `folder`, which is made if need be, and must be ours, of mode 0700, no link
 * (links may lead to it) and on a file system of this host alone (local_is).
 * `size`: bytes of streams to keep; the least recently used go first. Returns NULL only without
 * memory: a cache that cannot be used has a cache_fault and is empty for ever.
 */
struct cache *cache_open(const char *folder, uint64_t size, const char *codec);

/* Write what is to be written, and end. Every reader must have ended. NULL is allowed. */
void cache_close(struct cache *cache);

/* Why the cache is not used, or not used any more: one line, owned by the cache. NULL: it is. */
const char *cache_fault(struct cache *cache);

/* Wait until all that was put has been written, or the cache has a fault. */
void cache_settle(struct cache *cache);

/* Begin to read: a snapshot of the cache. NULL: there is nothing to be had. */
struct cache_reader *cache_reader_begin(struct cache *cache);
void cache_reader_end(struct cache_reader *reader);

bool cache_find_alias(struct cache_reader *reader, const struct content_id *key,
                      struct content_id *ret_id);
bool cache_find_member(struct cache_reader *reader, const struct content_id *id,
                       struct cache_member *ret_member);

/*
 * Hand the stream of `member` to `take`, piece by piece, each verified. False: it is not there (any
 * more), is damaged, or `take` has failed.
 */
bool cache_read_stream(struct cache_reader *reader, const struct content_id *id,
                       const struct cache_member *member,
                       int (*take)(void *context, uint64_t offset, const void *bytes, size_t size),
                       void *context);

/* The note of that key: `*ret_bytes` is the caller's to free. */
bool cache_find_note(struct cache_reader *reader, const struct content_id *key, void **ret_bytes,
                     size_t *ret_size);

/* Remember a note (copied), in place of the one that the key has. */
void cache_put_note(struct cache *cache, const struct content_id *key, const void *bytes,
                    size_t size);

/* Remember what a fingerprint's content is. */
void cache_put_alias(struct cache *cache, const struct content_id *key,
                     const struct content_id *id);

/*
 * The same where the cache may lead to another content by this key, which is wrong: it is written
 * without waiting for more to write. Whoever asks before gets the content that was.
 */
void cache_correct_alias(struct cache *cache, const struct content_id *key,
                         const struct content_id *id);

/*
 * Forget a member whose stream is not to be had again, and could only mislead: by its id, and by
 * where the cache had the stream. One that has been written meanwhile stays.
 */
void cache_drop_member(struct cache *cache, const struct content_id *id, int64_t stream);

/* A member to be written. `read` copies a range of its stream, `release` is called at the end. */
struct cache_put {
    struct content_id id;
    struct cache_member member; /* `stream` is of no meaning */
    int (*read)(void *context, uint64_t offset, void *bytes, size_t size);
    void (*release)(void *context);
    void *context;
};

/* Take a member in, sooner or later; `release` is called in any case. */
void cache_put_member(struct cache *cache, const struct cache_put *put);

CLEANUP(cache, struct cache *, cache_close)
#define cleanup_cache __attribute__((cleanup(cleanup_cache_scope)))
CLEANUP(cache_reader, struct cache_reader *, cache_reader_end)
#define cleanup_cache_reader __attribute__((cleanup(cleanup_cache_reader_scope)))

#endif
