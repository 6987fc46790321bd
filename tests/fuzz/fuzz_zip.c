/*
 * fuzz_zip: members made from the input must come back from the archive.
 *
 * The input is a list of records: flags, length of the name, length of the content, name, content.
 * What zip_new says of the members as they stand must agree with what a plain reading of its
 * contract says; then they are put in order, composed, read in pieces whose sizes the input
 * chooses, and compared with what libarchive finds (by the central directory, and from front to end
 * by the local headers) and with a walk along the central directory. Put into another archive, as
 * upload/ has it, it comes back as well, under the CRC-32 that zip_crc32 has put together.
 */
#include <addonfs/zip.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <string.h>
#include <zlib.h>

enum { MEMBERS_MAX = 64, NAME_MAX_HERE = 255, PACKED_MAX = 512 };

struct piece {
    char name[NAME_MAX_HERE + 1];
    const uint8_t *plain;
    size_t plain_size;
    uint8_t packed[PACKED_MAX];
    size_t stream_size;
    bool deflated;
    bool executable;
    bool lies; /* tells a stored size that is wrong */
};

#define CHECK(condition)      \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static int give(void *context, const void *stream, uint64_t offset, void *bytes, size_t size)
{
    const struct piece *piece = stream;

    (void)context;
    CHECK(size > 0 && offset < piece->stream_size && size <= piece->stream_size - offset);
    memcpy(bytes, (piece->deflated ? piece->packed : piece->plain) + offset, size);
    return 0;
}

static void pack(struct piece *piece)
{
    z_stream z = {0};

    CHECK(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)piece->plain;
    z.avail_in = (uInt)piece->plain_size;
    z.next_out = piece->packed;
    z.avail_out = PACKED_MAX;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    piece->stream_size = PACKED_MAX - z.avail_out;
    deflateEnd(&z);
}

static size_t make_pieces(const uint8_t *input, size_t size, struct piece *pieces)
{
    size_t count = 0;

    while (size >= 3 && count < MEMBERS_MAX) {
        struct piece *piece = &pieces[count++];
        uint8_t flags = input[0];
        size_t name_size = input[1];
        size_t plain_size = input[2];
        input += 3;
        size -= 3;
        name_size = name_size < size ? name_size : size;
        memcpy(piece->name, input, name_size);
        piece->name[name_size] = '\0';
        input += name_size;
        size -= name_size;
        piece->plain = input;
        piece->plain_size = plain_size < size ? plain_size : size;
        piece->stream_size = piece->plain_size;
        piece->deflated = flags & 1;
        piece->executable = flags & 2;
        piece->lies = (flags & 0xF0) == 0xF0 && !piece->deflated;
        if (piece->deflated)
            pack(piece);
        input += piece->plain_size;
        size -= piece->plain_size;
    }
    return count;
}

static void make_members(const struct piece *pieces, size_t count, struct zip_member *members)
{
    for (size_t i = 0; i < count; i++) {
        const struct piece *piece = &pieces[i];
        members[i] = (struct zip_member){
            .name = piece->name,
            .stream = piece,
            .size = piece->plain_size + (piece->lies ? 1 : 0),
            .compressed_size = piece->stream_size,
            .crc32 = (uint32_t)crc32(0, piece->plain, (uInt)piece->plain_size),
            .method = piece->deflated ? ZIP_DEFLATED : ZIP_STORED,
            .mode = piece->executable ? 0100755 : 0100644,
        };
    }
}

/* The contract of names, said in another way than zip.c does. */
static bool name_is_safe(const char *name)
{
    char framed[NAME_MAX_HERE + 3] = "/";

    if (!error_is_utf8(name, strlen(name)))
        return false;
    strcpy(framed + 1, name);
    strcat(framed, "/");
    for (char *c = framed; *c; c++) {
        if (*c == '\\')
            *c = '/';
    }
    return !strstr(framed, "//") && !strstr(framed, "/./") && !strstr(framed, "/../");
}

