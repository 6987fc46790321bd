#include <addonfs/content.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

struct content_writer {
    struct sha256 *sha256;
    struct content *content; /* becomes the result; its size is the one that was promised */
    uint64_t used;
};

static void content_free(struct content *content)
{
    spool_release(content->spool, content->extent);
    free(content->bytes);
    free(content);
}

int content_begin(struct spool *spool, uint64_t size, size_t memory_limit,
                  struct content_writer **ret_writer)
{
    cleanup_content_writer struct content_writer *writer = calloc(1, sizeof(*writer));
    struct content *content = calloc(1, sizeof(*content));
    int r = 0;

    if (!writer || !content) {
        free(content);
        return -ENOMEM;
    }
    writer->content = content;
    atomic_init(&content->references, 1);
    content->size = size;
    content->spool = spool;
    content->extent = SPOOL_NOWHERE;
    if (size > memory_limit)
        r = spool_reserve(spool, size, &content->extent);
    else if (!(content->bytes = malloc(size > 0 ? (size_t)size : 1)))
        r = -ENOMEM;
    if (r == 0 && !(writer->sha256 = sha256_new()))
        r = -ENOMEM;
    if (r == 0)
        *ret_writer = steal_pointer(&writer);
    return r;
}

/* A file that is mostly holes (a disk's image) need not take as much disk as its size says. */
static int spool_piece(struct content_writer *writer, const char *bytes, size_t size,
                       struct error *error)
{
    const struct content *content = writer->content;
    bool is_zero = size > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
    int r = 1;

    if (is_zero)
        r = spool_leave(content->spool, content->extent, writer->used, size, error);
    return r == 1 ? spool_write(content->spool, content->extent, writer->used, bytes, size, error)
                  : r;
}

int content_append(struct content_writer *writer, const void *bytes, size_t size,
                   struct error *error)
{
    struct content *content = writer->content;
    int r = spool_check_stop(content->spool, error);

    if (r < 0)
        return r;
    if (size > content->size - writer->used)
        return error_set(error, -ESTALE, "grew while it was read");
    r = content->bytes ? 0 : spool_piece(writer, bytes, size, error);
    if (r < 0)
        return r;
    if (content->bytes)
        memcpy((char *)content->bytes + writer->used, bytes, size);
    sha256_update(writer->sha256, bytes, size);
    writer->used += size;
    return 0;
}

int content_finish(struct content_writer **writer_pointer, struct content **ret_content,
                   struct error *error)
{
    cleanup_content_writer struct content_writer *writer = steal_pointer(writer_pointer);

    if (writer->used < writer->content->size)
        return error_set(error, -ESTALE, "shrank while it was read");
    sha256_final(writer->sha256, &writer->content->id);
    *ret_content = steal_pointer(&writer->content);
    return 0;
}

void content_abandon(struct content_writer *writer)
{
    if (!writer)
        return;
    if (writer->content)
        content_free(writer->content);
    sha256_free(writer->sha256);
    free(writer);
}

struct content *content_ref(struct content *content)
{
    atomic_fetch_add(&content->references, 1);
    return content;
}

void content_unref(struct content *content)
{
    if (content && atomic_fetch_sub(&content->references, 1) == 1)
        content_free(content);
}

ssize_t content_read(const struct content *content, uint64_t offset, void *bytes, size_t size)
{
    if (offset >= content->size)
        return 0;
    if (size > content->size - offset)
        size = (size_t)(content->size - offset);
    if (content->bytes) {
        memcpy(bytes, (const char *)content->bytes + offset, size);
    } else {
        int r = spool_read(content->spool, content->extent, offset, bytes, size);
        if (r < 0)
            return r;
    }
    return (ssize_t)size;
}
