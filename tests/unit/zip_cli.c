/*
 * zip_cli: write an archive for tests that give it to other programs.
 *
 *     printf 'stored 100644 ramp 12 612f62\n' | zip_cli FILE
 *
 * One member a line, in the archive's order: method (stored, deflated), mode in octal, content,
 * size in bytes, name in hexadecimal. The content is `zeros`, or `ramp`, whose byte i is (7 i +
 * size) mod 256. Contents are computed while they are read, so a member may have any size, and
 * zeros become holes of FILE, so that a huge archive takes no room on the disk.
 */
#include <addonfs/zip.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    /* Zeros are deflated in pieces of this size: each compresses to the same bytes, kept once. */
    PIECE_SIZE = 1 << 24,
    BLOCK_SIZE = 1 << 20, /* what is read of the archive at once */
    NAME_SIZE = 4096,
};

/* A stream: `repeats` times `piece`, then `tail`; or, without them, the content itself. */
struct stream {
    uint8_t *piece;
    uint8_t *tail;
    uint64_t size; /* of the content */
    uint64_t repeats;
    size_t piece_size;
    size_t tail_size;
    bool ramp;
    bool packed;
};

static uint8_t ramp_byte(const struct stream *stream, uint64_t i)
{
    return (uint8_t)(7 * i + stream->size);
}

static void content_read(const struct stream *stream, uint64_t offset, uint8_t *bytes, size_t size)
{
    memset(bytes, 0, size);
    for (size_t i = 0; stream->ramp && i < size; i++)
        bytes[i] = ramp_byte(stream, offset + i);
}

static int stream_read(void *context, const void *opaque, uint64_t offset, void *bytes, size_t size)
{
    const struct stream *stream = opaque;
    uint64_t tail = stream->repeats * stream->piece_size;
    uint8_t *to = bytes;

    (void)context;
    if (!stream->packed) {
        content_read(stream, offset, to, size);
        return 0;
    }
    while (size > 0) {
        bool in_tail = offset >= tail;
        const uint8_t *from = in_tail ? stream->tail : stream->piece;
        size_t skip = (size_t)(in_tail ? offset - tail : offset % stream->piece_size);
        size_t room = (in_tail ? stream->tail_size : stream->piece_size) - skip;
        size_t n = room < size ? room : size;
        if (n == 0)
            return -EIO;
        memcpy(to, from + skip, n);
        to += n;
        offset += n;
        size -= n;
    }
    return 0;
}

