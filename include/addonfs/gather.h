/*
 * gather: the pieces that a read is made of, for a system call to copy.
 *
 * An archive is made of headers, which are computed, and streams, which lie in the spool. A reader
 * would copy the streams into its buffer, and a system call out of it. So a gather holds pieces:
 * of its room, for what is computed, and of what stays where it is.
 *
 *     struct iovec pieces[64];
 *     struct gather gather = gather_new(room, pieces, 64);
 *     n = body_gather(body, offset, size, &gather);
 *     writev(fd, gather.pieces, gather.count);
 *
 * A piece that is mapped from the spool may be looked at by system calls alone: they answer EFAULT
 * where the disk fails, and a process that looks by itself is ended (SIGBUS).
 */
#ifndef ADDONFS_GATHER_H
#define ADDONFS_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct gather {
    struct iovec *pieces;
    size_t count;
    size_t limit; /* 1 or more */
    uint8_t *room;
    size_t used; /* of the room */
};

/* A gather of up to `limit` pieces that has room for as much as is read in all. */
struct gather gather_new(void *room, struct iovec *pieces, size_t limit);

/* Room for the next `size` bytes, which the caller fills. */
void *gather_room(struct gather *gather, size_t size);

/* The next bytes, copied. */
void gather_copy(struct gather *gather, const void *bytes, size_t size);

/* The next bytes, which stay where they are. False: the pieces are used up; they need room. */
bool gather_point(struct gather *gather, const void *bytes, size_t size);

#endif
