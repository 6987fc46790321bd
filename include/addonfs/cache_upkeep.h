/*
 * cache_upkeep: looking after the cache from outside.
 *
 *     r = cache_stats(folder, &stats, &error);
 *     r = cache_prune(folder, size, &removed, &error);
 *     r = cache_clear(folder, &removed, &error);
 *
 * Safe while mounts use it: each is one transaction, so a reader sees the cache as it was before or
 * after, and a mount that misses a stream makes it again (member.h). Waits up to a minute for the
 * writers of others. `folder` is as cache_open has it, and is refused for the same reasons
 * (-EPERM); where there is none, or no cache in it, there is nothing to do, and nothing is made.
 *
 * Errors besides that: -EUCLEAN, the database is damaged (cache_clear throws such a one away);
 * -ENOTSUP, it is none of this version of addonfs, and is left alone; -EBUSY, others have written
 * all the time; -EIO; -ENOMEM.
 */
#ifndef ADDONFS_CACHE_UPKEEP_H
#define ADDONFS_CACHE_UPKEEP_H

#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>

struct cache_stats {
    bool exists;        /* there is a cache; else all is 0 */
    uint64_t members;   /* compressed forms of content … */
    uint64_t content;   /* … of so many bytes … */
    uint64_t streams;   /* … that became so many: what cache_size= limits */
    uint64_t aliases;   /* fingerprints of files whose content is known */
    uint64_t notes;     /* other things that took long to find out, … */
    uint64_t noted;     /* … of so many bytes */
    uint64_t disk;      /* bytes that its files take */
    uint64_t used_day;  /* members that were of use in the last 24 hours … */
    uint64_t used_week; /* … or seven days; noted once an hour */
    int64_t oldest;     /* when the one longest not used was, seconds since 1970; 0: none */
};

/* What has gone, in the same terms. */
struct cache_removed {
    uint64_t members;
    uint64_t content;
    uint64_t streams;
    uint64_t aliases;
    uint64_t notes;
    uint64_t noted;
    uint64_t disk; /* that its files take less */
};

int cache_stats(const char *folder, struct cache_stats *ret_stats, struct error *error);

/*
 * If the streams have more than `size` bytes, delete the least recently used until they have a
 * tenth less, as a mount does, and what is damaged; and give the room back to the disk.
 */
int cache_prune(const char *folder, uint64_t size, struct cache_removed *ret_removed,
                struct error *error);

/*
 * Delete all, and what was set aside because it was damaged. Of what cannot be read nobody knows
 * how much it was, but for the bytes on the disk.
 */
int cache_clear(const char *folder, struct cache_removed *ret_removed, struct error *error);

#endif
