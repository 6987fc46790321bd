#include <addonfs/zip.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

/* What a member holds; without bytes it is as many zeros as asked for, which costs no memory. */
struct content {
    const uint8_t *bytes;
    uint64_t size;
};

/* A member before it becomes a struct zip_member. */
struct piece {
    char *name;
    uint8_t *plain;
    size_t plain_size;
    uint8_t *packed; /* NULL when stored */
    struct content stream;
};

struct fixture {
    struct piece *pieces;
    struct zip_member *members;
    size_t count;
};

/* Handed to `give` as its context. */
struct giver {
    int failure;    /* what to answer, 0: the bytes */
    uint64_t given; /* bytes so far */
};

/* A small generator that answers the same on every machine (splitmix64). */
static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

static size_t random_below(uint64_t *state, size_t limit)
{
    return (size_t)(random_next(state) % limit);
}

/* The seed of a random test: ADDONFS_TEST_SEED replays another one. */
static uint64_t seed_of(const char *test)
{
    const char *text = getenv("ADDONFS_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 20260101;

    print_message("%s: ADDONFS_TEST_SEED=%" PRIu64 "\n", test, seed);
    return seed;
}

/* A zip_stream_read that also holds zip_read to its promise: never outside the stream, never empty.
 */
static int give(void *context, const void *stream, uint64_t offset, void *bytes, size_t size)
{
    struct giver *giver = context;
    const struct content *content = stream;

    if (giver && giver->failure)
        return giver->failure;
    assert_true(size > 0 && offset < content->size && size <= content->size - offset);
    if (content->bytes)
        memcpy(bytes, content->bytes + offset, size);
    else
        memset(bytes, 0, size);
    if (giver)
        giver->given += size;
    return 0;
}

static uint8_t *deflate_raw(const uint8_t *plain, size_t size, size_t *ret_size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, size);
    uint8_t *packed = malloc(room);
    assert_non_null(packed);
    z.next_in = (uint8_t *)(uintptr_t)plain;
    z.avail_in = (uInt)size;
    z.next_out = packed;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *ret_size = room - z.avail_out;
    deflateEnd(&z);
    return packed;
}

static int compare_pieces(const void *a, const void *b)
{
    return strcmp(((const struct piece *)a)->name, ((const struct piece *)b)->name);
}

static struct fixture fixture_new(size_t count)
{
    struct fixture f = {calloc(count + 1, sizeof(*f.pieces)), calloc(count + 1, sizeof(*f.members)),
                        count};
    assert_true(f.pieces && f.members);
    return f;
}

static void fixture_free(struct fixture *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->pieces[i].name);
        free(f->pieces[i].plain);
        free(f->pieces[i].packed);
    }
    free(f->pieces);
    free(f->members);
}

/*
 * Members whose names need care, random bytes in them, stored and deflated, in order. A name with
 * '\' has a '/' too: otherwise libarchive takes '\' for the separator.
 */
static struct fixture fixture_random(uint64_t *state, size_t count)
{
    static const char *const kinds[] = {
        "a/b/plain", "with space ", "new\nline",     "\xC3\xBC/\xE2\x82\xAC",
        "...",       "-rf",         "d/back\\slash", "\xF0\x9F\x8E\xAC",
    };
    struct fixture f = fixture_new(count);

    for (size_t i = 0; i < count; i++) {
        struct piece *p = &f.pieces[i];
        char name[64];
        snprintf(name, sizeof(name), "%s%zu", kinds[random_below(state, 8)], i);
        p->name = strdup(name);
        p->plain_size = random_below(state, 4) == 0 ? 0 : random_below(state, 300);
        p->plain = malloc(p->plain_size + 1);
        assert_true(p->name && p->plain);
        for (size_t j = 0; j < p->plain_size; j++)
            p->plain[j] = (uint8_t)('a' + random_below(state, 4));
        p->stream = (struct content){p->plain, p->plain_size};
        if (random_below(state, 2)) {
            size_t size;
            p->packed = deflate_raw(p->plain, p->plain_size, &size);
            p->stream = (struct content){p->packed, size};
        }
    }
    qsort(f.pieces, count, sizeof(*f.pieces), compare_pieces);
    for (size_t i = 0; i < count; i++) {
        struct piece *p = &f.pieces[i];
        f.members[i] = (struct zip_member){
            .name = p->name,
            .stream = &p->stream,
            .size = p->plain_size,
            .compressed_size = p->stream.size,
            .crc32 = (uint32_t)crc32(0, p->plain, (uInt)p->plain_size),
            .method = p->packed ? ZIP_DEFLATED : ZIP_STORED,
            .mode = random_below(state, 2) ? 0100755 : 0100644,
        };
    }
    return f;
}

/* Members of zeros of the given sizes, stored, named so that they are in order. */
static struct fixture fixture_zeros(const uint64_t *sizes, size_t count)
{
    struct fixture f = fixture_new(count);

    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "m%08zu", i);
        f.pieces[i].name = strdup(name);
        assert_non_null(f.pieces[i].name);
        f.pieces[i].stream.size = sizes ? sizes[i] : 0;
        f.members[i] = (struct zip_member){.name = f.pieces[i].name,
                                           .stream = &f.pieces[i].stream,
                                           .size = f.pieces[i].stream.size,
                                           .compressed_size = f.pieces[i].stream.size,
                                           .mode = 0100644};
    }
    return f;
}

