/*
 * source_pack_stream: the bytes of a pack, and what is deflated in them.
 *
 *     pack_stream_begin(&stream, pack, offset, why);
 *     r = pack_stream_byte(&stream, &byte);
 *     r = pack_stream_inflate(&stream, bytes, size);
 *
 * Functions answer as source_pack.h has it. Not thread-safe.
 */
#ifndef ADDONFS_SOURCE_PACK_STREAM_H
#define ADDONFS_SOURCE_PACK_STREAM_H

#include "source_packed.h"

struct pack_stream {
    const struct packed *pack;
    uint64_t next; /* the offset of what follows the piece */
    size_t at;     /* in the piece */
    size_t size;   /* of the piece */
    struct error *why;
    unsigned char piece[1 << 15];
};

void pack_stream_begin(struct pack_stream *stream, const struct packed *pack, uint64_t offset,
                       struct error *why);

/* Where in the pack it is. */
uint64_t pack_stream_offset(const struct pack_stream *stream);

int pack_stream_byte(struct pack_stream *stream, unsigned char *ret_byte);

/* Inflate what begins here: all of it, which is `size` bytes, with room for one behind them. */
int pack_stream_inflate(struct pack_stream *stream, unsigned char *bytes, size_t size);

/* Its first `size` bytes. */
int pack_stream_inflate_some(struct pack_stream *stream, unsigned char *bytes, size_t size);

/*
 * Is what begins here `size` bytes? They are not kept. PACK_DAMAGED: it is not; PACK_EXCESSIVE: it
 * is more than `limit`.
 */
int pack_stream_count(struct pack_stream *stream, uint64_t size, uint64_t limit);

#endif