static int expected(const struct piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(zip_name_ok(pieces[i].name, NULL) == name_is_safe(pieces[i].name));
        if (!name_is_safe(pieces[i].name) || pieces[i].lies ||
            (i > 0 && strcmp(pieces[i - 1].name, pieces[i].name) >= 0))
            return -EINVAL;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct piece *)a)->name, ((const struct piece *)b)->name);
}

/* Put what can be composed in order, each name once; how many are left. */
static size_t put_in_order(struct piece *pieces, size_t count)
{
    size_t left = 0;

    qsort(pieces, count, sizeof(*pieces), compare);
    for (size_t i = 0; i < count; i++) {
        if (!name_is_safe(pieces[i].name) || pieces[i].lies ||
            (left > 0 && strcmp(pieces[left - 1].name, pieces[i].name) == 0))
            continue;
        if (left != i)
            pieces[left] = pieces[i];
        left++;
    }
    return left;
}

static unsigned get16(const uint8_t *from)
{
    return from[0] | (unsigned)from[1] << 8;
}

static bool is_ascii(const char *name)
{
    for (; *name; name++) {
        if ((unsigned char)*name >= 0x80)
            return false;
    }
    return true;
}

/* Names as they stand in the central directory: libarchive changes some while it reads them. */
static void check_names(const uint8_t *whole, size_t size, const struct piece *pieces, size_t count)
{
    const uint8_t *end = whole + size - 22;
    size_t at = get16(end + 16) | (size_t)get16(end + 18) << 16;

    CHECK(get16(end + 10) == count);
    for (size_t i = 0; i < count; i++) {
        size_t name_size = strlen(pieces[i].name);
        CHECK(at + 46 + name_size <= size - 22 && get16(whole + at + 28) == name_size);
        CHECK(memcmp(whole + at + 46, pieces[i].name, name_size) == 0);
        /* Bit 11 is for names that are not ASCII; there is no other. Time and date are fixed. */
        CHECK(get16(whole + at + 8) == (is_ascii(pieces[i].name) ? 0 : 1 << 11));
        CHECK(get16(whole + at + 12) == 0 && get16(whole + at + 14) == ((1 << 5) | 1));
        at += 46 + name_size + get16(whole + at + 30) + get16(whole + at + 32);
    }
    CHECK(at == size - 22);
}

/* '\' may become '/', and what is not ASCII may be composed. */
static bool name_survives_libarchive(const char *name)
{
    return is_ascii(name) && !strchr(name, '\\');
}

/* Local headers hold no modes (APPNOTE 4.3.7). */
static void check_with_libarchive(int (*format)(struct archive *a), const uint8_t *whole,
                                  size_t size, const struct piece *pieces, size_t count)
{
    bool is_seekable = format == archive_read_support_format_zip_seekable;
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    uint8_t bytes[256];

    CHECK(a && format(a) == ARCHIVE_OK);
    CHECK(archive_read_open_memory(a, whole, size) == ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        CHECK(archive_read_next_header(a, &entry) == ARCHIVE_OK);
        if (name_survives_libarchive(pieces[i].name))
            CHECK(strcmp(archive_entry_pathname(entry), pieces[i].name) == 0);
        CHECK(archive_entry_size(entry) == (la_int64_t)pieces[i].plain_size);
        if (is_seekable)
            CHECK(archive_entry_mode(entry) == (pieces[i].executable ? 0100755 : 0100644));
        CHECK(archive_read_data(a, bytes, sizeof(bytes)) == (la_ssize_t)pieces[i].plain_size);
        CHECK(memcmp(bytes, pieces[i].plain, pieces[i].plain_size) == 0);
        /* Here it compares the CRC-32. */
        CHECK(archive_read_data(a, bytes, 1) == 0);
    }
    CHECK(archive_read_next_header(a, &entry) == ARCHIVE_EOF);
    archive_read_free(a);
}

static uint32_t stream_crc32(const void *stream)
{
    const struct piece *piece = stream;

    return (uint32_t)crc32(0, piece->deflated ? piece->packed : piece->plain,
                           (uInt)piece->stream_size);
}

