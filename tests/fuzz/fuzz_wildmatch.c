/*
 * fuzz_wildmatch: any pattern over any path, and any line of a .gitattributes with it.
 *
 * The input is a pattern, a NUL, and a path. What matches is what the plainest of all matchers says
 * matches: one that fills a table of what follows in the pattern against what follows in the path,
 * from both ends. The same pattern as a line of a file says the same, and what is not a line is
 * parsed all the same.
 */
#include "fuzz.h"

#include "source_attributes.h"
#include "source_wildmatch.h"

enum { LIMIT = 128 };

struct table {
    const char *pattern;
    const char *text;
    size_t pattern_size;
    size_t text_size;
    bool is_path;
    bool matches[LIMIT + 2][LIMIT + 2]; /* by place in the pattern, and in the path */
};

/* A part of the pattern that stands for one byte, alone. */
static bool is_one(const struct table *table, size_t at, size_t size, char c)
{
    uint64_t work = 0;

    return wildmatch_path(table->pattern + at, size, &c, 1, &work);
}

/* How many bytes of the pattern stand for one byte; 0: it is none, and nothing matches. */
static size_t one_size(const struct table *table, size_t at)
{
    const char *pattern = table->pattern;
    size_t end = table->pattern_size;

    if (pattern[at] == '\\')
        return at + 1 < end ? 2 : 0;
    if (pattern[at] != '[')
        return 1;
    /* The shortest class: it is one of some byte, or of all bytes but some. */
    for (size_t size = 2; at + size <= end; size++) {
        for (int c = 1; c < 256 && pattern[at + size - 1] == ']'; c++) {
            if (is_one(table, at, size, (char)c))
                return size;
        }
    }
    return 0;
}

static bool is_slash(const struct table *table, size_t at)
{
    return table->is_path && table->text[at] == '/';
}

/* Any run of bytes from `at` on, without slashes unless `deep`, and then what follows `rest`. */
static bool any_run(const struct table *table, size_t rest, size_t at, bool deep)
{
    for (size_t to = at;; to++) {
        if (table->matches[rest][to])
            return true;
        if (to == table->text_size || (!deep && is_slash(table, to)))
            return false;
    }
}

static bool stars(const struct table *table, size_t at, size_t text)
{
    const char *pattern = table->pattern;
    size_t end = table->pattern_size;
    size_t rest = at;

    while (rest < end && pattern[rest] == '*')
        rest++;
    bool begins = at == 0 || pattern[at - 1] == '/';
    bool slash = rest < end && pattern[rest] == '/';
    bool escaped = rest + 1 < end && pattern[rest] == '\\' && pattern[rest + 1] == '/';
    bool deep = rest - at > 1 && begins && (rest == end || slash || escaped);
    /* No folder at all. */
    if (table->is_path && deep && slash && table->matches[rest + 1][text])
        return true;
    return any_run(table, rest, text, deep || !table->is_path);
}

static bool table_says(struct table *table)
{
    size_t last = table->text_size;

    for (size_t i = table->pattern_size + 1; i-- > 0;) {
        bool ends = i == table->pattern_size;
        bool star = !ends && table->pattern[i] == '*';
        size_t size = ends || star ? 0 : one_size(table, i);
        for (size_t j = last + 1; j-- > 0;) {
            bool fits = false;
            if (ends)
                fits = j == last;
            else if (star)
                fits = stars(table, i, j);
            else if (j < last && size > 0)
                fits = table->matches[i + size][j + 1] && is_one(table, i, size, table->text[j]);
            table->matches[i][j] = fits;
        }
    }
    return table->matches[0][0];
}

static void compare(const char *pattern, size_t pattern_size, const char *text, size_t text_size)
{
    static struct table table;
    uint64_t work = 0;

    table.pattern = pattern;
    table.text = text;
    table.pattern_size = pattern_size;
    table.text_size = text_size;
    table.is_path = true;
    CHECK(table_says(&table) == wildmatch_path(pattern, pattern_size, text, text_size, &work));
    table.is_path = false;
    if (!memchr(text, '/', text_size))
        CHECK(table_says(&table) == wildmatch_name(pattern, pattern_size, text, text_size, &work));
}

/* The whole input as a file. */
static void ask(const char *bytes, size_t size, const char *path)
{
    struct attribute_value values[ATTRIBUTES];
    struct attribute_value again[ATTRIBUTES];
    cleanup_attributes struct attributes *list = NULL;

    CHECK(attributes_parse(bytes, size, &list) == 0);
    const struct attributes_layer layers[] = {{list, 0}, {list, 0}};
    CHECK(attributes_find(layers, 1, path, values) == 0);
    /* What is said twice is said. */
    CHECK(attributes_find(layers, 2, path, again) == 0);
    for (int i = 0; i < ATTRIBUTES; i++) {
        CHECK(values[i].state != ATTRIBUTE_VALUE ||
              memchr(values[i].text, '\0', values[i].length) == NULL);
        CHECK(values[i].state == again[i].state && values[i].text == again[i].text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const uint8_t *nul = size > 0 ? memchr(input, '\0', size) : NULL;
    size_t pattern_size = nul ? (size_t)(nul - input) : size;
    size_t text_size = nul ? size - pattern_size - 1 : 0;
    cleanup_free char *pattern = malloc(pattern_size + 1);
    cleanup_free char *text = fuzz_text(nul ? nul + 1 : input, text_size);

    CHECK(pattern);
    memcpy(pattern, input, pattern_size);
    text_size = strlen(text);
    /* Of the root's folder: a path begins with no slash. */
    ask((const char *)input, pattern_size, text);
    if (pattern_size <= LIMIT && text_size <= LIMIT)
        compare(pattern, pattern_size, text, text_size);
    return 0;
}
