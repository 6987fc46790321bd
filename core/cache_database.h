/*
 * cache_database: the cache's tables. One connection belongs to one thread at a time.
 *
 * Functions return SQLite's result codes (extended), SQLITE_OK for success; finding answers
 * SQLITE_ROW or SQLITE_DONE. A row whose checksum is wrong is not answered: `*ret_damaged` is set,
 * and the row is to be deleted.
 */
#ifndef ADDONFS_CACHE_DATABASE_H
#define ADDONFS_CACHE_DATABASE_H

#include <addonfs/cache.h>

/* Not ours: a database of another application, or of a format to come. */
#define CACHE_DATABASE_FOREIGN (-1)

/* Ours, of a format that was: of no use any more. */
#define CACHE_DATABASE_OUTDATED (-2)

/* It cannot have a write-ahead log where it is. */
#define CACHE_DATABASE_NO_LOG (-3)

struct cache_database;

/*
 * `codec` is borrowed. `*ret_database` is set, to be asked for its message, unless memory lacks. It
 * is made only if `make` says so, which needs the folder's lock; else there must be one.
 */
int cache_database_open(const char *path, const char *codec, int busy_milliseconds, bool make,
                        struct cache_database **ret_database);
void cache_database_close(struct cache_database *database);

/* What SQLite said last. */
const char *cache_database_message(const struct cache_database *database);

/* Does the result say that the file itself is damaged, or outdated? Then a new one takes its place.
 */
bool cache_database_is_damaged(int result);

/* Give back what it keeps of the file's pages. */
void cache_database_rest(struct cache_database *database);

int cache_database_begin_reading(struct cache_database *database);
int cache_database_begin_writing(struct cache_database *database);
int cache_database_commit(struct cache_database *database);

/* End the transaction that has failed, if there is one. */
void cache_database_rollback(struct cache_database *database);

int cache_database_find_alias(struct cache_database *database, const struct content_id *key,
                              struct content_id *ret_id, bool *ret_damaged);

/* `*ret_bytes` is the caller's to free. */
int cache_database_find_note(struct cache_database *database, const struct content_id *key,
                             void **ret_bytes, size_t *ret_size, bool *ret_damaged);

/* `*ret_used`: seconds since 1970 at which it was last noted to be of use. */
int cache_database_find_member(struct cache_database *database, const struct content_id *id,
                               struct cache_member *ret_member, int64_t *ret_used,
                               bool *ret_damaged);

/* SQLITE_ROW: all of it was taken. SQLITE_DONE: it is not there. SQLITE_ABORT: `take` has failed.
 */
int cache_database_read_stream(struct cache_database *database, const struct content_id *id,
                               const struct cache_member *member,
                               int (*take)(void *context, uint64_t offset, const void *bytes,
                                           size_t size),
                               void *context, bool *ret_damaged);

/* These need cache_database_begin_writing. SQLITE_ABORT: `put->read` has failed. */
int cache_database_put_alias(struct cache_database *database, const struct content_id *key,
                             const struct content_id *id, int64_t now);
int cache_database_put_note(struct cache_database *database, const struct content_id *key,
                            const void *bytes, size_t size, int64_t now);
int cache_database_put_member(struct cache_database *database, const struct cache_put *put,
                              int64_t now);
int cache_database_touch(struct cache_database *database, const struct content_id *id, int64_t now);

/* Delete the member if that is its stream, or if its row is damaged. */
int cache_database_drop(struct cache_database *database, const struct content_id *id,
                        int64_t stream);

/*
 * Delete what is damaged, and what belongs to nothing. If the streams have more than `limit` bytes,
 * delete the least recently used members until they have a tenth less; if the notes have more
 * than an eighth of `limit`, delete the older half of them; and delete aliases and notes that were
 * not made since `oldest`.
 */
int cache_database_evict(struct cache_database *database, uint64_t limit, int64_t oldest);

/* Give the room of what was deleted back to the disk. Outside of a transaction. */
int cache_database_shrink(struct cache_database *database);

#endif
