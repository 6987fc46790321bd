#include "source_pack.h"

#include <addonfs/error.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    CHECKSUM = 20,  /* at the end of a pack */
    CHECKSUMS = 40, /* at the end of its index: the pack's, and its own */
    CRC = 4,
    OFFSET = 4,
    LARGE_OFFSET = 8,
    HEADER = 12,  /* of a pack */
    PIECE = 1024, /* offsets that are read at once */
};

static const uint32_t IS_LARGE = UINT32_C(1) << 31;

static int of_the_moment(int code)
{
    return error_is_transient(code) ? code : -EAGAIN;
}

/* Read just that much, or the file is damaged. */
static int read_at(int fd, void *bytes, size_t size, off_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, (char *)bytes + done, size - done, offset + (off_t)done);
        if (n == 0)
            return PACK_DAMAGED;
        if (n < 0 && errno != EINTR)
            return of_the_moment(-errno);
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

bool pack_is_index(const char *name)
{
    size_t length = strlen(name);

    return length > 4 && strcmp(name + length - 4, ".idx") == 0;
}

/* Where the table after the ids begins. */
static off_t names_end(const struct pack_index *index)
{
    off_t start = index->names - (index->is_2 ? 0 : OFFSET);

    return start + (off_t)index->count * index->step;
}

int pack_index_open(const char *path, struct pack_index *ret_index)
{
    static const unsigned char version_2[8] = {0xff, 't', 'O', 'c', 0, 0, 0, 2};
    unsigned char magic[sizeof(version_2)];
    struct pack_index *index = ret_index;

    index->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (index->fd < 0)
        return errno == ENOENT ? -ENOENT : of_the_moment(-errno);
    if (fstat(index->fd, &index->status) < 0)
        return of_the_moment(-errno);
    if (!S_ISREG(index->status.st_mode))
        return PACK_DAMAGED;
    if (snprintf(index->pack, sizeof(index->pack), "%.*s.pack", (int)strlen(path) - 4, path) >=
        (int)sizeof(index->pack))
        return -EAGAIN;
    int r = read_at(index->fd, magic, sizeof(magic), 0);
    if (r != 0)
        return r;
    index->is_2 = memcmp(magic, version_2, sizeof(magic)) == 0;
    off_t start = index->is_2 ? (off_t)sizeof(magic) : 0;
    r = read_at(index->fd, index->fan_out, sizeof(index->fan_out), start);
    if (r != 0)
        return r;
    uint32_t last = 0;
    for (size_t i = 0; i < 256; i++) {
        index->fan_out[i] = be32toh(index->fan_out[i]);
        if (index->fan_out[i] < last)
            return PACK_DAMAGED;
        last = index->fan_out[i];
    }
    index->count = last;
    index->names = start + (off_t)sizeof(index->fan_out) + (index->is_2 ? 0 : OFFSET);
    index->step = index->is_2 ? GIT_OID_RAWSZ : OFFSET + GIT_OID_RAWSZ;
    off_t tables = index->is_2 ? (off_t)index->count * (CRC + OFFSET) : 0;
    return index->status.st_size >= names_end(index) + tables + CHECKSUMS ? 0 : PACK_DAMAGED;
}

void pack_index_close(struct pack_index *index)
{
    if (index->fd >= 0)
        close(index->fd);
    index->fd = -1;
}

/* As pack_check; `*ret_size` is the pack's. */
static int check(const struct pack_index *index, off_t *ret_size)
{
    unsigned char header[HEADER];
    unsigned char own[CHECKSUM];
    unsigned char told[CHECKSUM];
    struct stat status;
    uint32_t count;
    cleanup_fd int fd = open(index->pack, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : of_the_moment(-errno);
    if (fstat(fd, &status) < 0)
        return of_the_moment(-errno);
    if (!S_ISREG(status.st_mode) || status.st_size < HEADER + CHECKSUM)
        return PACK_DAMAGED;
    int r = read_at(fd, header, sizeof(header), 0);
    if (r == 0)
        r = read_at(fd, own, CHECKSUM, status.st_size - CHECKSUM);
    if (r == 0)
        r = read_at(index->fd, told, CHECKSUM, index->status.st_size - CHECKSUMS);
    if (r != 0)
        return r;
    memcpy(&count, header + 8, sizeof(count));
    *ret_size = status.st_size;
    return memcmp(header, "PACK", 4) == 0 && be32toh(count) == index->count &&
                   memcmp(own, told, CHECKSUM) == 0
               ? 0
               : PACK_DAMAGED;
}

int pack_check(const struct pack_index *index)
{
    off_t size;

    return check(index, &size);
}

/* Is the offset that the `at`th entry refers to in the table of large ones inside the pack? */
static int check_large(const struct pack_index *index, uint32_t at, off_t limit)
{
    off_t table = names_end(index) + (off_t)index->count * (CRC + OFFSET);
    uint64_t offset;

    if (table + ((off_t)at + 1) * LARGE_OFFSET > index->status.st_size - CHECKSUMS)
        return PACK_DAMAGED;
    int r = read_at(index->fd, &offset, sizeof(offset), table + (off_t)at * LARGE_OFFSET);
    return r != 0 ? r : be64toh(offset) < (uint64_t)limit ? 0 : PACK_DAMAGED;
}

int pack_check_offsets(const struct pack_index *index)
{
    /* Version 1 has each offset before its id. */
    off_t table =
        index->is_2 ? names_end(index) + (off_t)index->count * CRC : index->names - OFFSET;
    size_t step = index->is_2 ? OFFSET : OFFSET + GIT_OID_RAWSZ;
    unsigned char piece[PIECE * (OFFSET + GIT_OID_RAWSZ)];
    off_t size = 0;

    int r = check(index, &size);
    for (uint32_t at = 0; r == 0 && at < index->count;) {
        uint32_t some = index->count - at < PIECE ? index->count - at : PIECE;
        r = read_at(index->fd, piece, some * step, table + (off_t)at * (off_t)step);
        for (uint32_t i = 0; r == 0 && i < some; i++) {
            uint32_t offset;
            memcpy(&offset, piece + i * step, sizeof(offset));
            offset = be32toh(offset);
            if (index->is_2 && offset & IS_LARGE)
                r = check_large(index, offset & ~IS_LARGE, size - CHECKSUM);
            else
                r = offset < size - CHECKSUM ? 0 : PACK_DAMAGED;
        }
        at += some;
    }
    return r;
}

int pack_index_id(const struct pack_index *index, uint32_t at, git_oid *ret_id)
{
    return read_at(index->fd, ret_id->id, GIT_OID_RAWSZ, index->names + (off_t)at * index->step);
}

int pack_index_search(const struct pack_index *index, const git_oid *id, uint32_t *ret_at,
                      uint32_t *ret_end)
{
    uint32_t low = id->id[0] > 0 ? index->fan_out[id->id[0] - 1] : 0;
    uint32_t high = index->fan_out[id->id[0]];

    *ret_end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        git_oid found;
        int r = pack_index_id(index, middle, &found);
        if (r != 0)
            return r;
        if (git_oid_cmp(&found, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return 0;
}
