#include "source_packed.h"

#include "source_delta.h"
#include "source_pack_stream.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <string.h>

enum {
    CHECKSUM = 20,      /* at the end of a pack */
    OFFSET_DELTA = 6,   /* types of objects … */
    ID_DELTA = 7,       /* … that are deltas */
    RATIO_LIMIT = 1040, /* no deflated byte becomes more (zlib: 1032) */
};

/*
 * A few hundred bytes of a delta can ask for gigabytes, and so can each of thousands in a chain.
 * What Git writes: chains of up to 4095 (pack-objects --depth), 50 by default, and none of files of
 * more than 512 MiB (core.bigFileThreshold). So at most 25 GiB by default, and 32 GiB where files
 * of 8 MiB are in chains of any length. All that a read may cost is half a minute, not hours; and
 * three times one object in memory: a delta, what it is against, and what it makes.
 */
static const struct packed_limits LIMITS = {
    .links = 10000,
    .object = UINT64_C(1) << 30,
    .work = UINT64_C(32) << 30,
};

void packed_begin(const struct pack_index *index, uint64_t size, struct bases *bases,
                  struct packed *ret_pack)
{
    *ret_pack = (struct packed){
        .index = index,
        .fd = -1,
        .end = size > CHECKSUM ? size - CHECKSUM : 0,
        .bases = bases,
        .number = bases_add_pack(bases),
        .limits = LIMITS,
    };
}

void packed_end(struct packed *pack)
{
    if (pack->bases)
        bases_drop_pack(pack->bases, pack->number);
}

int packed_find(const struct packed *pack, const git_oid *object, uint64_t *ret_offset,
                struct error *why)
{
    uint32_t at;
    uint32_t end;
    git_oid found;

    int r = pack_index_search(pack->index, object, &at, &end, why);
    if (r == 0 && at == end)
        return -ENOENT;
    if (r == 0)
        r = pack_index_id(pack->index, at, &found, why);
    if (r != 0)
        return r;
    return git_oid_equal(&found, object) ? pack_index_offset(pack->index, at, ret_offset, why)
                                         : -ENOENT;
}

/* --- Objects ------------------------------------------------------------------------------------
 */

struct header {
    unsigned type;
    uint64_t size; /* of what is deflated */
    uint64_t base; /* of a delta: the offset of what it is against */
};

static int take_distance(struct pack_stream *stream, uint64_t offset, uint64_t *ret_base)
{
    unsigned char byte;
    uint64_t distance = 0;
    int r = pack_stream_byte(stream, &byte);

    for (; r == 0 && byte & 0x80; r = pack_stream_byte(stream, &byte)) {
        distance = ((distance | (byte & 0x7f)) + 1) << 7;
        if (distance > offset)
            return PACK_DAMAGED;
    }
    if (r != 0)
        return r;
    distance |= byte & 0x7f;
    if (distance == 0 || distance >= offset)
        return PACK_DAMAGED;
    *ret_base = offset - distance;
    return 0;
}

static int take_base(struct pack_stream *stream, uint64_t *ret_base)
{
    git_oid id;
    int r = 0;

    for (size_t i = 0; r == 0 && i < GIT_OID_RAWSZ; i++)
        r = pack_stream_byte(stream, &id.id[i]);
    if (r == 0)
        r = packed_find(stream->pack, &id, ret_base, stream->why);
    return r == -ENOENT ? PACK_DAMAGED : r; /* it must be in the same pack */
}

/* The header of the object at `offset`, where the stream begins; it ends where what is deflated
 * does. */
static int take_header(struct pack_stream *stream, uint64_t offset, struct header *ret_header)
{
    struct header header = {.type = 0};
    unsigned char byte;
    unsigned shift = 4;

    int r = pack_stream_byte(stream, &byte);
    if (r != 0)
        return r;
    header.type = byte >> 4 & 7;
    header.size = byte & 15;
    for (; byte & 0x80; shift += 7) {
        r = shift > 56 ? PACK_DAMAGED : pack_stream_byte(stream, &byte);
        if (r != 0)
            return r;
        header.size |= (uint64_t)(byte & 0x7f) << shift;
    }
    if (header.type == OFFSET_DELTA)
        r = take_distance(stream, offset, &header.base);
    else if (header.type == ID_DELTA)
        r = take_base(stream, &header.base);
    else if (!git_object_typeisloose((git_object_t)header.type))
        r = PACK_DAMAGED;
    if (r != 0)
        return r;
    /* Nobody asks for memory because of a number that cannot be true. */
    if (header.size / RATIO_LIMIT > stream->pack->end - pack_stream_offset(stream))
        return PACK_DAMAGED;
    *ret_header = header;
    return 0;
}

