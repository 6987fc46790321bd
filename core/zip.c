#include "zip_name.h"

#include <addonfs/checked.h>
#include <addonfs/deflate.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

/* APPNOTE 6.3.10: sizes of the fixed parts, in bytes. */
enum {
    LOCAL_SIZE = 30,              /* 4.3.7 */
    CENTRAL_SIZE = 46,            /* 4.3.12 */
    END64_SIZE = 56,              /* 4.3.14 */
    LOCATOR64_SIZE = 20,          /* 4.3.15 */
    END_SIZE = 22,                /* 4.3.16 */
    LOCAL_EXTRA_SIZE = 4 + 2 * 8, /* 4.5.3: header id, size, both sizes */
    EXTRA64_LIMIT = 4 + 3 * 8,    /* 4.5.3: header id, size, at most three values */
    NAME_SHOWN = 2048,            /* of a name in a message: two and a reason fit ERROR_TEXT_SIZE */
};

/* Signatures. */
enum {
    LOCAL_SIGNATURE = 0x04034b50,
    CENTRAL_SIGNATURE = 0x02014b50,
    END64_SIGNATURE = 0x06064b50,
    LOCATOR64_SIGNATURE = 0x07064b50,
    END_SIGNATURE = 0x06054b50,
};

/* 4.4.3: what a reader must understand: plain files, deflate, ZIP64. */
enum {
    VERSION_STORED = 10,
    VERSION_DEFLATED = 20,
    VERSION_ZIP64 = 45,
    MADE_BY_UNIX = 3 << 8, /* 4.4.2 */
};

enum {
    FLAG_UTF8 = 1 << 11, /* 4.4.4 */
    DOS_TIME = 0,        /* 4.4.6: 00:00:00 … */
    DOS_DATE = 0x0021,   /* … on 1980-01-01, the first day there is */
    EXTRA64_ID = 0x0001,
};

/* A field that holds this is to be looked up in the ZIP64 extra field. */
static const uint64_t FULL16 = UINT16_MAX;
static const uint64_t FULL32 = UINT32_MAX;

struct record {
    uint64_t local;   /* offset of the local header */
    uint64_t central; /* offset of the central header */
    uint64_t size;
    uint64_t compressed_size;
    const void *stream; /* or, … */
    const char *name;   /* the caller's */
    uint32_t crc32;
    uint16_t name_size;
    uint16_t method;
    uint16_t mode;
    bool utf8;
    bool is_archive; /* … a struct zip */
};

struct zip {
    size_t count;
    struct record *records;
    uint64_t central; /* offset of the central directory */
    uint64_t end;     /* offset of what follows it */
    uint64_t size;
};

static void put16(uint8_t **to, uint64_t value)
{
    *(*to)++ = (uint8_t)value;
    *(*to)++ = (uint8_t)(value >> 8);
}

static void put32(uint8_t **to, uint64_t value)
{
    put16(to, value & 0xFFFF);
    put16(to, value >> 16);
}

static void put64(uint8_t **to, uint64_t value)
{
    put32(to, value & UINT32_MAX);
    put32(to, value >> 32);
}

static uint64_t capped(uint64_t value, uint64_t full)
{
    return value < full ? value : full;
}

/* A local header's extra field holds both sizes, or nothing (4.5.3). */
static bool local_is_64(const struct record *record)
{
    return record->size >= FULL32 || record->compressed_size >= FULL32;
}

static size_t local_size(const struct record *record)
{
    return LOCAL_SIZE + record->name_size + (local_is_64(record) ? (size_t)LOCAL_EXTRA_SIZE : 0);
}

/* A central header's holds just what does not fit. */
static size_t central_extra_size(const struct record *record)
{
    size_t values = (size_t)(record->size >= FULL32) + (record->compressed_size >= FULL32) +
                    (record->local >= FULL32);

    return values > 0 ? 4 + 8 * values : 0;
}

static size_t central_size(const struct record *record)
{
    return CENTRAL_SIZE + record->name_size + central_extra_size(record);
}

static uint64_t version_needed(const struct record *record, bool is_64)
{
    if (is_64)
        return VERSION_ZIP64;
    return record->method == ZIP_DEFLATED ? VERSION_DEFLATED : VERSION_STORED;
}

