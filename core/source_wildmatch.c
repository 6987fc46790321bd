#include "source_wildmatch.h"

#include <string.h>

/*
 * Nothing is tried twice. Only the last `*` has to be lengthened when what follows does not match:
 * it ends at a slash, so where a slash was matched does not depend on how. And only the last `**`:
 * what comes before it may as well match as early as it can, which leaves it the most to choose
 * from.
 */

/* --- Classes ------------------------------------------------------------------------------------
 */

static bool is_between(unsigned char c, unsigned char low, unsigned char high)
{
    return low <= c && c <= high;
}

static bool is_letter(unsigned char c)
{
    return is_between(c, 'a', 'z') || is_between(c, 'A', 'Z');
}

static bool is_digit(unsigned char c)
{
    return is_between(c, '0', '9');
}

/* Is `c` of the class, 1, or not, 0? -1: there is no such class. */
static int is_of(const char *name, size_t length, unsigned char c)
{
    const struct {
        const char *name;
        bool has;
    } classes[] = {
        {"alnum", is_letter(c) || is_digit(c)},
        {"alpha", is_letter(c)},
        {"blank", c == ' ' || c == '\t'},
        {"cntrl", c < ' ' || c == 0x7f},
        {"digit", is_digit(c)},
        {"graph", is_between(c, '!', '~')},
        {"lower", is_between(c, 'a', 'z')},
        {"print", is_between(c, ' ', '~')},
        {"punct", is_between(c, '!', '~') && !is_letter(c) && !is_digit(c)},
        {"space", c == ' ' || c == '\t' || c == '\n' || c == '\r'},
        {"upper", is_between(c, 'A', 'Z')},
        {"xdigit", is_digit(c) || is_between(c, 'a', 'f') || is_between(c, 'A', 'F')},
    };

    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
        if (strlen(classes[i].name) == length && memcmp(classes[i].name, name, length) == 0)
            return classes[i].has;
    }
    return -1;
}

/* The end of the name in "[:name:]", of which `at` is the name's begin; NULL: it is none. */
static const char *name_end(const char *at, const char *end)
{
    const char *bracket = memchr(at, ']', (size_t)(end - at));

    return bracket && bracket > at && bracket[-1] == ':' ? bracket - 1 : NULL;
}

/* A byte of a class, perhaps behind a backslash. NULL: the pattern ends. */
static const char *take_byte(const char *at, const char *end, unsigned char *ret_byte)
{
    if (at < end && *at == '\\')
        at++;
    if (at == end)
        return NULL;
    *ret_byte = (unsigned char)*at;
    return at + 1;
}

/*
 * Is `c` in the class whose '[' is before `at`? Returns where it ends, or NULL: it is none, so that
 * the pattern matches nothing.
 */
static const char *match_class(const char *at, const char *end, unsigned char c, bool *ret_match)
{
    bool negated = at < end && (*at == '!' || *at == '^');
    bool found = false;
    unsigned char low = 0;
    unsigned char high = 0;
    bool is_low = false; /* the byte before may begin a range */

    at += negated;
    for (const char *first = at; at && (at == first || (at < end && *at != ']'));) {
        if (at == end)
            return NULL;
        const char *name = at + 1 < end && at[0] == '[' && at[1] == ':' ? at + 2 : NULL;
        const char *after = name ? name_end(name, end) : NULL;
        if (name && !memchr(name, ']', (size_t)(end - name)))
            return NULL;
        if (after) {
            int of = is_of(name, (size_t)(after - name), c);
            if (of < 0)
                return NULL;
            found = found || of > 0;
            is_low = false;
            at = after + 2;
        } else if (*at == '-' && is_low && at + 1 < end && at[1] != ']') {
            at = take_byte(at + 1, end, &high);
            found = found || is_between(c, low, high);
            is_low = false;
        } else {
            at = take_byte(at, end, &low);
            found = found || low == c;
            is_low = true;
        }
    }
    if (!at || at == end)
        return NULL;
    *ret_match = found != negated;
    return at + 1;
}

/* --- Matching -----------------------------------------------------------------------------------
 */

/* Where to go on when what follows a wildcard does not match. */
struct retry {
    const char *pattern; /* what follows; NULL: there is none */
    const char *text;    /* where that was tried last */
};

struct match {
    const char *begin; /* of the pattern */
    const char *end;
    const char *text_end;
    bool is_path;
    uint64_t work; /* bytes of the pattern that were looked at */
    struct retry star;
    struct retry folders; /* of `**` */
};