static struct zip *compose(const struct zip_member *members, size_t count)
{
    struct zip *zip = NULL;
    struct error error = {0};

    if (zip_new(members, count, &zip, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(zip_member_count(zip), count);
    return zip;
}

/* `size` bytes at `offset`, which must be there; the caller frees them. */
static uint8_t *read_range(const struct zip *zip, uint64_t offset, size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    assert_non_null(bytes);
    assert_int_equal(zip_read(zip, offset, bytes, size, give, NULL), size);
    return bytes;
}

static uint8_t *read_whole(const struct zip *zip)
{
    return read_range(zip, 0, (size_t)zip_size(zip));
}

/* Read every range of a window in turn and compare with the window read at once. */
static void check_every_range(const struct zip *zip, uint64_t start, size_t size)
{
    cleanup_free uint8_t *window = read_range(zip, start, size);
    cleanup_free uint8_t *bytes = malloc(size + 1);

    assert_non_null(bytes);
    for (size_t offset = 0; offset < size; offset++) {
        for (size_t length = 0; length <= size - offset; length++) {
            bytes[length] = 0xA5;
            ssize_t n = zip_read(zip, start + offset, bytes, length, give, NULL);
            if (n != (ssize_t)length || memcmp(bytes, window + offset, length) != 0 ||
                bytes[length] != 0xA5)
                fail_msg("%zu bytes at %" PRIu64 " differ", length, start + offset);
        }
    }
}

static void check_golden(const struct zip_member *members, size_t count, const void *bytes,
                         size_t size)
{
    cleanup_zip struct zip *zip = compose(members, count);

    assert_int_equal(zip_size(zip), size);
    cleanup_free uint8_t *whole = read_whole(zip);
    assert_memory_equal(whole, bytes, size);
}

static void an_empty_archive_is_an_end_record(void **state)
{
    (void)state;
    check_golden(NULL, 0, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
}

static void a_stored_member_is_written_byte_for_byte(void **state)
{
    /* clang-format off */
    static const char golden[] =
        /* 4.3.7 local header */
        "PK\3\4" "\x0A\0" "\0\0" "\0\0" "\0\0" "\x21\0" "\xC2\x41\x24\x35"
        "\3\0\0\0" "\3\0\0\0" "\5\0" "\0\0" "a/b.c" "abc"
        /* 4.3.12 central header */
        "PK\1\2" "\x14\3" "\x0A\0" "\0\0" "\0\0" "\0\0" "\x21\0" "\xC2\x41\x24\x35"
        "\3\0\0\0" "\3\0\0\0" "\5\0" "\0\0" "\0\0" "\0\0" "\0\0" "\0\0\xA4\x81" "\0\0\0\0"
        "a/b.c"
        /* 4.3.16 end record */
        "PK\5\6" "\0\0" "\0\0" "\1\0" "\1\0" "\x33\0\0\0" "\x26\0\0\0" "\0";
    /* clang-format on */
    struct content content = {(const uint8_t *)"abc", 3};
    struct zip_member member = {"a/b.c", &content, 3, 3, 0x352441C2, ZIP_STORED, 0100644, NULL};

    (void)state;
    check_golden(&member, 1, golden, sizeof(golden));
}

static void a_deflated_member_with_a_name_in_utf8_is_written_byte_for_byte(void **state)
{
    /* clang-format off */
    static const char golden[] =
        "PK\3\4" "\x14\0" "\0\x08" "\x08\0" "\0\0" "\x21\0" "\xC2\x41\x24\x35"
        "\5\0\0\0" "\3\0\0\0" "\2\0" "\0\0" "\xC3\xBC" "\x4B\x4C\x4A\6\0"
        "PK\1\2" "\x14\3" "\x14\0" "\0\x08" "\x08\0" "\0\0" "\x21\0" "\xC2\x41\x24\x35"
        "\5\0\0\0" "\3\0\0\0" "\2\0" "\0\0" "\0\0" "\0\0" "\0\0" "\0\0\xED\x81" "\0\0\0\0"
        "\xC3\xBC"
        "PK\5\6" "\0\0" "\0\0" "\1\0" "\1\0" "\x30\0\0\0" "\x25\0\0\0" "\0";
    /* clang-format on */
    struct content content = {(const uint8_t *)"\x4B\x4C\x4A\6\0", 5};
    struct zip_member member = {"\xC3\xBC", &content,     3,       5,
                                0x352441C2, ZIP_DEFLATED, 0100755, NULL};

    (void)state;
    check_golden(&member, 1, golden, sizeof(golden));
}

static void every_range_of_a_small_archive_reads_as_the_whole(void **state)
{
    uint64_t random = seed_of(__func__);

    (void)state;
    struct fixture f = fixture_random(&random, 6);
    cleanup_zip struct zip *zip = compose(f.members, f.count);
    check_every_range(zip, 0, (size_t)zip_size(zip));
    fixture_free(&f);
}

static void random_ranges_of_a_large_archive_read_as_the_whole(void **state)
{
    uint64_t random = seed_of(__func__);

    (void)state;
    struct fixture f = fixture_random(&random, 5000);
    cleanup_zip struct zip *zip = compose(f.members, f.count);
    size_t size = (size_t)zip_size(zip);
    cleanup_free uint8_t *whole = read_whole(zip);
    cleanup_free uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (int i = 0; i < 20000; i++) {
        size_t offset = random_below(&random, size);
        size_t length = random_below(&random, random_below(&random, 50) == 0 ? size : 400);
        size_t there = length < size - offset ? length : size - offset;
        assert_int_equal(zip_read(zip, offset, bytes, length, give, NULL), there);
        assert_memory_equal(bytes, whole + offset, there);
    }
    for (size_t offset = 0; offset < size; offset++) {
        assert_int_equal(zip_read(zip, offset, bytes, 1, give, NULL), 1);
        assert_int_equal(bytes[0], whole[offset]);
    }
    fixture_free(&f);
}

static void a_read_ends_where_the_archive_ends(void **state)
{
    uint64_t random = seed_of(__func__);
    uint8_t bytes[64];

    (void)state;
    struct fixture f = fixture_random(&random, 10);
    cleanup_zip struct zip *zip = compose(f.members, f.count);
    uint64_t size = zip_size(zip);
    assert_int_equal(zip_read(zip, size - 1, bytes, sizeof(bytes), give, NULL), 1);
    assert_int_equal(zip_read(zip, size - 30, bytes, sizeof(bytes), give, NULL), 30);
    assert_int_equal(zip_read(zip, size, bytes, sizeof(bytes), give, NULL), 0);
    assert_int_equal(zip_read(zip, size + 1, bytes, sizeof(bytes), give, NULL), 0);
    assert_int_equal(zip_read(zip, UINT64_MAX, bytes, sizeof(bytes), give, NULL), 0);
    assert_int_equal(zip_read(zip, 0, bytes, 0, give, NULL), 0);
    fixture_free(&f);
}

static void a_failing_stream_gives_its_errno(void **state)
{
    struct content content = {(const uint8_t *)"abc", 3};
    struct zip_member member = {"a/b.c", &content, 3, 3, 0x352441C2, ZIP_STORED, 0100644, NULL};
    struct giver giver = {.failure = -EIO};
    uint8_t bytes[200];

    (void)state;
    cleanup_zip struct zip *zip = compose(&member, 1);
    assert_int_equal(zip_read(zip, 0, bytes, sizeof(bytes), give, &giver), -EIO);
    assert_int_equal(zip_read(zip, 37, bytes, 1, give, &giver), -EIO);
    giver.failure = -ESTALE;
    assert_int_equal(zip_read(zip, 36, bytes, 2, give, &giver), -ESTALE);
    /* Headers need no stream. */
    assert_int_equal(zip_read(zip, 0, bytes, 35, give, &giver), 35);
    assert_int_equal(zip_read(zip, 38, bytes, sizeof(bytes), give, &giver), zip_size(zip) - 38);
    giver.failure = 0;
    assert_int_equal(zip_read(zip, 0, bytes, sizeof(bytes), give, &giver), zip_size(zip));
    assert_int_equal(giver.given, 3);
}

static void the_fields_of_members_are_copied(void **state)
{
    struct content content = {(const uint8_t *)"abc", 3};
    struct zip_member member = {"name", &content, 3, 3, 0x352441C2, ZIP_STORED, 0100644, NULL};

    (void)state;
    cleanup_zip struct zip *zip = compose(&member, 1);
    cleanup_free uint8_t *before = read_whole(zip);
    memset(&member, 0xFF, sizeof(member));
    cleanup_free uint8_t *after = read_whole(zip);
    assert_memory_equal(before, after, zip_size(zip));
}

/* --- Boundaries: an independent look at the headers ------------------------------------------- */

static uint64_t get(const uint8_t *from, size_t size)
{
    uint64_t value = 0;

    while (size-- > 0)
        value = value << 8 | from[size];
    return value;
}

/* A 32-bit field, or the next value of the ZIP64 extra field if it is full (4.5.3). */
static uint64_t get_field(const uint8_t *field, const uint8_t **extra)
{
    uint64_t value = get(field, 4);

    if (value != UINT32_MAX)
        return value;
    value = get(*extra, 8);
    *extra += 8;
    return value;
}

/* The extra field's values; its length must be told truly. */
static const uint8_t *open_extra(const uint8_t *extra, uint64_t size)
{
    if (size == 0)
        return extra;
    assert_int_equal(get(extra, 2), 1);
    assert_int_equal(get(extra + 2, 2), size - 4);
    return extra + 4;
}

static void check_local(const struct zip *zip, const struct zip_member *m, uint64_t offset,
                        uint64_t *ret_end)
{
    bool is_64 = m->size >= UINT32_MAX || m->compressed_size >= UINT32_MAX;
    size_t name_size = strlen(m->name);
    size_t size = 30 + name_size + (is_64 ? 20 : 0);
    cleanup_free uint8_t *h = read_range(zip, offset, size);

    assert_int_equal(get(h, 4), 0x04034b50);
    assert_int_equal(get(h + 4, 2), is_64 ? 45 : m->method == ZIP_DEFLATED ? 20 : 10);
    assert_int_equal(get(h + 26, 2), name_size);
    assert_int_equal(get(h + 28, 2), is_64 ? 20 : 0);
    assert_memory_equal(h + 30, m->name, name_size);
    const uint8_t *extra = open_extra(h + 30 + name_size, get(h + 28, 2));
    /* 4.5.3: in a local header both sizes, in this order, or none. */
    uint64_t content = get_field(h + 22, &extra);
    assert_int_equal(content, m->size);
    assert_int_equal(get_field(h + 18, &extra), m->compressed_size);
    assert_ptr_equal(extra, h + size);
    *ret_end = offset + size + m->compressed_size;
}

/* Check one central header; returns where it ends. */
static uint64_t check_central(const struct zip *zip, const struct zip_member *m, uint64_t offset,
                              uint64_t local)
{
    size_t values = (size_t)(m->size >= UINT32_MAX) + (m->compressed_size >= UINT32_MAX) +
                    (local >= UINT32_MAX);
    size_t name_size = strlen(m->name);
    size_t size = 46 + name_size + (values ? 4 + 8 * values : 0);
    cleanup_free uint8_t *h = read_range(zip, offset, size);

    assert_int_equal(get(h, 4), 0x02014b50);
    assert_int_equal(get(h + 4, 2), 3 << 8 | (values ? 45 : 20));
    assert_int_equal(get(h + 6, 2), values ? 45 : m->method == ZIP_DEFLATED ? 20 : 10);
    assert_int_equal(get(h + 16, 4), m->crc32);
    assert_int_equal(get(h + 28, 2), name_size);
    assert_int_equal(get(h + 30, 2), size - 46 - name_size);
    assert_int_equal(get(h + 38, 4), (uint64_t)m->mode << 16);
    assert_memory_equal(h + 46, m->name, name_size);
    const uint8_t *extra = open_extra(h + 46 + name_size, get(h + 30, 2));
    uint64_t content = get_field(h + 24, &extra);
    assert_int_equal(content, m->size);
    assert_int_equal(get_field(h + 20, &extra), m->compressed_size);
    assert_int_equal(get_field(h + 42, &extra), local);
    assert_ptr_equal(extra, h + size);
    return offset + size;
}

/* The whole structure, followed from the front; `is_64` says whether there are ZIP64 end records.
 */
static void check_structure(const struct zip *zip, const struct zip_member *members, size_t count,
                            bool is_64)
{
    uint64_t *locals = calloc(count + 1, sizeof(*locals));
    uint64_t offset = 0;

    assert_non_null(locals);
    for (size_t i = 0; i < count; i++) {
        locals[i] = offset;
        check_local(zip, &members[i], offset, &offset);
    }
    uint64_t central = offset;
    for (size_t i = 0; i < count; i++)
        offset = check_central(zip, &members[i], offset, locals[i]);
    free(locals);
    assert_int_equal(zip_size(zip), offset + (is_64 ? 98 : 22));
    cleanup_free uint8_t *end = read_range(zip, offset, is_64 ? 98 : 22);
    const uint8_t *last = end;
    if (is_64) { /* 4.3.14, 4.3.15 */
        assert_int_equal(get(end, 4), 0x06064b50);
        assert_int_equal(get(end + 4, 8), 44);
        assert_int_equal(get(end + 12, 2), 3 << 8 | 45);
        assert_int_equal(get(end + 14, 2), 45);
        assert_int_equal(get(end + 16, 8), 0);
        assert_int_equal(get(end + 24, 8), count);
        assert_int_equal(get(end + 32, 8), count);
        assert_int_equal(get(end + 40, 8), offset - central);
        assert_int_equal(get(end + 48, 8), central);
        assert_int_equal(get(end + 56, 4), 0x07064b50);
        assert_int_equal(get(end + 60, 4), 0);
        assert_int_equal(get(end + 64, 8), offset);
        assert_int_equal(get(end + 72, 4), 1);
        last += 76;
    }
    assert_int_equal(get(last, 4), 0x06054b50);
    assert_int_equal(get(last + 4, 4), 0);
    assert_int_equal(get(last + 8, 2), count < UINT16_MAX ? count : UINT16_MAX);
    assert_int_equal(get(last + 10, 2), count < UINT16_MAX ? count : UINT16_MAX);
    assert_int_equal(get(last + 12, 4), offset - central);
    assert_int_equal(get(last + 16, 4), central < UINT32_MAX ? central : UINT32_MAX);
    assert_int_equal(get(last + 20, 2), 0);
}

static void zip64_begins_where_a_size_is_full(void **state)
{
    static const uint64_t sizes[] = {UINT32_MAX - 1, UINT32_MAX, UINT32_MAX + UINT64_C(1)};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            struct fixture f = fixture_zeros((uint64_t[]){sizes[i]}, 1);
            /* Deflated, one of the sizes may be full and the other not. */
            f.members[0].method = ZIP_DEFLATED;
            f.members[0].size = sizes[j];
            cleanup_zip struct zip *zip = compose(f.members, 1);
            check_structure(zip, f.members, 1, true);
            fixture_free(&f);
        }
    }
    for (size_t j = 0; j < 3; j++) { /* far from full when deflated */
        struct fixture f = fixture_zeros((uint64_t[]){1000}, 1);
        f.members[0].method = ZIP_DEFLATED;
        f.members[0].size = sizes[j];
        cleanup_zip struct zip *zip = compose(f.members, 1);
        check_structure(zip, f.members, 1, false);
        check_every_range(zip, 0, 60);
        check_every_range(zip, zip_size(zip) - 110, 110);
        fixture_free(&f);
    }
}

static void zip64_begins_where_an_offset_is_full(void **state)
{
    /* One member of this size ends `rest` bytes before the mark: header 30, name 9. */
    (void)state;
    for (uint64_t rest = 0; rest < 3; rest++) {
        uint64_t first = UINT32_MAX + UINT64_C(1) - 39 - rest;
        struct fixture f = fixture_zeros((uint64_t[]){first, 5}, 2);
        cleanup_zip struct zip *one = compose(f.members, 1);
        check_structure(one, f.members, 1, rest < 2);
        cleanup_zip struct zip *two = compose(f.members, 2);
        check_structure(two, f.members, 2, true);
        /* Reads that cross the mark, and the headers behind it. */
        check_every_range(two, first, (size_t)(zip_size(two) - first));
        fixture_free(&f);
    }
}

static void zip64_begins_at_65535_members(void **state)
{
    (void)state;
    struct fixture f = fixture_zeros(NULL, 65536);
    for (size_t count = 65534; count <= 65536; count++) {
        cleanup_zip struct zip *zip = compose(f.members, count);
        check_structure(zip, f.members, count, count >= 65535);
        check_every_range(zip, zip_size(zip) - 120, 120);
    }
    fixture_free(&f);
}

/* --- Another reader ----------------------------------------------------------------------------
 */

/* An archive for libarchive's callbacks: no file, so a huge one costs nothing. */
struct reading {
    const struct zip *zip;
    uint64_t offset;
    uint8_t bytes[65536];
};

static la_ssize_t reading_read(struct archive *a, void *context, const void **ret_bytes)
{
    struct reading *reading = context;
    ssize_t n =
        zip_read(reading->zip, reading->offset, reading->bytes, sizeof(reading->bytes), give, NULL);

    (void)a;
    *ret_bytes = reading->bytes;
    reading->offset += (uint64_t)n;
    return n;
}

static la_int64_t reading_seek(struct archive *a, void *context, la_int64_t offset, int whence)
{
    struct reading *reading = context;

    (void)a;
    if (whence == SEEK_CUR)
        offset += (la_int64_t)reading->offset;
    if (whence == SEEK_END)
        offset += (la_int64_t)zip_size(reading->zip);
    assert_true(offset >= 0);
    reading->offset = (uint64_t)offset;
    return offset;
}

static struct archive *reader_new(void)
{
    struct archive *a = archive_read_new();

