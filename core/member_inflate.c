/* The way back: content out of a member's stream. */
#include <addonfs/member.h>

#include <errno.h>
#include <zlib.h>

enum {
    PIECE = 1 << 15,
    RAW = -MAX_WBITS, /* RFC 1951 without a header; zlib.h, inflateInit2 */
};

struct inflation {
    const struct member *member;
    struct content_writer *writer;
    uint64_t taken; /* of the stream */
    unsigned char in[PIECE];
    unsigned char out[PIECE];
};

static int damaged(struct error *error)
{
    return error_set(error, -EIO, "temporary file: a compressed file in it is damaged");
}

/* The next piece of the stream. */
static int take(struct inflation *inflation, size_t *ret_size, struct error *error)
{
    uint64_t left = inflation->member->compressed_size - inflation->taken;
    size_t size = left < PIECE ? (size_t)left : PIECE;

    int r = member_read(NULL, inflation->member, inflation->taken, inflation->in, size);
    if (r < 0)
        return error_errno(error, r, "temporary file");
    inflation->taken += size;
    *ret_size = size;
    return 0;
}

/* A stored member. */
static int copy(struct inflation *inflation, struct error *error)
{
    int r = 0;

    while (r == 0 && inflation->taken < inflation->member->compressed_size) {
        size_t size = 0;
        r = take(inflation, &size, error);
        if (r == 0)
            r = content_append(inflation->writer, inflation->in, size, error);
    }
    return r;
}

static int inflate_all(struct inflation *inflation, z_stream *stream, struct error *error)
{
    int result = Z_OK;

    while (result != Z_STREAM_END) {
        size_t size = 0;
        int r = stream->avail_in == 0 ? take(inflation, &size, error) : 0;
        if (r < 0)
            return r;
        if (size > 0) {
            stream->next_in = inflation->in;
            stream->avail_in = (uInt)size;
        }
        stream->next_out = inflation->out;
        stream->avail_out = PIECE;
        result = inflate(stream, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END)
            return result == Z_MEM_ERROR ? error_errno(error, -ENOMEM, "inflate") : damaged(error);
        r = content_append(inflation->writer, inflation->out, PIECE - stream->avail_out, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int fill(struct inflation *inflation, struct error *error)
{
    z_stream stream = {0};

    if (!inflation->member->deflated)
        return copy(inflation, error);
    if (inflateInit2(&stream, RAW) != Z_OK)
        return error_errno(error, -ENOMEM, "inflate");
    int r = inflate_all(inflation, &stream, error);
    (void)inflateEnd(&stream);
    return r;
}

int member_inflate(const struct member *member, size_t memory_limit, struct content **ret_content,
                   struct error *error)
{
    cleanup_free struct inflation *inflation = calloc(1, sizeof(*inflation));
    cleanup_content_writer struct content_writer *writer = NULL;
    cleanup_content struct content *content = NULL;

    if (!inflation)
        return error_errno(error, -ENOMEM, "inflate");
    int r = content_begin(member_spool(member), member->size, memory_limit, &writer);
    if (r < 0)
        return error_errno(error, r, "temporary file");
    inflation->member = member;
    inflation->writer = writer;
    r = fill(inflation, error);
    if (r == 0)
        r = content_finish(&writer, &content, error);
    if (r == -ESTALE || (r == 0 && !content_id_equal(&content->id, &member->id)))
        return damaged(error);
    if (r == 0)
        *ret_content = steal_pointer(&content);
    return r;
}
