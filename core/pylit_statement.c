#include "pylit_parts.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <string.h>

/*
 * What a name is bound to
 *
 * Statements are read in order. A literal assigned at module level, under no condition, settles the
 * matter until something else binds the name: another literal settles it anew; anything that cannot
 * be followed (a branch, an import, a call) makes it unknown, and says why. What stands at the end
 * counts. Bodies of functions and classes have names of their own and are passed over.
 */

static bool in_scope(const struct reader *reader)
{
    for (size_t i = 0; i < reader->depth; i++) {
        if (reader->blocks[i] == BLOCK_SCOPE)
            return true;
    }
    return false;
}

/* The name is bound to what is no string. */
static void set_bound(struct reader *reader, enum bound bound, unsigned long line, const char *what)
{
    free(reader->value);
    reader->value = NULL;
    reader->bound = bound;
    error_set(&reader->why, -EINVAL, "%s:%lu: %s %s", reader->path, line, reader->variable, what);
}

/* … in a way that cannot be followed. */
static void make_unknown(struct reader *reader, unsigned long line, const char *what)
{
    set_bound(reader, BOUND_UNKNOWN, line, what);
}

/* Bind the name to the string or None in [from, to), or make it unknown. 0 or -ENOMEM. */
static int bind(struct reader *reader, size_t from, size_t to, unsigned long line)
{
    const struct token *tokens = reader->tokens;
    const char *reason = "is not a string literal";
    const char *start = from < to ? tokens[from].start : NULL;
    const char *end = from < to ? tokens[to - 1].start + tokens[to - 1].size : NULL;
    size_t room = 1;
    size_t used = 0;

    tokens_unwrap(reader, &from, &to);
    if (to - from == 1 && is(reader, from, "None")) {
        set_bound(reader, BOUND_NONE, line, reason);
        return 0;
    }
    bool literal = from < to;
    for (size_t i = from; i < to; i++) {
        literal = literal && tokens[i].type == TOKEN_STRING;
        room += tokens[i].size;
    }
    if (!literal) {
        make_unknown(reader, line, reason);
        return 0;
    }
    cleanup_free char *value = malloc(room);
    if (!value)
        return error_errno(reader->error, -ENOMEM, "%s", reader->path);
    for (size_t i = from; i < to; i++) {
        if (pylit_string_value(&tokens[i], value, &used, &reason) < 0) {
            make_unknown(reader, tokens[i].line, reason);
            return 0;
        }
    }
    value[used] = '\0';
    free(reader->value);
    reader->value = steal_pointer(&value);
    reader->bound = BOUND_STRING;
    reader->start = start;
    reader->end = end;
    return 0;
}

/* An assignment under a condition, or to part of a list of targets, says nothing certain. */
static int assign(struct reader *reader, size_t target, size_t target_end, size_t value,
                  size_t value_end, bool certain)
{
    unsigned long line = reader->tokens[target].line;
    size_t from = target;
    size_t to = target_end;

    tokens_unwrap(reader, &from, &to);
    if (to - from == 1 && is_variable(reader, from)) {
        if (certain)
            return bind(reader, value, value_end, line);
        make_unknown(reader, line, "is assigned in a branch or a loop, which is not followed");
    } else if (tokens_bind(reader, target, target_end)) {
        make_unknown(reader, line, "is assigned as one of several targets, which is not followed");
    }
    return 0;
}

static void read_import(struct reader *reader, size_t from, size_t to)
{
    while (from < to) {
        size_t end = tokens_find(reader, from, to, ",");
        size_t as = tokens_find(reader, from, end, "as");
        if ((as < end && is_variable(reader, as + 1)) || (as == end && is_variable(reader, from)))
            make_unknown(reader, reader->tokens[from].line, "is imported, which is not followed");
        from = end + 1;
    }
}

static void read_from_import(struct reader *reader, size_t from, size_t to)
{
    from = tokens_find(reader, from, to, "import") + 1;
    if (from < to && is(reader, from, "*")) {
        make_unknown(reader, reader->tokens[from].line,
                     "may be bound by this import *, which is not followed");
        return;
    }
    if (from < to && is(reader, from, "("))
        from++;
    for (size_t i = from; i < to; i++) {
        bool renamed = is(reader, i + 1, "as");
        if (is_variable(reader, i) && !renamed)
            make_unknown(reader, reader->tokens[i].line, "is imported, which is not followed");
    }
}

