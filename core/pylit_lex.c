#include "pylit_lex.h"

#include <errno.h>
#include <string.h>

/* Strings, and replacement fields in them, that may lie in one another in a formatted string. */
enum { NESTING_LIMIT = 64 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Every byte above ASCII counts: which letters Unicode allows in names changes nothing here. */
static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name_part(char c)
{
    return is_name_start(c) || is_digit(c);
}

bool token_is(const struct token *token, const char *text)
{
    return (token->type == TOKEN_NAME || token->type == TOKEN_OPERATOR) &&
           strlen(text) == token->size && memcmp(token->start, text, token->size) == 0;
}

void lexer_init(struct lexer *lexer, const char *text, const char *path)
{
    *lexer = (struct lexer){.at = text, .path = path, .line = 1, .line_start = true};
}

static int fail(const struct lexer *lexer, struct error *error, const char *what)
{
    return error_set(error, -EINVAL, "%s:%lu: %s", lexer->path, lexer->line, what);
}

static void skip_comment(struct lexer *lexer)
{
    while (*lexer->at && *lexer->at != '\n')
        lexer->at++;
}

/* Skip blanks and joined lines inside a logical line. */
static int skip_blanks(struct lexer *lexer, struct error *error)
{
    for (;;) {
        if (*lexer->at == ' ' || *lexer->at == '\t' || *lexer->at == '\f') {
            lexer->at++;
        } else if (lexer->at[0] == '\\' && lexer->at[1] == '\n') {
            lexer->at += 2;
            lexer->line++;
        } else if (*lexer->at == '\\') {
            return fail(lexer, error, "a backslash that continues no line");
        } else if (*lexer->at == '#') {
            skip_comment(lexer);
        } else if (*lexer->at == '\n' && lexer->depth > 0) {
            lexer->at++;
            lexer->line++;
        } else {
            return 0;
        }
    }
}

/* At the start of a line: find its column, pass over empty lines, and note what it opens or closes.
 */
static int start_line(struct lexer *lexer, bool *ret_indent, struct error *error)
{
    size_t column = 0;

    *ret_indent = false;
    for (;;) {
        char c = *lexer->at;
        if (c == ' ')
            column++;
        else if (c == '\t')
            column = (column / 8 + 1) * 8;
        else if (c == '\f')
            column = 0;
        else if (c == '\\' && lexer->at[1] == '\n') {
            /* The indentation of the first line counts (Language Reference, 2.1.8). */
            lexer->at++;
            lexer->line++;
        } else if (c == '#') {
            skip_comment(lexer);
            continue;
        } else if (c == '\n') {
            lexer->line++;
            column = 0;
        } else {
            break;
        }
        lexer->at++;
    }
    lexer->line_start = false;
    if (*lexer->at == '\0')
        column = 0;
    size_t current = lexer->indents > 0 ? lexer->columns[lexer->indents - 1] : 0;
    if (column > current) {
        if (lexer->indents == LEX_INDENT_LIMIT)
            return fail(lexer, error, "too many levels of indentation");
        lexer->columns[lexer->indents++] = column;
        *ret_indent = true;
    }
    while (column < current) {
        lexer->indents--;
        lexer->dedents++;
        current = lexer->indents > 0 ? lexer->columns[lexer->indents - 1] : 0;
        if (column > current)
            return fail(lexer, error, "the indentation matches no outer level");
    }
    return 0;
}

/* Length of the prefix if a string starts here, else -1; `*ret_formatted`: it is an f-string. */
static int string_prefix(const char *at, bool *ret_formatted)
{
    int length = 0;

    *ret_formatted = false;
    while (length < 2 && at[length] && strchr("rRuUbBfF", at[length])) {
        *ret_formatted = *ret_formatted || at[length] == 'f' || at[length] == 'F';
        length++;
    }
    return at[length] == '"' || at[length] == '\'' ? length : -1;
}

static size_t quote_size(const char *at)
{
    return at[1] == at[0] && at[2] == at[0] ? 3 : 1;
}

static bool ends_string(const char *at, char quote, size_t size)
{
    return at[0] == quote && (size == 1 || (at[1] == quote && at[2] == quote));
}

/* One character of a string that does not end it. */
static int pass(struct lexer *lexer, size_t quotes, struct error *error)
{
    if (*lexer->at == '\\' && lexer->at[1]) {
        lexer->at++;
        if (*lexer->at == '\n')
            lexer->line++;
    } else if (*lexer->at == '\0' || (*lexer->at == '\n' && quotes == 1)) {
        return fail(lexer, error, "a string literal without an end");
    } else if (*lexer->at == '\n') {
        lexer->line++;
    }
    lexer->at++;
    return 0;
}

static int lex_plain_string(struct lexer *lexer, struct error *error)
{
    char quote = *lexer->at;
    size_t quotes = quote_size(lexer->at);

    lexer->at += quotes;
    while (!ends_string(lexer->at, quote, quotes)) {
        int r = pass(lexer, quotes, error);
        if (r < 0)
            return r;
    }
    lexer->at += quotes;
    return 0;
}

/*
 * A formatted string may hold expressions, which hold strings with the same quotes (PEP 701). What
 * is open is a stack of: a string's text, a bracket of an expression, a format specification.
 */
enum open_kind { OPEN_TEXT, OPEN_FIELD, OPEN_BRACKET, OPEN_FORMAT };

struct open {
    enum open_kind kind;
    char quote; /* of the string it is in */
    size_t quotes;
};

struct nesting {
    size_t depth;
    struct open open[NESTING_LIMIT];
};

static int nest(struct lexer *lexer, struct nesting *nesting, enum open_kind kind, char quote,
                size_t quotes, struct error *error)
{
    if (nesting->depth == NESTING_LIMIT)
        return fail(lexer, error, "a formatted string that is nested too deeply");
    nesting->open[nesting->depth++] = (struct open){kind, quote, quotes};
    return 0;
}

/* Text of a formatted string, or of a format specification in it. */
static int step_text(struct lexer *lexer, struct nesting *nesting, struct error *error)
{
    struct open top = nesting->open[nesting->depth - 1];

    if (top.kind == OPEN_TEXT && ends_string(lexer->at, top.quote, top.quotes)) {
        lexer->at += top.quotes;
        nesting->depth--;
        return 0;
    }
    if (top.kind == OPEN_TEXT && ((lexer->at[0] == '{' && lexer->at[1] == '{') ||
                                  (lexer->at[0] == '}' && lexer->at[1] == '}'))) {
        lexer->at += 2;
        return 0;
    }
    if (*lexer->at == '{') {
        lexer->at++;
        return nest(lexer, nesting, OPEN_FIELD, top.quote, top.quotes, error);
    }
    if (top.kind == OPEN_FORMAT && *lexer->at == '}') {
        lexer->at++;
        nesting->depth -= 2; /* the field ends with its format */
        return 0;
    }
    if (top.kind == OPEN_FORMAT && ends_string(lexer->at, top.quote, top.quotes))
        return fail(lexer, error, "a formatted string that ends inside a replacement field");
    return pass(lexer, top.quotes, error);
}

static int step_expression(struct lexer *lexer, struct nesting *nesting, struct error *error)
{
    struct open top = nesting->open[nesting->depth - 1];
    bool formatted = false;
    char c = *lexer->at;
    int prefix = string_prefix(lexer->at, &formatted);

    if (prefix >= 0) {
        lexer->at += prefix;
        if (!formatted)
            return lex_plain_string(lexer, error);
        char quote = *lexer->at;
        size_t quotes = quote_size(lexer->at);
        lexer->at += quotes;
        return nest(lexer, nesting, OPEN_TEXT, quote, quotes, error);
    }
    if (c == '\0')
        return fail(lexer, error, "a formatted string without an end");
    if (is_name_start(c)) {
        /* Whole names, so that a letter before a quote is a prefix only if it is all of the name.
         */
        while (is_name_part(*lexer->at))
            lexer->at++;
        return 0;
    }
    if (c == '#') {
        skip_comment(lexer);
        return 0;
    }
    lexer->line += c == '\n';
    lexer->at++;
    if (strchr("([{", c))
        return nest(lexer, nesting, OPEN_BRACKET, top.quote, top.quotes, error);
    if (strchr(")]}", c))
        nesting->depth--;
    else if (c == ':' && top.kind == OPEN_FIELD)
        return nest(lexer, nesting, OPEN_FORMAT, top.quote, top.quotes, error);
    return 0;
}

static int lex_formatted_string(struct lexer *lexer, struct error *error)
{
    struct nesting nesting = {.depth = 1};
    int r = 0;

    nesting.open[0] = (struct open){OPEN_TEXT, *lexer->at, quote_size(lexer->at)};
    lexer->at += nesting.open[0].quotes;
    while (r == 0 && nesting.depth > 0) {
        enum open_kind kind = nesting.open[nesting.depth - 1].kind;
        r = kind == OPEN_TEXT || kind == OPEN_FORMAT ? step_text(lexer, &nesting, error)
                                                     : step_expression(lexer, &nesting, error);
    }
    return r;
}

static void lex_number(struct lexer *lexer)
{
    while (is_name_part(*lexer->at) || *lexer->at == '.' ||
           ((*lexer->at == '+' || *lexer->at == '-') &&
            (lexer->at[-1] == 'e' || lexer->at[-1] == 'E')))
        lexer->at++;
}

static int lex_operator(struct lexer *lexer, struct error *error)
{
    static const char *const operators[] = {
        "**=", "//=", ">>=", "<<=", "...", ":=", "+=", "-=", "*=", "/=", "%=", "&=",
        "|=",  "^=",  "@=",  "==",  "!=",  "<=", ">=", "->", "**", "//", "<<", ">>"};

    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t size = strlen(operators[i]);
        if (strncmp(lexer->at, operators[i], size) == 0) {
            lexer->at += size;
            return 0;
        }
    }
    if (strchr("([{", *lexer->at) && lexer->depth++ == LEX_BRACKET_LIMIT)
        return fail(lexer, error, "too many brackets in one another");
    if (strchr(")]}", *lexer->at) && lexer->depth > 0)
        lexer->depth--;
    lexer->at++;
    return 0;
}

