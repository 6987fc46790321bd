#include "pylit_parts.h"

#include <string.h>

int tokens_bracket(const struct reader *reader, size_t i)
{
    const struct token *token = &reader->tokens[i];

    if (token->type != TOKEN_OPERATOR || token->size != 1)
        return 0;
    return strchr("([{", *token->start) ? 1 : strchr(")]}", *token->start) ? -1 : 0;
}

size_t tokens_find(const struct reader *reader, size_t from, size_t to, const char *text)
{
    int depth = 0;

    for (size_t i = from; i < to; i++) {
        if (depth == 0 && is(reader, i, text))
            return i;
        depth += tokens_bracket(reader, i);
    }
    return to;
}

void tokens_unwrap(const struct reader *reader, size_t *from, size_t *to)
{
    size_t closes[LEX_BRACKET_LIMIT] = {0}; /* where each of those at the start is closed */
    int leading = 0;
    int depth = 0;

    while (leading < LEX_BRACKET_LIMIT && *from + (size_t)leading < *to &&
           is(reader, *from + (size_t)leading, "("))
        leading++;
    for (size_t i = *from; leading > 0 && i < *to; i++) {
        int step = tokens_bracket(reader, i);
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
    return token->type == TOKEN_STRING || token->type == TOKEN_NUMBER ||
           tokens_bracket(reader, i) < 0;
}

bool tokens_bind(const struct reader *reader, size_t from, size_t to)
{
    size_t hidden = 0; /* depth of brackets of a subscript or a call */

    for (size_t i = from; i < to; i++) {
        int step = tokens_bracket(reader, i);
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

size_t tokens_header_end(const struct reader *reader, size_t from, size_t to)
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
        depth += tokens_bracket(reader, i);
    }
    return to;
}

/*
 * Can a statement begin with this token? Not with an operator between two operands, such as those
 * of which the marks of a merge conflict consist: the file is half written then, and holds two
 * values.
 */
bool tokens_can_begin(const struct token *token)
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