/* The fields that both headers share, from "version needed" to "name length". */
static void put_common(uint8_t **to, const struct record *record, bool is_64, bool both_sizes)
{
    bool cap = both_sizes && is_64;

    put16(to, version_needed(record, is_64));
    put16(to, record->utf8 ? FLAG_UTF8 : 0);
    put16(to, record->method);
    put16(to, DOS_TIME);
    put16(to, DOS_DATE);
    put32(to, record->crc32);
    put32(to, cap ? FULL32 : capped(record->compressed_size, FULL32));
    put32(to, cap ? FULL32 : capped(record->size, FULL32));
    put16(to, record->name_size);
}

/* The fixed part of a local header and, behind it, its extra field. */
static void make_local(const struct record *record, uint8_t *fixed, uint8_t *extra)
{
    bool is_64 = local_is_64(record);

    put32(&fixed, LOCAL_SIGNATURE);
    put_common(&fixed, record, is_64, true);
    put16(&fixed, is_64 ? LOCAL_EXTRA_SIZE : 0);
    if (!is_64)
        return;
    put16(&extra, EXTRA64_ID);
    put16(&extra, LOCAL_EXTRA_SIZE - 4);
    put64(&extra, record->size);
    put64(&extra, record->compressed_size);
}

static void make_central(const struct record *record, uint8_t *fixed, uint8_t *extra)
{
    size_t extra_size = central_extra_size(record);

    put32(&fixed, CENTRAL_SIGNATURE);
    put16(&fixed, MADE_BY_UNIX | (extra_size > 0 ? VERSION_ZIP64 : VERSION_DEFLATED));
    put_common(&fixed, record, extra_size > 0, false);
    put16(&fixed, extra_size);
    put16(&fixed, 0); /* comment */
    put16(&fixed, 0); /* disk */
    put16(&fixed, 0); /* internal attributes: nothing is known to be text */
    put32(&fixed, (uint64_t)record->mode << 16);
    put32(&fixed, capped(record->local, FULL32));
    if (extra_size == 0)
        return;
    put16(&extra, EXTRA64_ID);
    put16(&extra, extra_size - 4);
    if (record->size >= FULL32)
        put64(&extra, record->size);
    if (record->compressed_size >= FULL32)
        put64(&extra, record->compressed_size);
    if (record->local >= FULL32)
        put64(&extra, record->local);
}

static bool end_is_64(const struct zip *zip)
{
    return zip->count >= FULL16 || zip->central >= FULL32 || zip->end - zip->central >= FULL32;
}

/* The end records; returns their size. */
static size_t make_end(const struct zip *zip, uint8_t *bytes)
{
    uint8_t *to = bytes;
    uint64_t directory_size = zip->end - zip->central;

    if (end_is_64(zip)) {
        put32(&to, END64_SIGNATURE);
        put64(&to, END64_SIZE - 12); /* of what follows this field */
        put16(&to, MADE_BY_UNIX | VERSION_ZIP64);
        put16(&to, VERSION_ZIP64);
        put32(&to, 0); /* this disk */
        put32(&to, 0); /* the disk with the directory */
        put64(&to, zip->count);
        put64(&to, zip->count);
        put64(&to, directory_size);
        put64(&to, zip->central);
        put32(&to, LOCATOR64_SIGNATURE);
        put32(&to, 0); /* the disk with the record above */
        put64(&to, zip->end);
        put32(&to, 1); /* disks */
    }
    put32(&to, END_SIGNATURE);
    put16(&to, 0);
    put16(&to, 0);
    put16(&to, capped(zip->count, FULL16));
    put16(&to, capped(zip->count, FULL16));
    put32(&to, capped(directory_size, FULL32));
    put32(&to, capped(zip->central, FULL32));
    put16(&to, 0); /* comment */
    return (size_t)(to - bytes);
}

static int check_member(const struct zip_member *member, const struct zip_member *before,
                        const struct name_facts *facts, struct error *error)
{
    const char *reason = zip_reason_against(member->name, facts);

    if (reason)
        return error_set(error, -EINVAL, "%.*s: %s", NAME_SHOWN, member->name, reason);
    if (before && strcmp(before->name, member->name) >= 0)
        return error_set(error, -EINVAL, "%.*s: not behind %.*s in byte order", NAME_SHOWN,
                         member->name, NAME_SHOWN, before->name);
    if (member->archive && (member->method != ZIP_STORED || member->size != member->archive->size))
        return error_set(error, -EINVAL, "%.*s: not stored as the archive that it is", NAME_SHOWN,
                         member->name);
    if (member->method == ZIP_STORED && member->size != member->compressed_size)
        return error_set(error, -EINVAL, "%.*s: stored, but its sizes differ", NAME_SHOWN,
                         member->name);
    return 0;
}

