/*
 * pylit_parts: what the parts of pylit.c share.
 *
 *     pylit_text       bytes to text and back
 *     pylit_lex        text to tokens
 *     pylit_tokens     the tokens of one statement: what stands where
 *     pylit_statement  what a statement binds the name to
 *     pylit            the statements of a file, one after the other
 */
#ifndef ADDONFS_PYLIT_PARTS_H
#define ADDONFS_PYLIT_PARTS_H

#include "pylit_lex.h"

enum block {
    BLOCK_BRANCH, /* runs or does not: if, for, while, try, with, match */
    BLOCK_SCOPE,  /* def, class */
};

enum bound {
    BOUND_NEVER,
    BOUND_STRING,
    BOUND_NONE,    /* to None: no string, but known */
    BOUND_UNKNOWN, /* in a way that cannot be followed */
};

struct reader {
    struct lexer lexer;
    const char *path;
    const char *variable;
    struct error *error;
    char *text; /* the file, decoded */

    struct token *tokens; /* of the current statement */
    size_t count;
    size_t capacity;

    size_t depth; /* of blocks */
    enum block blocks[LEX_INDENT_LIMIT];

    enum bound bound;  /* what the name is bound to, as far as the file was read … */
    char *value;       /* … BOUND_STRING: this; else NULL … */
    const char *start; /* … its expression, in `text` … */
    const char *end;
    struct error why; /* … why it is no string, if it is bound */
};

/* Is the token at `i` a name or an operator that reads `text`? There may be none. */
static inline bool is(const struct reader *reader, size_t i, const char *text)
{
    return i < reader->count && token_is(&reader->tokens[i], text);
}

static inline bool is_any(const struct reader *reader, size_t i, const char *const *texts)
{
    for (; *texts; texts++) {
        if (is(reader, i, *texts))
            return true;
    }
    return false;
}

static inline bool is_variable(const struct reader *reader, size_t i)
{
    return is(reader, i, reader->variable);
}

/* +1 at an opening bracket, -1 at a closing one. */
int tokens_bracket(const struct reader *reader, size_t i);

/* The index of the first token `text` outside brackets in [from, to), or `to`. */
size_t tokens_find(const struct reader *reader, size_t from, size_t to, const char *text);

/*
 * Take balanced parentheses off [*from, *to): as many as there are at its start, as long as the one
 * that closes the outermost is the last token. One pass, whatever their number.
 */
void tokens_unwrap(const struct reader *reader, size_t *from, size_t *to);

/*
 * Does a target in [from, to) bind the name: on its own, or in a list of targets? Not in `x.name`,
 * `name.x`, `x[name]`, `name[x]`.
 */
bool tokens_bind(const struct reader *reader, size_t from, size_t to);

/* Where the header of a compound statement ends (its colon), or `to` if this is a simple one. */
size_t tokens_header_end(const struct reader *reader, size_t from, size_t to);

/* Can a statement begin with this token? See pylit_tokens.c. */
bool tokens_can_begin(const struct token *token);

/*
 * One logical line, reader->tokens. `*ret_opens`: a block follows, of this kind. 0 or a negative
 * errno.
 */
int statement_read(struct reader *reader, bool *ret_opens, enum block *ret_block);

#endif
