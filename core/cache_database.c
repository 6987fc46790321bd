#include "cache_database.h"

#include <addonfs/deflate.h>
#include <endian.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/*
 * The format
 *
 * `member` and `alias` are small and are read without touching a stream. A stream is cut into
 * pieces, rows of `stream` with ids that follow each other from `member.stream` on: written one
 * after the other they also lie so on the disk. `sum` is the CRC-32 of all other columns and of the
 * key (but for `used`, which may say anything), for a piece of its member's id, its number and its
 * data: SQLite does not notice bits that flip.
 */
static const char schema[] =
    "CREATE TABLE member (id BLOB NOT NULL, codec TEXT NOT NULL, size INTEGER NOT NULL,"
    " compressed INTEGER NOT NULL, crc INTEGER NOT NULL, deflated INTEGER NOT NULL,"
    " stream INTEGER NOT NULL, used INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY (id, codec)) WITHOUT ROWID;"
    "CREATE INDEX member_used ON member (used);"
    "CREATE TABLE stream (id INTEGER PRIMARY KEY, data BLOB NOT NULL, sum INTEGER NOT NULL);"
    "CREATE TABLE alias (key BLOB PRIMARY KEY, id BLOB NOT NULL, made INTEGER NOT NULL,"
    " sum INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX alias_made ON alias (made);"
    "CREATE TABLE note (key BLOB PRIMARY KEY, data BLOB NOT NULL, made INTEGER NOT NULL,"
    " sum INTEGER NOT NULL);"
    "CREATE INDEX note_made ON note (made);";

enum {
    APPLICATION = 0x41444653, /* "ADFS" */
    FORMAT = 2,
    PIECE_SIZE = 1 << 20,
    EVICTED_AT_ONCE = 256,
};

enum statement {
    BEGIN_READING,
    BEGIN_WRITING,
    COMMIT,
    FIND_ALIAS,
    FIND_NOTE,
    FIND_MEMBER,
    FIND_STREAM,
    LAST_STREAM,
    PUT_ALIAS,
    PUT_NOTE,
    PUT_MEMBER,
    PUT_STREAM,
    TOUCH,
    DROP_MEMBER,
    DROP_STREAM,
    DROP_ALIASES,
    DROP_NOTES,
    HALF_OF_NOTES,
    OLDEST,
    TOTAL,
    TOTAL_OF_NOTES,
    STATEMENT_COUNT,
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
    [LAST_STREAM] = "SELECT coalesce(max(id), 0) FROM stream",
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
    [OLDEST] = "SELECT id, codec, compressed, stream FROM member ORDER BY used LIMIT ?1",
    [TOTAL] = "SELECT coalesce(sum(compressed), 0) FROM member",
    [TOTAL_OF_NOTES] = "SELECT coalesce(sum(length(data)), 0) FROM note",
};

struct cache_database {
    sqlite3 *handle;
    const char *codec;
    sqlite3_stmt *prepared[STATEMENT_COUNT];
};

/* --- Statements --------------------------------------------------------------------------------
 */

static int prepare(struct cache_database *database, enum statement which, sqlite3_stmt **ret)
{
    int r = SQLITE_OK;

    if (!database->prepared[which])
        r = sqlite3_prepare_v3(database->handle, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                               &database->prepared[which], NULL);
    *ret = database->prepared[which];
    return r;
}

/* Run what answers no row. */
static int finish(sqlite3_stmt *statement)
{
    int r = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

static int run(struct cache_database *database, enum statement which)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, which, &statement);

    return r == SQLITE_OK ? finish(statement) : r;
}

/* The one integer of the one row that a statement answers. */
static int number(struct cache_database *database, enum statement which, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, which, &statement);

    if (r != SQLITE_OK)
        return r;
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return r == SQLITE_ROW ? SQLITE_OK : r;
}

static void bind_id(sqlite3_stmt *statement, int at, const struct content_id *id)
{
    sqlite3_bind_blob(statement, at, id->bytes, sizeof(id->bytes), SQLITE_STATIC);
}