static int take_members(struct zip *zip, const struct zip_member *members, struct error *error)
{
    zip->records = calloc(zip->count > 0 ? zip->count : 1, sizeof(*zip->records));
    if (!zip->records)
        return error_errno(error, -ENOMEM, "zip");
    for (size_t i = 0; i < zip->count; i++) {
        const struct zip_member *member = &members[i];
        const struct name_facts facts = zip_look_at_name(member->name);
        int r = check_member(member, i > 0 ? &members[i - 1] : NULL, &facts, error);
        if (r < 0)
            return r;
        zip->records[i] = (struct record){
            .size = member->size,
            .compressed_size = member->compressed_size,
            .stream = member->archive ? member->archive : member->stream,
            .name = member->name,
            .crc32 = member->crc32,
            .name_size = (uint16_t)facts.length,
            .method = member->method,
            .mode = member->mode,
            .utf8 = !facts.ascii,
            .is_archive = member->archive != NULL,
        };
    }
    return 0;
}

/* Give every segment its offset. */
static int lay_out(struct zip *zip, struct error *error)
{
    uint8_t end[END64_SIZE + LOCATOR64_SIZE + END_SIZE];
    uint64_t offset = 0;
    bool fits = true;

    for (size_t i = 0; fits && i < zip->count; i++) {
        struct record *record = &zip->records[i];
        record->local = offset;
        fits = checked_add(offset, local_size(record), &offset) &&
               checked_add(offset, record->compressed_size, &offset);
    }
    zip->central = offset;
    for (size_t i = 0; fits && i < zip->count; i++) {
        struct record *record = &zip->records[i];
        record->central = offset;
        fits = checked_add(offset, central_size(record), &offset);
    }
    zip->end = offset;
    fits = fits && checked_add(offset, make_end(zip, end), &zip->size) && zip->size <= INT64_MAX;
    return fits ? 0 : error_set(error, -EFBIG, "zip: the archive would be too large");
}

int zip_new(const struct zip_member *members, size_t count, struct zip **ret_zip,
            struct error *error)
{
    cleanup_zip struct zip *zip = calloc(1, sizeof(*zip));

    if (!zip)
        return error_errno(error, -ENOMEM, "zip");
    zip->count = count;
    int r = take_members(zip, members, error);
    if (r == 0)
        r = lay_out(zip, error);
    if (r == 0)
        *ret_zip = steal_pointer(&zip);
    return r;
}

void zip_free(struct zip *zip)
{
    if (!zip)
        return;
    free(zip->records);
    free(zip);
}

uint64_t zip_size(const struct zip *zip)
{
    return zip->size;
}

size_t zip_member_count(const struct zip *zip)
{
    return zip->count;
}

/* The part of a read that is still to be filled. */
struct span {
    uint64_t offset; /* in the archive */
    uint8_t *bytes;
    size_t size;
};

/* Copy what of the segment at `start` lies in the span, which begins in it or behind it. */
static void copy_segment(struct span *span, uint64_t start, const void *bytes, size_t size)
{
    if (span->size == 0 || span->offset >= start + size)
        return;
    size_t skip = (size_t)(span->offset - start);
    size_t n = size - skip < span->size ? size - skip : span->size;
    memcpy(span->bytes, (const uint8_t *)bytes + skip, n);
    span->offset += n;
    span->bytes += n;
    span->size -= n;
}

/* Copy what is inside the stream. */
static int copy_stream(const struct record *record, uint64_t offset, void *bytes, size_t size,
                       zip_stream_read read_stream, void *context)
{
    if (!record->is_archive)
        return read_stream(context, record->stream, offset, bytes, size);
    ssize_t n = zip_read(record->stream, offset, bytes, size, read_stream, context);
    return n < 0 ? (int)n : 0;
}

