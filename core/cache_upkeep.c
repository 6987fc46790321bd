#include <addonfs/cache_upkeep.h>

#include "cache_parts.h"
#include "cache_statements.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BUSY = 60000 }; /* milliseconds */

static const int64_t DAY = INT64_C(24) * 3600;
static const int64_t ALIAS_DAYS = 120; /* as the cache's own writer has it */

/* A cache that somebody looks after: `cache` holds only where it is. */
struct upkeep {
    struct cache cache;
    struct cache_database *database; /* NULL: there is none */
    struct error *error;
};

static void upkeep_clear(struct upkeep *upkeep)
{
    cache_database_close(upkeep->database);
    free(upkeep->cache.path);
    free(upkeep->cache.folder);
}

#define cleanup_upkeep __attribute__((cleanup(upkeep_clear)))

static int fail(const struct upkeep *upkeep, int result)
{
    const char *path = upkeep->cache.path;

    if (cache_database_is_damaged(result))
        return error_set(upkeep->error, -EUCLEAN,
                         "%s: is damaged, or of an older addonfs: addonfs cache clear begins anew",
                         path);
    if (result == CACHE_DATABASE_FOREIGN)
        return error_set(upkeep->error, -ENOTSUP, "%s: is not a cache of this version of addonfs",
                         path);
    if (cache_is_busy(result))
        return error_set(upkeep->error, -EBUSY, "%s: others write all the time: try again", path);
    return error_set(upkeep->error, result == SQLITE_NOMEM ? -ENOMEM : -EIO, "%s: %s", path,
                     result == CACHE_DATABASE_NO_LOG ? "the file system cannot hold a database"
                                                     : cache_database_message(upkeep->database));
}

/* Where it is. 1: there is none. */
static int find(const char *folder, struct upkeep *upkeep)
{
    struct stat status;

    if (stat(folder, &status) < 0 && errno == ENOENT)
        return 1;
    const char *refusal = cache_refuse_folder(folder);
    if (refusal)
        return error_set(upkeep->error, -EPERM, "%s: %s", folder, refusal);
    upkeep->cache.folder = realpath(folder, NULL);
    upkeep->cache.path =
        upkeep->cache.folder ? path_join(upkeep->cache.folder, "members.sqlite") : NULL;
    if (!upkeep->cache.path)
        return error_errno(upkeep->error, -ENOMEM, "%s", folder);
    return lstat(upkeep->cache.path, &upkeep->cache.file) < 0 ? 1 : 0;
}

/* SQLite's result. */
static int open_database(struct upkeep *upkeep)
{
    return cache_database_open(upkeep->cache.path, "", BUSY, false, &upkeep->database);
}

/* The answer to a question of one integer, of which `?1` is `argument`. */
static int ask(const struct upkeep *upkeep, const char *question, int64_t argument,
               int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(upkeep->database->handle, question, -1, &statement, NULL);

    if (r != SQLITE_OK)
        return r;
    if (sqlite3_bind_parameter_count(statement) > 0)
        sqlite3_bind_int64(statement, 1, argument);
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return r == SQLITE_ROW ? SQLITE_OK : r;
}

/*
 * The bytes on the disk of all that makes the database; `mark` is behind its name (".damaged", or
 * ""). With `unlinks` it is removed, and what the disk has got back by that is counted.
 */
static uint64_t disk_of(const struct upkeep *upkeep, const char *mark, bool unlinks)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    uint64_t bytes = 0;

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        cleanup_free char *path = NULL;
        struct stat status;
        if (asprintf(&path, "%s%s%s", upkeep->cache.path, mark, suffixes[i]) < 0)
            path = NULL;
        else if (lstat(path, &status) == 0 && (!unlinks || unlink(path) == 0))
            bytes += (uint64_t)status.st_blocks * 512;
    }
    return bytes;
}

/* Of one moment: within a transaction. Numbers of damaged rows may be any: total() adds those, too.
 */
static int count(const struct upkeep *upkeep, struct cache_stats *stats)
{
    int64_t now = (int64_t)time(NULL);
    int64_t numbers[9] = {0};
    const struct {
        const char *question;
        int64_t argument;
    } questions[] = {
        {"SELECT count(*) FROM member", 0},
        {"SELECT cast(total(size) AS INTEGER) FROM member", 0},
        {"SELECT cast(total(compressed) AS INTEGER) FROM member", 0},
        {"SELECT count(*) FROM alias", 0},
        {"SELECT count(*) FROM note", 0},
        {"SELECT cast(total(length(data)) AS INTEGER) FROM note", 0},
        {"SELECT count(*) FROM member WHERE used >= ?1", now - DAY},
        {"SELECT count(*) FROM member WHERE used >= ?1", now - 7 * DAY},
        {"SELECT coalesce(min(used), 0) FROM member", 0},
    };
    int r = SQLITE_OK;

    for (size_t i = 0; r == SQLITE_OK && i < sizeof(questions) / sizeof(questions[0]); i++)
        r = ask(upkeep, questions[i].question, questions[i].argument, &numbers[i]);
    *stats = (struct cache_stats){
        .exists = true,
        .members = (uint64_t)numbers[0],
        .content = (uint64_t)numbers[1],
        .streams = (uint64_t)numbers[2],
        .aliases = (uint64_t)numbers[3],
        .notes = (uint64_t)numbers[4],
        .noted = (uint64_t)numbers[5],
        .used_day = (uint64_t)numbers[6],
        .used_week = (uint64_t)numbers[7],
        .oldest = numbers[8],
    };
    return r;
}

