/* What the cache's database is, and how it is opened. */
#include "cache_statements.h"

#include <stdio.h>
#include <string.h>

/*
 * The format
 *
 * `member` and `alias` are small and are read without touching a stream. A stream is cut into
 * pieces, rows of `stream` with ids that follow each other from `member.stream` on: written one
 * after the other they also lie so on the disk. No id is given twice (AUTOINCREMENT), so that who
 * knows a stream that is gone never meets another one in its place. `sum` is the CRC-32 of all
 * other columns and of the key (but for `used`, which may say anything), for a piece of its
 * member's id, its number and its data: SQLite does not notice bits that flip.
 */
static const char schema[] =
    "CREATE TABLE member (id BLOB NOT NULL, codec TEXT NOT NULL, size INTEGER NOT NULL,"
    " compressed INTEGER NOT NULL, crc INTEGER NOT NULL, deflated INTEGER NOT NULL,"
    " stream INTEGER NOT NULL, used INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY (id, codec)) WITHOUT ROWID;"
    "CREATE INDEX member_used ON member (used);"
    "CREATE TABLE stream (id INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL,"
    " sum INTEGER NOT NULL);"
    "CREATE TABLE alias (key BLOB PRIMARY KEY, id BLOB NOT NULL, made INTEGER NOT NULL,"
    " sum INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX alias_made ON alias (made);"
    "CREATE TABLE note (key BLOB PRIMARY KEY, data BLOB NOT NULL, made INTEGER NOT NULL,"
    " sum INTEGER NOT NULL);"
    "CREATE INDEX note_made ON note (made);";

enum {
    APPLICATION = 0x41444653, /* "ADFS" */
    FORMAT = 3,
};

static const char *const statements[STATEMENT_COUNT] = {
    [BEGIN_READING] = "BEGIN",
    [BEGIN_WRITING] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [FIND_ALIAS] = "SELECT id, sum FROM alias WHERE key = ?1",
    [FIND_NOTE] = "SELECT data, sum FROM note WHERE key = ?1",
    [FIND_MEMBER] = ("SELECT size, compressed, crc, deflated, stream, sum, used "
                     "FROM member WHERE id = ?1 AND codec = ?2"),
    [FIND_STREAM] = "SELECT data, sum FROM stream WHERE id = ?1",
    [LAST_STREAM] = ("SELECT max(coalesce((SELECT max(id) FROM stream), 0),"
                     " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'stream'), 0))"),
    [PUT_ALIAS] = "INSERT OR REPLACE INTO alias (key, id, made, sum) VALUES (?1, ?2, ?3, ?4)",
    [PUT_NOTE] = "INSERT OR REPLACE INTO note (key, data, made, sum) VALUES (?1, ?2, ?3, ?4)",
    [PUT_MEMBER] = ("INSERT INTO member "
                    "(id, codec, size, compressed, crc, deflated, stream, sum, used) "
                    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
    [PUT_STREAM] = "INSERT INTO stream (id, data, sum) VALUES (?1, ?2, ?3)",
    [TOUCH] = "UPDATE member SET used = ?3 WHERE id = ?1 AND codec = ?2",
    [DROP_MEMBER] = "DELETE FROM member WHERE id = ?1 AND codec = ?2",
    [DROP_STREAM] = "DELETE FROM stream WHERE id >= ?1 AND id < ?2",
    [DROP_ALIASES] = "DELETE FROM alias WHERE made < ?1",
    [DROP_NOTES] = "DELETE FROM note WHERE made < ?1",
    [HALF_OF_NOTES] = ("DELETE FROM note WHERE key IN (SELECT key FROM note ORDER BY made "
                       "LIMIT (SELECT (count(*) + 1) / 2 FROM note))"),
    [IN_ORDER] = ("SELECT id, codec, size, compressed, crc, deflated, stream, sum "
                  "FROM member ORDER BY stream"),
    [OLDEST] = ("SELECT id, codec, size, compressed, crc, deflated, stream, sum "
                "FROM member ORDER BY used LIMIT ?1"),
    [TOTAL_OF_NOTES] = "SELECT coalesce(sum(length(data)), 0) FROM note",
};

/* --- Statements ---------------------------------------------------------------------------------
 */

int database_prepare(struct cache_database *database, enum statement which, sqlite3_stmt **ret)
{
    int r = SQLITE_OK;

    if (!database->prepared[which])
        r = sqlite3_prepare_v3(database->handle, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                               &database->prepared[which], NULL);
    *ret = database->prepared[which];
    return r;
}

int database_finish(sqlite3_stmt *statement)
{
    int r = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

int database_run(struct cache_database *database, enum statement which)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, which, &statement);

    return r == SQLITE_OK ? database_finish(statement) : r;
}

int database_number(struct cache_database *database, enum statement which, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, which, &statement);

    if (r != SQLITE_OK)
        return r;
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return r == SQLITE_ROW ? SQLITE_OK : r;
}

void database_bind_id(sqlite3_stmt *statement, int at, const struct content_id *id)
{
    sqlite3_bind_blob(statement, at, id->bytes, sizeof(id->bytes), SQLITE_STATIC);
}

