/* What goes when there is no more room. */
#include "cache_statements.h"

#include <stdio.h>
#include <string.h>

enum { EVICTED_AT_ONCE = 256 };

struct victim {
    struct content_id id;
    char codec[64];
    uint64_t size;
    int64_t stream;
};

static int find_victims(struct cache_database *database, struct victim *victims, size_t *ret_count)
{
    sqlite3_stmt *statement = NULL;
    int r = database_prepare(database, OLDEST, &statement);

    *ret_count = 0;
    if (r != SQLITE_OK)
        return r;
    sqlite3_bind_int64(statement, 1, EVICTED_AT_ONCE);
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        struct victim *victim = &victims[*ret_count];
        const unsigned char *codec = sqlite3_column_text(statement, 1);
        if (!database_column_id(statement, 0, &victim->id) || !codec ||
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
    int r = victims ? database_number(database, TOTAL, &total) : SQLITE_NOMEM;
    uint64_t left = (uint64_t)total;

    if (r != SQLITE_OK || left <= limit)
        return r;
    while (r == SQLITE_OK && left > goal && count > 0) {
        r = find_victims(database, victims, &count);
        for (size_t i = 0; i < count && r == SQLITE_OK && left > goal; i++) {
            r = database_drop_stream(database, victims[i].stream, victims[i].size);
            if (r == SQLITE_OK)
                r = database_drop_member(database, &victims[i].id, victims[i].codec);
            left -= victims[i].size < left ? victims[i].size : left;
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
    int64_t notes = 0;
    int r = cache_database_begin_writing(database);

    if (r == SQLITE_OK)
        r = evict(database, limit);
    if (r == SQLITE_OK)
        r = drop_older(database, DROP_ALIASES, oldest);
    if (r == SQLITE_OK)
        r = drop_older(database, DROP_NOTES, oldest);
    if (r == SQLITE_OK)
        r = database_number(database, TOTAL_OF_NOTES, &notes);
    if (r == SQLITE_OK && (uint64_t)notes > limit / 8)
        r = database_run(database, HALF_OF_NOTES);
    if (r == SQLITE_OK)
        r = cache_database_commit(database);
    return r == SQLITE_OK ? database_execute(database, "PRAGMA incremental_vacuum") : r;
}
