#include "cache_database.h"

#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum {
    READER_BUSY = 100,   /* milliseconds: a reader rather misses than waits */
    WRITER_BUSY = 60000, /* the writer has time */
    BATCH_JOBS = 1000,   /* what one transaction writes at most … */
    BATCH_BYTES = 1 << 24,
    TOUCH_AGE = 3600,            /* seconds: use is noted once in so long */
    ALIAS_AGE = 120 * 24 * 3600, /* fingerprints change with every checkout: old ones are no use */
};

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
    struct cache_put put; /* the others; of those but JOB_MEMBER only the id */
};

struct cache_reader {
    struct cache *cache;
    struct cache_database *database;
    struct cache_reader *next; /* while it is idle */
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
    _Atomic bool usable;

    pthread_mutex_t lock; /* guards the rest; held for moments only */
    pthread_cond_t wake;  /* there are jobs, or it ends */
    pthread_cond_t quiet; /* everything is written */
    struct job *first;
    struct job **last;
    bool writing;
    bool ending;
    struct cache_reader *idle;
    char *fault;
};

char *cache_default_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char *folder = NULL;
    int length;

    /* XDG Base Directory Specification: a relative path is to be ignored. */
    if (cache && *cache == '/')
        length = asprintf(&folder, "%s/addonfs", cache);
    else if (home && *home == '/')
        length = asprintf(&folder, "%s/.cache/addonfs", home);
    else
        length = asprintf(&folder, "/var/cache/addonfs");
    return length < 0 ? NULL : folder;
}

/* --- Faults ------------------------------------------------------------------------------------
 */

/* The first fault is kept: what follows comes of it. */
static void set_fault(struct cache *cache, const char *path, const char *reason)
{
    char *text = NULL;
    cleanup_lock(&cache->lock);

    atomic_store(&cache->usable, false);
    if (cache->fault || asprintf(&text, "%s: %s: going on without the cache", path, reason) < 0)
        return;
    cache->fault = text;
}

const char *cache_fault(struct cache *cache)
{
    if (!cache)
        return NULL;
    cleanup_lock(&cache->lock);
    return cache->fault;
}

/* Everything that replaces the database is done under this lock. */
static int lock_folder(const struct cache *cache)
{
    cleanup_free char *path = path_join(cache->folder, "lock");
    cleanup_fd int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

    if (fd >= 0 && flock(fd, LOCK_EX) < 0)
        return -errno;
    return fd >= 0 ? steal_fd(&fd) : -errno;
}

static void set_aside_one(const struct cache *cache, const char *suffix)
{
    cleanup_free char *from = NULL;
    cleanup_free char *to = NULL;

    if (asprintf(&from, "%s%s", cache->path, suffix) < 0) {
        from = NULL;
        return;
    }
    if (asprintf(&to, "%s.damaged%s", cache->path, suffix) < 0) {
        to = NULL;
        return;
    }
    if (rename(from, to) < 0 && errno == ENOENT)
        (void)unlink(to);
}

/* Rename the damaged database, unless another process has done so. The folder is locked. */
static void set_aside(const struct cache *cache, const struct stat *file)
{
    struct stat now;

    if (lstat(cache->path, &now) < 0 || now.st_dev != file->st_dev || now.st_ino != file->st_ino)
        return;
    set_aside_one(cache, "");
    set_aside_one(cache, "-wal");
    set_aside_one(cache, "-shm");
}

/* A call has failed with `result`: end the use of the cache. */
static void give_up(struct cache *cache, const struct cache_database *database, int result)
{
    if (cache_database_is_damaged(result)) {
        cleanup_fd int lock = lock_folder(cache);
        if (lock >= 0)
            set_aside(cache, &cache->file);
        set_fault(cache, cache->path, "the database is damaged and was set aside");
        return;
    }
    set_fault(cache, cache->path,
              result == CACHE_DATABASE_FOREIGN ? "is not a cache of this version of addonfs"
                                               : cache_database_message(database));
}

