#include "fixture.h"

#include <addonfs/recipe.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static int find(const struct fixture *fixture, struct recipe_matches *matches, struct error *error)
{
    const struct recipe_choice choice = {.layout = NULL};

    return recipe_find(fixture->origin.source, fixture->origin.spool, &choice, NULL, matches,
                       error);
}

static void the_signs_of_layout_a_are_recognised(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_recipe_matches struct recipe_matches matches = {0};

    assert_int_equal(find(fixture, &matches, NULL), 0);
    assert_string_equal(matches.layout, "a");
    assert_int_equal(matches.count, 1);
    assert_string_equal(matches.items[0].addon->name.text, "openpype");
    assert_string_equal(matches.items[0].addon->version.file, "openpype/version.py");
    assert_null(matches.items[0].folder);
}

static void expect_none(const struct fixture *fixture)
{
    cleanup_recipe_matches struct recipe_matches matches = {0};
    struct error error = {0};

    fixture_refresh(fixture);
    assert_int_equal(find(fixture, &matches, &error), -ENOENT);
    assert_int_equal(matches.count, 0);
    assert_non_null(strstr(error.text, fixture->root));
    assert_non_null(strstr(error.text, "openpype/version.py"));
}

static void a_missing_sign_is_no_layout(void **state)
{
    const struct fixture *fixture = *state;

    fixture_remove(fixture, "openpype/version.py");
    expect_none(fixture);
    fixture_write(fixture, "openpype/version.py/a-folder", "");
    expect_none(fixture);
    fixture_remove(fixture, "openpype");
    expect_none(fixture);
}

static void a_file_where_a_folder_belongs_is_no_layout(void **state)
{
    const struct fixture *fixture = *state;

    fixture_remove(fixture, "server_addon/server");
    fixture_write(fixture, "server_addon/server", "");
    expect_none(fixture);
}

/* --- What is wrong, and where --------------------------------------------------------------------
 */

#define RULE "{\"source\": \"a\", \"destination\": \"a\"}"
#define ADDON "\"name\": \"x\", \"version\": \"1.0.0\""
#define RECIPE(addons) "{\"addonfs_recipe\": 1, \"addons\": " addons "}"
#define WITH_ADDON(more) RECIPE("[{" ADDON ", \"rules\": [" RULE "]" more "}]")
#define WITH_RULE(rule) RECIPE("[{" ADDON ", \"rules\": [" RULE ", " rule "]}]")
#define WITH(more) WITH_RULE("{\"source\": \"b/\", \"destination\": \"b\"" more "}")
#define SOURCE(path) WITH_RULE("{\"source\": \"" path "\", \"destination\": \"b\"}")
#define TEXT(more) WITH_RULE("{\"text\": \"t\", \"destination\": \"b\"" more "}")

/* Read what is not a recipe. */
static void expect_wrong_bytes(const char *text, size_t size, const char *where,
                               const char *allowed)
{
    struct recipe *recipe = NULL;
    struct error error = {0};

    if (recipe_parse(text, size, "own.json", &recipe, &error) != -EINVAL)
        fail_msg("is taken, or fails in another way: %s (%s)", text, error.text);
    assert_null(recipe);
    if (strncmp(error.text, where, strlen(where)) != 0 || !strstr(error.text, allowed))
        fail_msg("\"%s\" is said of %s, not \"%s … %s\"", error.text, text, where, allowed);
    assert_null(strchr(error.text, '\n'));
    assert_true(error_is_utf8(error.text, strlen(error.text)));
}

static void expect_wrong(const char *text, const char *where, const char *allowed)
{
    expect_wrong_bytes(text, strlen(text), where, allowed);
}

