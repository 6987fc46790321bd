/* Characters: what encoding a file is in (PEP 263), and what a string literal's escapes stand for.
 */
#include "pylit_lex.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum encoding { ENCODING_UTF8, ENCODING_ASCII, ENCODING_LATIN1, ENCODING_UNKNOWN };

static enum encoding encoding_named(const char *name)
{
    static const struct {
        const char *name;
        enum encoding encoding;
    } names[] = {
        {"utf-8", ENCODING_UTF8},
        {"utf8", ENCODING_UTF8},
        {"u8", ENCODING_UTF8},
        {"utf-8-sig", ENCODING_UTF8},
        {"ascii", ENCODING_ASCII},
        {"us-ascii", ENCODING_ASCII},
        {"latin-1", ENCODING_LATIN1},
        {"latin1", ENCODING_LATIN1},
        {"iso-8859-1", ENCODING_LATIN1},
        {"iso8859-1", ENCODING_LATIN1},
        {"iso-latin-1", ENCODING_LATIN1},
        {"l1", ENCODING_LATIN1},
        {"utf-8-unix", ENCODING_UTF8},
        {"utf-8-dos", ENCODING_UTF8},
        {"latin-1-unix", ENCODING_LATIN1},
        {"latin-1-dos", ENCODING_LATIN1},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(names[i].name, name) == 0)
            return names[i].encoding;
    }
    return ENCODING_UNKNOWN;
}

static bool is_cookie_character(uint8_t byte)
{
    return byte == '-' || byte == '_' || byte == '.' || (byte >= '0' && byte <= '9') ||
           (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* Find "coding[:=] NAME" in a comment that is all of the line at `at`. */
static bool find_cookie(const uint8_t *at, const uint8_t *end, char *name, size_t room)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\f'))
        at++;
    if (at == end || *at != '#')
        return false;
    for (; end - at > 7; at++) {
        if (memcmp(at, "coding", 6) != 0 || (at[6] != ':' && at[6] != '='))
            continue;
        const uint8_t *from = at + 7;
        size_t size = 0;
        while (from < end && (*from == ' ' || *from == '\t'))
            from++;
        while (from < end && size + 1 < room && is_cookie_character(*from)) {
            name[size++] = *from == '_' ? '-' : (char)*from;
            from++;
        }
        name[size] = '\0';
        if (size > 0)
            return true;
    }
    return false;
}

/* A line that may precede the one with the cookie: empty, or a comment. */
static bool is_blank(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\f'))
        at++;
    return at == end || *at == '#';
}

static int find_encoding(const uint8_t *bytes, size_t size, const char *path,
                         enum encoding *ret_encoding, struct error *error)
{
    const uint8_t *end = bytes + size;

    *ret_encoding = ENCODING_UTF8;
    for (unsigned long line = 1; line <= 2; line++) {
        const uint8_t *stop = bytes;
        char name[64];
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        if (find_cookie(bytes, stop, name, sizeof(name))) {
            *ret_encoding = encoding_named(name);
            return *ret_encoding != ENCODING_UNKNOWN
                       ? 0
                       : error_set(error, -EINVAL,
                                   "%s:%lu: encoding %s is not read here: use UTF-8", path, line,
                                   name);
        }
        if (!is_blank(bytes, stop))
            return 0;
        if (stop + 1 < end && stop[0] == '\r' && stop[1] == '\n')
            stop++;
        bytes = stop < end ? stop + 1 : stop;
    }
    return 0;
}

static unsigned long count_lines(const char *text, size_t size)
{
    unsigned long line = 1;

    for (size_t i = 0; i < size; i++)
        line += text[i] == '\n';
    return line;
}

int pylit_decode(const void *source, size_t size, const char *path, char **ret_text,
                 struct error *error)
{
    const uint8_t *bytes = source;
    bool marked = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0;
    enum encoding encoding;
    size_t used = 0;

    if (marked) {
        bytes += 3;
        size -= 3;
    }
    int r = find_encoding(bytes, size, path, &encoding, error);
    if (r < 0)
        return r;
    if (marked && encoding != ENCODING_UTF8)
        return error_set(error, -EINVAL, "%s:1: a UTF-8 byte order mark and another encoding",
                         path);
    /* Latin-1 takes two bytes of UTF-8 at most. */
    if (size > SIZE_MAX / 2 - 1)
        return error_errno(error, -ENOMEM, "%s", path);
    cleanup_free char *text = malloc(2 * size + 1);
    if (!text)
        return error_errno(error, -ENOMEM, "%s", path);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i];
        if (byte == '\r') {
            byte = '\n';
            if (i + 1 < size && bytes[i + 1] == '\n')
                i++;
        }
        if (byte == 0 || (byte >= 0x80 && encoding == ENCODING_ASCII))
            return error_set(error, -EINVAL, "%s:%lu: a byte (0x%02x) that is no text", path,
                             count_lines(text, used), byte);
        if (byte >= 0x80 && encoding == ENCODING_LATIN1) {
            text[used++] = (char)(0xC0 | byte >> 6);
            byte = 0x80 | (byte & 0x3F);
        }
        text[used++] = (char)byte;
    }
    text[used] = '\0';
    size_t good = error_utf8_prefix(text, used);
    if (good < used)
        return error_set(error, -EINVAL, "%s:%lu: not UTF-8", path, count_lines(text, good));
    *ret_text = steal_pointer(&text);
    return 0;
}

