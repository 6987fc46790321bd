#include "pylit_parts.h"

#include <addonfs/checked.h>
#include <addonfs/cleanup.h>
#include <addonfs/pylit.h>
#include <errno.h>
#include <string.h>

/* Of a version, and of nothing that would have to be escaped. */
#define VALUE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+_-"

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
            r = reader->count > 0 ? statement_read(reader, &opens, &block) : 0;
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

static void reader_clear(struct reader *reader)
{
    free(reader->text);
    free(reader->tokens);
    free(reader->value);
}
#define cleanup_reader __attribute__((cleanup(reader_clear)))

static int read_binding(struct reader *reader, const void *source, size_t size)
{
    int r = pylit_decode(source, size, reader->path, &reader->text, reader->error);
    if (r < 0)
        return r;
    lexer_init(&reader->lexer, reader->text, reader->path);
    return read_file(reader);
}

/* There must be a string. */
static int expect_string(const struct reader *reader)
{
    if (reader->bound == BOUND_NEVER)
        return error_set(reader->error, -ENOENT, "%s: no assignment to %s", reader->path,
                         reader->variable);
    return reader->bound == BOUND_STRING
               ? 0
               : error_set(reader->error, -EINVAL, "%s", reader->why.text);
}

int pylit_string(const void *source, size_t size, const char *path, const char *variable,
                 char **ret_value, struct error *error)
{
    cleanup_reader struct reader reader = {.path = path, .variable = variable, .error = error};

    int r = read_binding(&reader, source, size);
    if (r == 0)
        r = expect_string(&reader);
    if (r == 0)
        *ret_value = steal_pointer(&reader.value);
    return r;
}

int pylit_optional_string(const void *source, size_t size, const char *path, const char *variable,
                          char **ret_value, struct error *error)
{
    cleanup_reader struct reader reader = {.path = path, .variable = variable, .error = error};

    int r = read_binding(&reader, source, size);
    if (r == 0 && reader.bound != BOUND_NEVER && reader.bound != BOUND_NONE)
        r = expect_string(&reader);
    if (r == 0)
        *ret_value = steal_pointer(&reader.value);
    return r;
}

/* `value` in double quotes in place of the bytes [from, to) of `source`. NULL without memory. */
static char *splice(const char *source, size_t size, size_t from, size_t to, const char *value,
                    size_t *ret_size)
{
    size_t length = strlen(value);
    uint64_t total;
    char *text = NULL;

    if (checked_add(size - (to - from), length + 3, &total) && total <= SIZE_MAX)
        text = malloc((size_t)total);
    if (!text)
        return NULL;
    char *at = text;
    memcpy(at, source, from);
    at += from;
    *at++ = '"';
    memcpy(at, value, length);
    at += length;
    *at++ = '"';
    memcpy(at, source + to, size - to);
    at += size - to;
    *at = '\0';
    *ret_size = (size_t)(at - text);
    return text;
}

int pylit_replace_string(const void *source, size_t size, const char *path, const char *variable,
                         const char *value, char **ret_text, size_t *ret_size, struct error *error)
{
    cleanup_reader struct reader reader = {.path = path, .variable = variable, .error = error};

    if (value[strspn(value, VALUE_CHARACTERS)] != '\0')
        return error_set(error, -EINVAL,
                         "%s: \"%s\" cannot be written as %s: letters, digits and . + _ - only",
                         path, value, variable);
    int r = read_binding(&reader, source, size);
    if (r == 0)
        r = expect_string(&reader);
    if (r < 0)
        return r;
    size_t from = pylit_source_offset(source, size, (size_t)(reader.start - reader.text));
    size_t to = pylit_source_offset(source, size, (size_t)(reader.end - reader.text));
    char *text = splice(source, size, from, to, value, ret_size);
    if (!text)
        return error_errno(error, -ENOMEM, "%s", path);
    *ret_text = text;
    return 0;
}
