#include "source_attributes.h"
#include "source_wildmatch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Files that somebody made in order to hurt. What lines mean is compared with Git's own answers in
 * test_source_attributes_oracle.py. */

static struct attributes *parse(const char *text, size_t size)
{
    struct attributes *list = NULL;

    assert_int_equal(attributes_parse(text, size, &list), 0);
    return list;
}

static enum attribute_state ask(struct attributes *list, const char *path)
{
    struct attribute_value values[ATTRIBUTES];
    const struct attributes_layer layers[] = {{list, 0}};

    assert_int_equal(attributes_find(layers, 1, path, values), 0);
    return values[ATTRIBUTE_TEXT].state;
}

/* `count` lines of this format, which has the numbers of a line and of the next in it. */
static char *lines(const char *format, int count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    for (int i = 0; i < count; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        fprintf(stream, format, i, i + 1);
#pragma GCC diagnostic pop
    }
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void a_file_that_says_nothing_is_a_file(void **state)
{
    static const char *const texts[] = {"",   "\n",    "\n\n#\n", "text",    "* \n",
                                        "\"", "\"\\",  "[attr]",  "[attr]x", "-",
                                        "!",  "\"\\3", "\\",      "* =",     "* -="};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        /* As large as it is, so that a sanitizer sees who reads behind its end. */
        size_t size = strlen(texts[i]);
        char *text = malloc(size > 0 ? size : 1);
        assert_non_null(text);
        memcpy(text, texts[i], size);
        cleanup_attributes struct attributes *list = parse(text, size);
        free(text);
        assert_int_equal(ask(list, "x"), ATTRIBUTE_UNKNOWN);
    }
    cleanup_attributes struct attributes *none = parse(NULL, 0);
    assert_int_equal(ask(none, "x"), ATTRIBUTE_UNKNOWN);
}

static void macros_that_lie_in_each_other_have_an_end(void **state)
{
    enum { COUNT = 200000 };

    (void)state;
    cleanup_free char *chain = lines("[attr]m%d m%d\n", COUNT);
    cleanup_free char *text = NULL;
    assert_true(asprintf(&text, "%s[attr]m%d m0 text\n* m0\n", chain, COUNT) > 0);
    cleanup_attributes struct attributes *list = parse(text, strlen(text));
    assert_int_equal(ask(list, "x"), ATTRIBUTE_SET);
}

/* Write `piece` over and over. */
static void fill(char *bytes, size_t size, const char *piece)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = piece[i % strlen(piece)];
}

/* Backtracking at every star takes longer than the world will last. */
static void no_pattern_takes_long(void **state)
{
    char pattern[2048];
    char path[4096];
    uint64_t work = 0;

    (void)state;
    fill(path, sizeof(path), "a");
    fill(pattern, sizeof(pattern), "*a");
    assert_true(wildmatch_name(pattern, sizeof(pattern), path, sizeof(path), &work));
    pattern[sizeof(pattern) - 1] = 'b';
    assert_false(wildmatch_name(pattern, sizeof(pattern), path, sizeof(path), &work));
    assert_false(wildmatch_path(pattern, sizeof(pattern), path, sizeof(path), &work));
    fill(path, sizeof(path), "a/");
    fill(pattern, sizeof(pattern), "**/*/");
    pattern[sizeof(pattern) - 1] = 'c';
    assert_false(wildmatch_path(pattern, sizeof(pattern), path, sizeof(path), &work));
    path[sizeof(path) - 1] = 'b';
    assert_true(wildmatch_path("**/*/**/*/**/*b", 15, path, sizeof(path), &work));
    assert_false(wildmatch_path("**/*/**/*/**/*c", 15, path, sizeof(path), &work));
    assert_true(work < 6 * sizeof(pattern) * sizeof(path));
}

/* Many of them do, and are not gone through to the end. */
static void many_patterns_have_an_end(void **state)
{
    static const char deep[] = "**/*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab text\n";
    struct attribute_value values[ATTRIBUTES];
    char path[1024];

    (void)state;
    fill(path, sizeof(path) - 1, "a");
    path[sizeof(path) - 1] = '\0';
    for (int count = 10; count <= 10000; count *= 1000) {
        cleanup_free char *text = lines(deep, count);
        cleanup_attributes struct attributes *list = parse(text, strlen(text));
        const struct attributes_layer layers[] = {{list, 0}};
        assert_int_equal(attributes_find(layers, 1, path, values), count > 10 ? -EFBIG : 0);
    }
    /* As many lines as a file may have that is read, where nothing is compared twice. */
    cleanup_free char *text = lines("q a\n", (16 << 20) / 4);
    cleanup_attributes struct attributes *list = parse(text, strlen(text));
    assert_int_equal(ask(list, path), ATTRIBUTE_UNKNOWN);
}

static void a_long_file_takes_some_times_its_size(void **state)
{
    static const char *const formats[] = {"a text\n", "[attr]a%d b\n", "a b c d e f g h i\n",
                                          "#\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        cleanup_free char *text = lines(formats[i], 100000);
        size_t size = strlen(text);
        cleanup_attributes struct attributes *list = parse(text, size);
        assert_true(attributes_memory(list) < 7 * size);
        assert_int_equal(ask(list, "a"), i == 0 ? ATTRIBUTE_SET : ATTRIBUTE_UNKNOWN);
    }
}

static void a_value_lives_as_long_as_its_list(void **state)
{
    static const char text[] = "[attr]m working-tree-encoding=UTF-16\r\n*.txt eol=lf m text=auto\n";
    struct attribute_value values[ATTRIBUTES];

    (void)state;
    cleanup_attributes struct attributes *list = parse(text, strlen(text));
    const struct attributes_layer layers[] = {{list, 0}};
    assert_int_equal(attributes_find(layers, 1, "folder/a.txt", values), 0);
    assert_int_equal(values[ATTRIBUTE_ENCODING].state, ATTRIBUTE_VALUE);
    assert_int_equal(values[ATTRIBUTE_ENCODING].length, 6);
    assert_memory_equal(values[ATTRIBUTE_ENCODING].text, "UTF-16", 6);
    assert_int_equal(values[ATTRIBUTE_EOL].length, 2);
    assert_memory_equal(values[ATTRIBUTE_EOL].text, "lf", 2);
    assert_int_equal(values[ATTRIBUTE_TEXT].length, 4);
    assert_int_equal(values[ATTRIBUTE_IDENT].state, ATTRIBUTE_UNKNOWN);
    assert_int_equal(values[ATTRIBUTE_CRLF].state, ATTRIBUTE_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_says_nothing_is_a_file),
        cmocka_unit_test(macros_that_lie_in_each_other_have_an_end),
        cmocka_unit_test(no_pattern_takes_long),
        cmocka_unit_test(many_patterns_have_an_end),
        cmocka_unit_test(a_long_file_takes_some_times_its_size),
        cmocka_unit_test(a_value_lives_as_long_as_its_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