static bool column_id(sqlite3_stmt *statement, int at, struct content_id *ret_id)
{
    const void *bytes = sqlite3_column_blob(statement, at);

    if (!bytes || sqlite3_column_bytes(statement, at) != (int)sizeof(ret_id->bytes))
        return false;
    memcpy(ret_id->bytes, bytes, sizeof(ret_id->bytes));
    return true;
}

/* --- Checksums ---------------------------------------------------------------------------------
 */

static uint32_t sum_number(uint32_t sum, uint64_t value)
{
    uint64_t bytes = htole64(value);

    return deflate_crc32(sum, &bytes, sizeof(bytes));
}

static uint32_t alias_sum(const struct content_id *key, const struct content_id *id)
{
    uint32_t sum = deflate_crc32(0, key->bytes, sizeof(key->bytes));

    return deflate_crc32(sum, id->bytes, sizeof(id->bytes));
}

static uint32_t member_sum(const struct cache_database *database, const struct content_id *id,
                           const struct cache_member *member)
{
    uint32_t sum = deflate_crc32(0, id->bytes, sizeof(id->bytes));

    sum = deflate_crc32(sum, database->codec, strlen(database->codec));
    sum = sum_number(sum, member->size);
    sum = sum_number(sum, member->compressed_size);
    sum = sum_number(sum, member->crc32);
    sum = sum_number(sum, member->deflated);
    return sum_number(sum, (uint64_t)member->stream);
}

static uint32_t piece_sum(const struct content_id *id, uint64_t piece, const void *bytes,
                          size_t size)
{
    uint32_t sum = sum_number(deflate_crc32(0, id->bytes, sizeof(id->bytes)), piece);

    return deflate_crc32(sum, bytes, size);
}

/* --- Opening -----------------------------------------------------------------------------------
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

static int execute(struct cache_database *database, const char *text)
{
    return sqlite3_exec(database->handle, text, NULL, NULL, NULL);
}

static int create(struct cache_database *database)
{
    /* Freed pages go back to the disk only if that is said before the first table. */
    int r = execute(database, "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL;"
                              "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE;");

    if (r == SQLITE_OK)
        r = execute(database, schema);
    if (r == SQLITE_OK)
        r = execute(database, "PRAGMA application_id = 1094993491; PRAGMA user_version = 2;"
                              "COMMIT;");
    _Static_assert(APPLICATION == 1094993491 && FORMAT == 2, "as in the text above");
    return r;
}

static int check_format(struct cache_database *database)
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
        return create(database);
    if (application != APPLICATION || format > FORMAT)
        return CACHE_DATABASE_FOREIGN;
    return format == FORMAT ? SQLITE_OK : CACHE_DATABASE_OUTDATED;
}

int cache_database_open(const char *path, const char *codec, int busy_milliseconds,
                        struct cache_database **ret_database)
{
    struct cache_database *database = calloc(1, sizeof(*database));

    if (!database)
        return SQLITE_NOMEM;
    *ret_database = database;
    database->codec = codec;
    int r = sqlite3_open_v2(path, &database->handle,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
                            NULL);
    if (r != SQLITE_OK)
        return r;
    sqlite3_busy_timeout(database->handle, busy_milliseconds);
    /* What is in the file may be anything; a mapped file that is cut ends the process. */
    r = execute(database, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                          "PRAGMA mmap_size = 0; PRAGMA cache_size = -2048;"
                          "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 33554432;");
    return r == SQLITE_OK ? check_format(database) : r;
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

const char *cache_database_message(const struct cache_database *database)
{
    return database && database->handle ? sqlite3_errmsg(database->handle) : "no memory";
}

bool cache_database_is_damaged(int result)
{
    return (result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB ||
           result == CACHE_DATABASE_OUTDATED;
}

/* --- Reading -----------------------------------------------------------------------------------
 */

int cache_database_begin_reading(struct cache_database *database)
{
    return run(database, BEGIN_READING);
}

int cache_database_begin_writing(struct cache_database *database)
{
    return run(database, BEGIN_WRITING);
}

int cache_database_commit(struct cache_database *database)
{
    return run(database, COMMIT);
}

int cache_database_find_alias(struct cache_database *database, const struct content_id *key,
                              struct content_id *ret_id, bool *ret_damaged)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, FIND_ALIAS, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, key);
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW && (!column_id(statement, 0, ret_id) ||
                            sqlite3_column_int64(statement, 1) != alias_sum(key, ret_id))) {
        *ret_damaged = true;
        r = SQLITE_DONE;
    }
    sqlite3_reset(statement);
    return r;
}

