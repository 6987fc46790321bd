/*
 * cache_statements: the statements that the cache's tables are read and written with, for the files
 * that do so. Functions return SQLite's result codes.
 */
#ifndef ADDONFS_CACHE_STATEMENTS_H
#define ADDONFS_CACHE_STATEMENTS_H

#include "cache_database.h"

#include <sqlite3.h>

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
    IN_ORDER,
    OLDEST,
    TOTAL_OF_NOTES,
    STATEMENT_COUNT,
};

struct cache_database {
    sqlite3 *handle;
    const char *codec;
    sqlite3_stmt *prepared[STATEMENT_COUNT];
};

/* The statement, prepared when it is first needed; the connection owns it. */
int database_prepare(struct cache_database *database, enum statement which, sqlite3_stmt **ret);

/* Run what answers no row. */
int database_finish(sqlite3_stmt *statement);
int database_run(struct cache_database *database, enum statement which);

/* The one integer of the one row that a statement answers. */
int database_number(struct cache_database *database, enum statement which, int64_t *ret_number);

/* Any text of SQL. */
int database_execute(struct cache_database *database, const char *text);

void database_bind_id(sqlite3_stmt *statement, int at, const struct content_id *id);
bool database_column_id(sqlite3_stmt *statement, int at, struct content_id *ret_id);

/* What a row of `member` has as its sum. */
uint32_t database_member_sum(const struct content_id *id, const char *codec,
                             const struct cache_member *member);

/* The number behind that of the last piece of a member's stream. */
int64_t database_stream_end(const struct cache_member *member);

int database_drop_member(struct cache_database *database, const struct content_id *id,
                         const char *codec);

/* Delete the pieces with numbers in [from, to), whosever they are. */
int database_drop_pieces(struct cache_database *database, int64_t from, int64_t to);

#endif