int cache_stats(const char *folder, struct cache_stats *ret_stats, struct error *error)
{
    cleanup_upkeep struct upkeep upkeep = {.error = error};
    struct cache_stats stats = {.exists = false};

    int r = find(folder, &upkeep);
    if (r < 0)
        return r;
    if (r == 0) {
        r = open_database(&upkeep);
        if (r == SQLITE_OK)
            r = cache_database_begin_reading(upkeep.database);
        if (r == SQLITE_OK)
            r = count(&upkeep, &stats);
        if (r == SQLITE_OK)
            r = cache_database_commit(upkeep.database);
        if (r != SQLITE_OK)
            return fail(&upkeep, r);
        stats.disk = disk_of(&upkeep, "", false);
    }
    *ret_stats = stats;
    return 0;
}

/* Give the log's room back as well, unless somebody still reads what is in it. */
static void shorten_log(const struct upkeep *upkeep)
{
    sqlite3_busy_timeout(upkeep->database->handle, 1000);
    (void)database_execute(upkeep->database, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/* What is gone. Others may have written meanwhile, so that a disk has more than before. */
static uint64_t less(uint64_t before, uint64_t after)
{
    return before > after ? before - after : 0;
}

static int evict(const struct upkeep *upkeep, uint64_t size)
{
    return cache_database_evict(upkeep->database, size, (int64_t)time(NULL) - ALIAS_DAYS * DAY);
}

/* What is not told by any row is found by nobody: sqlite_sequence goes on counting. */
static int delete_all(const struct upkeep *upkeep, uint64_t size)
{
    (void)size;
    return database_execute(upkeep->database, "DELETE FROM member; DELETE FROM stream;"
                                              "DELETE FROM alias; DELETE FROM note;");
}

/*
 * Open the database and delete in one transaction, in which also is counted what goes: then it is
 * this and not what others did. SQLite's result.
 */
static int reduce(struct upkeep *upkeep, int (*action)(const struct upkeep *upkeep, uint64_t size),
                  uint64_t size, struct cache_removed *removed)
{
    struct cache_stats before = {.exists = false};
    struct cache_stats after = {.exists = false};
    int r = open_database(upkeep);

    if (r != SQLITE_OK)
        return r;
    uint64_t disk = disk_of(upkeep, "", false);
    r = cache_database_begin_writing(upkeep->database);
    if (r == SQLITE_OK)
        r = count(upkeep, &before);
    if (r == SQLITE_OK)
        r = action(upkeep, size);
    if (r == SQLITE_OK)
        r = count(upkeep, &after);
    if (r == SQLITE_OK)
        r = cache_database_commit(upkeep->database);
    if (r == SQLITE_OK)
        r = cache_database_shrink(upkeep->database);
    if (r != SQLITE_OK) {
        cache_database_rollback(upkeep->database);
        return r;
    }
    shorten_log(upkeep);
    *removed = (struct cache_removed){
        .members = less(before.members, after.members),
        .content = less(before.content, after.content),
        .streams = less(before.streams, after.streams),
        .aliases = less(before.aliases, after.aliases),
        .notes = less(before.notes, after.notes),
        .noted = less(before.noted, after.noted),
        .disk = less(disk, disk_of(upkeep, "", false)),
    };
    return r;
}

int cache_prune(const char *folder, uint64_t size, struct cache_removed *ret_removed,
                struct error *error)
{
    cleanup_upkeep struct upkeep upkeep = {.error = error};
    struct cache_removed removed = {.members = 0};

    int r = find(folder, &upkeep);
    if (r < 0)
        return r;
    if (r == 0) {
        r = reduce(&upkeep, evict, size, &removed);
        if (r != SQLITE_OK)
            return fail(&upkeep, r);
    }
    *ret_removed = removed;
    return 0;
}

int cache_clear(const char *folder, struct cache_removed *ret_removed, struct error *error)
{
    cleanup_upkeep struct upkeep upkeep = {.error = error};
    struct cache_removed removed = {.members = 0};

    int r = find(folder, &upkeep);
    if (r < 0)
        return r;
    if (!upkeep.cache.path) {
        *ret_removed = removed;
        return 0;
    }
    cleanup_fd int lock = cache_lock_folder(&upkeep.cache);
    if (lock < 0)
        return error_errno(error, lock, "%s", folder);
    if (r == 0) {
        r = reduce(&upkeep, delete_all, 0, &removed);
        if (r != SQLITE_OK && !cache_database_is_damaged(r))
            return fail(&upkeep, r);
        if (r != SQLITE_OK)
            cache_set_aside(&upkeep.cache, &upkeep.cache.file);
    }
    removed.disk += disk_of(&upkeep, ".damaged", true);
    *ret_removed = removed;
    return 0;
}
