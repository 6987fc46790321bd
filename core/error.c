#include <addonfs/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * Length of the well-formed UTF-8 sequence at `bytes` (RFC 3629: no surrogates, no overlong forms,
 * nothing above U+10FFFF), or 0.
 */
static size_t utf8_length(const uint8_t *bytes, size_t size)
{
    uint8_t first = bytes[0];
    size_t length;
    uint8_t low = 0x80;
    uint8_t high = 0xBF;

    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF) {
        length = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        length = 3;
        if (first == 0xE0)
            low = 0xA0;
        if (first == 0xED)
            high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        length = 4;
        if (first == 0xF0)
            low = 0x90;
        if (first == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (size < length || bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xBF)
            return 0;
    }
    return length;
}

size_t error_utf8_prefix(const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    size_t used = 0;

    while (used < size) {
        size_t length = utf8_length(from + used, size - used);
        if (length == 0)
            break;
        used += length;
    }
    return used;
}

bool error_is_utf8(const void *bytes, size_t size)
{
    return error_utf8_prefix(bytes, size) == size;
}

size_t error_printable(const void *bytes, size_t size, char *text, size_t room)
{
    const uint8_t *from = bytes;
    size_t length = 0;  /* of the whole line */
    size_t written = 0; /* of what is in `text` */
    bool full = false;

    while (size > 0) {
        char escaped[5];
        const char *piece = (const char *)from;
        size_t used = utf8_length(from, size);
        size_t piece_size = used;
        bool control = used == 1 && (*from < 0x20 || *from == 0x7F);
        /* C1 controls (U+0080 to U+009F) drive some terminals as well. */
        if (used == 2 && from[0] == 0xC2 && from[1] < 0xA0)
            used = 0;
        if (used == 0 || control) {
            used = 1;
            piece = escaped;
            if (*from == '\n')
                piece_size = (size_t)snprintf(escaped, sizeof(escaped), "\\n");
            else if (*from == '\t')
                piece_size = (size_t)snprintf(escaped, sizeof(escaped), "\\t");
            else
                piece_size = (size_t)snprintf(escaped, sizeof(escaped), "\\x%02x", *from);
        }
        full = full || written + piece_size >= room;
        if (!full) {
            memcpy(text + written, piece, piece_size);
            written += piece_size;
        }
        length += piece_size;
        from += used;
        size -= used;
    }
    if (room > 0)
        text[written] = '\0';
    return length;
}

static void error_write(struct error *error, int code, const char *text, const char *cause)
{
    char line[ERROR_TEXT_SIZE];
    int length =
        snprintf(line, sizeof(line), "%s%s%s", text, cause ? ": " : "", cause ? cause : "");
    size_t size = length < 0 ? 0 : (size_t)length;

    if (size >= sizeof(line))
        size = sizeof(line) - 1;
    error->code = code;
    error_printable(line, size, error->text, sizeof(error->text));
}

int error_set(struct error *error, int code, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    va_list arguments;

    if (!error)
        return code;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_write(error, code, text, NULL);
    return code;
}

/* `told` is returned and kept, and `code` described. */
static int error_cause(struct error *error, int told, int code, const char *format,
                       va_list arguments)
{
    char text[ERROR_TEXT_SIZE];
    char cause[128];

    if (!error)
        return told;
    vsnprintf(text, sizeof(text), format, arguments);
    error_write(error, told, text, strerror_r(-code, cause, sizeof(cause)));
    return told;
}

int error_errno(struct error *error, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int r = error_cause(error, code, code, format, arguments);
    va_end(arguments);
    return r;
}

int error_of_the_moment(struct error *error, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int r = error_cause(error, error_is_transient(code) ? code : -EAGAIN, code, format, arguments);
    va_end(arguments);
    return r;
}

const char *error_reason(const char *text, const char *path)
{
    size_t length = strlen(path);
    bool starts = strncmp(text, path, length) == 0 && strncmp(text + length, ": ", 2) == 0;

    return starts ? text + length + 2 : text;
}

bool error_names(const char *text, const char *path)
{
    size_t length = strlen(path);

    return length == 0 || (strncmp(text, path, length) == 0 && text[length] == ':');
}

bool error_is_transient(int code)
{
    switch (code) {
    case -ENOMEM:
    case -ENOSPC:
    case -EDQUOT:
    case -EMFILE:
    case -ENFILE:
    case -ESTALE:
    case -EINTR:
    case -EAGAIN:
    case -ECANCELED:
        return true;
    default:
        return false;
    }
}

bool error_tells_nothing(int code)
{
    return code == -ESTALE || code == -EINTR || code == -ECANCELED;
}
