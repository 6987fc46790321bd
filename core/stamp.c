#include "stamp.h"

#include <stdint.h>

/*
 * When a stat tells the truth
 *
 * A file is what it was if device, inode, size, owner, mode, mtime and ctime are. That holds only
 * if the ctime was old when the bytes were taken: time stamps are coarse (a tick of the clock, two
 * seconds on FAT), and write(2) stamps before it copies, so a write may follow a read under the
 * same stamp. A file whose ctime is younger than TRUST_AGE is therefore read again at every look
 * until it is old enough; from then on its stamp is trusted. Folders are likewise listed again
 * until theirs is old.
 */
static const int64_t TRUST_AGE = 2 * INT64_C(1000000000);

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

bool stamp_is_old(struct timespec change)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return nanoseconds(now) - nanoseconds(change) > TRUST_AGE;
}

bool stamp_times_are_same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

struct stamp stamp_of(const struct stat *status)
{
    return (struct stamp){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .modification = status->st_mtim,
        .change = status->st_ctim,
    };
}

bool stamp_is_same(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           stamp_times_are_same(a->modification, b->modification) &&
           stamp_times_are_same(a->change, b->change);
}
