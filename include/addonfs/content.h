/*
 * content: the bytes of one file, taken once and for good.
 *
 * A content is fed by the source, then finished; from then on it is immutable and may be read from
 * any thread. Up to `memory_limit` bytes it lives in memory, beyond that in the spool.
 *
 *     r = content_begin(spool, size, CONTENT_MEMORY_LIMIT, &writer);
 *     while (…)
 *         r = content_append(writer, bytes, n, &error);
 *     r = content_finish(&writer, &content, &error);
 */
#ifndef ADDONFS_CONTENT_H
#define ADDONFS_CONTENT_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/sha256.h>
#include <addonfs/spool.h>
#include <stdint.h>
#include <sys/types.h>

/* What an open file may hold in memory: most files of an addon are far smaller. */
#define CONTENT_MEMORY_LIMIT ((size_t)1 << 20)

struct content {
    _Atomic unsigned references;
    struct content_id id;
    uint64_t size;
    void *bytes;         /* all of it, or NULL when it is in the spool */
    struct spool *spool; /* not owned */
    uint64_t extent;     /* of the spool, or SPOOL_NOWHERE */
};

struct content_writer;

/*
 * Start a content of exactly `size` bytes. `spool` must outlive it. -ENOMEM; -EFBIG: more than any
 * file can have.
 */
int content_begin(struct spool *spool, uint64_t size, size_t memory_limit,
                  struct content_writer **ret_writer);

/*
 * Take more bytes in. -ESTALE: they are more than was said, the file has grown meanwhile.
 * -ECANCELED: see spool_set_stop.
 */
int content_append(struct content_writer *writer, const void *bytes, size_t size,
                   struct error *error);

/*
 * End: the content with its id and one reference. Frees the writer and sets it to NULL, whatever
 * happens. -ESTALE: bytes are missing, the file has shrunk meanwhile.
 */
int content_finish(struct content_writer **writer, struct content **ret_content,
                   struct error *error);

/* Give up. NULL is allowed. */
void content_abandon(struct content_writer *writer);

struct content *content_ref(struct content *content);
void content_unref(struct content *content);

/* Read up to `size` bytes at `offset`: the number read, short only at the end, or a negative errno.
 */
ssize_t content_read(const struct content *content, uint64_t offset, void *bytes, size_t size);

CLEANUP(content, struct content *, content_unref)
#define cleanup_content __attribute__((cleanup(cleanup_content_scope)))
CLEANUP(content_writer, struct content_writer *, content_abandon)
#define cleanup_content_writer __attribute__((cleanup(cleanup_content_writer_scope)))

#endif