static bool is_delta(const struct header *header)
{
    return header->type == OFFSET_DELTA || header->type == ID_DELTA;
}

/* An object that is being read: the deltas that are to be applied to what is there of it. */
struct reading {
    struct pack_stream stream;
    git_odb_backend *backend;
    struct link {
        uint64_t offset;  /* of the object */
        uint64_t content; /* of what is deflated … */
        size_t size;      /* … and becomes this */
    } * links;
    size_t count;
    size_t capacity;
    uint64_t work;   /* bytes that may still be made on the way */
    uint64_t offset; /* of what is there: `base`, or else `raw` */
    struct base *base;
    struct raw_object raw;
    struct raw_object spare; /* what is not needed any more */
};

static int out_of_memory(const struct reading *reading)
{
    return error_errno(reading->stream.why, -ENOMEM, "%s", reading->stream.pack->index->pack);
}

static void reading_end(struct reading *reading)
{
    base_unref(reading->base);
    git_odb_backend_data_free(reading->backend, reading->raw.bytes);
    git_odb_backend_data_free(reading->backend, reading->spare.bytes);
    free(reading->links);
}

/* So many bytes are to be made for a delta, or of it. */
static int spend(struct reading *reading, uint64_t size)
{
    if (size > reading->stream.pack->limits.object || size > reading->work)
        return PACK_EXCESSIVE;
    reading->work -= size;
    return 0;
}

static int add_link(struct reading *reading, const struct header *header)
{
    if (reading->count == reading->stream.pack->limits.links)
        return PACK_DAMAGED;
    if (reading->count == reading->capacity) {
        size_t capacity = reading->capacity ? 2 * reading->capacity : 16;
        struct link *links = reallocarray(reading->links, capacity, sizeof(*links));
        if (!links)
            return out_of_memory(reading);
        reading->links = links;
        reading->capacity = capacity;
    }
    reading->links[reading->count++] = (struct link){
        .offset = reading->offset,
        .content = pack_stream_offset(&reading->stream),
        .size = (size_t)header->size,
    };
    return 0;
}

/* Inflate what begins where the stream is, of which the header says that it is `size` bytes. */
static int inflate(struct reading *reading, size_t size, void **ret_bytes)
{
    void *bytes = git_odb_backend_data_alloc(reading->backend, size + 1);

    if (!bytes) {
        /* A header may say anything. Memory is short only for what is there. */
        int r = pack_stream_count(&reading->stream, size, reading->work);
        return r == 0 ? out_of_memory(reading) : r;
    }
    int r = pack_stream_inflate(&reading->stream, bytes, size);
    if (r == 0)
        *ret_bytes = bytes;
    else
        git_odb_backend_data_free(reading->backend, bytes);
    return r;
}

/* Read what is whole, where the stream is. */
static int read_whole(struct reading *reading, const struct header *header)
{
    struct raw_object *raw = &reading->raw;
    int r = reading->count > 0 ? spend(reading, header->size) : 0;

    if (r != 0)
        return r;
    raw->type = (git_object_t)header->type;
    raw->size = (size_t)header->size;
    return inflate(reading, raw->size, &raw->bytes);
}

/* Follow the chain to what is whole, or at hand. */
static int find_whole(struct reading *reading)
{
    const struct packed *pack = reading->stream.pack;
    struct header header;

    for (;;) {
        reading->base = bases_get(pack->bases, pack->number, reading->offset);
        if (reading->base)
            return 0;
        pack_stream_begin(&reading->stream, pack, reading->offset, reading->stream.why);
        int r = take_header(&reading->stream, reading->offset, &header);
        if (r == 0 && !is_delta(&header))
            return read_whole(reading, &header);
        if (r == 0)
            r = add_link(reading, &header);
        if (r != 0)
            return r;
        reading->offset = header.base;
    }
}

/*
 * Memory for what a delta makes: that of the one before the last, if it is about as large. What is
 * given back and taken again the kernel clears anew, and of large ones that is most of the work.
 */
