/*
 * pylit_lex: Python source as tokens (Language Reference, chapter 2).
 *
 * The text must have been prepared by pylit_decode: UTF-8 without a byte order mark, line ends as
 * '\n', no NUL but the one at its end.
 */
#ifndef ADDONFS_PYLIT_LEX_H
#define ADDONFS_PYLIT_LEX_H

#include <addonfs/error.h>
#include <stdbool.h>
#include <stddef.h>

enum token_type {
    TOKEN_END,
    TOKEN_NEWLINE, /* the end of a logical line */
    TOKEN_INDENT,
    TOKEN_DEDENT,
    TOKEN_NAME, /* keywords too */
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_OPERATOR,
};

struct token {
    enum token_type type;
    const char *start; /* in the text; a string with prefix and quotes */
    size_t size;
    unsigned long line; /* from 1 */
};

/* CPython refuses more levels (tokenizer.h: MAXINDENT). */
#define LEX_INDENT_LIMIT 100

/* Nor more brackets in one another (tokenizer.h: MAXLEVEL). */
#define LEX_BRACKET_LIMIT 200

struct lexer {
    const char *at;
    const char *path; /* for messages */
    unsigned long line;
    size_t depth; /* of brackets */
    bool line_start;
    size_t indents;
    size_t columns[LEX_INDENT_LIMIT];
    size_t dedents; /* still to be told */
};

void lexer_init(struct lexer *lexer, const char *text, const char *path);

/* The next token. -EINVAL: the text is no Python that far; the error names the line. */
int lexer_next(struct lexer *lexer, struct token *ret_token, struct error *error);

bool token_is(const struct token *token, const char *text);

/*
 * Make text of a file's bytes: decode them (PEP 263), take a byte order mark away, unify line ends.
 * The caller frees `*ret_text`. -EINVAL, -ENOMEM.
 */
int pylit_decode(const void *source, size_t size, const char *path, char **ret_text,
                 struct error *error);

/*
 * Where in `source`, which was decoded without an error, the byte at `offset` of its text comes
 * from; `offset` is where a token starts or ends.
 */
size_t pylit_source_offset(const void *source, size_t size, size_t offset);

/*
 * Append the value of a string token to `value`, of which `*used` bytes are used and which has room
 * for all of the token's bytes. -EINVAL: bytes, formatted, or with an escape that has no value in
 * UTF-8;
 * `*ret_reason` says which.
 */
int pylit_string_value(const struct token *token, char *value, size_t *used,
                       const char **ret_reason);

#endif