    assert_non_null(a);
    assert_int_equal(archive_read_support_format_zip_seekable(a), ARCHIVE_OK);
    return a;
}

/* Names, sizes, modes, and the bytes of those members that have any. Ends the reader. */
static void check_entries(struct archive *a, const struct fixture *f)
{
    struct archive_entry *entry;
    uint8_t bytes[512];

    for (size_t i = 0; i < f->count; i++) {
        const struct piece *p = &f->pieces[i];
        if (archive_read_next_header(a, &entry) != ARCHIVE_OK)
            fail_msg("member %zu: %s", i, archive_error_string(a));
        assert_string_equal(archive_entry_pathname(entry), p->name);
        assert_int_equal(archive_entry_size(entry), f->members[i].size);
        assert_int_equal(archive_entry_mode(entry), f->members[i].mode);
        if (!p->plain)
            continue;
        assert_int_equal(archive_read_data(a, bytes, sizeof(bytes)), p->plain_size);
        assert_memory_equal(bytes, p->plain, p->plain_size);
    }
    assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_EOF);
    assert_int_equal(archive_read_free(a), ARCHIVE_OK);
}

static void libarchive_reads_the_same_members_from_a_file(void **state)
{
    uint64_t random = seed_of(__func__);
    static const size_t counts[] = {0, 1, 2, 1000};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct fixture f = fixture_random(&random, counts[i]);
        cleanup_zip struct zip *zip = compose(f.members, f.count);
        cleanup_free uint8_t *whole = read_whole(zip);
        FILE *file = tmpfile();
        assert_non_null(file);
        assert_int_equal(fwrite(whole, 1, (size_t)zip_size(zip), file), zip_size(zip));
        assert_int_equal(fflush(file), 0);
        assert_int_equal(lseek(fileno(file), 0, SEEK_SET), 0);
        struct archive *a = reader_new();
        /* libarchive's seekable reader overlooks an end record that is the whole file. */
        if (f.count == 0)
            assert_int_equal(archive_read_support_format_zip_streamable(a), ARCHIVE_OK);
        assert_int_equal(archive_read_open_fd(a, fileno(file), 65536), ARCHIVE_OK);
        check_entries(a, &f);
        fclose(file);
        fixture_free(&f);
    }
}

