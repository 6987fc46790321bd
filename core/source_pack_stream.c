#include "source_pack_stream.h"

#include <addonfs/error.h>
#include <errno.h>
#include <unistd.h>
#include <zlib.h>

enum {
    FIRST_PIECE = 4096,   /* what is read at first: most objects are smaller */
    ROOM_LIMIT = 1 << 30, /* of what zlib is given at once */
};

void pack_stream_begin(struct pack_stream *stream, const struct packed *pack, uint64_t offset,
                       struct error *why)
{
    stream->pack = pack;
    stream->next = offset;
    stream->at = 0;
    stream->size = 0;
    stream->why = why;
}

uint64_t pack_stream_offset(const struct pack_stream *stream)
{
    return stream->next - (stream->size - stream->at);
}

/* Read the next piece. There is one, or the pack is damaged. */
static int read_piece(struct pack_stream *stream)
{
    const struct packed *pack = stream->pack;
    size_t size = stream->size == 0 ? FIRST_PIECE : sizeof(stream->piece);
    ssize_t n;

    if (stream->next >= pack->end)
        return PACK_DAMAGED;
    if (size > pack->end - stream->next)
        size = (size_t)(pack->end - stream->next);
    do {
        n = pread(pack->fd, stream->piece, size, (off_t)stream->next);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_of_the_moment(stream->why, -errno, "%s", pack->index->pack);
    if (n == 0)
        return PACK_DAMAGED;
    stream->at = 0;
    stream->size = (size_t)n;
    stream->next += (uint64_t)n;
    return 0;
}

int pack_stream_byte(struct pack_stream *stream, unsigned char *ret_byte)
{
    int r = stream->at == stream->size ? read_piece(stream) : 0;

    if (r == 0)
        *ret_byte = stream->piece[stream->at++];
    return r;
}

static int out_of_memory(const struct pack_stream *stream)
{
    return error_errno(stream->why, -ENOMEM, "%s", stream->pack->index->pack);
}

/* Inflate until there are `limit` bytes, or no more: then `*ended`. */
static int inflate_until(z_stream *zlib, struct pack_stream *stream, unsigned char *bytes,
                         size_t limit, size_t *ret_done, bool *ended)
{
    size_t done = 0;

    while (done < limit && !*ended) {
        if (stream->at == stream->size) {
            int failure = read_piece(stream);
            if (failure != 0)
                return failure;
        }
        size_t room = limit - done < ROOM_LIMIT ? limit - done : ROOM_LIMIT;
        zlib->next_in = stream->piece + stream->at;
        zlib->avail_in = (uInt)(stream->size - stream->at);
        zlib->next_out = bytes + done;
        zlib->avail_out = (uInt)room;
        /* Told that this is all, it needs no window of its own. */
        int r = inflate(zlib, Z_FINISH);
        if (r == Z_MEM_ERROR)
            return out_of_memory(stream);
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
            return PACK_DAMAGED;
        done += room - zlib->avail_out;
        stream->at = stream->size - zlib->avail_in;
        *ended = r == Z_STREAM_END;
    }
    *ret_done = done;
    return 0;
}

/* Inflate, with room for `limit` bytes: it must be `size`. */
static int inflate_with(struct pack_stream *stream, unsigned char *bytes, size_t limit, size_t size)
{
    z_stream zlib = {.zalloc = Z_NULL};
    bool ended = false;
    size_t done = 0;

    if (inflateInit(&zlib) != Z_OK)
        return out_of_memory(stream);
    int r = inflate_until(&zlib, stream, bytes, limit, &done, &ended);
    inflateEnd(&zlib);
    return r == 0 && done != size ? PACK_DAMAGED : r;
}

int pack_stream_inflate(struct pack_stream *stream, unsigned char *bytes, size_t size)
{
    /* One byte more must not come. */
    return inflate_with(stream, bytes, size + 1, size);
}

int pack_stream_inflate_some(struct pack_stream *stream, unsigned char *bytes, size_t size)
{
    return inflate_with(stream, bytes, size, size);
}

int pack_stream_count(struct pack_stream *stream, uint64_t size, uint64_t limit)
{
    z_stream zlib = {.zalloc = Z_NULL};
    unsigned char some[1 << 14];
    bool ended = false;
    uint64_t total = 0;
    int r = 0;

    if (inflateInit(&zlib) != Z_OK)
        return out_of_memory(stream);
    while (r == 0 && !ended && total <= size && total <= limit) {
        size_t done = 0;
        r = inflate_until(&zlib, stream, some, sizeof(some), &done, &ended);
        total += done;
    }
    inflateEnd(&zlib);
    if (r == 0 && total <= size && total > limit)
        return PACK_EXCESSIVE;
    return r == 0 && total != size ? PACK_DAMAGED : r;
}
