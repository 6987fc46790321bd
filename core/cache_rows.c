/* Rows of the cache's tables: found, put and dropped, each under its checksum. */
#include "cache_statements.h"

#include <addonfs/deflate.h>
#include <endian.h>
#include <string.h>

enum { PIECE_SIZE = 1 << 20 };

/* No database counts so far: numbers beyond it come of flipped bits, and would overflow. */
static const int64_t LAST_STREAM_MAX = INT64_MAX / 2;

/* --- Checksums ----------------------------------------------------------------------------------
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

uint32_t database_member_sum(const struct content_id *id, const char *codec,
                             const struct cache_member *member)
{
    uint32_t sum = deflate_crc32(0, id->bytes, sizeof(id->bytes));

    sum = deflate_crc32(sum, codec, strlen(codec));
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

/* --- Reading ------------------------------------------------------------------------------------
 */

int cache_database_find_alias(struct cache_database *database, const struct content_id *key,
                              struct content_id *ret_id, bool *ret_damaged)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, FIND_ALIAS, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, key);
    r = sqlite3_step(statement);
    if (r == SQLITE_ROW && (!database_column_id(statement, 0, ret_id) ||
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
    int r = database_prepare(database, FIND_NOTE, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, key);
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
    int r = database_prepare(database, FIND_MEMBER, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, id);
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
        if (sqlite3_column_int64(statement, 5) !=
            database_member_sum(id, database->codec, ret_member)) {
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

int64_t database_stream_end(const struct cache_member *member)
{
    return member->stream + (int64_t)piece_count(member->compressed_size);
}

/* Hand one piece on. SQLITE_DONE with `*ret_damaged`: it is not what was written, or not there. */
static int read_piece(sqlite3_stmt *statement, const struct content_id *id, uint64_t piece,
                      size_t size,
                      int (*take)(void *context, uint64_t offset, const void *bytes, size_t size),
                      void *context, bool *ret_damaged)
{
    int r = sqlite3_step(statement);

    if (r == SQLITE_DONE)
        *ret_damaged = true;
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
    int r = database_prepare(database, FIND_STREAM, &statement);

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

/* --- Writing ------------------------------------------------------------------------------------
 */

int cache_database_put_alias(struct cache_database *database, const struct content_id *key,
                             const struct content_id *id, int64_t now)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, PUT_ALIAS, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, key);
    database_bind_id(statement, 2, id);
    sqlite3_bind_int64(statement, 3, now);
    sqlite3_bind_int64(statement, 4, alias_sum(key, id));
    return database_finish(statement);
}

int cache_database_put_note(struct cache_database *database, const struct content_id *key,
                            const void *bytes, size_t size, int64_t now)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, PUT_NOTE, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, key);
    sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, now);
    sqlite3_bind_int64(statement, 4, piece_sum(key, 0, bytes, size));
    return database_finish(statement);
}

static int put_pieces(struct cache_database *database, const struct cache_put *put, int64_t first)
{
    uint64_t total = put->member.compressed_size;
    uint64_t pieces = piece_count(total);
    cleanup_free void *bytes = malloc(total < PIECE_SIZE ? (size_t)total + 1 : PIECE_SIZE);
    sqlite3_stmt *statement = NULL;
    int r = bytes ? database_prepare(database, PUT_STREAM, &statement) : SQLITE_NOMEM;

    for (uint64_t piece = 0; piece < pieces && r == SQLITE_OK; piece++) {
        uint64_t rest = total - piece * PIECE_SIZE;
        size_t size = rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE;
        if (put->read(put->context, piece * PIECE_SIZE, bytes, size) < 0)
            return SQLITE_ABORT;
        sqlite3_bind_int64(statement, 1, first + (int64_t)piece);
        sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, piece_sum(&put->id, piece, bytes, size));
        r = database_finish(statement);
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
        r = database_drop_member(database, &put->id, database->codec);
    if (r == SQLITE_OK || r == SQLITE_DONE)
        r = database_number(database, LAST_STREAM, &last);
    if (r == SQLITE_OK && last >= LAST_STREAM_MAX)
        r = SQLITE_CORRUPT;
    if (r != SQLITE_OK)
        return r;
    member.stream = last + 1;
    r = put_pieces(database, put, member.stream);
    if (r == SQLITE_OK)
        r = database_prepare(database, PUT_MEMBER, &statement);
    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, &put->id);
    sqlite3_bind_text(statement, 2, database->codec, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, (int64_t)member.size);
    sqlite3_bind_int64(statement, 4, (int64_t)member.compressed_size);
    sqlite3_bind_int64(statement, 5, member.crc32);
    sqlite3_bind_int64(statement, 6, member.deflated);
    sqlite3_bind_int64(statement, 7, member.stream);
    sqlite3_bind_int64(statement, 8, database_member_sum(&put->id, database->codec, &member));
    sqlite3_bind_int64(statement, 9, now);
    return database_finish(statement);
}

int cache_database_touch(struct cache_database *database, const struct content_id *id, int64_t now)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, TOUCH, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, id);
    sqlite3_bind_text(statement, 2, database->codec, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, now);
    return database_finish(statement);
}

int database_drop_member(struct cache_database *database, const struct content_id *id,
                         const char *codec)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, DROP_MEMBER, &statement);

    if (r != SQLITE_OK)
        return r;
    database_bind_id(statement, 1, id);
    sqlite3_bind_text(statement, 2, codec, -1, SQLITE_STATIC);
    return database_finish(statement);
}

int database_drop_pieces(struct cache_database *database, int64_t from, int64_t to)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, DROP_STREAM, &statement);

    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, from);
    sqlite3_bind_int64(statement, 2, to);
    return database_finish(statement);
}

int cache_database_drop(struct cache_database *database, const struct content_id *id,
                        int64_t stream)
{
    struct cache_member member = {0};
    bool damaged = false;
    int64_t used = 0;

    int r = cache_database_find_member(database, id, &member, &used, &damaged);
    if (r == SQLITE_ROW) {
        if (member.stream != stream)
            return SQLITE_OK;
        r = database_drop_pieces(database, stream, database_stream_end(&member));
    }
    /* A row that is damaged itself cannot say which stream is its own: eviction collects that. */
    if (r == SQLITE_OK || (r == SQLITE_DONE && damaged))
        return database_drop_member(database, id, database->codec);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}