static void libarchive_finds_members_beyond_4_gib(void **state)
{
    uint64_t sizes[] = {3, UINT32_MAX - 1, UINT32_MAX, UINT64_C(5) << 32, 7, 0};

    (void)state;
    struct fixture f = fixture_zeros(sizes, 6);
    cleanup_zip struct zip *zip = compose(f.members, f.count);
    cleanup_free struct reading *reading = calloc(1, sizeof(*reading));
    assert_non_null(reading);
    reading->zip = zip;
    struct archive *a = reader_new();
    archive_read_set_read_callback(a, reading_read);
    archive_read_set_seek_callback(a, reading_seek);
    archive_read_set_callback_data(a, reading);
    assert_int_equal(archive_read_open1(a), ARCHIVE_OK);
    check_entries(a, &f);
    check_structure(zip, f.members, f.count, true);
    fixture_free(&f);
}

/* --- What is refused ---------------------------------------------------------------------------
 */

/* zip_new must refuse with `code`, name `word`, and leave the archive alone. */
static void check_refused(const struct zip_member *members, size_t count, int code,
                          const char *word)
{
    struct zip *untouched = (struct zip *)(uintptr_t)1;
    struct zip *zip = untouched;
    struct error error = {0};

    assert_int_equal(zip_new(members, count, &zip, &error), code);
    assert_ptr_equal(zip, untouched);
    assert_int_equal(error.code, code);
    if (!strstr(error.text, word))
        fail_msg("\"%s\" does not say \"%s\"", error.text, word);
    assert_int_equal(zip_new(members, count, &zip, NULL), code);
}

