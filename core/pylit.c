#include "pylit_lex.h"

#include <addonfs/cleanup.h>
#include <addonfs/pylit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * What a name is bound to
 *
 * Statements are read in order. A literal assigned at module level, under no condition, settles the
 * matter until something else binds the name: another literal settles it anew; anything that cannot
 * be followed (a branch, an import, a call) makes it unknown, and says why. What stands at the end
 * counts. Bodies of functions and classes have names of their own and are passed over.
 */

enum block {
    BLOCK_BRANCH, /* runs or does not: if, for, while, try, with, match */
    BLOCK_SCOPE,  /* def, class */
};

struct reader {
    struct lexer lexer;
    const char *path;
    const char *variable;
    struct error *error;

    struct token *tokens; /* of the current statement */
    size_t count;
    size_t capacity;

    size_t depth; /* of blocks */
    enum block blocks[LEX_INDENT_LIMIT];

    char *value; /* what the name is bound to, or NULL */
    bool unknown;
    struct error why; /* then */
};

static void reader_clear(struct reader *reader)
{
    free(reader->tokens);
    free(reader->value);
}

static bool in_scope(const struct reader *reader)
{
    for (size_t i = 0; i < reader->depth; i++) {
        if (reader->blocks[i] == BLOCK_SCOPE)
            return true;
    }
    return false;
}

static bool is(const struct reader *reader, size_t i, const char *text)
{
    return i < reader->count && token_is(&reader->tokens[i], text);
}

static bool is_any(const struct reader *reader, size_t i, const char *const *texts)
{
    for (; *texts; texts++) {
        if (is(reader, i, *texts))
            return true;
    }
    return false;
}

static bool is_variable(const struct reader *reader, size_t i)
{
    return is(reader, i, reader->variable);
}

/* +1 at an opening bracket, -1 at a closing one. */
static int bracket(const struct reader *reader, size_t i)
{
    const struct token *token = &reader->tokens[i];

    if (token->type != TOKEN_OPERATOR || token->size != 1)
        return 0;
    return strchr("([{", *token->start) ? 1 : strchr(")]}", *token->start) ? -1 : 0;
}

/* The name is bound in a way that cannot be followed. */
static void make_unknown(struct reader *reader, unsigned long line, const char *what)
{
    free(reader->value);
    reader->value = NULL;
    reader->unknown = true;
    error_set(&reader->why, -EINVAL, "%s:%lu: %s %s", reader->path, line, reader->variable, what);
}

/* The index of the first token `text` outside brackets in [from, to), or `to`. */
static size_t find(const struct reader *reader, size_t from, size_t to, const char *text)
{
    int depth = 0;

    for (size_t i = from; i < to; i++) {
        if (depth == 0 && is(reader, i, text))
            return i;
        depth += bracket(reader, i);
    }
    return to;
}

/*
 * Take balanced parentheses off [*from, *to): as many as there are at its start, as long as the one
 * that closes the outermost is the last token. One pass, whatever their number.
 */
static void unwrap(const struct reader *reader, size_t *from, size_t *to)
{
    size_t closes[LEX_BRACKET_LIMIT] = {0}; /* where each of those at the start is closed */
    int leading = 0;
    int depth = 0;

    while (leading < LEX_BRACKET_LIMIT && *from + (size_t)leading < *to &&
           is(reader, *from + (size_t)leading, "("))
        leading++;
    for (size_t i = *from; leading > 0 && i < *to; i++) {
        int step = bracket(reader, i);
        depth += step;
        if (step < 0 && depth >= 0 && depth < leading && closes[depth] == 0)
            closes[depth] = i;
    }
    for (int i = 0; i < leading && closes[i] == *to - 1 && is(reader, *to - 1, ")"); i++) {
        ++*from;
        --*to;
    }
}

/* Can an expression end with this token, so that a bracket behind it is a call or a subscript? */
static bool ends_operand(const struct reader *reader, size_t i)
{
    static const char *const keywords[] = {"in",   "not", "and", "or",    "is", "if",
                                           "else", "for", "as",  "await", NULL};
    const struct token *token = &reader->tokens[i];

    if (token->type == TOKEN_NAME)
        return !is_any(reader, i, keywords);
    return token->type == TOKEN_STRING || token->type == TOKEN_NUMBER || bracket(reader, i) < 0;
}

/*
 * Does a target in [from, to) bind the name: on its own, or in a list of targets? Not in `x.name`,
 * `name.x`, `x[name]`, `name[x]`.
 */