/* One without a colon and a body: [from, to), not empty. */
static int read_simple(struct reader *reader, size_t from, size_t to, bool certain)
{
    static const char *const augmented[] = {
        "+=", "-=", "*=", "/=", "//=", "%=", "@=", "**=", ">>=", "<<=", "&=", "^=", "|=", NULL};
    unsigned long line = reader->tokens[from].line;

    if (is(reader, from, "import")) {
        read_import(reader, from + 1, to);
        return 0;
    }
    if (is(reader, from, "from")) {
        read_from_import(reader, from, to);
        return 0;
    }
    if (is(reader, from, "del")) {
        if (tokens_bind(reader, from + 1, to))
            make_unknown(reader, line, "is deleted");
        return 0;
    }
    /* `type X = …` (PEP 695); a name `type` of one's own is followed by an operator. */
    if (is(reader, from, "type") && from + 1 < to && is_variable(reader, from + 1)) {
        make_unknown(reader, line, "is a type alias");
        return 0;
    }
    /* A statement has one such operator at most. */
    size_t change = from;
    while (change < to && !is_any(reader, change, augmented))
        change++;
    if (change < to && tokens_bind(reader, from, change)) {
        make_unknown(reader, line, "is changed in place, which is not followed");
        return 0;
    }
    size_t equals = tokens_find(reader, from, to, "=");
    size_t colon = tokens_find(reader, from, equals, ":");
    /* A colon of a lambda stands behind the first `=`, or there is no `=` at all outside brackets.
     */
    if (colon < equals)
        return equals < to ? assign(reader, from, colon, equals + 1, to, certain) : 0;
    size_t last = to; /* the value starts behind the last `=` outside brackets and lambdas */
    for (size_t i = equals; i < to; i = tokens_find(reader, i + 1, to, "=")) {
        if (tokens_find(reader, last == to ? from : last, i, "lambda") < i)
            break;
        last = i;
    }
    /* Targets are bound from left to right: the last one counts. */
    size_t bound = to;
    size_t bound_end = to;
    for (size_t target = from; last < to && target <= last;) {
        size_t end = tokens_find(reader, target, to, "=");
        if (tokens_bind(reader, target, end)) {
            bound = target;
            bound_end = end;
        }
        target = end + 1;
    }
    return bound < to ? assign(reader, bound, bound_end, last + 1, to, certain) : 0;
}

/* The targets in the header of a compound statement. */
static void read_header(struct reader *reader, size_t from, size_t to)
{
    unsigned long line = reader->tokens[from].line;
    bool definition = is(reader, from, "def") || is(reader, from, "class");

    if (definition && is_variable(reader, from + 1))
        make_unknown(reader, line, "is a function or a class");
    if (is(reader, from, "for") &&
        tokens_bind(reader, from + 1, tokens_find(reader, from, to, "in")))
        make_unknown(reader, line, "is the target of a loop");
    if (is(reader, from, "case") && tokens_bind(reader, from + 1, to))
        make_unknown(reader, line, "may be bound by a pattern");
    if (!is(reader, from, "with") && !is(reader, from, "except"))
        return;
    for (size_t i = from; i < to; i++) {
        if (!is(reader, i, "as"))
            continue;
        size_t end = i + 1;
        int depth = 0;
        while (end < to && depth >= 0 && !(depth == 0 && is(reader, end, ",")))
            depth += tokens_bracket(reader, end++);
        if (tokens_bind(reader, i + 1, end))
            make_unknown(reader, line, "is bound by `as`");
        /* A target holds no other `as`. */
        i = end - 1;
    }
}

static void find_walrus(struct reader *reader)
{
    for (size_t i = 0; i + 1 < reader->count; i++) {
        if (is_variable(reader, i) && is(reader, i + 1, ":="))
            make_unknown(reader, reader->tokens[i].line,
                         "is assigned by :=, which is not followed");
    }
}

/* Statements that stand in one line, separated by semicolons: [from, to). */
static int read_simples(struct reader *reader, size_t from, size_t to, bool certain)
{
    int r = 0;

    while (r == 0 && from < to) {
        size_t end = tokens_find(reader, from, to, ";");
        if (end > from)
            r = read_simple(reader, from, end, certain);
        from = end + 1;
    }
    return r;
}

/* A function that says `global NAME` may bind it whenever it is called. */
static void find_global(struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        if (!is(reader, i, "global"))
            continue;
        for (i++; i < reader->count && !is(reader, i, ";"); i++) {
            if (is_variable(reader, i))
                make_unknown(reader, reader->tokens[i].line,
                             "is a global of a function, which is not followed");
        }
    }
}

int statement_read(struct reader *reader, bool *ret_opens, enum block *ret_block)
{
    size_t from = 0;
    size_t to = reader->count;

    *ret_opens = false;
    if (!tokens_can_begin(&reader->tokens[0]))
        return error_set(reader->error, -EINVAL, "%s:%lu: no statement begins with \"%.*s\"",
                         reader->path, reader->tokens[0].line, (int)reader->tokens[0].size,
                         reader->tokens[0].start);
    if (is(reader, 0, "async"))
        from++;
    size_t colon = tokens_header_end(reader, from, to);
    bool scope = is(reader, from, "def") || is(reader, from, "class");
    *ret_block = scope ? BLOCK_SCOPE : BLOCK_BRANCH;
    *ret_opens = colon + 1 == to && colon < to;
    if (in_scope(reader) || (scope && colon + 1 < to))
        find_global(reader);
    if (in_scope(reader))
        return 0;
    find_walrus(reader);
    if (colon == to)
        return read_simples(reader, from, to, reader->depth == 0);
    read_header(reader, from, colon);
    return scope ? 0 : read_simples(reader, colon + 1, to, false);
}