static void a_bad_name_is_refused(void **state)
{
    /* clang-format off */
    static const char *const bad[] = {
        "", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/..", "a/../b", "a/./b",
        /* where '\' separates: a folder above, the root of a drive, another host */
        "a\\..\\b", "..\\a", "a/..\\b", "\\a", "a\\", "a\\\\b", "a/\\b", "\\\\host\\a",
        /* not UTF-8: a stray byte, cut, overlong, a surrogate, beyond U+10FFFF */
        "\xFF", "a\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
    };
    /* clang-format on */
    static const char *const good[] = {
        "a", "a/b", "...", ".a", "a.", "..a", "a..", "a\\b", " ", "\n", "-", "\xC3\xBC", "C:x",
    };
    const char *reason;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct zip_member member = {.name = bad[i], .mode = 0100644};
        reason = NULL;
        if (zip_name_ok(bad[i], &reason))
            fail_msg("\"%s\" passed", bad[i]);
        assert_non_null(reason);
        assert_false(zip_name_ok(bad[i], NULL));
        check_refused(&member, 1, -EINVAL, reason);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct zip_member member = {.name = good[i], .mode = 0100644};
        if (!zip_name_ok(good[i], &reason))
            fail_msg("\"%s\": %s", good[i], reason);
        zip_free(compose(&member, 1));
    }
}