static void *take_room(struct reading *reading, size_t size)
{
    struct raw_object *spare = &reading->spare;

    if (!spare->bytes || size > spare->size || size < spare->size / 2)
        return git_odb_backend_data_alloc(reading->backend, size + 1);
    return steal_pointer(&spare->bytes);
}

/* Make `ret_raw` of what is there and a delta. */
static int apply(struct reading *reading, const unsigned char *bytes, size_t size,
                 struct raw_object *ret_raw)
{
    const struct base *base = reading->base;
    struct delta delta = {
        .bytes = bytes,
        .size = size,
        .base = base ? base->bytes : reading->raw.bytes,
        .base_size = base ? base->size : reading->raw.size,
    };

    if (!delta_check(&delta, &ret_raw->size))
        return PACK_DAMAGED;
    int r = spend(reading, ret_raw->size);
    if (r != 0)
        return r;
    ret_raw->type = base ? base->type : reading->raw.type;
    ret_raw->bytes = take_room(reading, ret_raw->size);
    if (!ret_raw->bytes)
        return out_of_memory(reading);
    delta_apply(&delta, ret_raw->bytes);
    return 0;
}

/* Apply the last link. */
static int apply_link(struct reading *reading)
{
    const struct packed *pack = reading->stream.pack;
    const struct link *link = &reading->links[reading->count - 1];
    struct raw_object raw;
    void *bytes = NULL;

    if (!reading->base)
        bases_put(pack->bases, pack->number, reading->offset, reading->raw.type, reading->raw.bytes,
                  reading->raw.size);
    pack_stream_begin(&reading->stream, pack, link->content, reading->stream.why);
    int r = spend(reading, link->size);
    if (r == 0)
        r = inflate(reading, link->size, &bytes);
    if (r != 0)
        return r;
    r = apply(reading, bytes, link->size, &raw);
    git_odb_backend_data_free(reading->backend, bytes);
    if (r != 0)
        return r;
    base_unref(reading->base);
    reading->base = NULL;
    git_odb_backend_data_free(reading->backend, reading->spare.bytes);
    reading->spare = reading->raw;
    reading->raw = raw;
    reading->offset = link->offset;
    reading->count--;
    return 0;
}

static int copy_base(struct reading *reading)
{
    const struct base *base = reading->base;
    struct raw_object *raw = &reading->raw;

    raw->bytes = git_odb_backend_data_alloc(reading->backend, base->size + 1);
    if (!raw->bytes)
        return out_of_memory(reading);
    raw->type = base->type;
    raw->size = base->size;
    memcpy(raw->bytes, base->bytes, base->size);
    return 0;
}

int packed_read(const struct packed *pack, uint64_t offset, git_odb_backend *backend,
                struct raw_object *ret_raw, struct error *why)
{
    __attribute__((cleanup(reading_end))) struct reading reading;

    pack_stream_begin(&reading.stream, pack, offset, why);
    reading.backend = backend;
    reading.links = NULL;
    reading.count = 0;
    reading.capacity = 0;
    reading.work = pack->limits.work;
    reading.offset = offset;
    reading.base = NULL;
    reading.raw = (struct raw_object){.bytes = NULL};
    reading.spare = (struct raw_object){.bytes = NULL};
    int r = find_whole(&reading);
    while (r == 0 && reading.count > 0)
        r = apply_link(&reading);
    if (r == 0 && reading.base)
        r = copy_base(&reading);
    if (r != 0)
        return r;
    *ret_raw = reading.raw;
    reading.raw.bytes = NULL;
    ((char *)ret_raw->bytes)[ret_raw->size] = '\0';
    return 0;
}

int packed_size(const struct packed *pack, uint64_t offset, uint64_t *ret_size, struct error *why)
{
    unsigned char sizes[DELTA_SIZES];
    struct header header;
    struct pack_stream stream;
    uint64_t base;

    pack_stream_begin(&stream, pack, offset, why);
    int r = take_header(&stream, offset, &header);
    if (r != 0)
        return r;
    if (!is_delta(&header)) {
        *ret_size = header.size;
        return 0;
    }
    size_t some = header.size < sizeof(sizes) ? (size_t)header.size : sizeof(sizes);
    r = pack_stream_inflate_some(&stream, sizes, some);
    if (r == 0 && !delta_sizes(sizes, some, &base, ret_size))
        r = PACK_DAMAGED;
    return r;
}