static void what_is_wrong_is_told_with_its_place_and_what_is_allowed(void **state)
{
    static const char path[] = "a path from the root";
    static const struct {
        const char *text;
        const char *where;
        const char *allowed;
    } wrong[] = {
        /* The whole. */
        {"[]", "own.json: $: ", "an object"},
        {"1", "own.json: $: ", "an object"},
        {"{}", "own.json: $.addonfs_recipe: ", "1"},
        {"{\"addons\": []}", "own.json: $.addonfs_recipe: ", "1"},
        {"{\"addonfs_recipe\": 2, \"new\": []}", "own.json: $.addonfs_recipe: ", "1"},
        {"{\"addonfs_recipe\": 1.5, \"addons\": []}", "own.json: $.addonfs_recipe: ", "1"},
        {"{\"addonfs_recipe\": \"1\", \"addons\": []}", "own.json: $.addonfs_recipe: ", "1"},
        {"{\"addonfs_recipe\": true, \"addons\": []}", "own.json: $.addonfs_recipe: ", "1"},
        {"{\"addonfs_recipe\": 1, \"addon\": []}", "own.json: $.addon: ", "signs, addons"},
        {"{\"addonfs_recipe\": 1}", "own.json: $.addons: ", "a list of addons"},
        {RECIPE("[]"), "own.json: $.addons: ", "a list of addons"},
        {RECIPE("{}"), "own.json: $.addons: ", "a list of addons"},
        {RECIPE("[1]"), "own.json: $.addons[0]: ", "an object"},
        {"{\"addonfs_recipe\": 1, \"addons\": [], \"addons\": []}",
         "own.json: $.addons: ", "twice"},
        /* Addons. */
        {RECIPE("[{\"version\": \"1\", \"rules\": []}]"),
         "own.json: $.addons[0].name: ", "missing"},
        {RECIPE("[{\"name\": \"x\", \"rules\": []}]"),
         "own.json: $.addons[0].version: ", "missing"},
        {RECIPE("[{" ADDON "}]"), "own.json: $.addons[0].rules: ", "a list of rules"},
        {RECIPE("[{" ADDON ", \"rules\": []}]"), "own.json: $.addons[0].rules: ", "a list"},
        {RECIPE("[{" ADDON ", \"rules\": {}}]"), "own.json: $.addons[0].rules: ", "a list"},
        {RECIPE("[{" ADDON ", \"rules\": [\"a\"]}]"),
         "own.json: $.addons[0].rules[0]: ", "an object"},
        {WITH_ADDON(", \"colour\": 1"), "own.json: $.addons[0].colour: ",
         "folders, ignore, signs, name, version, variables, client, upload, rules"},
        {WITH_ADDON(", \"name\": \"y\""), "own.json: $.addons[0].name: ", "twice"},
        {WITH_ADDON(", \"client\": 1"), "own.json: $.addons[0].client: ", "a string"},
        {WITH_ADDON(", \"client\": \"\""), "own.json: $.addons[0].client: ", "a path"},
        {WITH_ADDON(", \"client\": \"../x\""), "own.json: $.addons[0].client: ", path},
        {WITH_ADDON(", \"upload\": 1"), "own.json: $.addons[0].upload: ", "a string"},
        {WITH_ADDON(", \"upload\": \"prefixed\""),
         "own.json: $.addons[0].upload: ", "\"root\" or \"manifest\""},
        {WITH_ADDON(", \"folders\": 1"), "own.json: $.addons[0].folders: ", "a string"},
        {WITH_ADDON(", \"folders\": \"a\""), "own.json: $.addons[0].folders: ", "\"/*\""},
        {WITH_ADDON(", \"folders\": \"/*\""), "own.json: $.addons[0].folders: ", "\"/*\""},
        {WITH_ADDON(", \"folders\": \"../*\""), "own.json: $.addons[0].folders: ", "\"/*\""},
        {WITH_ADDON(", \"folders\": \"a/*/*\", \"ignore\": \"b\""),
         "own.json: $.addons[0].ignore: ", "a list of strings"},
        {WITH_ADDON(", \"ignore\": [\"a\", 1]"), "own.json: $.addons[0].ignore[1]: ", "a string"},
        {WITH_ADDON(", \"signs\": []"), "own.json: $.addons[0].signs: ", "an object"},
        {WITH_ADDON(", \"signs\": {\"file\": []}"),
         "own.json: $.addons[0].signs.file: ", "files, folders"},
        {WITH_ADDON(", \"signs\": {\"files\": [\"a\", \"/b\"]}"),
         "own.json: $.addons[0].signs.files[1]: ", path},
        {WITH_ADDON(", \"signs\": {\"folders\": \"a\"}"),
         "own.json: $.addons[0].signs.folders: ", "a list of strings"},
        {WITH_ADDON(", \"signs\": {\"files\": [\"{name}\"]}"),
         "own.json: $.addons[0].signs.files[0]: ", "{folder} and {dir}, with \"folders\""},
        {WITH_ADDON(", \"signs\": {\"files\": [\"{folder}/x\"]}"),
         "own.json: $.addons[0].signs.files[0]: ", "with \"folders\" alone"},
        {"{\"addonfs_recipe\": 1, \"signs\": {\"files\": [\"{folder}\"]}}",
         "own.json: $.signs.files[0]: ", "with \"folders\" alone"},
        {"{\"addonfs_recipe\": 1, \"signs\": {\"folders\": [\"a/.git\"]}}",
         "own.json: $.signs.folders[0]: ", path},
        {WITH_ADDON(", \"variables\": []"), "own.json: $.addons[0].variables: ", "an object"},
        {WITH_ADDON(", \"variables\": {\"A\": \"b\"}"),
         "own.json: $.addons[0].variables.A: ", "small letters"},
        {WITH_ADDON(", \"variables\": {\"\": \"b\"}"),
         "own.json: $.addons[0].variables.: ", "small letters"},
        {WITH_ADDON(", \"variables\": {\"name\": \"b\"}"),
         "own.json: $.addons[0].variables.name: ", "already"},
        {WITH_ADDON(", \"variables\": {\"a\": \"b\", \"a\": \"c\"}"),
         "own.json: $.addons[0].variables.a: ", "already"},
        {WITH_ADDON(", \"variables\": {\"a\": 1}"), "own.json: $.addons[0].variables.a: ",
         "a string is expected, or {\"file\": …, \"variable\": …}"},
        {WITH_ADDON(", \"variables\": {\"a\": {\"file\": \"a\"}}"),
         "own.json: $.addons[0].variables.a.variable: ", "missing"},
        {WITH_ADDON(", \"variables\": {\"a\": {\"file\": \"{version}\", \"variable\": \"b\"}}"),
         "own.json: $.addons[0].variables.a.file: ", "{version} is no variable here"},
        {RECIPE("[{\"name\": {\"file\": \"../a\", \"variable\": \"b\"}}]"),
         "own.json: $.addons[0].name.file: ", path},
        {RECIPE("[{\"name\": {\"variable\": \"b\"}}]"),
         "own.json: $.addons[0].name.file: ", "missing"},
        {RECIPE("[{\"name\": {\"file\": \"a\", \"variable\": \"b\", \"line\": 1}}]"),
         "own.json: $.addons[0].name.line: ", "file, variable"},
        {RECIPE("[{\"name\": \"{dir}\"}]"), "own.json: $.addons[0].name: ", "with \"folders\""},
        {RECIPE("[{\"name\": \"{version}\"}]"), "own.json: $.addons[0].name: ", "no variable"},
        {RECIPE("[{\"name\": \"x\", \"version\": \"{version}\"}]"),
         "own.json: $.addons[0].version: ", "no variable"},
        /* Rules. */
        {WITH(", \"colour\": 1"), "own.json: $.addons[0].rules[1].colour: ",
         "source, zip, destination, exclude, exclude_top, include, without, optional, "
         "priority, empty_folders, linked_folders, license, expected_with"},
        {WITH(", \"zip\": \"a\", \"zip\": \"a\""), "own.json: $.addons[0].rules[1].zip: ", "twice"},
        {WITH_RULE("{}"), "own.json: $.addons[0].rules[1].source: ", "missing"},
        {WITH_RULE("{\"source\": \"b\"}"),
         "own.json: $.addons[0].rules[1].destination: ", "missing"},
        {SOURCE(""), "own.json: $.addons[0].rules[1].source: ", "a path"},
        {SOURCE("/"), "own.json: $.addons[0].rules[1].source: ", "a path"},
        {SOURCE("/etc/passwd"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE(".."), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE("a/../b"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE("./a"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE("a//b"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE("a//"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE(".git/config"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE("a/.GIT/"), "own.json: $.addons[0].rules[1].source: ", path},
        {SOURCE("{nix}/a"), "own.json: $.addons[0].rules[1].source: ", "{nix} is no variable here"},
        {SOURCE("{folder}/a"), "own.json: $.addons[0].rules[1].source: ", "with \"folders\""},
        {SOURCE("{name}/../a"), "own.json: $.addons[0].rules[1].source: ", path},
        {WITH_RULE("{\"source\": 1, \"destination\": \"b\"}"),
         "own.json: $.addons[0].rules[1].source: ", "a string"},
        {WITH_RULE("{\"source\": \"b\", \"destination\": \"\"}"),
         "own.json: $.addons[0].rules[1].destination: ", "is empty"},
        {WITH_RULE("{\"source\": \"b\", \"destination\": \"../b\"}"),
         "own.json: $.addons[0].rules[1].destination: ", path},
        {WITH_RULE("{\"source\": \"b\", \"destination\": \"/b\"}"),
         "own.json: $.addons[0].rules[1].destination: ", path},
        {WITH_RULE("{\"source\": \"b/\", \"destination\": \"b/\"}"),
         "own.json: $.addons[0].rules[1].destination: ", path},
        {WITH_RULE("{\"source\": \"b\", \"destination\": \"b/.git\"}"),
         "own.json: $.addons[0].rules[1].destination: ", path},
        {WITH(", \"zip\": \"\""), "own.json: $.addons[0].rules[1].zip: ", "a path"},
        {WITH(", \"zip\": \"/a.zip\""), "own.json: $.addons[0].rules[1].zip: ", path},
        {WITH(", \"zip\": [\"a.zip\"]"), "own.json: $.addons[0].rules[1].zip: ", "a string"},
        {WITH(", \"priority\": 101"), "own.json: $.addons[0].rules[1].priority: ", "-100 to 100"},
        {WITH(", \"priority\": -101"), "own.json: $.addons[0].rules[1].priority: ", "-100 to 100"},
        {WITH(", \"priority\": 0.5"), "own.json: $.addons[0].rules[1].priority: ", "whole number"},
        {WITH(", \"priority\": 1e999"), "own.json: $.addons[0].rules[1].priority: ", "-100 to 100"},
        {WITH(", \"priority\": \"1\""),
         "own.json: $.addons[0].rules[1].priority: ", "whole number"},
        {WITH(", \"priority\": null"), "own.json: $.addons[0].rules[1].priority: ", "whole number"},
        {WITH(", \"optional\": 1"), "own.json: $.addons[0].rules[1].optional: ", "true or false"},
        {WITH(", \"license\": \"yes\""),
         "own.json: $.addons[0].rules[1].license: ", "true or false"},
        {WITH(", \"empty_folders\": []"),
         "own.json: $.addons[0].rules[1].empty_folders: ", "true or false"},
        {WITH(", \"linked_folders\": null"),
         "own.json: $.addons[0].rules[1].linked_folders: ", "true or false"},
        {WITH(", \"expected_with\": \"..\""),
         "own.json: $.addons[0].rules[1].expected_with: ", path},
        {WITH(", \"exclude\": \"walks\""), "own.json: $.addons[0].rules[1].exclude: ",
         "\"walk\", \"walk folders\" or {\"files\": […], \"folders\": […]}"},
        {WITH(", \"exclude\": [\"*.tmp\"]"),
         "own.json: $.addons[0].rules[1].exclude: ", "\"walk\""},
        {WITH(", \"exclude_top\": {\"dirs\": []}"),
         "own.json: $.addons[0].rules[1].exclude_top.dirs: ", "files, folders"},
        {WITH(", \"exclude\": {\"files\": [\"\"]}"),
         "own.json: $.addons[0].rules[1].exclude.files[0]: ", "a string"},
        {WITH(", \"exclude\": {\"folders\": \"a\"}"),
         "own.json: $.addons[0].rules[1].exclude.folders: ", "a list of strings"},
        {WITH(", \"include\": \"*.py\""),
         "own.json: $.addons[0].rules[1].include: ", "a list of strings"},
        {WITH(", \"include\": [\"*.py\", null]"),
         "own.json: $.addons[0].rules[1].include[1]: ", "a string"},
        {WITH(", \"without\": [\"a\", \"../b\"]"),
         "own.json: $.addons[0].rules[1].without[1]: ", path},
        {WITH(", \"without\": [\"a/{name}\"]"),
         "own.json: $.addons[0].rules[1].without[0]: ", "no variable may stand here"},
        {TEXT(", \"source\": \"a\""), "own.json: $.addons[0].rules[1].source: ",
         "text, replaces, zip, destination, priority, license"},
        {TEXT(", \"replaces\": \"/a\""), "own.json: $.addons[0].rules[1].replaces: ", path},
        {WITH_RULE("{\"text\": 1, \"destination\": \"b\"}"),
         "own.json: $.addons[0].rules[1].text: ", "a string"},
        {WITH_RULE("{\"text\": \"{versoin}\", \"destination\": \"b\"}"),
         "own.json: $.addons[0].rules[1].text: ", "{versoin} is no variable here"},
        {WITH_RULE("{\"text\": \"\", \"destination\": \"\"}"),
         "own.json: $.addons[0].rules[1].destination: ", "is empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_wrong(wrong[i].text, wrong[i].where, wrong[i].allowed);
}

static void what_is_not_json_is_told_with_its_line(void **state)
{
    static const char good[] = WITH_ADDON("");
    cleanup_free char *deep = malloc(200001);

    (void)state;
    expect_wrong("", "own.json:1: ", "is not JSON");
    expect_wrong("{", "own.json:1: ", "is not JSON");
    expect_wrong("{\n\n  \"addonfs_recipe\": 1,\n}", "own.json:4: ", "is not JSON");
    expect_wrong("{\"addonfs_recipe\": 1\n\"addons\": []}", "own.json:2: ", "is not JSON");
    expect_wrong("// a comment\n{}", "own.json:1: ", "is not JSON");
    expect_wrong("{}\n{}", "own.json:2: ", "is not JSON");
    expect_wrong("{}\n\n]", "own.json:3: ", "is not JSON");
    /* NUL bytes, in the text, behind it, and escaped. */
    expect_wrong_bytes("{\n\0}", 4, "own.json:2: ", "holds a NUL");
    expect_wrong_bytes(good, sizeof(good), "own.json:1: ", "holds a NUL");
    expect_wrong_bytes("{\n\"a\0b\": 1}", 11, "own.json:2: ", "holds a NUL");
    expect_wrong("{\n\"addonfs_recipe\": \"\\u0000\"}", "own.json:2: ", "NUL");
    expect_wrong(SOURCE("a\\u0000/../../b"), "own.json:1: ", "NUL");
    /* What is not UTF-8: a byte of Latin-1, a surrogate, a sequence that is cut. */
    expect_wrong("{\n\"a\": \"\xe9\"}", "own.json:2: ", "is not UTF-8");
    expect_wrong("{\"a\": \"\xed\xa0\x80\"}", "own.json:1: ", "is not UTF-8");
    expect_wrong("{}\n\xc3", "own.json:2: ", "is not UTF-8");
    expect_wrong(SOURCE("\\ud800"), "own.json:1: ", "is not JSON");
    /* Nested so deep that a careless reader's stack would not hold it. */
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    deep[200000] = '\0';
    assert_non_null(deep);
    expect_wrong(deep, "own.json:1: ", "is not JSON");
}

static void parse(const char *text, struct recipe **ret_recipe)
{
    struct error error = {0};

    if (recipe_parse(text, strlen(text), "own.json", ret_recipe, &error) < 0)
        fail_msg("%s", error.text);
    assert_string_equal(recipe_layout(*ret_recipe), "recipe");
}

static void what_is_at_the_edge_of_what_is_allowed_is_taken(void **state)
{
    static const char *const good[] = {
        WITH_ADDON(""),
        " \r\n\t" WITH_ADDON("") "\n \t\r\n",
        WITH(", \"priority\": 100"),
        WITH(", \"priority\": -100"),
        WITH(", \"priority\": 1.0"),
        WITH_RULE("{\"source\": \"b/\", \"destination\": \"\"}"),
        WITH(", \"include\": [], \"without\": [], \"exclude\": {}"),
        SOURCE("..a/b../c.git/.gitignore/Gr\\u00fc\xc3\x9f\x65/{name}-{version}/"),
        SOURCE("a{}b/{A}/{name/b}"),
        TEXT(", \"replaces\": \"{name}/x\""),
        WITH_RULE("{\"text\": \"\", \"destination\": \"b\"}"),
        WITH_RULE("{\"text\": \"\\\\u0000 {} {a b} {Name}\", \"destination\": \"b\"}"),
        WITH_ADDON(", \"variables\": {\"a_b\": \"c\", \"d\": {\"file\": \"{name}/{a_b}\", "
                   "\"variable\": \"e\"}}"),
        RECIPE("[{\"folders\": \"a b/*\", \"signs\": {\"files\": [\"{folder}/x\", \"{dir}\"]}, "
               "\"name\": \"{dir}\", \"version\": {\"file\": \"{folder}/{name}\", \"variable\": "
               "\"v\"}, \"rules\": [" RULE "]}]"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cleanup_recipe struct recipe *recipe = NULL;
        parse(good[i], &recipe);
    }
}

/* A path of any length is told as far as there is room. */
static void a_place_that_is_long_is_cut(void **state)
{
    char text[8192];
    char key[4000];

    (void)state;
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    snprintf(text, sizeof(text), WITH_ADDON(", \"%s\": 1"), key);
    expect_wrong(text, "own.json: $.addons[0].kkkk", "is not known; allowed are folders");
}

static void names_are_cut_between_characters_only(void **state)
{
    char text[8192];
    char key[400] = "";

    (void)state;
    for (int shift = 0; shift < 2; shift++) {
        memset(key, 'k', (size_t)shift);
        for (int i = 0; i < 100; i++)
            memcpy(key + shift + 2 * i, "\xc3\xbc", 2);
        snprintf(text, sizeof(text), WITH_ADDON(", \"%s\": 1"), key);
        expect_wrong(text, "own.json: $.addons[0].", "is not known");
    }
}

/* Any text is a recipe or an error: with bytes of a good one changed at random. */
static void whatever_is_read_nothing_breaks(void **state)
{
    static const char good[] = RECIPE(
        "[{\"folders\": \"a/*\", \"ignore\": [\"b\"], \"signs\": {\"files\": "
        "[\"{folder}/x\"]}, \"name\": \"{dir}\", \"version\": {\"file\": \"v\", "
        "\"variable\": \"v\"}, \"variables\": {\"c\": \"d\"}, \"client\": \"c.zip\", "
        "\"upload\": \"root\", \"rules\": [" RULE ", {\"text\": \"{c}\\n\", \"destination\": "
        "\"{name}\"}, {\"source\": \"s/\", \"destination\": \"\", \"priority\": -1, "
        "\"exclude\": \"walk\", \"without\": [\"w\"], \"include\": [\"*\"]}]}]");
    static const char letters[] = "{}[]\",:\\/.*0aeu-\xc3\x9f";
    const char *told = getenv("ADDONFS_TEST_SEED");
    unsigned seed = told ? (unsigned)strtoul(told, NULL, 0) : 20260101;
    size_t taken = 0;

    (void)state;
    print_message("%s: ADDONFS_TEST_SEED=%u\n", __func__, seed);
    for (int i = 0; i < 20000; i++) {
        cleanup_recipe struct recipe *recipe = NULL;
        /* On the heap and without an end, where a sanitizer sees who reads on. */
        size_t size = sizeof(good) - 1;
        cleanup_free char *text = malloc(size);
        struct error error = {0};
        memcpy(text, good, size);
        for (int n = 0; n <= i % 3; n++)
            text[(size_t)rand_r(&seed) % size] = letters[(size_t)rand_r(&seed) % sizeof(letters)];
        if (i % 7 == 0)
            size = (size_t)rand_r(&seed) % size;
        int r = recipe_parse(text, size, "own.json", &recipe, &error);
        assert_true(r == 0 || r == -EINVAL);
        assert_true(r == 0 ? recipe != NULL : strncmp(error.text, "own.json", 8) == 0);
        taken += r == 0;
    }
    assert_true(taken > 0);
}

/* --- Files ---------------------------------------------------------------------------------------
 */

static int read_recipe(const struct fixture *fixture, const char *name, struct recipe **ret_recipe,
                       struct error *error)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", fixture->root, name);
    return recipe_read(path, ret_recipe, error);
}

static void a_file_that_holds_no_recipe_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_recipe struct recipe *recipe = NULL;
    struct error error = {0};
    char path[PATH_MAX];

    assert_int_equal(read_recipe(fixture, "none.json", &recipe, &error), -ENOENT);
    assert_non_null(strstr(error.text, "none.json"));
    assert_int_equal(read_recipe(fixture, "openpype", &recipe, &error), -EINVAL);
    snprintf(path, sizeof(path), "%s/fifo", fixture->root);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(read_recipe(fixture, "fifo", &recipe, &error), -EINVAL);
    fixture_write(fixture, "broken.json", "{\n\n?");
    assert_int_equal(read_recipe(fixture, "broken.json", &recipe, &error), -EINVAL);
    assert_non_null(strstr(error.text, "broken.json:3: is not JSON"));
    assert_null(recipe);
}

static void a_file_has_a_limit(void **state)
{
    const struct fixture *fixture = *state;
    size_t size = RECIPE_SIZE_LIMIT;
    cleanup_free char *text = malloc(size + 2);
    struct error error = {0};

    for (int more = 0; more < 2; more++) {
        cleanup_recipe struct recipe *recipe = NULL;
        memset(text, ' ', size + 1);
        memcpy(text, WITH_ADDON(""), strlen(WITH_ADDON("")));
        text[size + (size_t)more] = '\0';
        fixture_write(fixture, "large.json", text);
        assert_int_equal(read_recipe(fixture, "large.json", &recipe, &error), more ? -EFBIG : 0);
    }
    assert_non_null(strstr(error.text, "large.json: too large"));
}

/* --- What a source holds by a recipe -------------------------------------------------------------
 */

static int find_by(const struct fixture *fixture, const char *text, struct recipe_matches *matches,
                   struct error *error)
{
    cleanup_recipe struct recipe *recipe = NULL;
    struct recipe_choice choice = {.layout = NULL};

    parse(text, &recipe);
    choice.recipe = recipe;
    fixture_refresh(fixture);
    return recipe_find(fixture->origin.source, fixture->origin.spool, &choice, NULL, matches,
                       error);
}

static void signs_may_name_the_folder_and_what_it_is_called(void **state)
{
    static const char text[] = RECIPE(
        "[{\"folders\": \"server_addon/*\", \"ignore\": [\"ignored\"], \"signs\": {\"files\": "
        "[\"{folder}/{dir}.py\"], \"folders\": [\"{folder}/sub\"]}, \"name\": \"{dir}\", "
        "\"version\": \"1.0.0\", \"rules\": [" RULE "]}]");
    const struct fixture *fixture = *state;
    cleanup_recipe_matches struct recipe_matches matches = {0};
    cleanup_recipe_matches struct recipe_matches none = {0};
    static const char *const files[] = {"one/one.py",    "one/sub/x",      "two/one.py",
                                        "two/sub/x",     "three/three.py", "ignored/ignored.py",
                                        "ignored/sub/x", "four/four.py",   "four/sub/x"};
    struct error error = {0};

    assert_int_equal(find_by(fixture, text, &none, &error), -ENOENT);
    assert_non_null(strstr(error.text, "\"signs\""));
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), "server_addon/%s", files[i]);
        fixture_write(fixture, path, "");
    }
    assert_int_equal(find_by(fixture, text, &matches, &error), 0);
    assert_string_equal(matches.layout, "recipe");
    assert_int_equal(matches.count, 2);
    assert_string_equal(matches.items[0].folder, "server_addon/four");
    assert_string_equal(matches.items[1].folder, "server_addon/one");
}

static void signs_of_the_whole_recipe_hold_for_every_addon(void **state)
{
    static const char text[] =
        "{\"addonfs_recipe\": 1, \"signs\": {\"files\": [\"sign\"]}, \"addons\": [{" ADDON
        ", \"rules\": [" RULE "]}, {" ADDON ", \"rules\": [" RULE "]}]}";
    const struct fixture *fixture = *state;
    cleanup_recipe_matches struct recipe_matches none = {0};
    cleanup_recipe_matches struct recipe_matches matches = {0};

    assert_int_equal(find_by(fixture, text, &none, NULL), -ENOENT);
    fixture_write(fixture, "sign", "");
    assert_int_equal(find_by(fixture, text, &matches, NULL), 0);
    assert_int_equal(matches.count, 2);
}

static void variables_are_replaced_and_braces_around_others_stay(void **state)
{
    char name[] = "x";
    char version[] = "1.0";
    struct map bindings = {0};
    static const struct {
        const char *text;
        const char *expanded;
    } texts[] = {
        {"", ""},
        {"{name}", "x"},
        {"a{name}{name}-{version}b", "axx-1.0b"},
        {"{}{ name}{Name}{name", "{}{ name}{Name}{name"},
        {"{{name}}", "{x}"},
        {"{nothing}", NULL},
        {"a{name}{nothing}b", NULL},
    };

    (void)state;
    assert_int_equal(map_put(&bindings, "name", name), 0);
    assert_int_equal(map_put(&bindings, "version", version), 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cleanup_free char *expanded = NULL;
        assert_int_equal(recipe_expand(texts[i].text, &bindings, &expanded), 0);
        if (texts[i].expanded)
            assert_string_equal(expanded, texts[i].expanded);
        else
            assert_null(expanded);
    }
    map_clear(&bindings, NULL);
}

static void the_known_layouts_are_recipes_that_can_be_read(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_true(recipe_layout_exists(names[i]));
        assert_non_null(strstr(recipe_layout_names(), names[i]));
    }
    assert_false(recipe_layout_exists("e"));
    assert_false(recipe_layout_exists(""));
    assert_false(recipe_layout_exists("recipe"));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_signs_of_layout_a_are_recognised),
        TEST(a_missing_sign_is_no_layout),
        TEST(a_file_where_a_folder_belongs_is_no_layout),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place_and_what_is_allowed),
        cmocka_unit_test(what_is_not_json_is_told_with_its_line),
        cmocka_unit_test(what_is_at_the_edge_of_what_is_allowed_is_taken),
        cmocka_unit_test(a_place_that_is_long_is_cut),
        cmocka_unit_test(names_are_cut_between_characters_only),
        cmocka_unit_test(whatever_is_read_nothing_breaks),
        TEST(a_file_that_holds_no_recipe_is_refused),
        TEST(a_file_has_a_limit),
        TEST(signs_may_name_the_folder_and_what_it_is_called),
        TEST(signs_of_the_whole_recipe_hold_for_every_addon),
        cmocka_unit_test(variables_are_replaced_and_braces_around_others_stay),
        cmocka_unit_test(the_known_layouts_are_recipes_that_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