/* A connection may wait for its turn in vain; that is no fault. */
static bool is_busy(int result)
{
    return (result & 0xff) == SQLITE_BUSY || (result & 0xff) == SQLITE_LOCKED;
}

/* --- Reading -----------------------------------------------------------------------------------
 */

static struct cache_reader *idle_reader(struct cache *cache)
{
    cleanup_lock(&cache->lock);
    struct cache_reader *reader = cache->idle;

    if (reader)
        cache->idle = reader->next;
    return reader;
}

static void reader_free(struct cache_reader *reader)
{
    cache_database_close(reader->database);
    free(reader);
}

static struct cache_reader *new_reader(struct cache *cache)
{
    struct cache_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return NULL;
    reader->cache = cache;
    int r = cache_database_open(cache->path, cache->codec, READER_BUSY, &reader->database);
    if (r == SQLITE_OK)
        return reader;
    if (!is_busy(r))
        give_up(cache, reader->database, r);
    reader_free(reader);
    return NULL;
}

struct cache_reader *cache_reader_begin(struct cache *cache)
{
    if (!cache || !atomic_load(&cache->usable))
        return NULL;
    struct cache_reader *reader = idle_reader(cache);
    if (!reader)
        reader = new_reader(cache);
    int r = reader ? cache_database_begin_reading(reader->database) : SQLITE_NOMEM;
    if (r == SQLITE_OK)
        return reader;
    if (reader && !is_busy(r))
        give_up(cache, reader->database, r);
    if (reader)
        reader_free(reader);
    return NULL;
}

void cache_reader_end(struct cache_reader *reader)
{
    if (!reader)
        return;
    struct cache *cache = reader->cache;
    if (cache_database_commit(reader->database) != SQLITE_OK) {
        reader_free(reader);
        return;
    }
    cleanup_lock(&cache->lock);
    reader->next = cache->idle;
    cache->idle = reader;
}

static void enqueue(struct cache *cache, const struct job *given)
{
    struct job *job = atomic_load(&cache->usable) ? malloc(sizeof(*job)) : NULL;

    if (!job) {
        if (given->put.release)
            given->put.release(given->put.context);
        free(given->note);
        return;
    }
    *job = *given;
    job->next = NULL;
    cleanup_lock(&cache->lock);
    *cache->last = job;
    cache->last = &job->next;
    pthread_cond_signal(&cache->wake);
}

/* Did reading find what it looked for? A damaged row is a miss, and goes. */
static bool conclude(struct cache_reader *reader, int result, bool damaged,
                     const struct content_id *id)
{
    if (damaged && id)
        enqueue(reader->cache, &(struct job){.kind = JOB_DROP, .put = {.id = *id}});
    if (result == SQLITE_ROW)
        return true;
    if (result != SQLITE_DONE && result != SQLITE_ABORT && !is_busy(result))
        give_up(reader->cache, reader->database, result);
    return false;
}

bool cache_find_alias(struct cache_reader *reader, const struct content_id *key,
                      struct content_id *ret_id)
{
    bool damaged = false;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_find_alias(reader->database, key, ret_id, &damaged);
    /* A damaged alias is written anew once the file has been read. */
    return conclude(reader, r, damaged, NULL);
}

bool cache_find_note(struct cache_reader *reader, const struct content_id *key, void **ret_bytes,
                     size_t *ret_size)
{
    bool damaged = false;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_find_note(reader->database, key, ret_bytes, ret_size, &damaged);
    return conclude(reader, r, damaged, NULL);
}

bool cache_find_member(struct cache_reader *reader, const struct content_id *id,
                       struct cache_member *ret_member)
{
    bool damaged = false;
    int64_t used = 0;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_find_member(reader->database, id, ret_member, &used, &damaged);
    if (!conclude(reader, r, damaged, id))
        return false;
    if (used < (int64_t)time(NULL) - TOUCH_AGE)
        enqueue(reader->cache, &(struct job){.kind = JOB_TOUCH, .put = {.id = *id}});
    return true;
}

