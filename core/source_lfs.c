#include "source_lfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char first_line[] = "version https://git-lfs.github.com/spec/";

enum { PIECE = 1 << 16, DIGEST_SIZE = 2 * sizeof(struct content_id) };

bool lfs_is_pointer(const void *bytes, uint64_t size)
{
    return size >= sizeof(first_line) && size < LFS_POINTER_LIMIT &&
           memcmp(bytes, first_line, sizeof(first_line) - 1) == 0;
}

/* What follows `key` at the beginning of a line, or NULL. */
static const char *value_of(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
        if (strncmp(line + 1, key, length) == 0)
            return line + 1 + length;
    }
    return NULL;
}

static int digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static bool parse_id(const char *text, struct content_id *ret_id)
{
    for (size_t i = 0; i < sizeof(ret_id->bytes); i++) {
        int high = digit(text[2 * i]);
        int low = high < 0 ? -1 : digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        ret_id->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return text[DIGEST_SIZE] == '\n';
}

static bool parse_size(const char *text, uint64_t *ret_size)
{
    char *end = NULL;

    if (digit(*text) < 0 || digit(*text) > 9)
        return false;
    errno = 0;
    *ret_size = strtoull(text, &end, 10);
    return errno == 0 && *ret_size <= INT64_MAX && (*end == '\n' || *end == '\0');
}

bool lfs_parse(const void *bytes, size_t size, struct lfs_pointer *ret_pointer)
{
    char text[LFS_POINTER_LIMIT + 1];

    if (!lfs_is_pointer(bytes, size))
        return false;
    memcpy(text, bytes, size);
    text[size] = '\0';
    const char *id = value_of(text, "oid sha256:");
    const char *length = value_of(text, "size ");
    return id && length && parse_id(id, &ret_pointer->id) && parse_size(length, &ret_pointer->size);
}

/* lfs/objects/4d/7a/4d7a2146…, as git-lfs lays them out. */
static int open_object(const char *git_dir, const struct lfs_pointer *pointer)
{
    char name[DIGEST_SIZE + 1];
    cleanup_free char *path = NULL;

    content_id_text(&pointer->id, DIGEST_SIZE, name);
    if (asprintf(&path, "%s/lfs/objects/%.2s/%.2s/%s", git_dir, name, name + 2, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    /* Non-blocking: it might be a FIFO. What it holds is checked, whatever it is a link to. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

int lfs_look(const char *git_dir, const struct lfs_pointer *pointer)
{
    cleanup_fd int fd = open_object(git_dir, pointer);
    struct stat status;

    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) && (uint64_t)status.st_size == pointer->size ? 0 : -ENOENT;
}

static int read_all(int fd, const struct lfs_pointer *pointer, struct content_writer *writer,
                    struct error *error)
{
    cleanup_free char *piece = malloc(PIECE);
    uint64_t offset = 0;

    if (!piece)
        return error_errno(error, -ENOMEM, "Git LFS object");
    while (offset < pointer->size) {
        ssize_t n = pread(fd, piece, PIECE, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ESTALE;
        if ((uint64_t)n > pointer->size - offset)
            n = (ssize_t)(pointer->size - offset);
        int r = content_append(writer, piece, (size_t)n, error);
        if (r < 0)
            return r;
        offset += (uint64_t)n;
    }
    return 0;
}

int lfs_read(const char *git_dir, const struct lfs_pointer *pointer, const char *path,
             struct spool *spool, size_t memory_limit, struct content **ret_content,
             struct error *error)
{
    cleanup_content_writer struct content_writer *writer = NULL;
    cleanup_content struct content *content = NULL;
    cleanup_fd int fd = open_object(git_dir, pointer);
    struct error why = {0};

    if (fd == -ENOENT || fd == -ENOTDIR)
        return error_set(error, -EIO, "%s: " LFS_ABSENT, path);
    if (fd < 0)
        return error_is_transient(fd)
                   ? error_errno(error, fd, "%s", path)
                   : error_set(error, -EIO, "%s: its Git LFS object cannot be opened: %s", path,
                               strerror(-fd));
    int r = lfs_look(git_dir, pointer);
    if (r == 0)
        r = content_begin(spool, pointer->size, memory_limit, &writer);
    if (r == 0)
        r = read_all(fd, pointer, writer, &why);
    if (r == 0)
        r = content_finish(&writer, &content, &why);
    if (r < 0 && r != -ENOENT && r != -ESTALE && error_is_transient(r))
        return *why.text ? error_set(error, r, "%s: %s", path, why.text)
                         : error_errno(error, r, "%s", path);
    if (r < 0 || !content_id_equal(&content->id, &pointer->id))
        return error_set(error, -EIO, "%s: its Git LFS object is damaged: git lfs fsck", path);
    *ret_content = steal_pointer(&content);
    return 0;
}