/* What follows the stars at `at` and makes them `**`: a slash. */
static size_t slash_at(const struct match *match, const char *at)
{
    if (at < match->end && *at == '/')
        return 1;
    return at + 1 < match->end && at[0] == '\\' && at[1] == '/' ? 2 : 0;
}

/* Go on behind the next slash. */
static bool retry_folders(struct match *match, const char **pattern, const char **text)
{
    struct retry *retry = &match->folders;

    match->star.pattern = NULL;
    if (!retry->pattern)
        return false;
    const char *slash = memchr(retry->text, '/', (size_t)(match->text_end - retry->text));
    if (!slash)
        return false;
    *text = retry->text = slash + 1;
    *pattern = retry->pattern;
    return true;
}

static bool retry(struct match *match, const char **pattern, const char **text)
{
    struct retry *star = &match->star;

    if (!star->pattern || star->text == match->text_end || (match->is_path && *star->text == '/'))
        return retry_folders(match, pattern, text);
    *text = ++star->text;
    *pattern = star->pattern;
    return true;
}

enum answer { NO, YES, GO_ON };

/* Enter the stars at `*pattern`. */
static enum answer take_stars(struct match *match, const char **pattern, const char **text)
{
    const char *begin = *pattern;
    const char *at = begin;

    while (at < match->end && *at == '*')
        at++;
    size_t slash = slash_at(match, at);
    bool is_deep = match->is_path && at - begin > 1 &&
                   (begin == match->begin || begin[-1] == '/') && (at == match->end || slash > 0);
    if (at == match->end && (is_deep || !match->is_path))
        return YES;
    if (!is_deep) {
        match->star = (struct retry){at, *text};
        *pattern = at;
        return GO_ON;
    }
    match->folders = (struct retry){at + slash, *text};
    if (slash > 1) /* Behind a backslash it is a slash as well, and there must be one. */
        return retry_folders(match, pattern, text) ? GO_ON : NO;
    match->star.pattern = NULL;
    *pattern = at + slash;
    return GO_ON;
}

/* Match one byte. Returns what follows in the pattern; NULL: it can match nothing at all. */
static const char *take_one(struct match *match, const char *at, unsigned char c, bool *ret_match)
{
    bool is_slash = match->is_path && c == '/';

    switch (*at) {
    case '?':
        *ret_match = !is_slash;
        return at + 1;
    case '[': {
        const char *after = match_class(at + 1, match->end, c, ret_match);
        match->work += (size_t)((after ? after : match->end) - at);
        *ret_match = *ret_match && !is_slash;
        return after;
    }
    case '\\':
        if (++at == match->end)
            return NULL;
        break;
    default:
        break;
    }
    *ret_match = (unsigned char)*at == c;
    if (is_slash && *ret_match)
        match->star.pattern = NULL;
    return at + 1;
}

static bool matches(struct match *match, const char *text)
{
    const char *pattern = match->begin;

    for (;;) {
        enum answer answer = GO_ON;
        bool fits = false;
        match->work++;
        if (pattern < match->end && *pattern == '*') {
            answer = take_stars(match, &pattern, &text);
            fits = true;
        } else if (pattern < match->end) {
            /* There is too little left, and later there is less. */
            const char *after = text == match->text_end
                                    ? NULL
                                    : take_one(match, pattern, (unsigned char)*text, &fits);
            if (!after)
                return false;
            pattern = fits ? after : pattern;
            text += fits;
        } else if (text == match->text_end) {
            return true;
        }
        if (answer != GO_ON)
            return answer == YES;
        if (!fits && !retry(match, &pattern, &text))
            return false;
    }
}

bool wildmatch_name(const char *pattern, size_t size, const char *name, size_t length,
                    uint64_t *work)
{
    struct match match = {.begin = pattern, .end = pattern + size, .text_end = name + length};

    bool found = matches(&match, name);
    *work += match.work;
    return found;
}

bool wildmatch_path(const char *pattern, size_t size, const char *path, size_t length,
                    uint64_t *work)
{
    struct match match = {
        .begin = pattern, .end = pattern + size, .text_end = path + length, .is_path = true};

    bool found = matches(&match, path);
    *work += match.work;
    return found;
}

size_t wildmatch_literal(const char *pattern, size_t size)
{
    size_t length = 0;

    while (length < size && !strchr("*?[\\", pattern[length]))
        length++;
    return length;
}
