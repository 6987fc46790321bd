/*
 * deflate: raw DEFLATE streams (RFC 1951) and CRC-32 (RFC 1952, 8) for ZIP members.
 *
 * libdeflate compresses what fits in memory, in one call. What is larger than DEFLATE_WHOLE_LIMIT
 * goes through zlib in pieces, at the same level. Which of the two is used depends on the size
 * alone, so the same content gives the same stream on every host with the same libraries.
 */
#ifndef ADDONFS_DEFLATE_H
#define ADDONFS_DEFLATE_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Content up to this size is compressed whole: one buffer for it, one for the stream. Of 60 MB in
 * 3,300 files of a real addon one file is larger than 4 MiB; so the limit costs nothing there and
 * bounds what a thread holds at twice its value.
 */
#define DEFLATE_WHOLE_LIMIT ((size_t)16 << 20)

#define DEFLATE_LEVEL_DEFAULT 6

struct deflate;

/* The levels there are: libdeflate's. zlib, for large content, has none above 9 and takes 9. */
#define DEFLATE_LEVEL_MAX 12

/*
 * What the bytes of a stream hang on besides the content, as a word: libraries, their versions, the
 * level, and a checksum of what they make of some bytes. Takes milliseconds. Returns the word's
 * length, as snprintf does, or -ENOMEM.
 */
int deflate_codec(int level, char *text, size_t room);

/* A compressor for one thread at a time, level 1 to DEFLATE_LEVEL_MAX. NULL without memory. */
struct deflate *deflate_new(int level);
void deflate_free(struct deflate *deflate);

/*
 * Compress `size` bytes into `stream`, which has room for `size` bytes as well. Returns the
 * stream's length, or 0 if it would not be smaller than the content: then the member is to be
 * stored.
 */
size_t deflate_whole(struct deflate *deflate, const void *bytes, size_t size, void *stream);

/*
 * The same for content of any size, in pieces. `read` fills all of `bytes` from `offset`, `write`
 * takes the stream in order; either may fail with a negative errno, which ends the call. The
 * stream's length goes to `*ret_size`; it stops early (0) as soon as the stream is not smaller than
 * the content.
 */
struct deflate_pieces {
    int (*read)(void *context, uint64_t offset, void *bytes, size_t size, struct error *error);
    int (*write)(void *context, const void *bytes, size_t size, struct error *error);
    void *context;
};
int deflate_in_pieces(int level, uint64_t size, const struct deflate_pieces *pieces,
                      uint64_t *ret_size, struct error *error);

/* CRC-32 of `size` bytes after content whose CRC-32 is `crc` (0 at the start). */
uint32_t deflate_crc32(uint32_t crc, const void *bytes, size_t size);

/* The CRC-32 of one run of bytes and another of `size` bytes behind it, from those of both. */
uint32_t deflate_crc32_combine(uint32_t crc, uint32_t behind, uint64_t size);

/* The version of libdeflate. */
const char *deflate_library_version(void);

CLEANUP(deflate, struct deflate *, deflate_free)
#define cleanup_deflate __attribute__((cleanup(cleanup_deflate_scope)))

#endif
