#include <addonfs/gather.h>

#include <string.h>

struct gather gather_new(void *room, struct iovec *pieces, size_t limit)
{
    return (struct gather){.pieces = pieces, .limit = limit, .room = room};
}

void *gather_room(struct gather *gather, size_t size)
{
    uint8_t *next = gather->room + gather->used;
    struct iovec *last = gather->count > 0 ? &gather->pieces[gather->count - 1] : NULL;

    /* What was given room before this ends where it begins. */
    if (last && (uint8_t *)last->iov_base + last->iov_len == next)
        last->iov_len += size;
    else
        gather->pieces[gather->count++] = (struct iovec){next, size};
    gather->used += size;
    return next;
}

void gather_copy(struct gather *gather, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(gather_room(gather, size), bytes, size);
}

bool gather_point(struct gather *gather, const void *bytes, size_t size)
{
    /* One is left for room: that all follows each other then. */
    if (gather->count + 2 > gather->limit)
        return false;
    gather->pieces[gather->count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
    return true;
}