int cache_database_find_note(struct cache_database *database, const struct content_id *key,
                             void **ret_bytes, size_t *ret_size, bool *ret_damaged)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, FIND_NOTE, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, key);
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(statement, 0);
        size_t size = (size_t)sqlite3_column_bytes(statement, 0);
        void *copy = bytes ? malloc(size) : NULL;
        if (!bytes || sqlite3_column_int64(statement, 1) != piece_sum(key, 0, bytes, size)) {
            *ret_damaged = true;
            r = SQLITE_DONE;
        } else if (!copy) {
            r = SQLITE_NOMEM;
        } else {
            memcpy(copy, bytes, size);
            *ret_bytes = copy;
            *ret_size = size;
            copy = NULL;
        }
        free(copy);
    }
    sqlite3_reset(statement);
    return r;
}

int cache_database_find_member(struct cache_database *database, const struct content_id *id,
                               struct cache_member *ret_member, int64_t *ret_used,
                               bool *ret_damaged)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, FIND_MEMBER, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, id);
    sqlite3_bind_text(statement, 2, database->codec, -1, SQLITE_STATIC);
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW) {
        *ret_member = (struct cache_member){
            .size = (uint64_t)sqlite3_column_int64(statement, 0),
            .compressed_size = (uint64_t)sqlite3_column_int64(statement, 1),
            .crc32 = (uint32_t)sqlite3_column_int64(statement, 2),
            .deflated = sqlite3_column_int64(statement, 3) != 0,
            .stream = sqlite3_column_int64(statement, 4),
        };
        *ret_used = sqlite3_column_int64(statement, 6);
        if (sqlite3_column_int64(statement, 5) != member_sum(database, id, ret_member)) {
            *ret_damaged = true;
            r = SQLITE_DONE;
        }
    }
    sqlite3_reset(statement);
    return r;
}

static uint64_t piece_count(uint64_t size)
{
    return size / PIECE_SIZE + (size % PIECE_SIZE != 0);
}

/* Hand one piece on. SQLITE_DONE with `*ret_damaged`: it is not what was written. */
static int read_piece(sqlite3_stmt *statement, const struct content_id *id, uint64_t piece,
                      size_t size,
                      int (*take)(void *context, uint64_t offset, const void *bytes, size_t size),
                      void *context, bool *ret_damaged)
{
    int r = sqlite3_step(statement);

    if (r != SQLITE_ROW)
        return r;
    const void *bytes = sqlite3_column_blob(statement, 0);
    if (!bytes || sqlite3_column_bytes(statement, 0) != (int)size ||
        sqlite3_column_int64(statement, 1) != piece_sum(id, piece, bytes, size)) {
        *ret_damaged = true;
        return SQLITE_DONE;
    }
    return take(context, piece * PIECE_SIZE, bytes, size) < 0 ? SQLITE_ABORT : SQLITE_ROW;
}

