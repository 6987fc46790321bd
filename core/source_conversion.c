#include "source_conversion.h"

#include <addonfs/checked.h>
#include <addonfs/cleanup.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

static char *put(char *out, const char *from, const char *to)
{
    memcpy(out, from, (size_t)(to - from));
    return out + (to - from);
}

static void replace(struct text *text, char *bytes, size_t size)
{
    free(text->own);
    *text = (struct text){.bytes = bytes, .size = size, .own = bytes};
}

/* --- Keywords -----------------------------------------------------------------------------------
 */

static const char head[] = "$Id";

enum { HEAD = sizeof(head) - 1 };

static char *put_keyword(char *out, const char *id)
{
    return stpcpy(stpcpy(stpcpy(out, "$Id: "), id), " $");
}

static const char *find(const char *from, char wanted, const char *end)
{
    return from < end ? memchr(from, wanted, (size_t)(end - from)) : NULL;
}

/*
 * What belongs to a keyword that has a value: up to its last dollar, which is on the same line. One
 * with a blank before the end of the value is another system's, and stays.
 */
static const char *end_of_value(const char *colon, const char *dollar)
{
    if (find(colon, '\n', dollar) || find(colon + 2, ' ', dollar - 1))
        return NULL;
    return dollar + 1;
}

/* Every dollar may begin a keyword, that of a keyword which stays as it is included. */
static char *expand_whole(const char *in, const char *end, const char *id, char *out)
{
    const char *dollar;

    while ((dollar = find(in, '$', end))) {
        const char *after = NULL;
        if (end - dollar > HEAD && memcmp(dollar, head, HEAD) == 0) {
            const char *mark = dollar + HEAD;
            const char *last = *mark == ':' ? find(mark + 1, '$', end) : NULL;
            if (*mark == ':' && !last)
                break;
            if (*mark == '$')
                after = mark + 1;
            else if (last)
                after = end_of_value(mark, last);
        }
        out = put(out, in, after ? dollar : dollar + 1);
        if (after)
            out = put_keyword(out, id);
        in = after ? after : dollar + 1;
    }
    return put(out, in, end);
}

/* Blanks are others here, and one must follow the colon. */
static bool is_foreign(const char *colon, const char *dollar)
{
    if (colon[1] != ' ')
        return false;
    for (const char *at = colon + 2; at < dollar && *at; at++) {
        if ((*at == ' ' || *at == '\t' || *at == '\r') && at + 1 < dollar)
            return true;
    }
    return false;
}

/*
 * A byte that ends what looked like a keyword begins none itself; nor does the one after "$Id" and
 * a NUL, which Git takes for the fourth byte of the beginning. `held` is where begins what Git
 * holds back: after "$Id" and a byte that is neither colon nor dollar it lets go of nothing, and if
 * a keyword with a value follows at once, that one takes the place of all of it, foreign or not.
 */
static char *expand_stream(const char *in, const char *end, const char *id, char *out)
{
    char *held = out;

    while (in < end) {
        size_t length = 0;
        while (length < sizeof(head) && in + length < end && in[length] == head[length])
            length++;
        const char *mark = in + length;
        const char *next = mark < end ? mark + 1 : end;
        bool is_head = length == HEAD && mark < end;
        if (is_head && *mark == '$') {
            out = put_keyword(out, id);
        } else if (is_head && *mark == ':') {
            while (next < end && *next != '$' && *next != '\n')
                next++;
            if (next < end && *next == '$' && (held != out || !is_foreign(mark, next)))
                out = put_keyword(held, id);
            else
                out = put(out, in, next < end ? next + 1 : end);
            next = next < end ? next + 1 : end;
        } else {
            out = put(out, in, next);
        }
        if (!is_head || *mark == ':' || *mark == '$')
            held = out;
        in = next;
    }
    return out;
}

static int expand(const struct conversion *conversion, const char *id, struct text *text)
{
    const char *end = text->bytes + text->size;
    const char *at = text->bytes;
    uint64_t room = text->size;

    while ((at = memmem(at, (size_t)(end - at), head, HEAD))) {
        at += HEAD;
        if (!checked_add(room, strlen(": ") + strlen(id) + strlen(" $"), &room))
            return -ENOMEM;
    }
    if (room == text->size)
        return 0;
    char *bytes = malloc(room);
    if (!bytes)
        return -ENOMEM;
    char *out = (conversion->is_whole ? expand_whole : expand_stream)(text->bytes, end, id, bytes);
    replace(text, bytes, (size_t)(out - bytes));
    return 0;
}

/* --- Line ends ----------------------------------------------------------------------------------
 */

struct count {
    size_t nul, lf, cr, crlf; /* LF and CR that do not belong together */
    size_t printable, other;
};

static struct count count_bytes(const struct text *text)
{
    struct count count = {0};

    for (size_t i = 0; i < text->size; i++) {
        unsigned char byte = (unsigned char)text->bytes[i];
        if (byte == '\r' && i + 1 < text->size && text->bytes[i + 1] == '\n') {
            count.crlf++;
            i++;
        } else if (byte == '\r') {
            count.cr++;
        } else if (byte == '\n') {
            count.lf++;
        } else if (byte == 127 || (byte < 32 && !(byte && strchr("\b\t\033\f", byte)))) {
            count.other++;
            count.nul += byte == 0;
        } else {
            count.printable++;
        }
    }
    /* The end of a file, as DOS marked it. */
    if (text->size > 0 && text->bytes[text->size - 1] == '\032')
        count.other--;
    return count;
}

/* What Git leaves alone if it is to guess: binary files, and those that have CRs already. */
static bool is_left_alone(const struct count *count)
{
    return count->cr > 0 || count->crlf > 0 || count->nul > 0 ||
           count->printable / 128 < count->other;
}

static int end_lines(const struct conversion *conversion, struct text *text)
{
    struct count count = count_bytes(text);
    uint64_t size;

    if (count.lf == 0 || (conversion->only_text && is_left_alone(&count)))
        return 0;
    if (!checked_add(text->size, count.lf, &size))
        return -ENOMEM;
    char *bytes = malloc(size);
    if (!bytes)
        return -ENOMEM;
    char *out = bytes;
    for (size_t i = 0; i < text->size; i++) {
        if (text->bytes[i] == '\n' && (i == 0 || text->bytes[i - 1] != '\r'))
            *out++ = '\r';
        *out++ = text->bytes[i];
    }
    replace(text, bytes, size);
    return 0;
}

int conversion_apply(const struct conversion *conversion, const char *id, struct text *text)
{
    int r = conversion->ident ? expand(conversion, id, text) : 0;

    return r == 0 && conversion->crlf ? end_lines(conversion, text) : r;
}