bool cache_read_stream(struct cache_reader *reader, const struct content_id *id,
                       const struct cache_member *member,
                       int (*take)(void *context, uint64_t offset, const void *bytes, size_t size),
                       void *context)
{
    bool damaged = false;

    if (!reader || !atomic_load(&reader->cache->usable))
        return false;
    int r = cache_database_read_stream(reader->database, id, member, take, context, &damaged);
    return conclude(reader, r, damaged, id);
}

/* --- Writing -----------------------------------------------------------------------------------
 */

void cache_put_alias(struct cache *cache, const struct content_id *key, const struct content_id *id)
{
    if (cache)
        enqueue(cache, &(struct job){.kind = JOB_ALIAS, .key = *key, .put = {.id = *id}});
}

void cache_put_note(struct cache *cache, const struct content_id *key, const void *bytes,
                    size_t size)
{
    void *copy = cache ? malloc(size + 1) : NULL;

    if (!copy)
        return;
    memcpy(copy, bytes, size);
    enqueue(cache, &(struct job){.kind = JOB_NOTE, .key = *key, .note = copy, .note_size = size});
}

void cache_put_member(struct cache *cache, const struct cache_put *put)
{
    if (!cache || put->member.compressed_size > cache->limit / CACHE_STREAM_SHARE)
        put->release(put->context);
    else
        enqueue(cache, &(struct job){.kind = JOB_MEMBER, .put = *put});
}

static void jobs_free(struct job *job)
{
    while (job) {
        struct job *next = job->next;
        if (job->put.release)
            job->put.release(job->put.context);
        free(job->note);
        free(job);
        job = next;
    }
}

static int do_job(struct cache *cache, const struct job *job)
{
    int64_t now = (int64_t)time(NULL);
    int r = SQLITE_OK;

    switch (job->kind) {
    case JOB_MEMBER:
        r = cache_database_put_member(cache->writer, &job->put, now);
        cache->written += job->put.member.compressed_size;
        break;
    case JOB_ALIAS:
        r = cache_database_put_alias(cache->writer, &job->key, &job->put.id, now);
        break;
    case JOB_NOTE:
        r = cache_database_put_note(cache->writer, &job->key, job->note, job->note_size, now);
        cache->written += job->note_size;
        break;
    case JOB_TOUCH:
        r = cache_database_touch(cache->writer, &job->put.id, now);
        break;
    case JOB_DROP:
        r = cache_database_drop(cache->writer, &job->put.id);
        break;
    }
    return r;
}

/* Write the first jobs of a list in one transaction. `*ret_job`: the first that is not done. */
static int write_batch(struct cache *cache, struct job *job, struct job **ret_job)
{
    uint64_t bytes = 0;
    int r = cache_database_begin_writing(cache->writer);

    for (int i = 0; job && r == SQLITE_OK && i < BATCH_JOBS && bytes < BATCH_BYTES; i++) {
        r = do_job(cache, job);
        bytes += job->put.member.compressed_size;
        job = job->next;
    }
    *ret_job = job;
    return r == SQLITE_OK ? cache_database_commit(cache->writer) : r;
}

/* Look at the size of the whole whenever a tenth of the limit was written, and at the first time.
 */
static int keep_limit(struct cache *cache)
{
    if (cache->written < cache->limit / 10)
        return SQLITE_OK;
    cache->written = 0;
    return cache_database_evict(cache->writer, cache->limit, (int64_t)time(NULL) - ALIAS_AGE);
}

static void write_all(struct cache *cache, struct job *jobs)
{
    struct job *job = jobs;
    int r = SQLITE_OK;

    while (job && r == SQLITE_OK && atomic_load(&cache->usable))
        r = write_batch(cache, job, &job);
    if (r == SQLITE_OK)
        r = keep_limit(cache);
    if (r == SQLITE_ABORT)
        set_fault(cache, cache->path, "what is to be written cannot be read");
    else if (r != SQLITE_OK && !is_busy(r))
        give_up(cache, cache->writer, r);
    jobs_free(jobs);
}

static struct job *take_jobs(struct cache *cache)
{
    cleanup_lock(&cache->lock);