/* Raw deflate of `size` bytes of the content at `offset`, ended by `flush`. NULL: no memory. */
static uint8_t *pack(const struct stream *stream, uint64_t offset, size_t size, int flush,
                     size_t *ret_size)
{
    cleanup_free uint8_t *plain = malloc(size + 1);
    z_stream z = {0};

    if (!plain || deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    content_read(stream, offset, plain, size);
    size_t room = deflateBound(&z, size) + 64;
    uint8_t *packed = malloc(room);
    if (packed) {
        z.next_in = plain;
        z.avail_in = (uInt)size;
        z.next_out = packed;
        z.avail_out = (uInt)room;
        deflate(&z, flush);
        *ret_size = room - z.avail_out;
    }
    deflateEnd(&z);
    return packed;
}

/* A full flush ends a piece at a byte and forgets what was before, so that pieces can be repeated.
 */
static bool stream_pack(struct stream *stream)
{
    stream->packed = true;
    if (!stream->ramp)
        stream->repeats = stream->size / PIECE_SIZE;
    if (stream->repeats > 0)
        stream->piece = pack(stream, 0, PIECE_SIZE, Z_FULL_FLUSH, &stream->piece_size);
    uint64_t done = stream->repeats * PIECE_SIZE;
    stream->tail = pack(stream, done, (size_t)(stream->size - done), Z_FINISH, &stream->tail_size);
    return stream->tail && (stream->repeats == 0 || stream->piece);
}

/* CRC-32 of zeros, by doubling, so that it takes no time to speak of. */
static uint32_t crc_of_zeros(uint64_t size)
{
    uLong crc = 0;
    uint64_t length = 0;

    for (int bit = 63; bit >= 0; bit--) {
        crc = crc32_combine(crc, crc, (z_off_t)length);
        length *= 2;
        if (size >> bit & 1) {
            crc = crc32(crc, (const Bytef *)"", 1);
            length++;
        }
    }
    return (uint32_t)crc;
}

static uint32_t crc_of(const struct stream *stream)
{
    uLong crc = 0;

    if (!stream->ramp)
        return crc_of_zeros(stream->size);
    for (uint64_t i = 0; i < stream->size; i++) {
        uint8_t byte = ramp_byte(stream, i);
        crc = crc32(crc, &byte, 1);
    }
    return (uint32_t)crc;
}

static char *unhex(const char *hex)
{
    size_t size = strlen(hex) / 2;
    char *text = calloc(size + 1, 1);

    for (size_t i = 0; text && i < size; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return free(text), NULL;
        text[i] = (char)byte;
    }
    return text;
}

/* What is freed at the end of main. */
struct listing {
    struct zip_member *members;
    struct stream **streams;
    size_t count;
};

static int listing_add(struct listing *listing, const char *line)
{
    char method[16];
    char content[16];
    char hex[2 * NAME_SIZE + 1] = "";
    unsigned mode;
    uint64_t size;

    if ((listing->count & (listing->count - 1)) == 0) { /* full at every power of two */
        size_t room = listing->count ? 2 * listing->count : 1;
        void *members = realloc(listing->members, room * sizeof(*listing->members));
        if (members)
            listing->members = members;
        void *streams = realloc(listing->streams, room * sizeof(*listing->streams));
        if (streams)
            listing->streams = streams;
        if (!members || !streams)
            return -ENOMEM;
    }
    if (sscanf(line, "%15s %o %15s %" SCNu64 " %8192s", method, &mode, content, &size, hex) < 4)
        return -EINVAL;
    struct stream *stream = calloc(1, sizeof(*stream));
    char *name = unhex(hex);
    if (!stream || !name)
        return free(stream), free(name), -EINVAL;
    stream->size = size;
    stream->ramp = strcmp(content, "ramp") == 0;
    listing->streams[listing->count] = stream;
    listing->members[listing->count] = (struct zip_member){.name = name, .stream = stream};
    struct zip_member *member = &listing->members[listing->count++];
    if (strcmp(method, "deflated") == 0 && !stream_pack(stream))
        return -ENOMEM;
    member->size = size;
    member->compressed_size =
        stream->packed ? stream->repeats * stream->piece_size + stream->tail_size : size;
    member->crc32 = crc_of(stream);
    member->method = stream->packed ? ZIP_DEFLATED : ZIP_STORED;
    member->mode = (uint16_t)mode;
    return 0;
}

static void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free((char *)(uintptr_t)listing->members[i].name);
        free(listing->streams[i]->piece);
        free(listing->streams[i]->tail);
        free(listing->streams[i]);
    }
    free(listing->members);
    free(listing->streams);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static int write_archive(const struct zip *zip, const char *path)
{
    cleanup_free uint8_t *block = malloc(BLOCK_SIZE);
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (!block)
        return -ENOMEM;
    if (fd < 0)
        return -errno;
    for (uint64_t offset = 0; offset < zip_size(zip);) {
        ssize_t n = zip_read(zip, offset, block, BLOCK_SIZE, stream_read, NULL);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        if (!is_zero(block, (size_t)n) && pwrite(fd, block, (size_t)n, (off_t)offset) != n)
            return -EIO;
        offset += (uint64_t)n;
    }
    return ftruncate(fd, (off_t)zip_size(zip)) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
    struct listing listing = {0};
    struct error error = {0};
    cleanup_zip struct zip *zip = NULL;
    cleanup_free char *line = NULL;
    size_t room = 0;
    int r = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: zip_cli FILE <MEMBERS\n");
        return 2;
    }
    while (r == 0 && getline(&line, &room, stdin) > 0) {
        r = listing_add(&listing, line);
        if (r < 0)
            error_errno(&error, r, "%s", line);
    }
    if (r == 0)
        r = zip_new(listing.members, listing.count, &zip, &error);
    if (r == 0) {
        r = write_archive(zip, argv[1]);
        if (r < 0)
            error_errno(&error, r, "%s", argv[1]);
    }
    listing_free(&listing);
    if (r < 0)
        fprintf(stderr, "zip_cli: %s\n", error.text);
    return r < 0;
}
