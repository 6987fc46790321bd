#include "source_loose.h"

#include "source_stores.h"

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

/*
 * The format (Pro Git, "Git Internals - Git Objects"; Git, object-file.c): a zlib stream (RFC 1950)
 * of the object's type in letters, a space, its size in decimal digits, a NUL, its content.
 */

enum {
    PIECE = 1 << 16,
    HEADER_LIMIT = 32,  /* as Git has it */
    RATIO_LIMIT = 1040, /* no deflated byte becomes more (zlib: 1032) */
};

struct loose {
    int fd;
    const char *path;
    unsigned char *piece;
    z_stream zlib;
    bool ended; /* the stream */
    struct error *why;
};

static void loose_end(struct loose *loose)
{
    inflateEnd(&loose->zlib);
    free(loose->piece);
}

/* Inflate until there are `size` bytes, or no more. */
static int inflate_some(struct loose *loose, void *bytes, size_t size, size_t *ret_size)
{
    size_t done = 0;

    while (done < size && !loose->ended) {
        if (loose->zlib.avail_in == 0) {
            ssize_t n = read(loose->fd, loose->piece, PIECE);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return error_of_the_moment(loose->why, -errno, "%s", loose->path);
            if (n == 0)
                return -EIO;
            loose->zlib.next_in = loose->piece;
            loose->zlib.avail_in = (uInt)n;
        }
        size_t room = size - done < PIECE ? size - done : PIECE;
        loose->zlib.next_out = (unsigned char *)bytes + done;
        loose->zlib.avail_out = (uInt)room;
        int r = inflate(&loose->zlib, Z_NO_FLUSH);
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
            return r == Z_MEM_ERROR ? error_errno(loose->why, -ENOMEM, "%s", loose->path) : -EIO;
        done += room - loose->zlib.avail_out;
        loose->ended = r == Z_STREAM_END;
    }
    *ret_size = done;
    return 0;
}

/* The length of the header, or 0 if it is none. */
static size_t parse_header(const char *header, size_t size, uint64_t limit,
                           struct raw_object *ret_raw)
{
    const char *end = memchr(header, '\0', size);
    const char *space = end ? memchr(header, ' ', (size_t)(end - header)) : NULL;
    char type[HEADER_LIMIT] = "";
    uint64_t length = 0;

    if (!space || space + 1 == end)
        return 0;
    memcpy(type, header, (size_t)(space - header));
    ret_raw->type = git_object_string2type(type);
    if (!git_object_typeisloose(ret_raw->type))
        return 0;
    for (const char *at = space + 1; at < end; at++) {
        if (*at < '0' || *at > '9')
            return 0;
        length = 10 * length + (uint64_t)(*at - '0');
        if (length > limit)
            return 0;
    }
    ret_raw->size = (size_t)length;
    return (size_t)(end - header) + 1;
}

/*
 * There is no memory for `size` bytes. Is that how many there are? A header may say anything. -EIO:
 * it is not.
 */
static int count_bytes(struct loose *loose, uint64_t size)
{
    char piece[HEADER_LIMIT * 128];
    uint64_t total = 0;
    size_t some = 0;

    do {
        int r = inflate_some(loose, piece, sizeof(piece), &some);
        if (r < 0)
            return r;
        total += some;
    } while (some > 0 && total <= size);
    return total == size ? error_errno(loose->why, -ENOMEM, "%s", loose->path) : -EIO;
}

static int read_all(struct loose *loose, uint64_t limit, git_odb_backend *backend,
                    struct raw_object *ret_raw)
{
    char header[HEADER_LIMIT];
    size_t found = 0;
    size_t rest = 0;

    int r = inflate_some(loose, header, sizeof(header), &found);
    if (r < 0)
        return r;
    size_t length = parse_header(header, found, limit, ret_raw);
    if (length == 0 || found - length > ret_raw->size)
        return -EIO;
    if (!backend)
        return 0;
    ret_raw->bytes = git_odb_backend_data_alloc(backend, ret_raw->size + 1);
    if (!ret_raw->bytes)
        return count_bytes(loose, ret_raw->size - (found - length));
    char *content = ret_raw->bytes;
    memcpy(content, header + length, found - length);
    found -= length;
    /* Room for one byte more, which must not come. */
    r = inflate_some(loose, content + found, ret_raw->size + 1 - found, &rest);
    if (r == 0 && (found + rest != ret_raw->size || !loose->ended))
        r = -EIO;
    if (r < 0)
        git_odb_backend_data_free(backend, ret_raw->bytes);
    else
        content[ret_raw->size] = '\0';
    return r;
}

int loose_read(const char *folder, const git_oid *object, git_odb_backend *backend,
               struct raw_object *ret_raw, struct error *why)
{
    char path[PATH_MAX];
    struct raw_object raw = {0};
    struct stat status;

    if (!stores_loose_path(folder, object, path))
        return error_of_the_moment(why, -ENAMETOOLONG, "%s", folder);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_of_the_moment(why, -errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return -EIO;
    __attribute__((cleanup(loose_end))) struct loose loose = {
        .fd = fd,
        .path = path,
        .why = why,
        .piece = malloc(PIECE),
    };
    if (!loose.piece || inflateInit(&loose.zlib) != Z_OK)
        return error_errno(why, -ENOMEM, "%s", path);
    int r = read_all(&loose, RATIO_LIMIT * (uint64_t)status.st_size, backend, &raw);
    if (r == 0)
        *ret_raw = raw;
    return r;
}
