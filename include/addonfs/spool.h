/*
 * spool: a nameless file for bytes that must be kept but need not be in memory.
 *
 * What the worktree held at a moment cannot be had again after the next edit. Compressed members
 * and large open files are therefore written to one unlinked file, which vanishes with the process:
 *
 *     r = spool_reserve(spool, size, &extent);
 *     r = spool_write(spool, extent, 0, bytes, size, &error);
 *     r = spool_read(spool, extent, 0, bytes, size);
 *     spool_release(spool, extent);
 *
 * An extent that is released becomes a hole, and is handed out again: the file is as long as what
 * lived in it at one time, however long the process runs.
 *
 * All functions may be called from any thread. An extent is written by one thread before others
 * read it.
 */
#ifndef ADDONFS_SPOOL_H
#define ADDONFS_SPOOL_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>

/* A small part of what a mount may have in memory, and all plain files of most packages. */
#define SPOOL_MEMORY_LIMIT ((size_t)8 << 20)

struct spool;

/* The extent that nobody has reserved. */
#define SPOOL_NOWHERE UINT64_MAX

/*
 * `folder` is where the file is made, at the first write; NULL: $TMPDIR, else /var/tmp. (Not /tmp:
 * it often is memory.) NULL without memory.
 */
struct spool *spool_new(const char *folder);

/* Where that is without a `folder`. */
const char *spool_default_folder(void);

/* A nameless file of the caller's own in `folder`, to be read and written; or a negative errno. */
int spool_nameless_file(const char *folder, struct error *error);

/* Ends the file and everything in it. NULL is allowed. */
void spool_free(struct spool *spool);

/*
 * Once `*stop` is true, what fills the spool for long (content_append, members_compress) ends early
 * with -ECANCELED, and what is released keeps its disk until the spool is freed. Reading goes on.
 * `stop` is borrowed; set it before the spool is used.
 */
void spool_set_stop(struct spool *spool, const _Atomic bool *stop);

/* 0, or -ECANCELED with the reason. */
int spool_check_stop(const struct spool *spool, struct error *error);

/*
 * Set `size` bytes aside: `*ret_extent` names them, and nothing else can be made of the number.
 * Uses no disk yet. -EFBIG: no file can have so many.
 */
int spool_reserve(struct spool *spool, uint64_t size, uint64_t *ret_extent);

/*
 * Write all of `bytes` at `offset` in the extent, or fail: -ENOSPC, -EIO, … with the folder's name
 * in the error.
 */
int spool_write(struct spool *spool, uint64_t extent, uint64_t offset, const void *bytes,
                size_t size, struct error *error);

/*
 * Leave `size` bytes at `offset`, which nobody has written to since the extent was reserved: they
 * are 0 when they are read, and use no disk. 1: this file system does not make holes, write them.
 * Errors as above.
 */
int spool_leave(struct spool *spool, uint64_t extent, uint64_t offset, size_t size,
                struct error *error);

/* Read all `size` bytes, or fail with -EIO or what pread gave. */
int spool_read(struct spool *spool, uint64_t extent, uint64_t offset, void *bytes, size_t size);

/* Give an extent back, which nobody reads any more. SPOOL_NOWHERE is allowed. */
void spool_release(struct spool *spool, uint64_t extent);

/*
 * Small bytes that are kept may stay in memory, as long as all of them together are few
 * (SPOOL_MEMORY_LIMIT). True: `size` more may, until they are given back.
 */
bool spool_take_memory(struct spool *spool, size_t size);
void spool_give_memory(struct spool *spool, size_t size);

CLEANUP(spool, struct spool *, spool_free)
#define cleanup_spool __attribute__((cleanup(cleanup_spool_scope)))

#endif