static int lex_word(struct lexer *lexer, struct token *token, struct error *error)
{
    bool formatted = false;
    int prefix = string_prefix(lexer->at, &formatted);

    if (prefix >= 0) {
        token->type = TOKEN_STRING;
        lexer->at += prefix;
        return formatted ? lex_formatted_string(lexer, error) : lex_plain_string(lexer, error);
    }
    if (is_name_start(*lexer->at)) {
        token->type = TOKEN_NAME;
        while (is_name_part(*lexer->at))
            lexer->at++;
    } else if (is_digit(*lexer->at) || (lexer->at[0] == '.' && is_digit(lexer->at[1]))) {
        token->type = TOKEN_NUMBER;
        lex_number(lexer);
    } else {
        token->type = TOKEN_OPERATOR;
        return lex_operator(lexer, error);
    }
    return 0;
}

int lexer_next(struct lexer *lexer, struct token *token, struct error *error)
{
    bool indent = false;
    int r = lexer->line_start ? start_line(lexer, &indent, error) : skip_blanks(lexer, error);

    if (r < 0)
        return r;
    *token = (struct token){.start = lexer->at, .line = lexer->line};
    if (indent || lexer->dedents > 0) {
        token->type = indent ? TOKEN_INDENT : TOKEN_DEDENT;
        lexer->dedents -= !indent;
        return 0;
    }
    if (*lexer->at == '\0') {
        if (lexer->depth > 0)
            return fail(lexer, error, "the file ends inside a bracket");
        token->type = TOKEN_END;
        return 0;
    }
    if (*lexer->at == '\n') {
        token->type = TOKEN_NEWLINE;
        lexer->at++;
        lexer->line++;
        lexer->line_start = true;
        return 0;
    }
    r = lex_word(lexer, token, error);
    token->size = (size_t)(lexer->at - token->start);
    return r;
}