static bool targets(const struct reader *reader, size_t from, size_t to)
{
    size_t hidden = 0; /* depth of brackets of a subscript or a call */

    for (size_t i = from; i < to; i++) {
        int step = bracket(reader, i);
        if (hidden > 0) {
            hidden = step > 0 ? hidden + 1 : hidden - (step < 0);
        } else if (step > 0 && i > from && ends_operand(reader, i - 1)) {
            hidden = 1;
        } else if (is_variable(reader, i) && (i == from || !is(reader, i - 1, ".")) &&
                   (i + 1 == to || (!is(reader, i + 1, ".") && !is(reader, i + 1, "[") &&
                                    !is(reader, i + 1, "(")))) {
            return true;
        }
    }
    return false;
}

/* Bind the name to the string in [from, to), or make it unknown. 0 or -ENOMEM. */
static int bind(struct reader *reader, size_t from, size_t to, unsigned long line)
{
    const char *reason = "is not a string literal";
    size_t room = 1;
    size_t used = 0;

    unwrap(reader, &from, &to);
    bool literal = from < to;
    for (size_t i = from; i < to; i++) {
        literal = literal && reader->tokens[i].type == TOKEN_STRING;
        room += reader->tokens[i].size;
    }
    if (!literal) {
        make_unknown(reader, line, reason);
        return 0;
    }
    cleanup_free char *value = malloc(room);
    if (!value)
        return error_errno(reader->error, -ENOMEM, "%s", reader->path);
    for (size_t i = from; i < to; i++) {
        if (pylit_string_value(&reader->tokens[i], value, &used, &reason) < 0) {
            make_unknown(reader, reader->tokens[i].line, reason);
            return 0;
        }
    }
    value[used] = '\0';
    free(reader->value);
    reader->value = steal_pointer(&value);
    reader->unknown = false;
    return 0;
}

/* An assignment under a condition, or to part of a list of targets, says nothing certain. */
static int assign(struct reader *reader, size_t target, size_t target_end, size_t value,
                  size_t value_end, bool certain)
{
    unsigned long line = reader->tokens[target].line;
    size_t from = target;
    size_t to = target_end;

    unwrap(reader, &from, &to);
    if (to - from == 1 && is_variable(reader, from)) {
        if (certain)
            return bind(reader, value, value_end, line);
        make_unknown(reader, line, "is assigned in a branch or a loop, which is not followed");
    } else if (targets(reader, target, target_end)) {
        make_unknown(reader, line, "is assigned as one of several targets, which is not followed");
    }
    return 0;
}

static void read_import(struct reader *reader, size_t from, size_t to)
{
    while (from < to) {
        size_t end = find(reader, from, to, ",");
        size_t as = find(reader, from, end, "as");
        if ((as < end && is_variable(reader, as + 1)) || (as == end && is_variable(reader, from)))
            make_unknown(reader, reader->tokens[from].line, "is imported, which is not followed");
        from = end + 1;
    }
}