int cache_database_read_stream(struct cache_database *database, const struct content_id *id,
                               const struct cache_member *member,
                               int (*take)(void *context, uint64_t offset, const void *bytes,
                                           size_t size),
                               void *context, bool *ret_damaged)
{
    uint64_t pieces = piece_count(member->compressed_size);
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, FIND_STREAM, &statement);

    if (r != SQLITE_OK)
        return r;
    r = SQLITE_ROW;
    for (uint64_t piece = 0; piece < pieces && r == SQLITE_ROW; piece++) {
        uint64_t rest = member->compressed_size - piece * PIECE_SIZE;
        sqlite3_bind_int64(statement, 1, member->stream + (int64_t)piece);
        r = read_piece(statement, id, piece, rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE, take,
                       context, ret_damaged);
        sqlite3_reset(statement);
    }
    return r;
}

/* --- Writing -----------------------------------------------------------------------------------
 */

int cache_database_put_alias(struct cache_database *database, const struct content_id *key,
                             const struct content_id *id, int64_t now)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, PUT_ALIAS, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, key);
    bind_id(statement, 2, id);
    sqlite3_bind_int64(statement, 3, now);
    sqlite3_bind_int64(statement, 4, alias_sum(key, id));
    return finish(statement);
}

int cache_database_put_note(struct cache_database *database, const struct content_id *key,
                            const void *bytes, size_t size, int64_t now)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, PUT_NOTE, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, key);
    sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, now);
    sqlite3_bind_int64(statement, 4, piece_sum(key, 0, bytes, size));
    return finish(statement);
}

static int put_pieces(struct cache_database *database, const struct cache_put *put, int64_t first)
{
    uint64_t pieces = piece_count(put->member.compressed_size);
    cleanup_free void *bytes = malloc(PIECE_SIZE);
    sqlite3_stmt *statement = NULL;
    int r = bytes ? prepare(database, PUT_STREAM, &statement) : SQLITE_NOMEM;

    for (uint64_t piece = 0; piece < pieces && r == SQLITE_OK; piece++) {
        uint64_t rest = put->member.compressed_size - piece * PIECE_SIZE;
        size_t size = rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE;
        if (put->read(put->context, piece * PIECE_SIZE, bytes, size) < 0)
            return SQLITE_ABORT;
        sqlite3_bind_int64(statement, 1, first + (int64_t)piece);
        sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, piece_sum(&put->id, piece, bytes, size));
        r = finish(statement);
    }
    return r;
}

int cache_database_put_member(struct cache_database *database, const struct cache_put *put,
                              int64_t now)
{
    struct cache_member member = put->member;
    struct cache_member known;
    sqlite3_stmt *statement = NULL;
    bool damaged = false;
    int64_t used;
    int64_t last = 0;

    int r = cache_database_find_member(database, &put->id, &known, &used, &damaged);
    if (r == SQLITE_ROW)
        return SQLITE_OK;
    if (r == SQLITE_DONE && damaged)
        r = cache_database_drop(database, &put->id);
    if (r == SQLITE_OK || r == SQLITE_DONE)
        r = number(database, LAST_STREAM, &last);
    member.stream = last + 1;
    if (r == SQLITE_OK)
        r = put_pieces(database, put, member.stream);
    if (r == SQLITE_OK)
        r = prepare(database, PUT_MEMBER, &statement);
    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, &put->id);
    sqlite3_bind_text(statement, 2, database->codec, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, (int64_t)member.size);
    sqlite3_bind_int64(statement, 4, (int64_t)member.compressed_size);
    sqlite3_bind_int64(statement, 5, member.crc32);
    sqlite3_bind_int64(statement, 6, member.deflated);
    sqlite3_bind_int64(statement, 7, member.stream);
    sqlite3_bind_int64(statement, 8, member_sum(database, &put->id, &member));
    sqlite3_bind_int64(statement, 9, now);
    return finish(statement);
}

int cache_database_touch(struct cache_database *database, const struct content_id *id, int64_t now)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, TOUCH, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, id);
    sqlite3_bind_text(statement, 2, database->codec, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, now);
    return finish(statement);
}

static int drop_member(struct cache_database *database, const struct content_id *id,
                       const char *codec)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, DROP_MEMBER, &statement);

    if (r != SQLITE_OK)
        return r;
    bind_id(statement, 1, id);
    sqlite3_bind_text(statement, 2, codec, -1, SQLITE_STATIC);
    return finish(statement);
}

