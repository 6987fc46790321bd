#include <addonfs/deflate.h>
#include <dlfcn.h>
#include <errno.h>
#include <libdeflate.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

/* libdeflate, and another version of it that makes other streams. */
static bool other_library;

size_t libdeflate_deflate_compress(struct libdeflate_compressor *compressor, const void *in,
                                   size_t in_size, void *out, size_t out_size)
{
    static size_t (*real)(struct libdeflate_compressor *, const void *, size_t, void *, size_t);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "libdeflate_deflate_compress");
    size_t size = real(compressor, in, in_size, out, out_size);
    if (other_library && size > 0)
        ((unsigned char *)out)[size / 2] ^= 1;
    return size;
}

static void the_codec_tells_libraries_and_levels_apart(void **state)
{
    char codecs[4][64];

    (void)state;
    for (int i = 0; i < 4; i++) {
        other_library = i == 3;
        int length = deflate_codec(i == 2 ? 7 : 6, codecs[i], sizeof(codecs[i]));
        other_library = false;
        assert_in_range(length, 20, sizeof(codecs[i]) - 1);
        assert_int_equal(strlen(codecs[i]), length);
    }
    assert_string_equal(codecs[0], codecs[1]);
    assert_string_not_equal(codecs[0], codecs[2]);
    assert_string_not_equal(codecs[0], codecs[3]);
}

static uint32_t chance = 20230701;

static unsigned char next_byte(void)
{
    chance = chance * 1664525 + 1013904223;
    return (unsigned char)(chance >> 24);
}

struct buffers {
    unsigned char *content;
    unsigned char *stream;
    size_t used;
    size_t room;
    uint64_t fail_at; /* reads and writes at or behind this offset fail */
};

static int read_piece(void *context, uint64_t offset, void *bytes, size_t size, struct error *error)
{
    const struct buffers *buffers = context;

    if (offset + size > buffers->fail_at)
        return error_set(error, -EIO, "no more");
    memcpy(bytes, buffers->content + offset, size);
    return 0;
}

static int write_piece(void *context, const void *bytes, size_t size, struct error *error)
{
    struct buffers *buffers = context;

    if (buffers->used + size > buffers->room)
        return error_set(error, -ENOSPC, "no room");
    memcpy(buffers->stream + buffers->used, bytes, size);
    buffers->used += size;
    return 0;
}

static void expect_inflates(const unsigned char *stream, size_t stream_size,
                            const unsigned char *content, size_t size)
{
    unsigned char *out = malloc(size + 1);
    z_stream z = {0};

    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)stream;
    z.avail_in = (uInt)stream_size;
    z.next_out = out;
    z.avail_out = (uInt)size + 1;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, size);
    assert_int_equal(z.avail_in, 0);
    assert_memory_equal(out, content, size);
    inflateEnd(&z);
    free(out);
}

/* Sizes around those of the pieces; content that shrinks, and content that does not. */
static void streams_inflate_to_the_content_or_are_not_made(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 100, 65535, 262143, 262144, 262145, 524288, 1000000};
    struct deflate *deflate = deflate_new(6);

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (int random = 0; random < 2; random++) {
            size_t size = sizes[i];
            struct buffers buffers = {malloc(size + 1), malloc(size + 1), 0, size, UINT64_MAX};
            struct deflate_pieces pieces = {read_piece, write_piece, &buffers};
            uint64_t stream_size = 7;
            for (size_t j = 0; j < size; j++)
                buffers.content[j] = random ? next_byte() : (unsigned char)"addonfs "[j % 8];
            size_t whole = deflate_whole(deflate, buffers.content, size, buffers.stream);
            bool shrinks = !random && size > 20;
            assert_int_equal(whole > 0, shrinks);
            if (whole > 0)
                expect_inflates(buffers.stream, whole, buffers.content, size);
            assert_int_equal(deflate_in_pieces(6, size, &pieces, &stream_size, NULL), 0);
            assert_int_equal(stream_size > 0, shrinks);
            if (stream_size > 0)
                expect_inflates(buffers.stream, stream_size, buffers.content, size);
            free(buffers.content);
            free(buffers.stream);
        }
    }
    deflate_free(deflate);
}

static void a_failing_end_ends_it(void **state)
{
    enum { SIZE = 1000000 };
    struct buffers buffers = {malloc(SIZE), malloc(SIZE), 0, SIZE, 300000};
    struct deflate_pieces pieces = {read_piece, write_piece, &buffers};
    struct error error = {0};
    uint64_t size = 7;

    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        buffers.content[i] = next_byte() & 0x1F;
    assert_int_equal(deflate_in_pieces(6, SIZE, &pieces, &size, &error), -EIO);
    assert_string_equal(error.text, "no more");
    buffers.fail_at = UINT64_MAX;
    buffers.room = 1000;
    buffers.used = 0;
    assert_int_equal(deflate_in_pieces(6, SIZE, &pieces, &size, &error), -ENOSPC);
    assert_int_equal(size, 7);
    free(buffers.content);
    free(buffers.stream);
}

static void crc32_is_zlibs(void **state)
{
    const char text[] = "123456789";

    (void)state;
    assert_int_equal(deflate_crc32(0, text, 9), 0xCBF43926U); /* the check value of CRC-32 */
    assert_int_equal(deflate_crc32(deflate_crc32(0, text, 4), text + 4, 5), 0xCBF43926U);
    assert_int_equal(deflate_crc32(0, "", 0), crc32(0, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_inflate_to_the_content_or_are_not_made),
        cmocka_unit_test(a_failing_end_ends_it),
        cmocka_unit_test(the_codec_tells_libraries_and_levels_apart),
        cmocka_unit_test(crc32_is_zlibs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
