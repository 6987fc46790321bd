/*
 * archive_reader: what is in an archive, without unpacking it anywhere.
 *
 *     r = archive_reader_open(&input, "server.zip", &reader, &error);
 *     while ((r = archive_reader_next(reader, &member, &error)) > 0)
 *         while ((n = archive_reader_read(reader, bytes, size, &error)) > 0) …
 *     archive_reader_close(reader);
 *
 * Archives come from anywhere. So nothing in one is followed: names are checked before they are
 * answered, links and devices are told as what they are, no member is written anywhere, no other
 * program is started and no other file is opened (libarchive would do both for some formats, which
 * are not read for that reason: mtree; filters of outside programs).
 *
 * Formats: zip, tar (ustar, pax, GNU), cpio, 7-Zip; the tar and cpio ones also compressed with
 * gzip, bzip2, xz, lzma, zstd, lz4 or compress. Of a zip the central directory counts, as for
 * Python's zipfile. A member's CRC is checked when it is read to its end.
 *
 * One thread at a time for a reader. While one is open, that thread has the character set UTF-8.
 */
#ifndef ADDONFS_ARCHIVE_READER_H
#define ADDONFS_ARCHIVE_READER_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where an archive's own bytes are. `read` answers how many it has read, short only at the end, or
 * a negative errno. */
struct archive_input {
    ssize_t (*read)(void *context, uint64_t offset, void *bytes, size_t size);
    void *context;
    uint64_t size; /* bytes */
};

struct archive_member {
    const char *name;  /* relative, components neither empty nor "." nor ".." … */
    bool misplaced;    /* … unless this is set: it leads out, or nowhere, as `fault` says */
    const char *fault; /* why it is none that may be followed (besides that: a link, a device,
                          something encrypted), or NULL */
    bool is_folder;
    bool executable; /* by its owner */
    uint64_t size;   /* bytes that it claims to have; UINT64_MAX: it does not say */
};

struct archive_reader;

/*
 * `input` is copied, what it refers to must outlive the reader; `what` (borrowed) is the archive's
 * name for messages. -EINVAL: not an archive of a kind that is read, or damaged at its beginning;
 * what `input->read` gave; -ENOMEM.
 */
int archive_reader_open(const struct archive_input *input, const char *what,
                        struct archive_reader **ret_reader, struct error *error);

/* Of another kind than zip nothing is read. */
int archive_reader_open_zip(const struct archive_input *input, const char *what,
                            struct archive_reader **ret_reader, struct error *error);

/*
 * Go to the next member, whether the last one was read or not. 1; 0 behind the last one. `*ret` is
 * valid until the next call. -EINVAL: the archive is damaged from here on; others as above.
 */
int archive_reader_next(struct archive_reader *reader, struct archive_member *ret_member,
                        struct error *error);

/* Up to `size` more bytes of the member, 0 at its end. -EINVAL: it is damaged, or encrypted. */
ssize_t archive_reader_read(struct archive_reader *reader, void *bytes, size_t size,
                            struct error *error);

/* NULL is allowed. */
void archive_reader_close(struct archive_reader *reader);

CLEANUP(archive_reader, struct archive_reader *, archive_reader_close)
#define cleanup_archive_reader __attribute__((cleanup(cleanup_archive_reader_scope)))

#endif