static void a_name_has_room_for_65535_bytes(void **state)
{
    cleanup_free char *name = malloc(65537);
    struct content content = {(const uint8_t *)"", 0};
    struct zip_member member = {.name = name, .stream = &content, .mode = 0100644};

    (void)state;
    assert_non_null(name);
    memset(name, 'n', 65536);
    name[65535] = '\0';
    cleanup_zip struct zip *zip = compose(&member, 1);
    check_structure(zip, &member, 1, false);
    name[65535] = 'n';
    name[65536] = '\0';
    check_refused(&member, 1, -EINVAL, "nnn: the name is too long");
}

static void members_out_of_order_or_twice_are_refused(void **state)
{
    struct zip_member members[] = {{.name = "a"}, {.name = "b"}, {.name = "b"}};

    (void)state;
    check_refused(members, 3, -EINVAL, "b: not behind b");
    members[1].name = "c";
    check_refused(members, 3, -EINVAL, "b: not behind c");
    /* Bytes are compared, not signed characters: what is not ASCII comes last. */
    members[1].name = "\xC3\xBC";
    check_refused(members, 3, -EINVAL, "b: not behind \xC3\xBC");
    members[2].name = "\xE2\x82\xAC";
    zip_free(compose(members, 3));
}

static void a_stored_member_has_one_size(void **state)
{
    struct zip_member member = {.name = "odd", .size = 3, .compressed_size = 4};

    (void)state;
    check_refused(&member, 1, -EINVAL, "odd: stored");
    member.method = ZIP_DEFLATED;
    zip_free(compose(&member, 1));
}

static void an_archive_has_room_for_int64_max_bytes(void **state)
{
    /* 30 + 1 + 20 local, 46 + 1 + 20 central, 98 at the end. */
    uint64_t most = INT64_MAX - 51 - 67 - 98;
    struct zip_member members[] = {
        {.name = "a", .size = most, .compressed_size = most},
        {.name = "b", .size = UINT64_MAX, .compressed_size = UINT64_MAX},
    };

    (void)state;
    cleanup_zip struct zip *zip = compose(members, 1);
    assert_int_equal(zip_size(zip), INT64_MAX);
    check_refused(members, 2, -EFBIG, "too large");
    members[0].size = members[0].compressed_size = most + 1;
    check_refused(members, 1, -EFBIG, "too large");
    /* Sums that wrap to something small must not pass. */
    members[0].size = members[0].compressed_size = UINT64_MAX - 51;
    check_refused(members, 1, -EFBIG, "too large");
    members[0].size = members[0].compressed_size = UINT64_MAX - 50;
    check_refused(members, 1, -EFBIG, "too large");
    members[0].size = members[0].compressed_size = UINT64_MAX;
    check_refused(members, 1, -EFBIG, "too large");
}

