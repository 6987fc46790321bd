/*
 * cache_parts: what a cache is made of, for the files that make it.
 */
#ifndef ADDONFS_CACHE_PARTS_H
#define ADDONFS_CACHE_PARTS_H

#include "cache_database.h"

#include <addonfs/cache.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum job_kind {
    JOB_MEMBER,
    JOB_ALIAS,
    JOB_NOTE,
    JOB_TOUCH,
    JOB_DROP,
};

struct job {
    struct job *next;
    enum job_kind kind;
    struct content_id key; /* alias, note */
    void *note;
    size_t note_size;
    bool urgent;          /* what is in the database under this key is wrong */
    struct cache_put put; /* the others; of those but JOB_MEMBER only the id, and … */
                          /* … for JOB_DROP the stream; a damaged row has none, and goes anyway */
};

struct cache {
    char *folder;
    char *path;
    char *codec;
    uint64_t limit;
    uint64_t written;              /* writer: bytes since the size was last looked at */
    struct cache_database *writer; /* the writer's connection */
    struct stat file;              /* the database that we opened */
    pthread_t thread;
    bool has_thread;
    _Atomic bool usable;  /* becomes false under the lock */
    _Atomic int failures; /* to read, of the moment, since the last success */
    _Atomic bool damaged; /* set before: the writer has a database to set aside */

    pthread_mutex_t lock; /* guards the rest; held for moments only */
    pthread_cond_t wake; /* there is a first job, or are enough, or it settles, ends, is unusable */
    pthread_cond_t quiet; /* everything is written */
    struct job *first;
    struct job **last;
    size_t waiting;         /* jobs in the list, and … */
    uint64_t waiting_bytes; /* … how much they write */
    bool hurried;           /* an urgent job is among them */
    unsigned settling;      /* callers of cache_settle: they wait for all that is in the list */
    bool writing;
    _Atomic bool ending;       /* becomes true under the lock */
    struct cache_reader *idle; /* `idle_limit` at most: as many as there are cores */
    long idle_count;
    long idle_limit;
    char *fault;
};

/* --- cache.c -------------------------------------------------------------------------------------
 */

/* End the use of the cache for this reason. The first one is kept: what follows comes of it. */
void cache_set_fault(struct cache *cache, const char *path, const char *reason);

/*
 * A call has failed with `result`: end the use of the cache. This waits for nothing, for it may be
 * done within a request: the writer lets go of the database, and sets a damaged one aside.
 */
void cache_give_up(struct cache *cache, const struct cache_database *database, int result);

/* A connection may wait for its turn in vain; that is no fault. */
bool cache_is_busy(int result);

/* --- cache_writer.c ------------------------------------------------------------------------------
 */

/* Let the writer do the job, which is copied; what it holds is taken over in any case. */
void cache_enqueue(struct cache *cache, const struct job *given);

/* The writer's thread, until the cache is ending or not usable. `argument` is the cache. */
void *cache_write_jobs(void *argument);

/*
 * Write what is left when that thread has ended, the transaction included that it was at. Somebody
 * waits for it now, and a thread that has stepped behind all others (nice 19) may not come back: on
 * a busy machine it would take minutes.
 */
void cache_write_rest(struct cache *cache);

void cache_free_jobs(struct job *job);

/* --- cache_folder.c ------------------------------------------------------------------------------
 */

/* Make the folder, and those above it. 0 or a negative errno. */
int cache_make_folder(const char *folder);

/* Why nothing can be kept in it, or NULL. */
const char *cache_refuse_folder(const char *folder);

/*
 * Everything that replaces the database is done under this lock, which may be waited for. The
 * descriptor that holds it, or a negative errno.
 */
int cache_lock_folder(const struct cache *cache);

/* Rename the damaged database, unless another process has done so. The folder is locked. */
void cache_set_aside(const struct cache *cache, const struct stat *file);

#endif