static void read_from_import(struct reader *reader, size_t from, size_t to)
{
    from = find(reader, from, to, "import") + 1;
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
        if (targets(reader, from + 1, to))
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
    if (change < to && targets(reader, from, change)) {
        make_unknown(reader, line, "is changed in place, which is not followed");
        return 0;
    }
    size_t equals = find(reader, from, to, "=");
    size_t colon = find(reader, from, equals, ":");
    /* A colon of a lambda stands behind the first `=`, or there is no `=` at all outside brackets.
     */
    if (colon < equals)
        return equals < to ? assign(reader, from, colon, equals + 1, to, certain) : 0;
    size_t last = to; /* the value starts behind the last `=` outside brackets and lambdas */
    for (size_t i = equals; i < to; i = find(reader, i + 1, to, "=")) {
        if (find(reader, last == to ? from : last, i, "lambda") < i)
            break;
        last = i;
    }
    /* Targets are bound from left to right: the last one counts. */
    size_t bound = to;
    size_t bound_end = to;
    for (size_t target = from; last < to && target <= last;) {
        size_t end = find(reader, target, to, "=");
        if (targets(reader, target, end)) {
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
    if (is(reader, from, "for") && targets(reader, from + 1, find(reader, from, to, "in")))
        make_unknown(reader, line, "is the target of a loop");
    if (is(reader, from, "case") && targets(reader, from + 1, to))
        make_unknown(reader, line, "may be bound by a pattern");
    if (!is(reader, from, "with") && !is(reader, from, "except"))
        return;
    for (size_t i = from; i < to; i++) {
        if (!is(reader, i, "as"))
            continue;
        size_t end = i + 1;
        int depth = 0;
        while (end < to && depth >= 0 && !(depth == 0 && is(reader, end, ",")))
            depth += bracket(reader, end++);
        if (targets(reader, i + 1, end))
            make_unknown(reader, line, "is bound by `as`");
        /* A target holds no other `as`. */
        i = end - 1;
    }
}

/* Where the header of a compound statement ends (its colon), or `to` if this is a simple one. */
static size_t header_end(const struct reader *reader, size_t from, size_t to)
{
    static const char *const keywords[] = {"if",     "elif",    "else", "for", "while", "try",
                                           "except", "finally", "with", "def", "class", NULL};
    bool soft = is(reader, from, "match") || is(reader, from, "case");
    size_t lambdas = 0;
    int depth = 0;

    if (!soft && !is_any(reader, from, keywords))
        return to;
    for (size_t i = from; i < to; i++) {
        if (depth == 0 && is(reader, i, "lambda"))
            lambdas++;
        /* `match: int = 1` and `case = 2` are assignments to names of one's own. */
        if (depth == 0 && soft && (i == from + 1) && (is(reader, i, ":") || is(reader, i, "=")))
            return to;
        if (depth == 0 && is(reader, i, ":") && lambdas-- == 0)
            return i;
        depth += bracket(reader, i);
    }
    return to;
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
        size_t end = find(reader, from, to, ";");
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

/*
 * Can a statement begin with this token? Not with an operator between two operands, such as those
 * of which the marks of a merge conflict consist: the file is half written then, and holds two
 * values.
 */
static bool can_begin(const struct token *token)
{
    static const char *const beginnings[] = {"(", "[", "{", "+", "-", "~", "*", "@", "...", NULL};

    if (token->type != TOKEN_OPERATOR)
        return true;
    for (const char *const *text = beginnings; *text; text++) {
        if (token_is(token, *text))
            return true;
    }
    return false;
}

/*
 * One logical line. `*ret_opens`: a block follows, of this kind. 0 or a negative errno.
 */
static int read_line(struct reader *reader, bool *ret_opens, enum block *ret_block)
{
    size_t from = 0;
    size_t to = reader->count;

    *ret_opens = false;
    if (!can_begin(&reader->tokens[0]))
        return error_set(reader->error, -EINVAL, "%s:%lu: no statement begins with \"%.*s\"",
                         reader->path, reader->tokens[0].line, (int)reader->tokens[0].size,
                         reader->tokens[0].start);
    if (is(reader, 0, "async"))
        from++;
    size_t colon = header_end(reader, from, to);
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

static int add_token(struct reader *reader, const struct token *token)
{
    if (reader->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 64;
        struct token *tokens = reallocarray(reader->tokens, capacity, sizeof(*tokens));
        if (!tokens)
            return error_errno(reader->error, -ENOMEM, "%s", reader->path);
        reader->tokens = tokens;
        reader->capacity = capacity;
    }
    reader->tokens[reader->count++] = *token;
    return 0;
}

static int read_file(struct reader *reader)
{
    bool opens = false;
    enum block block = BLOCK_BRANCH;
    struct token token;

    for (;;) {
        int r = lexer_next(&reader->lexer, &token, reader->error);
        if (r < 0)
            return r;
        switch (token.type) {
        case TOKEN_INDENT:
            if (!opens || reader->depth == LEX_INDENT_LIMIT)
                return error_set(reader->error, -EINVAL, "%s:%lu: unexpected indentation",
                                 reader->path, token.line);
            reader->blocks[reader->depth++] = block;
            break;
        case TOKEN_DEDENT:
            reader->depth--;
            break;
        case TOKEN_NEWLINE:
        case TOKEN_END:
            r = reader->count > 0 ? read_line(reader, &opens, &block) : 0;
            reader->count = 0;
            if (r < 0 || token.type == TOKEN_END)
                return r;
            break;
        default:
            r = add_token(reader, &token);
            if (r < 0)
                return r;
        }
    }
}

int pylit_string(const void *source, size_t size, const char *path, const char *variable,
                 char **ret_value, struct error *error)
{
    cleanup_free char *text = NULL;
    __attribute__((cleanup(reader_clear))) struct reader reader = {
        .path = path, .variable = variable, .error = error};

    int r = pylit_decode(source, size, path, &text, error);
    if (r < 0)
        return r;
    lexer_init(&reader.lexer, text, path);
    r = read_file(&reader);
    if (r < 0)
        return r;
    if (reader.unknown)
        return error_set(error, -EINVAL, "%s", reader.why.text);
    if (!reader.value)
        return error_set(error, -ENOENT, "%s: no assignment to %s", path, variable);
    *ret_value = steal_pointer(&reader.value);
    return 0;
}
