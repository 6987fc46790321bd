#include "source_chain.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

enum {
    CHECKSUM = 20, /* at the end of a pack */
    CRC = 4,
    OFFSET = 4,
    LARGE_OFFSET = 8,
    OFFSET_DELTA = 6, /* types of objects (gitformat-pack(5)) … */
    ID_DELTA = 7,
    LENGTH_LIMIT = 10000, /* of a chain; Git writes none of more than 4095 (pack-objects --depth) */
    RATIO_LIMIT = 1040,   /* no deflated byte becomes more (zlib: 1032) */
};

static const uint32_t IS_LARGE = UINT32_C(1) << 31;

static int map_file(int fd, const char *path, const unsigned char **ret_bytes, size_t *ret_size,
                    struct error *why)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return error_of_the_moment(why, -errno, "%s", path);
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_of_the_moment(why, -errno, "%s", path);
    *ret_bytes = bytes;
    *ret_size = (size_t)status.st_size;
    return 0;
}

int chain_map(const struct pack_index *index, struct chain_pack *ret_pack, struct error *why)
{
    struct chain_pack pack = {.layout = index};
    cleanup_fd int fd = open(index->pack, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : error_of_the_moment(why, -errno, "%s", index->pack);
    int r = map_file(index->fd, index->pack, &pack.index, &pack.index_size, why);
    if (r == 0)
        r = map_file(fd, index->pack, &pack.pack, &pack.pack_size, why);
    /* It was looked at before. */
    if (r == 0 && (pack.index_size != (size_t)index->status.st_size || pack.pack_size <= CHECKSUM))
        r = error_of_the_moment(why, -ESTALE, "%s", index->pack);
    if (r < 0)
        chain_unmap(&pack);
    else
        *ret_pack = pack;
    return r;
}

void chain_unmap(struct chain_pack *pack)
{
    if (pack->index)
        munmap((void *)(uintptr_t)pack->index, pack->index_size);
    if (pack->pack)
        munmap((void *)(uintptr_t)pack->pack, pack->pack_size);
    *pack = (struct chain_pack){.index = NULL};
}

static uint64_t offset_at(const struct chain_pack *pack, uint32_t at)
{
    const struct pack_index *layout = pack->layout;
    const unsigned char *names = pack->index + layout->names;
    uint32_t offset;
    uint64_t large;

    if (!layout->is_2) {
        memcpy(&offset, names + (size_t)at * (size_t)layout->step - OFFSET, sizeof(offset));
        return be32toh(offset);
    }
    const unsigned char *table = names + (size_t)layout->count * (GIT_OID_RAWSZ + CRC);
    memcpy(&offset, table + (size_t)at * OFFSET, sizeof(offset));
    offset = be32toh(offset);
    if (!(offset & IS_LARGE))
        return offset;
    table += (size_t)layout->count * OFFSET;
    memcpy(&large, table + (size_t)(offset & ~IS_LARGE) * LARGE_OFFSET, sizeof(large));
    return be64toh(large);
}

int chain_find(const struct chain_pack *pack, const git_oid *object, uint64_t *ret_offset)
{
    const struct pack_index *layout = pack->layout;
    uint32_t low = object->id[0] > 0 ? layout->fan_out[object->id[0] - 1] : 0;
    uint32_t high = layout->fan_out[object->id[0]];

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = memcmp(pack->index + layout->names + (size_t)middle * (size_t)layout->step,
                           object->id, GIT_OID_RAWSZ);
        if (order == 0) {
            *ret_offset = offset_at(pack, middle);
            return 0;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -ENOENT;
}

/* The object at `*offset`: 0, and it is whole; 1, and it is a delta against that at `*offset`. */
static int follow(const struct chain_pack *pack, uint64_t *offset)
{
    const unsigned char *at = pack->pack + *offset;
    const unsigned char *end = pack->pack + pack->pack_size - CHECKSUM;
    uint64_t limit = (uint64_t)pack->pack_size * RATIO_LIMIT;
    unsigned shift = 4;

    if (*offset >= pack->pack_size - CHECKSUM)
        return -EIO;
    unsigned type = *at >> 4 & 7;
    uint64_t size = *at & 15;
    for (; *at & 0x80; shift += 7) {
        if (++at == end || shift > 56)
            return -EIO;
        size |= (uint64_t)(*at & 0x7f) << shift;
    }
    at++;
    if (size > limit || at == end)
        return -EIO;
    if (type == ID_DELTA) {
        git_oid base;
        if (end - at < GIT_OID_RAWSZ)
            return -EIO;
        memcpy(base.id, at, GIT_OID_RAWSZ);
        return chain_find(pack, &base, offset) == 0 ? 1 : -EIO;
    }
    if (type != OFFSET_DELTA)
        return 0;
    uint64_t distance = *at & 0x7f;
    while (*at & 0x80) {
        if (++at == end || distance > *offset)
            return -EIO;
        distance = ((distance + 1) << 7) + (*at & 0x7f);
    }
    if (distance == 0 || distance >= *offset)
        return -EIO;
    *offset -= distance;
    return 1;
}

int chain_check(const struct chain_pack *pack, uint64_t offset)
{
    int r = 1;

    for (int length = 0; r == 1 && length < LENGTH_LIMIT; length++)
        r = follow(pack, &offset);
    return r == 0 ? 0 : PACK_DAMAGED;
}
