#include <addonfs/deployment.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A tree of files; what follows a '|' is a file's text. */
static struct inventory_item *tree(const char *const *files)
{
    struct inventory_item *root = inventory_new(INVENTORY_FOLDER);

    for (; *files; files++) {
        const char *bar = strchr(*files, '|');
        char path[200];
        struct inventory_item *item = inventory_new(INVENTORY_FILE);
        size_t length = bar ? (size_t)(bar - *files) : strlen(*files);
        assert_true(item && length < sizeof(path));
        memcpy(path, *files, length);
        path[length] = '\0';
        item->text = bar ? strdup(bar + 1) : NULL;
        item->size = bar ? strlen(bar + 1) : 0;
        assert_int_equal(inventory_put(root, path, item), 0);
    }
    return root;
}

static void expect(const char *const *files, const char *path, enum deployment_shape shape,
                   const char *addon, const char *version)
{
    cleanup_inventory struct inventory_item *root = tree(files);
    cleanup_deployments struct deployments found = {.count = 0};
    struct error error = {0};

    if (deployments_find(root, path, NULL, 0, &found, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(found.shape, shape);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.items[0].addon, addon);
    assert_string_equal(found.items[0].version, version);
    assert_non_null(deployment_files(&found.items[0]));
}

static void every_shape_is_recognised(void **state)
{
    static const char *const version[] = {"package.py|name = 'core'\nversion = '1.2.3'\n",
                                          "server/__init__.py", NULL};
    static const char *const addon[] = {"1.2.3/version.py|__version__ = '1.2.3'\n", NULL};
    static const char *const root[] = {"core/1.2.3/version.py", NULL};
    static const char *const upload[] = {
        "manifest.json|{\"addon_name\": \"core\", \"addon_version\": \"1.2.3\"}",
        "addon/__init__.py", NULL};

    (void)state;
    expect(version, "/tmp/x", DEPLOYMENT_VERSION, "core", "1.2.3");
    expect(addon, "/srv/core", DEPLOYMENT_ADDON, "core", "1.2.3");
    expect(root, "/srv/addons", DEPLOYMENT_ROOT, "core", "1.2.3");
    expect(upload, "/tmp/x.zip", DEPLOYMENT_UPLOAD, "core", "1.2.3");
}

static void what_looks_like_nothing_is_refused(void **state)
{
    static const char *const files[] = {"README.md", NULL};
    cleanup_inventory struct inventory_item *root = tree(files);
    struct deployments found = {.count = 0};
    struct error error = {0};

    (void)state;
    assert_int_equal(deployments_find(root, "x", NULL, 0, &found, &error), -EINVAL);
    assert_non_null(strstr(error.text, "x: looks like no package"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_is_recognised),
        cmocka_unit_test(what_looks_like_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
