/*
 * zip: a ZIP archive that is computed while it is read.
 *
 * An archive is a list of segments: for each member a local header, its name and its (already
 * compressed) stream; then the central directory; then the end records. `zip_new` lays the segments
 * out, which gives the exact size; `zip_read` finds the segments of any range by binary search and
 * copies. Headers are computed when they are read; streams come from the caller:
 *
 *     struct zip *zip = NULL;
 *     int r = zip_new(members, count, &zip, &error);
 *     ...
 *     ssize_t n = zip_read(zip, offset, bytes, size, read_stream, context);
 *
 * Format: PKWARE APPNOTE.TXT 6.3.10. The archive is a pure function of the members: fixed DOS time
 * (1980-01-01 00:00:00), made by Unix (4.4.2), no data descriptors, general purpose bit 11 (UTF-8,
 * appendix D) only for names that are not ASCII, ZIP64 (4.5.3, 4.3.14, 4.3.15) only where a field
 * needs it, no archive comment, members in the order given.
 *
 * A `struct zip` is immutable: any number of threads may read it at once.
 */
#ifndef ADDONFS_ZIP_H
#define ADDONFS_ZIP_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum zip_method {
    ZIP_STORED = 0, /* APPNOTE 4.4.5 */
    ZIP_DEFLATED = 8,
};

struct zip_member {
    const char *name;         /* member name, '/' between components; valid UTF-8, not empty */
    const void *stream;       /* the caller's: handed to zip_stream_read, never looked at */
    uint64_t size;            /* bytes of the content */
    uint64_t compressed_size; /* bytes of the stream; equals size when stored */
    uint32_t crc32;           /* of the content (APPNOTE 4.4.7) */
    uint16_t method;          /* enum zip_method */
    uint16_t mode;            /* st_mode, type included: 0100644 or 0100755 */
    const struct zip
        *archive; /* instead of a stream: the content is this archive, stored; or NULL */
};

struct zip;

/*
 * Lay an archive out. Copies the members' fields; names, streams and archives are kept as pointers
 * and must stay valid as long as the archive. -EINVAL: a name is empty, longer than 65,535 bytes,
 * not UTF-8, starts with '/', ends with '/', has an empty, "." or ".." component (also when '\' is
 * taken for a separator, as Windows does), is out of strictly ascending byte order or is there
 * twice, or a stored member's sizes differ; the error names it. -EFBIG: the archive would pass
 * INT64_MAX bytes. -ENOMEM.
 */
int zip_new(const struct zip_member *members, size_t count, struct zip **ret_zip,
            struct error *error);

void zip_free(struct zip *zip);

/* Bytes of the whole archive. */
uint64_t zip_size(const struct zip *zip);

size_t zip_member_count(const struct zip *zip);

/*
 * Copies `size` bytes at `offset` of a member's stream. Returns 0 or a negative errno. The range is
 * always inside the stream; what cannot be given whole is an error.
 */
typedef int (*zip_stream_read)(void *context, const void *stream, uint64_t offset, void *bytes,
                               size_t size);

/*
 * Read up to `size` bytes at `offset`. Returns the number read, which is less than `size` only at
 * the end of the archive, or the negative errno that `read_stream` gave.
 */
ssize_t zip_read(const struct zip *zip, uint64_t offset, void *bytes, size_t size,
                 zip_stream_read read_stream, void *context);

/*
 * The CRC-32 of the whole archive, put together from those of its parts: no stream is read.
 * `stream_crc32` answers that of a stream's bytes (not of its content) and may be called for each.
 * What is stored has that of its content.
 */
uint32_t zip_crc32(const struct zip *zip, uint32_t (*stream_crc32)(const void *stream));

/* Is `name` fit to be a member (see zip_new)? Otherwise `*ret_reason` says why not: a constant. */
bool zip_name_ok(const char *name, const char **ret_reason);

CLEANUP(zip, struct zip *, zip_free)
#define cleanup_zip __attribute__((cleanup(cleanup_zip_scope)))

#endif