size_t pylit_source_offset(const void *source, size_t size, size_t offset)
{
    const uint8_t *bytes = source;
    bool marked = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0;
    size_t at = marked ? 3 : 0;
    enum encoding encoding;

    (void)find_encoding(bytes + at, size - at, "", &encoding, NULL);
    for (size_t decoded = 0; decoded < offset && at < size; decoded++) {
        if (bytes[at] == '\r' && at + 1 < size && bytes[at + 1] == '\n')
            at++;
        else if (bytes[at] >= 0x80 && encoding == ENCODING_LATIN1)
            decoded++;
        at++;
    }
    return at;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Append a code point; every escape is at least as long as what it becomes. */
static int put(uint32_t point, char *value, size_t *used, const char **ret_reason)
{
    if (point == 0 || (point >= 0xD800 && point <= 0xDFFF) || point > 0x10FFFF) {
        *ret_reason = "holds a character that cannot be in a name";
        return -EINVAL;
    }
    if (point < 0x80) {
        value[(*used)++] = (char)point;
    } else if (point < 0x800) {
        value[(*used)++] = (char)(0xC0 | point >> 6);
        value[(*used)++] = (char)(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        value[(*used)++] = (char)(0xE0 | point >> 12);
        value[(*used)++] = (char)(0x80 | (point >> 6 & 0x3F));
        value[(*used)++] = (char)(0x80 | (point & 0x3F));
    } else {
        value[(*used)++] = (char)(0xF0 | point >> 18);
        value[(*used)++] = (char)(0x80 | (point >> 12 & 0x3F));
        value[(*used)++] = (char)(0x80 | (point >> 6 & 0x3F));
        value[(*used)++] = (char)(0x80 | (point & 0x3F));
    }
    return 0;
}

/* The escape behind a backslash at `*from` (Language Reference, 2.4.1.1). */
static int put_escape(const char **from, char *value, size_t *used, const char **ret_reason)
{
    static const char simple[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = *(*from)++;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t point = 0;

    if (c == '\n')
        return 0;
    for (size_t i = 0; i + 1 < sizeof(simple); i += 2) {
        if (simple[i] == c) {
            value[(*used)++] = simple[i + 1];
            return 0;
        }
    }
    if (c >= '0' && c <= '7') {
        point = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && **from >= '0' && **from <= '7'; i++)
            point = point * 8 + (uint32_t)(*(*from)++ - '0');
        return put(point, value, used, ret_reason);
    }
    if (digits > 0) {
        for (size_t i = 0; i < digits; i++) {
            int digit = digit_of(**from);
            if (digit == 16) {
                *ret_reason = "holds an escape that is cut short";
                return -EINVAL;
            }
            point = point << 4 | (uint32_t)digit;
            (*from)++;
        }
        return put(point, value, used, ret_reason);
    }
    if (c == 'N') {
        *ret_reason = "holds a \\N{…} escape, which is not read here";
        return -EINVAL;
    }
    /* Not an escape: the backslash stays. */
    value[(*used)++] = '\\';
    value[(*used)++] = c;
    return 0;
}

int pylit_string_value(const struct token *token, char *value, size_t *used,
                       const char **ret_reason)
{
    const char *from = token->start;
    bool raw = false;

    for (; *from != '"' && *from != '\''; from++) {
        raw = raw || *from == 'r' || *from == 'R';
        if (strchr("bBfF", *from)) {
            *ret_reason = strchr("bB", *from) ? "is bytes, not a string" : "is a formatted string";
            return -EINVAL;
        }
    }
    /* Two quotes and the token's end: empty. Otherwise three open it only if there are more to
     * close. */
    size_t rest = (size_t)(token->start + token->size - from);
    size_t quotes = rest >= 6 && from[1] == from[0] && from[2] == from[0] ? 3 : 1;
    const char *end = token->start + token->size - quotes;
    from += quotes;
    while (from < end) {
        if (*from == '\\' && !raw) {
            from++;
            int r = put_escape(&from, value, used, ret_reason);
            if (r < 0)
                return r;
        } else {
            value[(*used)++] = *from++;
        }
    }
    return 0;
}