bool database_column_id(sqlite3_stmt *statement, int at, struct content_id *ret_id)
{
    const void *bytes = sqlite3_column_blob(statement, at);

    if (!bytes || sqlite3_column_bytes(statement, at) != (int)sizeof(ret_id->bytes))
        return false;
    memcpy(ret_id->bytes, bytes, sizeof(ret_id->bytes));
    return true;
}

/* --- Opening ------------------------------------------------------------------------------------
 */

static int pragma(struct cache_database *database, const char *text, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(database->handle, text, -1, &statement, NULL);

    if (r != SQLITE_OK)
        return r;
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW && ret_number)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

int database_execute(struct cache_database *database, const char *text)
{
    return sqlite3_exec(database->handle, text, NULL, NULL, NULL);
}

/* SQLite answers which journal there is, whichever was asked for; that is no error to it. */
static int use_log(struct cache_database *database)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(database->handle, "PRAGMA journal_mode = WAL", -1, &statement, NULL);

    if (r != SQLITE_OK)
        return r;
    r = sqlite3_step(statement);
    const char *mode = r == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (r == SQLITE_ROW)
        r = mode && strcmp(mode, "wal") == 0 ? SQLITE_OK : CACHE_DATABASE_NO_LOG;
    sqlite3_finalize(statement);
    return r;
}

static int create(struct cache_database *database)
{
    /* Freed pages go back to the disk only if that is said before the first table. An empty file
     * is worth no waiting for the disk: whatever a power cut leaves of it is set aside. */
    int r = database_execute(database, "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL;"
                                       "PRAGMA synchronous = OFF;");

    if (r == SQLITE_OK)
        r = use_log(database);
    if (r == SQLITE_OK)
        r = database_execute(database, "BEGIN IMMEDIATE");
    if (r == SQLITE_OK)
        r = database_execute(database, schema);
    if (r == SQLITE_OK)
        r = database_execute(database,
                             "PRAGMA application_id = 1094993491; PRAGMA user_version = 3;"
                             "COMMIT; PRAGMA synchronous = NORMAL;");
    _Static_assert(APPLICATION == 1094993491 && FORMAT == 3, "as in the text above");
    return r;
}

static int check_format(struct cache_database *database, bool make)
{
    int64_t application = 0;
    int64_t format = 0;
    int64_t tables = 0;

    int r = pragma(database, "PRAGMA application_id", &application);
    if (r == SQLITE_OK)
        r = pragma(database, "PRAGMA user_version", &format);
    if (r == SQLITE_OK)
        r = pragma(database, "SELECT count(*) FROM sqlite_schema", &tables);
    if (r != SQLITE_OK)
        return r;
    if (application == 0 && tables == 0)
        return make ? create(database) : SQLITE_CANTOPEN;
    if (application != APPLICATION || format > FORMAT)
        return CACHE_DATABASE_FOREIGN;
    return format == FORMAT ? use_log(database) : CACHE_DATABASE_OUTDATED;
}

int cache_database_open(const char *path, const char *codec, int busy_milliseconds, bool make,
                        struct cache_database **ret_database)
{
    struct cache_database *database = calloc(1, sizeof(*database));

    if (!database)
        return SQLITE_NOMEM;
    *ret_database = database;
    database->codec = codec;
    int r = sqlite3_open_v2(path, &database->handle,
                            SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0) |
                                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                            NULL);
    if (r != SQLITE_OK)
        return r;
    sqlite3_busy_timeout(database->handle, busy_milliseconds);
    /* What is in the file may be anything; a mapped file that is cut ends the process. */
    r = database_execute(database,
                         "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                         "PRAGMA mmap_size = 0; PRAGMA cache_size = -2048;"
                         "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 33554432;");
    /* Who writes touches every page of an index in each transaction (BATCH_JOBS): at 200,000
     * members they are 40 MB, which are given back behind it. The log may hold that more than once
     * before it goes into the database. */
    if (r == SQLITE_OK && make)
        r = database_execute(database,
                             "PRAGMA cache_size = -49152; PRAGMA wal_autocheckpoint = 4096;");
    return r == SQLITE_OK ? check_format(database, make) : r;
}

void cache_database_close(struct cache_database *database)
{
    if (!database)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(database->prepared[i]);
    sqlite3_close(database->handle);
    free(database);
}

void cache_database_rest(struct cache_database *database)
{
    (void)sqlite3_db_release_memory(database->handle);
}

const char *cache_database_message(const struct cache_database *database)
{
    return database && database->handle ? sqlite3_errmsg(database->handle) : "no memory";
}

bool cache_database_is_damaged(int result)
{
    return (result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB ||
           result == CACHE_DATABASE_OUTDATED;
}

/* --- Transactions -------------------------------------------------------------------------------
 */

int cache_database_begin_reading(struct cache_database *database)
{
    return database_run(database, BEGIN_READING);
}

int cache_database_begin_writing(struct cache_database *database)
{
    return database_run(database, BEGIN_WRITING);
}

int cache_database_commit(struct cache_database *database)
{
    return database_run(database, COMMIT);
}

int cache_database_shrink(struct cache_database *database)
{
    return database_execute(database, "PRAGMA incremental_vacuum");
}

void cache_database_rollback(struct cache_database *database)
{
    if (!sqlite3_get_autocommit(database->handle))
        (void)database_execute(database, "ROLLBACK");
}
