/* What parsed files of .gitattributes say of a path. */
#include "source_attributes_parts.h"
#include "source_wildmatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lines are taken from the last of the nearest file to the first of the root's, each from right to
 * left: what is said first is what counts. A macro that is set stands for its attributes at the
 * place where it is, and is an attribute itself: once something is said of it, it is not set by
 * what comes later. So none is entered twice, and macros in each other have an end.
 */

/* What is left of a run of assignments. */
struct run {
    const struct assignment *first;
    const struct assignment *end;
    const char *text; /* that they are in */
};

struct search {
    const struct attributes *macros; /* the root's list, or NULL */
    bool *decided;                   /* for each of them, and the one that is built in */
    struct run *runs;                /* a stack with room for as many and one more */
    struct attribute_value *values;
    uint64_t work; /* so far, in steps of some nanoseconds */
};

/* [attr]binary -diff -merge -text */
static const char binary_text[] = "diff merge text";
static const struct assignment binary[] = {
    {.name = 0, .length = 4, .attribute = ATTRIBUTES, .state = ATTRIBUTE_UNSET},
    {.name = 5, .length = 5, .attribute = ATTRIBUTES, .state = ATTRIBUTE_UNSET},
    {.name = 11, .length = 4, .attribute = ATTRIBUTE_TEXT, .state = ATTRIBUTE_UNSET},
};

/* --- Macros -------------------------------------------------------------------------------------
 */

static size_t macro_count(const struct search *search)
{
    return search->macros ? search->macros->macro_count : 0;
}

/* The number of the macro of that name, or SIZE_MAX. */
static size_t find_macro(const struct search *search, const char *name, size_t length)
{
    size_t low = 0;
    size_t high = macro_count(search);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct macro *macro = &search->macros->macros[middle];
        int order = attributes_compare_names(name, length, search->macros->text + macro->name,
                                             macro->length);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (attributes_compare_names(name, length, "binary", strlen("binary")) == 0)
        return macro_count(search);
    return SIZE_MAX;
}

static struct run run_of(const struct attributes *list, const struct assignments *assignments)
{
    if (assignments->count == 0)
        return (struct run){0};
    const struct assignment *first = list->assignments + assignments->first;
    return (struct run){first, first + assignments->count, list->text};
}

static struct run macro_run(const struct search *search, size_t number)
{
    if (number == macro_count(search))
        return (struct run){binary, binary + sizeof(binary) / sizeof(*binary), binary_text};
    return run_of(search->macros, &search->macros->macros[number].assignments);
}

/* --- Deciding -----------------------------------------------------------------------------------
 */

/* Say of one of our attributes what the assignment does. False: something was said already. */
static bool decide(struct attribute_value *value, const struct assignment *assignment,
                   const char *text)
{
    if (value->state != ATTRIBUTE_UNKNOWN)
        return false;
    value->state = assignment->state;
    if (value->state != ATTRIBUTE_VALUE)
        return true;
    value->text = text + assignment->name + assignment->length + 1;
    value->length = strcspn(value->text, ATTRIBUTES_BLANKS);
    return true;
}

/* Returns the number of the macro that is to be entered, or SIZE_MAX. */
static size_t take(struct search *search, const struct assignment *assignment, const char *text)
{
    if (assignment->attribute < ATTRIBUTES &&
        !decide(&search->values[assignment->attribute], assignment, text))
        return SIZE_MAX;
    size_t number = find_macro(search, text + assignment->name, assignment->length);
    if (number == SIZE_MAX || search->decided[number])
        return SIZE_MAX;
    search->decided[number] = true;
    return assignment->state == ATTRIBUTE_SET ? number : SIZE_MAX;
}

static void take_all(struct search *search, struct run run)
{
    size_t depth = 0;

    search->runs[depth++] = run;
    while (depth > 0) {
        struct run *top = &search->runs[depth - 1];
        if (top->end == top->first) {
            depth--;
            continue;
        }
        top->end--;
        size_t number = take(search, top->end, top->text);
        if (number != SIZE_MAX)
            search->runs[depth++] = macro_run(search, number);
    }
}

/* --- Matching -----------------------------------------------------------------------------------
 */

static bool ends_with(const char *text, size_t length, const char *tail, size_t tail_length)
{
    return length >= tail_length && memcmp(text + length - tail_length, tail, tail_length) == 0;
}

static bool matches_name(const struct rule *rule, const char *pattern, const char *name,
                         size_t length, uint64_t *work)
{
    if (rule->literal == rule->length)
        return length == rule->length && memcmp(name, pattern, length) == 0;
    if (rule->is_tail)
        return ends_with(name, length, pattern + 1, rule->length - (size_t)1);
    return wildmatch_name(pattern, rule->length, name, length, work);
}

/* As Git has it, `**` at the end of the bytes that mean themselves begins a pattern: "a**" matches
 * "a/b" as well. */
static bool matches_path(const struct rule *rule, const char *pattern, const char *path,
                         size_t length, uint64_t *work)
{
    size_t is_rooted = pattern[0] == '/';
    size_t literal = rule->literal - is_rooted;

    pattern += is_rooted;
    if (length < literal || memcmp(path, pattern, literal) != 0)
        return false;
    return wildmatch_path(pattern + literal, rule->length - is_rooted - literal, path + literal,
                          length - literal, work);
}

/* 0, or -EFBIG. */
static int take_layer(struct search *search, const struct attributes_layer *layer, const char *path,
                      size_t length)
{
    const struct attributes *list = layer->list;
    const char *slash = memrchr(path, '/', length);
    const char *name = slash ? slash + 1 : path;
    const char *below = path + layer->folder + (layer->folder > 0);
    const char *end = path + length;

    for (size_t i = list->rule_count; i > 0; i--, search->work++) {
        const struct rule *rule = &list->rules[i - 1];
        const char *pattern = list->text + rule->pattern;
        if (rule->is_name
                ? matches_name(rule, pattern, name, (size_t)(end - name), &search->work)
                : matches_path(rule, pattern, below, (size_t)(end - below), &search->work)) {
            take_all(search, run_of(list, &rule->assignments));
            search->work += rule->assignments.count;
        }
        if (search->work > ATTRIBUTES_WORK_LIMIT)
            return -EFBIG;
    }
    return 0;
}

int attributes_find(const struct attributes_layer *layers, size_t count, const char *path,
                    struct attribute_value ret_values[static ATTRIBUTES])
{
    struct search search = {.values = ret_values};

    if (count > 0 && layers[count - 1].folder == 0)
        search.macros = layers[count - 1].list;
    cleanup_free bool *decided = calloc(macro_count(&search) + 1, sizeof(*decided));
    cleanup_free struct run *runs = calloc(macro_count(&search) + 2, sizeof(*runs));
    if (!decided || !runs)
        return -ENOMEM;
    search.decided = decided;
    search.runs = runs;
    memset(ret_values, 0, ATTRIBUTES * sizeof(*ret_values));
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = take_layer(&search, &layers[i], path, strlen(path));
    return r;
}
