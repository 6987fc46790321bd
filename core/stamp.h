/*
 * stamp: when a stat tells the truth about a file, and whether two tell the same.
 */
#ifndef ADDONFS_STAMP_H
#define ADDONFS_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

/* Was this ctime old enough, at the time of the call, for what is read from now on to be tied to
 * it? So this is asked before the file is read. */
bool stamp_is_old(struct timespec change);

bool stamp_times_are_same(struct timespec a, struct timespec b);

/* Which file a name led to, and in which state it was. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modification;
    struct timespec change;
};

struct stamp stamp_of(const struct stat *status);
bool stamp_is_same(const struct stamp *a, const struct stamp *b);

#endif