/* An archive that holds `zip`, whose bytes are `whole`, between two of its members. */
static void check_nested(const struct zip *zip, const uint8_t *whole, size_t size,
                         const struct zip_member *first)
{
    const struct zip_member members[] = {
        {.name = "a",
         .stream = first->stream,
         .size = first->size,
         .compressed_size = first->compressed_size,
         .crc32 = first->crc32,
         .method = first->method,
         .mode = first->mode},
        {.name = "b.zip",
         .size = size,
         .compressed_size = size,
         .crc32 = zip_crc32(zip, stream_crc32),
         .mode = 0100644,
         .archive = zip},
    };
    cleanup_zip struct zip *outer = NULL;
    struct archive *a = archive_read_new();
    struct archive_entry *entry;

    CHECK(members[1].crc32 == crc32(0, whole, (uInt)size));
    CHECK(zip_new(members, 2, &outer, NULL) == 0);
    size_t outer_size = (size_t)zip_size(outer);
    cleanup_free uint8_t *bytes = malloc(outer_size);
    cleanup_free uint8_t *inner = malloc(size + 1);
    CHECK(bytes && inner);
    CHECK(zip_read(outer, 0, bytes, outer_size, give, NULL) == (ssize_t)outer_size);
    CHECK(zip_crc32(outer, stream_crc32) == crc32(0, bytes, (uInt)outer_size));
    CHECK(a && archive_read_support_format_zip_seekable(a) == ARCHIVE_OK);
    CHECK(archive_read_open_memory(a, bytes, outer_size) == ARCHIVE_OK);
    CHECK(archive_read_next_header(a, &entry) == ARCHIVE_OK);
    CHECK(archive_read_next_header(a, &entry) == ARCHIVE_OK);
    CHECK(strcmp(archive_entry_pathname(entry), "b.zip") == 0);
    CHECK(archive_read_data(a, inner, size + 1) == (la_ssize_t)size);
    CHECK(memcmp(inner, whole, size) == 0);
    archive_read_free(a);
}

/* Read the archive from front to end in pieces whose sizes the input gives. */
static void check_ranges(const struct zip *zip, const uint8_t *whole, const uint8_t *input,
                         size_t size)
{
    uint8_t bytes[256];
    uint64_t offset = 0;

    for (size_t i = 0; offset < zip_size(zip); i++) {
        size_t length = input[i % size] + 1U;
        ssize_t n = zip_read(zip, offset, bytes, length, give, NULL);
        uint64_t left = zip_size(zip) - offset;
        CHECK(n == (ssize_t)(length < left ? length : left));
        CHECK(memcmp(bytes, whole + offset, (size_t)n) == 0);
        offset += (uint64_t)n;
    }
    CHECK(zip_read(zip, offset, bytes, 1, give, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cleanup_free struct piece *pieces = calloc(MEMBERS_MAX, sizeof(*pieces));
    struct zip_member members[MEMBERS_MAX];
    cleanup_zip struct zip *raw = NULL;
    cleanup_zip struct zip *zip = NULL;
    struct error error = {0};

    setlocale(LC_CTYPE, "C.UTF-8");
    CHECK(pieces);
    size_t count = make_pieces(input, size, pieces);
    make_members(pieces, count, members);
    CHECK(zip_new(members, count, &raw, &error) == expected(pieces, count));
    CHECK((raw == NULL) == (error.code != 0));
    count = put_in_order(pieces, count);
    make_members(pieces, count, members);
    CHECK(zip_new(members, count, &zip, NULL) == 0);
    size_t whole_size = (size_t)zip_size(zip);
    cleanup_free uint8_t *whole = malloc(whole_size);
    CHECK(whole && zip_read(zip, 0, whole, whole_size, give, NULL) == (ssize_t)whole_size);
    check_names(whole, whole_size, pieces, count);
    if (size > 0)
        check_ranges(zip, whole, input, size);
    /* Its seekable reader overlooks an end record that is the whole archive. */
    if (count > 0) {
        check_with_libarchive(archive_read_support_format_zip_seekable, whole, whole_size, pieces,
                              count);
        check_with_libarchive(archive_read_support_format_zip_streamable, whole, whole_size, pieces,
                              count);
        check_nested(zip, whole, whole_size, members);
    }
    return 0;
}
