#include "source_pack.h"

#include <addonfs/error.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
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
    WINDOW = 128, /* ids that are */
};

static const uint32_t IS_LARGE = UINT32_C(1) << 31;

/* Read just that much, or the file is damaged. */
static int read_at(int fd, void *bytes, size_t size, off_t offset, const char *path,
                   struct error *why)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(fd, (char *)bytes + done, size - done, offset + (off_t)done);
        if (n == 0)
            return PACK_DAMAGED;
        if (n < 0 && errno != EINTR)
            return error_of_the_moment(why, -errno, "%s", path);
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int read_index(const struct pack_index *index, void *bytes, size_t size, off_t offset,
                      struct error *why)
{
    return read_at(index->fd, bytes, size, offset, index->pack, why);
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

int pack_index_open(const char *path, struct pack_index *ret_index, struct error *why)
{
    static const unsigned char version_2[8] = {0xff, 't', 'O', 'c', 0, 0, 0, 2};
    unsigned char magic[sizeof(version_2)];
    struct pack_index *index = ret_index;

    index->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (index->fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (index->fd < 0 || fstat(index->fd, &index->status) < 0)
        return error_of_the_moment(why, -errno, "%s", path);
    if (!S_ISREG(index->status.st_mode))
        return PACK_DAMAGED;
    if (snprintf(index->pack, sizeof(index->pack), "%.*s.pack", (int)strlen(path) - 4, path) >=
        (int)sizeof(index->pack))
        return error_of_the_moment(why, -ENAMETOOLONG, "%s", path);
    int r = read_index(index, magic, sizeof(magic), 0, why);
    if (r != 0)
        return r;
    index->is_2 = memcmp(magic, version_2, sizeof(magic)) == 0;
    off_t start = index->is_2 ? (off_t)sizeof(magic) : 0;
    r = read_index(index, index->fan_out, sizeof(index->fan_out), start, why);
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

/* As pack_matches_index; `*ret_size` is the pack's. */
static int check(const struct pack_index *index, off_t *ret_size, struct error *why)
{
    unsigned char header[HEADER];
    unsigned char own[CHECKSUM];
    unsigned char told[CHECKSUM];
    struct stat status;
    uint32_t numbers[2]; /* the version, and how many objects there are */
    cleanup_fd int fd = open(index->pack, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_of_the_moment(why, -errno, "%s", index->pack);
    if (!S_ISREG(status.st_mode) || status.st_size < HEADER + CHECKSUM)
        return PACK_DAMAGED;
    int r = read_at(fd, header, sizeof(header), 0, index->pack, why);
    if (r == 0)
        r = read_at(fd, own, CHECKSUM, status.st_size - CHECKSUM, index->pack, why);
    if (r == 0)
        r = read_index(index, told, CHECKSUM, index->status.st_size - CHECKSUMS, why);
    if (r != 0)
        return r;
    memcpy(numbers, header + 4, sizeof(numbers));
    uint32_t version = be32toh(numbers[0]);
    *ret_size = status.st_size;
    return memcmp(header, "PACK", 4) == 0 && (version == 2 || version == 3) &&
                   be32toh(numbers[1]) == index->count && memcmp(own, told, CHECKSUM) == 0
               ? 0
               : PACK_DAMAGED;
}

int pack_matches_index(const struct pack_index *index, struct error *why)
{
    off_t size;

    return check(index, &size, why);
}

/* Are all offsets of the table of large ones inside the pack? `*ret_count`: how many there are. */
static int check_large(const struct pack_index *index, off_t limit, uint32_t *ret_count,
                       struct error *why)
{
    off_t table = names_end(index) + (off_t)index->count * (CRC + OFFSET);
    off_t count = (index->status.st_size - CHECKSUMS - table) / LARGE_OFFSET;
    uint64_t piece[PIECE];
    int r = 0;

    for (off_t at = 0; r == 0 && at < count;) {
        size_t some = count - at < PIECE ? (size_t)(count - at) : PIECE;
        r = read_index(index, piece, some * LARGE_OFFSET, table + at * LARGE_OFFSET, why);
        for (size_t i = 0; r == 0 && i < some; i++)
            r = be64toh(piece[i]) < (uint64_t)limit ? 0 : PACK_DAMAGED;
        at += (off_t)some;
    }
    *ret_count = (uint32_t)count;
    return r;
}

int pack_holds_offsets(const struct pack_index *index, struct error *why)
{
    /* Version 1 has each offset before its id. */
    off_t table =
        index->is_2 ? names_end(index) + (off_t)index->count * CRC : index->names - OFFSET;
    size_t step = index->is_2 ? OFFSET : OFFSET + GIT_OID_RAWSZ;
    unsigned char piece[PIECE * (OFFSET + GIT_OID_RAWSZ)];
    off_t size = 0;
    uint32_t large = 0;

    int r = check(index, &size, why);
    if (r == 0 && index->is_2)
        r = check_large(index, size - CHECKSUM, &large, why);
    for (uint32_t at = 0; r == 0 && at < index->count;) {
        uint32_t some = index->count - at < PIECE ? index->count - at : PIECE;
        r = read_index(index, piece, some * step, table + (off_t)at * (off_t)step, why);
        for (uint32_t i = 0; r == 0 && i < some; i++) {
            uint32_t offset;
            memcpy(&offset, piece + i * step, sizeof(offset));
            offset = be32toh(offset);
            bool inside = index->is_2 && offset & IS_LARGE ? (offset & ~IS_LARGE) < large
                                                           : offset < size - CHECKSUM;
            r = inside ? 0 : PACK_DAMAGED;
        }
        at += some;
    }
    return r;
}

CLEANUP(digest, EVP_MD_CTX *, EVP_MD_CTX_free)

/* The SHA-1 of all before the index's own checksum. */
static int hash_index(const struct pack_index *index, EVP_MD_CTX *digest,
                      unsigned char ret_sum[static CHECKSUM], struct error *why)
{
    off_t end = index->status.st_size - CHECKSUM;
    unsigned char bytes[1 << 15];
    int r = 0;

    for (off_t at = 0; r == 0 && at < end;) {
        size_t some = end - at < (off_t)sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes);
        r = read_index(index, bytes, some, at, why);
        if (r == 0 && !EVP_DigestUpdate(digest, bytes, some))
            r = error_errno(why, -ENOMEM, "%s", index->pack);
        at += (off_t)some;
    }
    if (r == 0 && !EVP_DigestFinal_ex(digest, ret_sum, NULL))
        r = error_errno(why, -ENOMEM, "%s", index->pack);
    return r;
}

int pack_index_is_whole(const struct pack_index *index, struct error *why)
{
    __attribute__((cleanup(cleanup_digest_scope))) EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char found[CHECKSUM];
    unsigned char told[CHECKSUM];

    if (!digest)
        return error_errno(why, -ENOMEM, "%s", index->pack);
    /* Where a policy of the host forbids SHA-1, nothing can be said against the index. */
    if (!EVP_DigestInit_ex(digest, EVP_sha1(), NULL))
        return 0;
    int r = hash_index(index, digest, found, why);
    if (r == 0)
        r = read_index(index, told, CHECKSUM, index->status.st_size - CHECKSUM, why);
    if (r != 0)
        return r;
    return memcmp(found, told, CHECKSUM) == 0 ? 0 : PACK_DAMAGED;
}

int pack_index_id(const struct pack_index *index, uint32_t at, git_oid *ret_id, struct error *why)
{
    return read_index(index, ret_id->id, GIT_OID_RAWSZ, index->names + (off_t)at * index->step,
                      why);
}

int pack_index_offset(const struct pack_index *index, uint32_t at, uint64_t *ret_offset,
                      struct error *why)
{
    off_t place = index->names - OFFSET + (off_t)at * index->step;
    off_t table = names_end(index) + (off_t)index->count * CRC;
    uint32_t offset;
    uint64_t large;

    if (index->is_2)
        place = table + (off_t)at * OFFSET;
    int r = read_index(index, &offset, sizeof(offset), place, why);
    if (r != 0)
        return r;
    offset = be32toh(offset);
    if (!index->is_2 || !(offset & IS_LARGE)) {
        *ret_offset = offset;
        return 0;
    }
    table += (off_t)index->count * OFFSET;
    place = table + (off_t)(offset & ~IS_LARGE) * LARGE_OFFSET;
    r = read_index(index, &large, sizeof(large), place, why);
    if (r == 0)
        *ret_offset = be64toh(large);
    return r;
}

/* Ids of an index that are read at once. */
struct window {
    uint32_t at;
    uint32_t count;
    size_t step;
    unsigned char bytes[WINDOW * (OFFSET + GIT_OID_RAWSZ)];
};

/* How that id compares with `id`. */
static int compare(const struct window *window, uint32_t at, const git_oid *id)
{
    return memcmp(window->bytes + (at - window->at) * window->step, id->id, GIT_OID_RAWSZ);
}

/* The ids around `middle` that lie between the two. */
static int read_window(const struct pack_index *index, uint32_t low, uint32_t high, uint32_t middle,
                       struct window *window, struct error *why)
{
    window->count = high - low < WINDOW ? high - low : WINDOW;
    window->at = middle - low < window->count / 2 ? low : middle - window->count / 2;
    if (window->at > high - window->count)
        window->at = high - window->count;
    window->step = (size_t)index->step;
    /* Not what follows the last one in version 1: the file may end before. */
    size_t size = (window->count - 1) * window->step + GIT_OID_RAWSZ;
    return read_index(index, window->bytes, size, index->names + (off_t)window->at * index->step,
                      why);
}

bool pack_index_has(const struct pack_index *index, unsigned char first)
{
    return index->fan_out[first] > (first > 0 ? index->fan_out[first - 1] : 0);
}

/*
 * Ids are spread evenly, so where one lies among those that begin with the same byte can be told
 * from those that follow: a window around that place has it in almost all cases. If not, halves.
 */
int pack_index_search(const struct pack_index *index, const git_oid *id, uint32_t *ret_at,
                      uint32_t *ret_end, struct error *why)
{
    uint32_t low = id->id[0] > 0 ? index->fan_out[id->id[0] - 1] : 0;
    uint32_t high = index->fan_out[id->id[0]];
    uint32_t fraction;
    struct window window = {.count = 0};

    memcpy(&fraction, id->id + 1, sizeof(fraction));
    uint32_t middle = low + (uint32_t)((uint64_t)(high - low) * be32toh(fraction) >> 32);
    *ret_end = high;
    while (low < high) {
        int r = read_window(index, low, high, middle, &window, why);
        if (r != 0)
            return r;
        uint32_t end = window.at + window.count;
        if (compare(&window, window.at, id) >= 0) {
            high = window.at;
        } else if (compare(&window, end - 1, id) < 0) {
            low = end;
        } else {
            low = window.at + 1;
            high = end - 1;
            while (low < high) {
                uint32_t half = low + (high - low) / 2;
                if (compare(&window, half, id) < 0)
                    low = half + 1;
                else
                    high = half;
            }
        }
        middle = low + (high - low) / 2;
    }
    *ret_at = low;
    return 0;
}

int pack_index_check(const struct pack_index *index, unsigned char first, struct error *why)
{
    uint32_t low = first > 0 ? index->fan_out[first - 1] : 0;
    uint32_t high = index->fan_out[first];
    git_oid before = {{0}};
    struct window window = {.count = 0};

    for (; low < high; low += window.count) {
        int r = read_window(index, low, high, low, &window, why);
        if (r != 0)
            return r;
        for (uint32_t i = 0; i < window.count; i++) {
            const unsigned char *id = window.bytes + i * window.step;
            if (id[0] != first || memcmp(id, before.id, GIT_OID_RAWSZ) <= 0)
                return PACK_DAMAGED;
            memcpy(before.id, id, GIT_OID_RAWSZ);
        }
    }
    return 0;
}