/* --- The CRC-32 of the whole ---------------------------------------------------------------------
 */

/* Of as many zeros: two halves, and perhaps one more. */
static uint32_t crc32_of_zeros(uint64_t size)
{
    static const uint8_t zero[1];

    if (size == 0)
        return 0;
    uint32_t half = crc32_of_zeros(size / 2);
    uint32_t both = (uint32_t)crc32_combine64(half, half, (z_off64_t)(size / 2));
    return size % 2 ? (uint32_t)crc32(both, zero, 1) : both;
}

static uint32_t stream_crc32(const void *stream)
{
    const struct content *content = stream;

    return content->bytes ? (uint32_t)crc32_z(0, content->bytes, content->size)
                          : crc32_of_zeros(content->size);
}

static void the_crc_of_an_archive_is_that_of_its_bytes(void **state)
{
    uint64_t seed = seed_of("the_crc_of_an_archive_is_that_of_its_bytes");

    (void)state;
    for (size_t round = 0; round < 200; round++) {
        struct fixture f = fixture_random(&seed, round % 40);
        cleanup_zip struct zip *zip = compose(f.members, f.count);
        cleanup_free uint8_t *bytes = read_range(zip, 0, (size_t)zip_size(zip));
        assert_int_equal(zip_crc32(zip, stream_crc32), crc32_z(0, bytes, zip_size(zip)));
        fixture_free(&f);
    }
}

/* An archive within another is as a stored member of its bytes, however deep and however read. */
static void an_archive_within_is_as_its_bytes(void **state)
{
    uint64_t seed = seed_of("an_archive_within_is_as_its_bytes");

    (void)state;
    for (size_t round = 0; round < 60; round++) {
        struct fixture f = fixture_random(&seed, round % 10);
        struct zip *zips[3] = {compose(f.members, f.count)};
        for (size_t depth = 1; depth < 3; depth++) {
            const struct zip *inner = zips[depth - 1];
            size_t size = (size_t)zip_size(inner);
            cleanup_free uint8_t *bytes = read_range(inner, 0, size);
            struct content content = {bytes, size};
            struct zip_member members[2] = {{.name = "a.zip",
                                             .archive = inner,
                                             .size = size,
                                             .compressed_size = size,
                                             .crc32 = zip_crc32(inner, stream_crc32),
                                             .mode = 0100644}};
            members[1] = members[0];
            members[1].name = "b.zip";
            zips[depth] = compose(members, 2);
            for (size_t i = 0; i < 2; i++) {
                members[i].archive = NULL;
                members[i].stream = &content;
                members[i].crc32 = (uint32_t)crc32_z(0, bytes, size);
            }
            cleanup_zip struct zip *flat = compose(members, 2);
            assert_int_equal(zip_size(flat), zip_size(zips[depth]));
            cleanup_free uint8_t *expected = read_range(flat, 0, (size_t)zip_size(flat));
            for (size_t i = 0; i < 50; i++) {
                size_t offset = i == 0 ? 0 : random_below(&seed, (size_t)zip_size(flat));
                size_t asked = (size_t)zip_size(flat) - offset;
                asked = i == 0 ? asked : random_below(&seed, asked + 1);
                cleanup_free uint8_t *read = read_range(zips[depth], offset, asked);
                assert_memory_equal(read, expected + offset, asked);
            }
            assert_int_equal(zip_crc32(zips[depth], stream_crc32),
                             crc32_z(0, expected, zip_size(flat)));
        }
        for (size_t depth = 0; depth < 3; depth++)
            zip_free(zips[depth]);
        fixture_free(&f);
    }
}

/* What is read but for the streams, which are zeros, put together by hand. */
static uint32_t crc32_around_zeros(const struct zip *zip, const struct zip_member *members,
                                   size_t count)
{
    uint64_t at = 0;
    uint32_t crc = 0;

    for (size_t i = 0; i < count; i++) {
        cleanup_free uint8_t *fixed = read_range(zip, at, 30);
        size_t size = 30 + strlen(members[i].name) + get(fixed + 28, 2);
        cleanup_free uint8_t *header = read_range(zip, at, size);
        uint64_t stream = members[i].compressed_size;
        crc = (uint32_t)crc32_z(crc, header, size);
        crc = (uint32_t)crc32_combine64(crc, crc32_of_zeros(stream), (z_off64_t)stream);
        at += size + stream;
    }
    cleanup_free uint8_t *rest = read_range(zip, at, (size_t)(zip_size(zip) - at));
    return (uint32_t)crc32_z(crc, rest, zip_size(zip) - at);
}

