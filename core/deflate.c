#include <addonfs/deflate.h>

#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <zlib.h>

/* What goes through zlib at a time: large enough that calls do not count, small enough to stay
 * cached. */
enum { PIECE = 1 << 18 };

struct deflate {
    struct libdeflate_compressor *compressor;
};

int deflate_codec(int level, char *text, size_t room)
{
    return snprintf(text, room, "libdeflate-%s/zlib-%s/%d", LIBDEFLATE_VERSION_STRING,
                    zlibVersion(), level);
}

struct deflate *deflate_new(int level)
{
    struct deflate *deflate = calloc(1, sizeof(*deflate));

    if (!deflate)
        return NULL;
    deflate->compressor = libdeflate_alloc_compressor(level);
    if (!deflate->compressor) {
        free(deflate);
        return NULL;
    }
    return deflate;
}

void deflate_free(struct deflate *deflate)
{
    if (!deflate)
        return;
    libdeflate_free_compressor(deflate->compressor);
    free(deflate);
}

size_t deflate_whole(struct deflate *deflate, const void *bytes, size_t size, void *stream)
{
    /* libdeflate answers 0 when the stream does not fit, which is just the case we look for. */
    return size < 2
               ? 0
               : libdeflate_deflate_compress(deflate->compressor, bytes, size, stream, size - 1);
}

static void end_stream(z_stream *stream)
{
    deflateEnd(stream);
}

int deflate_in_pieces(int level, uint64_t size, const struct deflate_pieces *pieces,
                      uint64_t *ret_size, struct error *error)
{
    cleanup_free unsigned char *in = malloc(PIECE);
    cleanup_free unsigned char *out = malloc(PIECE);
    __attribute__((cleanup(end_stream))) z_stream stream = {0};
    uint64_t offset = 0;
    uint64_t written = 0;

    /* -15: a raw stream with the full window, as a ZIP member needs it. */
    if (!in || !out ||
        deflateInit2(&stream, level < 9 ? level : 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) !=
            Z_OK)
        return error_errno(error, -ENOMEM, "cannot compress");
    do {
        size_t n = size - offset < PIECE ? (size_t)(size - offset) : PIECE;
        int r = pieces->read(pieces->context, offset, in, n, error);
        if (r < 0)
            return r;
        offset += n;
        stream.next_in = in;
        stream.avail_in = (uInt)n;
        do {
            stream.next_out = out;
            stream.avail_out = PIECE;
            (void)deflate(&stream, offset == size ? Z_FINISH : Z_NO_FLUSH);
            n = PIECE - stream.avail_out;
            if (written + n >= size) {
                *ret_size = 0;
                return 0;
            }
            r = n > 0 ? pieces->write(pieces->context, out, n, error) : 0;
            if (r < 0)
                return r;
            written += n;
        } while (stream.avail_out == 0);
    } while (offset < size);
    *ret_size = written;
    return 0;
}

uint32_t deflate_crc32(uint32_t crc, const void *bytes, size_t size)
{
    return libdeflate_crc32(crc, bytes, size);
}

const char *deflate_library_version(void)
{
    return LIBDEFLATE_VERSION_STRING;
}