static int drop_stream(struct cache_database *database, int64_t stream, uint64_t size)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, DROP_STREAM, &statement);

    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, stream);
    sqlite3_bind_int64(statement, 2, stream + (int64_t)piece_count(size));
    return finish(statement);
}

int cache_database_drop(struct cache_database *database, const struct content_id *id)
{
    struct cache_member member = {0};
    bool damaged = false;
    int64_t used = 0;

    int r = cache_database_find_member(database, id, &member, &used, &damaged);
    /* A row that is damaged itself cannot say which stream is its own. */
    if (r == SQLITE_ROW)
        r = drop_stream(database, member.stream, member.compressed_size);
    if (r == SQLITE_OK || (r == SQLITE_DONE && damaged))
        return drop_member(database, id, database->codec);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* --- Eviction ----------------------------------------------------------------------------------
 */

struct victim {
    struct content_id id;
    char codec[64];
    uint64_t size;
    int64_t stream;
};

static int find_victims(struct cache_database *database, struct victim *victims, size_t *ret_count)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, OLDEST, &statement);

    *ret_count = 0;
    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, EVICTED_AT_ONCE);
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        struct victim *victim = &victims[*ret_count];
        const unsigned char *codec = sqlite3_column_text(statement, 1);
        if (!column_id(statement, 0, &victim->id) || !codec ||
            sqlite3_column_bytes(statement, 1) >= (int)sizeof(victim->codec)) {
            r = SQLITE_CORRUPT;
            break;
        }
        snprintf(victim->codec, sizeof(victim->codec), "%s", (const char *)codec);
        victim->size = (uint64_t)sqlite3_column_int64(statement, 2);
        victim->stream = sqlite3_column_int64(statement, 3);
        (*ret_count)++;
    }
    sqlite3_reset(statement);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

static int evict(struct cache_database *database, uint64_t limit)
{
    cleanup_free struct victim *victims = calloc(EVICTED_AT_ONCE, sizeof(*victims));
    uint64_t goal = limit - limit / 10;
    int64_t total = 0;
    size_t count = 1;
    int r = victims ? number(database, TOTAL, &total) : SQLITE_NOMEM;
    uint64_t left = (uint64_t)total;

    if (r != SQLITE_OK || left <= limit)
        return r;
    while (r == SQLITE_OK && left > goal && count > 0) {
        r = find_victims(database, victims, &count);
        for (size_t i = 0; i < count && r == SQLITE_OK && left > goal; i++) {
            r = drop_stream(database, victims[i].stream, victims[i].size);
            if (r == SQLITE_OK)
                r = drop_member(database, &victims[i].id, victims[i].codec);
            left -= victims[i].size < left ? victims[i].size : left;
        }
    }
    return r;
}

static int drop_older(struct cache_database *database, enum statement which, int64_t oldest)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(database, which, &statement);

    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, oldest);
    return finish(statement);
}

int cache_database_evict(struct cache_database *database, uint64_t limit, int64_t oldest)
{
    int64_t notes = 0;
    int r = cache_database_begin_writing(database);

    if (r == SQLITE_OK)
        r = evict(database, limit);
    if (r == SQLITE_OK)
        r = drop_older(database, DROP_ALIASES, oldest);
    if (r == SQLITE_OK)
        r = drop_older(database, DROP_NOTES, oldest);
    if (r == SQLITE_OK)
        r = number(database, TOTAL_OF_NOTES, &notes);
    if (r == SQLITE_OK && (uint64_t)notes > limit / 8)
        r = run(database, HALF_OF_NOTES);
    if (r == SQLITE_OK)
        r = cache_database_commit(database);
    if (r != SQLITE_OK) {
        (void)execute(database, "ROLLBACK");
        return r;
    }
    return execute(database, "PRAGMA incremental_vacuum");
}
