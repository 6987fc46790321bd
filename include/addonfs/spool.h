/*
 * spool: a nameless file for bytes that must be kept but need not be in memory.
 *
 * What the worktree held at a moment cannot be had again after the next edit. Compressed members
 * and large open files are therefore written to one unlinked file, which vanishes with the process.
 * Extents are handed out at ever higher offsets and given back as holes.
 *
 * All functions may be called from any thread. An extent is written by one thread before others
 * read it.
 */
#ifndef ADDONFS_SPOOL_H
#define ADDONFS_SPOOL_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <stdint.h>

struct spool;

/*
 * `folder` is where the file is made, at the first write; NULL: $TMPDIR, else /var/tmp. (Not /tmp:
 * it often is memory.) NULL without memory.
 */
struct spool *spool_new(const char *folder);

/* Where that is without a `folder`. */
const char *spool_default_folder(void);

/* Ends the file and everything in it. NULL is allowed. */
void spool_free(struct spool *spool);

/* Set `size` bytes aside: `*ret_offset` is where they start. Uses no disk yet. -EFBIG past
 * INT64_MAX. */
int spool_reserve(struct spool *spool, uint64_t size, uint64_t *ret_offset);

/* Write all of `bytes`, or fail: -ENOSPC, -EIO, … with the folder's name in the error. */
int spool_write(struct spool *spool, uint64_t offset, const void *bytes, size_t size,
                struct error *error);

/* Read all `size` bytes, or fail with -EIO or what pread gave. */
int spool_read(struct spool *spool, uint64_t offset, void *bytes, size_t size);

/* Give an extent back to the disk. */
void spool_release(struct spool *spool, uint64_t offset, uint64_t size);

CLEANUP(spool, struct spool *, spool_free)
#define cleanup_spool __attribute__((cleanup(cleanup_spool_scope)))

#endif
