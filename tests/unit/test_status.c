#include "fixture.h"

#include <addonfs/status.h>
#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct status_mount mount = {4711, "/mnt/a \"b\"", "9.8.7", "3.99"};

static cJSON *status(struct view *view)
{
    cleanup_free char *text = NULL;
    struct error error = {0};

    if (status_json(view, &mount, NULL, &text, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(text[strlen(text) - 1], '\n');
    cJSON *object = cJSON_Parse(text);
    assert_non_null(object);
    return object;
}

static const char *string(const cJSON *object, const char *name)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    assert_non_null(value);
    return value;
}

static void it_says_what_is_mounted(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cJSON *object = status(view);
    const cJSON *addon = cJSON_GetArrayItem(cJSON_GetObjectItem(object, "addons"), 0);
    const cJSON *versions = cJSON_GetObjectItem(object, "versions");

    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(object, "pid")), 4711);
    assert_string_equal(string(object, "source"), fixture->root);
    assert_string_equal(string(object, "mountpoint"), "/mnt/a \"b\"");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(object, "worktree")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "revision")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "commit")));
    assert_string_equal(string(addon, "name"), "openpype");
    assert_string_equal(string(addon, "version"), "3.15.12");
    assert_string_equal(string(versions, "addonfs"), "9.8.7");
    assert_string_equal(string(versions, "libfuse"), "3.99");
    string(versions, "libgit2");
    string(versions, "libdeflate");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(object, "problems")), 0);
    cJSON_Delete(object);
}

static void a_revision_is_named_with_its_commit(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, "HEAD");
    cJSON *object = status(view);

    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(object, "worktree")));
    assert_string_equal(string(object, "revision"), "HEAD");
    assert_int_equal(strlen(string(object, "commit")), 40);
    cJSON_Delete(object);
}

static void problems_name_path_reason_and_what_they_affect(void **state)
{
    const struct fixture *fixture = *state;

    fixture_link(fixture, "openpype/\xff\n", "nowhere");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cJSON *object = status(view);
    const cJSON *problem = cJSON_GetArrayItem(cJSON_GetObjectItem(object, "problems"), 0);
    assert_string_equal(string(problem, "path"), "openpype/\\xff\\n");
    assert_string_equal(string(problem, "severity"), "error");
    string(problem, "reason");
    const cJSON *affects = cJSON_GetArrayItem(cJSON_GetObjectItem(problem, "affects"), 0);
    assert_string_equal(cJSON_GetStringValue(affects),
                        "package/openpype/3.15.12/private/client.zip");
    cJSON_Delete(object);
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);

    assert_true(cJSON_IsNumber(value));
    return cJSON_GetNumberValue(value);
}

static void it_counts_what_was_read_and_compressed(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    cJSON *object = status(view);

    /* openpype/version.py, __init__.py and lib/tools.py; for the upload as well: the server's
     * __init__.py, pyproject.toml and the manifest */
    assert_int_equal(number(object, "compressed"), 6);
    assert_int_equal(number(object, "read"), 6);
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(object, "cache")));
    cJSON_Delete(object);
    fixture_write(fixture, "openpype/lib/tools.py", "changed\n");
    object = status(view);
    assert_int_equal(number(object, "compressed"), 7);
    assert_int_equal(number(object, "read"), 7);
    cJSON_Delete(object);
}

static void hits_and_misses_of_the_cache_are_counted(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_free char *folder = NULL;

    assert_true(asprintf(&folder, "%s/cache", fixture->root) > 0);
    for (int hits = 0; hits <= 6; hits += 6) {
        struct view_options options = {.source.path = fixture->root, .cache_folder = folder};
        cleanup_view struct view *view = NULL;
        assert_int_equal(view_open(&options, &view, NULL), 0);
        cJSON *object = status(view);
        const cJSON *cache = cJSON_GetObjectItemCaseSensitive(object, "cache");
        assert_true(number(cache, "hits") == hits && number(cache, "misses") == 6 - hits);
        assert_true(number(object, "compressed") == 6 - hits);
        cJSON_Delete(object);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_says_what_is_mounted),
        TEST(a_revision_is_named_with_its_commit),
        TEST(problems_name_path_reason_and_what_they_affect),
        TEST(it_counts_what_was_read_and_compressed),
        TEST(hits_and_misses_of_the_cache_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
