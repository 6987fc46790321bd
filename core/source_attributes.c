/* Parsing a .gitattributes. */
#include "source_attributes_parts.h"
#include "source_wildmatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MACRO "[attr]"

/* Make room for one more of `count` elements; they are full whenever that is a power of two. */
static int grow(void *elements, size_t count, size_t size)
{
    void **array = elements;

    if (count > 0 && (count & (count - 1)) != 0)
        return 0;
    void *larger = reallocarray(*array, count > 0 ? 2 * count : 1, size);
    if (!larger)
        return -ENOMEM;
    *array = larger;
    return 0;
}

/* Give back what was not needed. */
static void trim(void *elements, size_t count, size_t size)
{
    void **array = elements;
    void *smaller = count > 0 ? reallocarray(*array, count, size) : NULL;

    if (smaller)
        *array = smaller;
}

/* --- Words --------------------------------------------------------------------------------------
 */

static bool is_name(const char *name, size_t length)
{
    if (length == 0 || name[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

static enum attribute attribute_of(const char *name, size_t length)
{
    static const char *const names[ATTRIBUTES] = {
        [ATTRIBUTE_TEXT] = "text",
        [ATTRIBUTE_CRLF] = "crlf",
        [ATTRIBUTE_EOL] = "eol",
        [ATTRIBUTE_IDENT] = "ident",
        [ATTRIBUTE_ENCODING] = "working-tree-encoding",
    };

    for (int i = 0; i < ATTRIBUTES; i++) {
        if (attributes_compare_names(name, length, names[i], strlen(names[i])) == 0)
            return (enum attribute)i;
    }
    return ATTRIBUTES;
}

static bool is_octal(const char *digits)
{
    return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' && digits[1] <= '7' &&
           digits[2] >= '0' && digits[2] <= '7';
}

/* The byte that an escape stands for, of which `at` is what follows the backslash; -1: none. */
static int unescape(const char *at, size_t *ret_length)
{
    static const char letters[] = "abfnrtv\\\"";
    static const char bytes[] = "\a\b\f\n\r\t\v\\\"";
    const char *letter = *at ? strchr(letters, *at) : NULL;

    *ret_length = letter ? 1 : 3;
    if (letter)
        return (unsigned char)bytes[letter - letters];
    return is_octal(at) ? (at[0] - '0') * 64 + (at[1] - '0') * 8 + (at[2] - '0') : -1;
}

/*
 * Take the quotes from the word at `quote`. Returns what follows it, or NULL: it does not end, or
 * has an escape that is none; then nothing is changed. (It goes over the word twice.)
 */
static char *unquote(char *quote, size_t *ret_length)
{
    char *rest = NULL;

    for (int pass = 0; pass < 2; pass++) {
        char *to = quote;
        char *at = quote + 1;
        while (*at != '"') {
            size_t length = 1;
            int byte = *at == '\\' ? unescape(++at, &length) : (unsigned char)*at;
            if (byte < 0 || *at == '\0')
                return NULL;
            if (pass > 0)
                *to = (char)byte;
            to++;
            at += length;
        }
        rest = at + 1;
        *ret_length = (size_t)(to - quote);
        if (pass > 0)
            *to = '\0';
    }
    return rest;
}

/* --- Lines --------------------------------------------------------------------------------------
 */

static size_t word_length(const char *word)
{
    return strcspn(word, ATTRIBUTES_BLANKS);
}

static char *skip_blanks(char *at)
{
    return at + strspn(at, ATTRIBUTES_BLANKS);
}

/* Take the word of `length` bytes in. -EINVAL: its name is none. */
static int take_assignment(struct attributes *list, const char *word, size_t length)
{
    bool is_signed = *word == '-' || *word == '!';
    const char *equals = memchr(word, '=', length);
    const char *name = word + is_signed;
    size_t name_length = (size_t)((equals ? equals : word + length) - name);
    enum attribute_state state = equals ? ATTRIBUTE_VALUE : ATTRIBUTE_SET;

    if (!is_name(name, name_length))
        return -EINVAL;
    if (is_signed)
        state = *word == '-' ? ATTRIBUTE_UNSET : ATTRIBUTE_UNSPECIFIED;
    if (grow(&list->assignments, list->assignment_count, sizeof(*list->assignments)) < 0)
        return -ENOMEM;
    list->assignments[list->assignment_count++] = (struct assignment){
        .name = (uint32_t)(name - list->text),
        .length = (uint16_t)name_length,
        .attribute = (uint8_t)attribute_of(name, name_length),
        .state = (uint8_t)state,
    };
    return 0;
}

/* Take all words from `at` on in. -EINVAL: not one of them counts. */
static int take_assignments(struct attributes *list, char *at, struct assignments *ret_assignments)
{
    size_t first = list->assignment_count;
    int r = 0;

    for (at = skip_blanks(at); r == 0 && *at;) {
        size_t length = word_length(at);
        r = take_assignment(list, at, length);
        at = skip_blanks(at + length);
    }
    if (r < 0)
        list->assignment_count = first;
    *ret_assignments =
        (struct assignments){(uint32_t)first, (uint32_t)(list->assignment_count - first)};
    return r;
}

/* The definition of the macro whose name stands at `name`. */
static int take_macro(struct attributes *list, char *name, char *rest)
{
    struct macro macro;

    name = skip_blanks(name);
    size_t length = word_length(name);
    if (!is_name(name, length))
        return -EINVAL;
    int r = take_assignments(list, rest, &macro.assignments);
    if (r < 0)
        return r;
    if (grow(&list->macros, list->macro_count, sizeof(*list->macros)) < 0)
        return -ENOMEM;
    macro.name = (uint32_t)(name - list->text);
    macro.length = (uint32_t)length;
    list->macros[list->macro_count++] = macro;
    return 0;
}

/* Patterns with `!` are none, and one of folders (`a/`) matches no file. */
static int take_rule(struct attributes *list, const char *pattern, size_t length, char *rest)
{
    struct rule rule;

    length = strnlen(pattern, length);
    if (length > 0 && (pattern[0] == '!' || pattern[length - 1] == '/'))
        return -EINVAL;
    int r = take_assignments(list, rest, &rule.assignments);
    if (r < 0 || rule.assignments.count == 0)
        return r;
    if (grow(&list->rules, list->rule_count, sizeof(*list->rules)) < 0)
        return -ENOMEM;
    rule.pattern = (uint32_t)(pattern - list->text);
    rule.length = (uint16_t)length;
    rule.literal = (uint16_t)wildmatch_literal(pattern, length);
    rule.is_name = !memchr(pattern, '/', length);
    rule.is_tail =
        length > 0 && pattern[0] == '*' && wildmatch_literal(pattern + 1, length - 1) == length - 1;
    list->rules[list->rule_count++] = rule;
    return 0;
}

static int take_line(struct attributes *list, char *line)
{
    char *pattern = skip_blanks(line);
    size_t length = 0;

    if (*pattern == '\0' || *pattern == '#' ||
        strnlen(line, ATTRIBUTES_LINE_LIMIT) == ATTRIBUTES_LINE_LIMIT)
        return 0;
    char *rest = *pattern == '"' ? unquote(pattern, &length) : NULL;
    if (!rest) {
        length = word_length(pattern);
        rest = pattern + length;
    }
    bool is_macro = length > strlen(MACRO) && memcmp(pattern, MACRO, strlen(MACRO)) == 0;
    int r = is_macro ? take_macro(list, pattern + strlen(MACRO), rest)
                     : take_rule(list, pattern, length, rest);
    return r == -ENOMEM ? r : 0;
}

/* --- Lists --------------------------------------------------------------------------------------
 */

int attributes_compare_names(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* By name, and of one name by line. */
static int compare_macros(const void *a, const void *b, void *context)
{
    const struct macro *left = a;
    const struct macro *right = b;
    const char *text = context;
    int order = attributes_compare_names(text + left->name, left->length, text + right->name,
                                         right->length);

    return order != 0 ? order : (left->name > right->name) - (left->name < right->name);
}

/* Of each name the last counts. */
static void sort_macros(struct attributes *list)
{
    struct macro *macros = list->macros;
    size_t count = 0;

    if (list->macro_count == 0)
        return;
    qsort_r(macros, list->macro_count, sizeof(*macros), compare_macros, list->text);
    for (size_t i = 1; i < list->macro_count; i++) {
        if (attributes_compare_names(list->text + macros[count].name, macros[count].length,
                                     list->text + macros[i].name, macros[i].length) != 0)
            count++;
        macros[count] = macros[i];
    }
    list->macro_count = count + 1;
}

static int take_lines(struct attributes *list)
{
    char *end = list->text + list->size;

    for (char *line = list->text; line < end;) {
        char *feed = memchr(line, '\n', (size_t)(end - line));
        if (!feed)
            feed = end;
        *feed = '\0';
        int r = take_line(list, line);
        if (r < 0)
            return r;
        line = feed + 1;
    }
    sort_macros(list);
    trim(&list->rules, list->rule_count, sizeof(*list->rules));
    trim(&list->macros, list->macro_count, sizeof(*list->macros));
    trim(&list->assignments, list->assignment_count, sizeof(*list->assignments));
    return 0;
}

int attributes_parse(const char *bytes, size_t size, struct attributes **ret_list)
{
    cleanup_attributes struct attributes *list = calloc(1, sizeof(*list));

    if (!list)
        return -ENOMEM;
    list->references = 1;
    list->size = size > 0 ? strnlen(bytes, size) : 0;
    list->text = malloc(list->size + 1);
    if (!list->text)
        return -ENOMEM;
    if (list->size > 0)
        memcpy(list->text, bytes, list->size);
    list->text[list->size] = '\0';
    int r = take_lines(list);
    if (r == 0)
        *ret_list = steal_pointer(&list);
    return r;
}

struct attributes *attributes_ref(struct attributes *list)
{
    list->references++;
    return list;
}

void attributes_unref(struct attributes *list)
{
    if (!list || --list->references > 0)
        return;
    free(list->text);
    free(list->rules);
    free(list->macros);
    free(list->assignments);
    free(list);
}

size_t attributes_memory(const struct attributes *list)
{
    return sizeof(*list) + list->size + list->rule_count * sizeof(*list->rules) +
           list->macro_count * sizeof(*list->macros) +
           list->assignment_count * sizeof(*list->assignments);
}