    cache->writing = false;
    while (!cache->first && !cache->ending) {
        pthread_cond_broadcast(&cache->quiet);
        pthread_cond_wait(&cache->wake, &cache->lock);
    }
    struct job *jobs = cache->first;
    cache->first = NULL;
    cache->last = &cache->first;
    cache->writing = jobs != NULL;
    if (!jobs)
        pthread_cond_broadcast(&cache->quiet);
    return jobs;
}

static void *write_jobs(void *argument)
{
    struct cache *cache = argument;
    struct job *jobs;

    /* Whoever waits for an answer comes first. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
    while ((jobs = take_jobs(cache)))
        write_all(cache, jobs);
    return NULL;
}

void cache_settle(struct cache *cache)
{
    if (!cache || !cache->has_thread)
        return;
    cleanup_lock(&cache->lock);
    while (cache->first || cache->writing)
        pthread_cond_wait(&cache->quiet, &cache->lock);
}

/* --- Opening -----------------------------------------------------------------------------------
 */

/* Make the folder, and those above it. */
static int make_folder(const char *folder)
{
    cleanup_free char *path = strdup(folder);

    if (!path)
        return -ENOMEM;
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* What others could write would end up in packages. */
static const char *refuse_folder(const char *folder)
{
    cleanup_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return errno == ELOOP || errno == ENOTDIR ? "is a link or no folder" : strerror(errno);
    if (status.st_uid != geteuid())
        return "belongs to someone else";
    if (status.st_mode & 0077)
        return "is open to others (chmod 700)";
    return access(folder, W_OK) < 0 ? strerror(errno) : NULL;
}

/* Open the writer's connection; one attempt to begin anew. */
static void open_database(struct cache *cache)
{
    cleanup_fd int lock = lock_folder(cache);
    int r = SQLITE_OK;

    if (lock < 0) {
        set_fault(cache, cache->folder, strerror(-lock));
        return;
    }
    for (int i = 0; i < 2; i++) {
        r = cache_database_open(cache->path, cache->codec, WRITER_BUSY, &cache->writer);
        if (!cache_database_is_damaged(r) || lstat(cache->path, &cache->file) < 0)
            break;
        cache_database_close(cache->writer);
        cache->writer = NULL;
        set_aside(cache, &cache->file);
    }
    if (r == SQLITE_OK && lstat(cache->path, &cache->file) == 0)
        atomic_store(&cache->usable, true);
    else
        give_up(cache, cache->writer, r);
}

struct cache *cache_open(const char *folder, uint64_t size, const char *codec)
{
    struct cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->wake, NULL);
    pthread_cond_init(&cache->quiet, NULL);
    cache->last = &cache->first;
    cache->limit = size;
    cache->written = size; /* so that the first write looks at the size of the whole */
    cache->folder = strdup(folder);
    cache->path = path_join(folder, "members.sqlite");
    cache->codec = strdup(codec);
    if (!cache->folder || !cache->path || !cache->codec) {
        cache_close(cache);
        return NULL;
    }
    int r = make_folder(folder);
    const char *refusal = r < 0 ? strerror(-r) : refuse_folder(folder);
    if (refusal) {
        set_fault(cache, folder, refusal);
        return cache;
    }
    open_database(cache);
    if (atomic_load(&cache->usable)) {
        cache->has_thread = pthread_create(&cache->thread, NULL, write_jobs, cache) == 0;
        if (!cache->has_thread)
            set_fault(cache, cache->path, "no thread to write with");
    }
    return cache;
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    if (cache->has_thread) {
        pthread_mutex_lock(&cache->lock);
        cache->ending = true;
        pthread_cond_signal(&cache->wake);
        pthread_mutex_unlock(&cache->lock);
        pthread_join(cache->thread, NULL);
    }
    while (cache->idle)
        reader_free(idle_reader(cache));
    jobs_free(cache->first);
    cache_database_close(cache->writer);
    pthread_cond_destroy(&cache->quiet);
    pthread_cond_destroy(&cache->wake);
    pthread_mutex_destroy(&cache->lock);
    free(cache->fault);
    free(cache->codec);
    free(cache->path);
    free(cache->folder);
    free(cache);
}