static void the_crc_is_right_beyond_4_gib(void **state)
{
    static const uint64_t sizes[] = {5, UINT32_MAX, UINT64_C(5) << 32, 1, UINT64_C(1) << 40};

    (void)state;
    struct fixture f = fixture_zeros(sizes, 5);
    for (size_t i = 0; i < 5; i++)
        f.members[i].crc32 = crc32_of_zeros(sizes[i]);
    /* A deflated one has another CRC-32 than its stream. */
    f.members[2].method = ZIP_DEFLATED;
    f.members[2].crc32 = 0x12345678;
    for (size_t count = 1; count <= 5; count++) {
        cleanup_zip struct zip *zip = compose(f.members, count);
        uint32_t crc = zip_crc32(zip, stream_crc32);
        assert_int_equal(crc, crc32_around_zeros(zip, f.members, count));
        /* And within another archive, whose sizes and offsets are ZIP64's too. */
        const struct zip_member outer[] = {
            {.name = "a.zip",
             .archive = zip,
             .size = zip_size(zip),
             .compressed_size = zip_size(zip),
             .crc32 = crc,
             .mode = 0100644},
            {.name = "b",
             .stream = f.members[0].stream,
             .size = 5,
             .compressed_size = 5,
             .crc32 = f.members[0].crc32,
             .mode = 0100644},
        };
        cleanup_zip struct zip *around = compose(outer, 2);
        check_structure(around, outer, 2, count > 1);
        uint32_t expected = 0;
        cleanup_free uint8_t *fixed = read_range(around, 0, 30);
        size_t size = 35 + get(fixed + 28, 2);
        cleanup_free uint8_t *header = read_range(around, 0, size);
        expected = (uint32_t)crc32_z(0, header, size);
        expected = (uint32_t)crc32_combine64(expected, crc, (z_off64_t)zip_size(zip));
        uint64_t behind = size + zip_size(zip);
        cleanup_free uint8_t *rest =
            read_range(around, behind, (size_t)(zip_size(around) - behind));
        expected = (uint32_t)crc32_z(expected, rest, zip_size(around) - behind);
        assert_int_equal(zip_crc32(around, stream_crc32), expected);
    }
    fixture_free(&f);
}

static void the_crc_is_right_with_65536_members(void **state)
{
    (void)state;
    struct fixture f = fixture_zeros(NULL, 65536);
    cleanup_zip struct zip *zip = compose(f.members, f.count);
    cleanup_free uint8_t *bytes = read_range(zip, 0, (size_t)zip_size(zip));
    assert_int_equal(zip_crc32(zip, stream_crc32), crc32_z(0, bytes, zip_size(zip)));
    fixture_free(&f);
}

static void an_archive_within_is_stored_as_it_is(void **state)
{
    cleanup_zip struct zip *inner = compose(NULL, 0);
    const struct zip_member good = {
        .name = "a.zip", .archive = inner, .size = 22, .compressed_size = 22, .mode = 0100644};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct zip_member member = good;
        struct zip *zip = NULL;
        struct error error = {0};
        if (i == 0)
            member.method = ZIP_DEFLATED;
        else if (i == 1)
            member.size = member.compressed_size = 21;
        else
            member.compressed_size = 23;
        assert_int_equal(zip_new(&member, 1, &zip, &error), -EINVAL);
        assert_non_null(strstr(error.text, "a.zip"));
        assert_null(zip);
    }
    cleanup_zip struct zip *zip = compose(&good, 1);
    assert_int_equal(zip_member_count(zip), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_archive_is_an_end_record),
        cmocka_unit_test(a_stored_member_is_written_byte_for_byte),
        cmocka_unit_test(a_deflated_member_with_a_name_in_utf8_is_written_byte_for_byte),
        cmocka_unit_test(every_range_of_a_small_archive_reads_as_the_whole),
        cmocka_unit_test(random_ranges_of_a_large_archive_read_as_the_whole),
        cmocka_unit_test(a_read_ends_where_the_archive_ends),
        cmocka_unit_test(a_failing_stream_gives_its_errno),
        cmocka_unit_test(the_fields_of_members_are_copied),
        cmocka_unit_test(zip64_begins_where_a_size_is_full),
        cmocka_unit_test(zip64_begins_where_an_offset_is_full),
        cmocka_unit_test(zip64_begins_at_65535_members),
        cmocka_unit_test(libarchive_reads_the_same_members_from_a_file),
        cmocka_unit_test(libarchive_finds_members_beyond_4_gib),
        cmocka_unit_test(a_bad_name_is_refused),
        cmocka_unit_test(a_name_has_room_for_65535_bytes),
        cmocka_unit_test(members_out_of_order_or_twice_are_refused),
        cmocka_unit_test(a_stored_member_has_one_size),
        cmocka_unit_test(an_archive_has_room_for_int64_max_bytes),
        cmocka_unit_test(the_crc_of_an_archive_is_that_of_its_bytes),
        cmocka_unit_test(an_archive_within_is_as_its_bytes),
        cmocka_unit_test(the_crc_is_right_beyond_4_gib),
        cmocka_unit_test(the_crc_is_right_with_65536_members),
        cmocka_unit_test(an_archive_within_is_stored_as_it_is),
    };

    /* libarchive gives names in the locale's character set. */
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
