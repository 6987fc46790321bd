/* What goes: rows and pieces that are of no use, and when there is no more room the oldest. */
#include "cache_statements.h"

#include <stdio.h>
#include <string.h>

enum { EVICTED_AT_ONCE = 256 };

struct row {
    struct content_id id;
    char codec[64];
    struct cache_member member;
};

/*
 * Take what a statement's row says. False: it is not what was written. To believe it would be to
 * delete what belongs to others: one bit makes a stream of a few pieces one of a million.
 */
static bool take_row(sqlite3_stmt *statement, struct row *row)
{
    /* Of another type it is left as it is: asking for text would make text of it. */
    if (sqlite3_column_type(statement, 0) != SQLITE_BLOB ||
        !database_column_id(statement, 0, &row->id) ||
        sqlite3_column_type(statement, 1) != SQLITE_TEXT)
        return false;
    const char *codec = (const char *)sqlite3_column_text(statement, 1);
    if (!codec || strlen(codec) >= sizeof(row->codec))
        return false;
    snprintf(row->codec, sizeof(row->codec), "%s", codec);
    row->member = (struct cache_member){
        .size = (uint64_t)sqlite3_column_int64(statement, 2),
        .compressed_size = (uint64_t)sqlite3_column_int64(statement, 3),
        .crc32 = (uint32_t)sqlite3_column_int64(statement, 4),
        .deflated = sqlite3_column_int64(statement, 5) != 0,
        .stream = sqlite3_column_int64(statement, 6),
    };
    return sqlite3_column_int64(statement, 7) ==
           database_member_sum(&row->id, row->codec, &row->member);
}

/* Delete the row that `found` stands at, by the key that it has, whatever that is. */
static int drop_found(struct cache_database *database, sqlite3_stmt *found)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, DROP_MEMBER, &statement);

    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_value(statement, 1, sqlite3_column_value(found, 0));
    sqlite3_bind_value(statement, 2, sqlite3_column_value(found, 1));
    r = database_finish(statement);
    /* It was found, but not under its key: the tree itself is out of order. */
    return r == SQLITE_OK && sqlite3_changes(database->handle) == 0 ? SQLITE_CORRUPT : r;
}

/*
 * Delete rows that are damaged, and pieces between the streams of the others: those of rows that
 * were damaged. `*ret_total`: bytes of streams that are left. A walk of all rows, but not of the
 * pieces, which are many times as large.
 */
static int sweep(struct cache_database *database, uint64_t *ret_total)
{
    sqlite3_stmt *statement = NULL;
    struct row row;
    uint64_t total = 0;
    int64_t end = INT64_MIN; /* of the streams so far */
    int r = database_prepare(database, IN_ORDER, &statement);

    if (r != SQLITE_OK)
        return r;
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!take_row(statement, &row)) {
            r = drop_found(database, statement);
        } else {
            total += row.member.compressed_size;
            r = row.member.stream > end ? database_drop_pieces(database, end, row.member.stream)
                                        : SQLITE_OK;
            if (database_stream_end(&row.member) > end)
                end = database_stream_end(&row.member);
        }
        if (r != SQLITE_OK)
            break;
    }
    sqlite3_reset(statement);
    if (r == SQLITE_DONE)
        r = database_drop_pieces(database, end, INT64_MAX);
    *ret_total = total;
    return r;
}

static int find_victims(struct cache_database *database, struct row *victims, size_t *ret_count)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, OLDEST, &statement);

    *ret_count = 0;
    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, EVICTED_AT_ONCE);
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        /* What is damaged has just been swept away, unless an index is out of order. */
        if (!take_row(statement, &victims[(*ret_count)++])) {
            r = SQLITE_CORRUPT;
            break;
        }
    }
    sqlite3_reset(statement);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* `left`: bytes of streams that there are. */
static int evict(struct cache_database *database, uint64_t left, uint64_t limit)
{
    uint64_t goal = limit - limit / 10;
    size_t count = 1;

    if (left <= limit)
        return SQLITE_OK;
    cleanup_free struct row *victims = calloc(EVICTED_AT_ONCE, sizeof(*victims));
    int r = victims ? SQLITE_OK : SQLITE_NOMEM;
    while (r == SQLITE_OK && left > goal && count > 0) {
        r = find_victims(database, victims, &count);
        for (size_t i = 0; i < count && r == SQLITE_OK && left > goal; i++) {
            const struct cache_member *member = &victims[i].member;
            r = database_drop_pieces(database, member->stream, database_stream_end(member));
            if (r == SQLITE_OK)
                r = database_drop_member(database, &victims[i].id, victims[i].codec);
            if (r == SQLITE_OK && sqlite3_changes(database->handle) == 0)
                r = SQLITE_CORRUPT;
            left -= member->compressed_size;
        }
    }
    return r;
}

static int drop_older(struct cache_database *database, enum statement which, int64_t oldest)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, which, &statement);

    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, oldest);
    return database_finish(statement);
}

int cache_database_evict(struct cache_database *database, uint64_t limit, int64_t oldest)
{
    uint64_t total = 0;
    int64_t notes = 0;

    int r = sweep(database, &total);
    if (r == SQLITE_OK)
        r = evict(database, total, limit);
    if (r == SQLITE_OK)
        r = drop_older(database, DROP_ALIASES, oldest);
    if (r == SQLITE_OK)
        r = drop_older(database, DROP_NOTES, oldest);
    if (r == SQLITE_OK)
        r = database_number(database, TOTAL_OF_NOTES, &notes);
    if (r == SQLITE_OK && (uint64_t)notes > limit / 8)
        r = database_run(database, HALF_OF_NOTES);
    return r;
}