static int copy_local(const struct record *record, struct span *span, zip_stream_read read_stream,
                      void *context)
{
    uint8_t fixed[LOCAL_SIZE];
    uint8_t extra[EXTRA64_LIMIT];
    uint64_t at = record->local;
    uint64_t stream = record->local + local_size(record);

    if (span->offset < stream) {
        make_local(record, fixed, extra);
        copy_segment(span, at, fixed, LOCAL_SIZE);
        at += LOCAL_SIZE;
        copy_segment(span, at, record->name, record->name_size);
        at += record->name_size;
        copy_segment(span, at, extra, (size_t)(stream - at));
    }
    uint64_t end = stream + record->compressed_size;
    if (span->size == 0 || span->offset >= end)
        return 0;
    size_t n = end - span->offset < span->size ? (size_t)(end - span->offset) : span->size;
    int r = copy_stream(record, span->offset - stream, span->bytes, n, read_stream, context);
    if (r < 0)
        return r;
    span->offset += n;
    span->bytes += n;
    span->size -= n;
    return 0;
}

static void copy_central(const struct record *record, struct span *span)
{
    uint8_t fixed[CENTRAL_SIZE];
    uint8_t extra[EXTRA64_LIMIT];
    uint64_t at = record->central;

    make_central(record, fixed, extra);
    copy_segment(span, at, fixed, CENTRAL_SIZE);
    at += CENTRAL_SIZE;
    copy_segment(span, at, record->name, record->name_size);
    at += record->name_size;
    copy_segment(span, at, extra, central_extra_size(record));
}

/* The last record whose segment starts at or before `offset`; segments have no gaps. */
static size_t find_record(const struct zip *zip, uint64_t offset, bool central)
{
    size_t low = 0;
    size_t high = zip->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        uint64_t start = central ? zip->records[middle].central : zip->records[middle].local;
        if (start <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

ssize_t zip_read(const struct zip *zip, uint64_t offset, void *bytes, size_t size,
                 zip_stream_read read_stream, void *context)
{
    struct span span = {offset, bytes, size};

    if (offset >= zip->size)
        return 0;
    if (span.size > zip->size - offset)
        span.size = (size_t)(zip->size - offset);
    if (span.size > SSIZE_MAX)
        span.size = SSIZE_MAX;
    size = span.size;
    if (span.offset < zip->central) {
        size_t i = find_record(zip, span.offset, false);
        for (; i < zip->count && span.size > 0; i++) {
            int r = copy_local(&zip->records[i], &span, read_stream, context);
            if (r < 0)
                return r;
        }
    }
    if (span.size > 0 && span.offset < zip->end) {
        for (size_t i = find_record(zip, span.offset, true); i < zip->count && span.size > 0; i++)
            copy_central(&zip->records[i], &span);
    }
    if (span.size > 0) {
        uint8_t end[END64_SIZE + LOCATOR64_SIZE + END_SIZE];
        copy_segment(&span, zip->end, end, make_end(zip, end));
    }
    return (ssize_t)size;
}

static uint32_t local_crc32(uint32_t crc, const struct record *record)
{
    uint8_t fixed[LOCAL_SIZE];
    uint8_t extra[EXTRA64_LIMIT];

    make_local(record, fixed, extra);
    crc = deflate_crc32(crc, fixed, sizeof(fixed));
    crc = deflate_crc32(crc, record->name, record->name_size);
    return deflate_crc32(crc, extra, local_size(record) - LOCAL_SIZE - record->name_size);
}

uint32_t zip_crc32(const struct zip *zip, uint32_t (*stream_crc32)(const void *stream))
{
    uint8_t piece[1 << 12];
    uint32_t crc = 0;
    ssize_t n;

    for (size_t i = 0; i < zip->count; i++) {
        const struct record *record = &zip->records[i];
        uint32_t stream =
            record->method == ZIP_STORED ? record->crc32 : stream_crc32(record->stream);
        crc = deflate_crc32_combine(local_crc32(crc, record), stream, record->compressed_size);
    }
    /* Behind the streams none is read. */
    for (uint64_t at = zip->central; (n = zip_read(zip, at, piece, sizeof(piece), NULL, NULL)) > 0;
         at += (uint64_t)n)
        crc = deflate_crc32(crc, piece, (size_t)n);
    return crc;
}
