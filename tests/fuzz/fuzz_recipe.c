/*
 * fuzz_recipe: any bytes as a recipe. One that is accepted is safe to be applied: its paths lead
 * nowhere else, whatever its variables are.
 */
#include "fuzz.h"

#include "recipe_parts.h"

#include <addonfs/path.h>

static const char *const names[] = {"name", "version", "folder", "dir", NULL};

static void check_path(const struct map *bindings, const char *text)
{
    cleanup_free char *path = NULL;

    if (!text)
        return;
    CHECK(recipe_expand(text, bindings, &path) == 0);
    CHECK(!path || *path == '\0' || path_recipe_ok(path));
}

static void check_rule(const struct map *bindings, const struct recipe_rule *rule)
{
    CHECK(rule->destination && rule->priority >= -100 && rule->priority <= 100);
    CHECK(rule->kind == RECIPE_TEXT || rule->source);
    CHECK((rule->kind == RECIPE_TEXT) == (rule->text != NULL));
    check_path(bindings, rule->source);
    check_path(bindings, rule->zip);
    check_path(bindings, rule->destination);
    check_path(bindings, rule->expected_with);
    for (const char *const *path = rule->without; path && *path; path++)
        check_path(bindings, *path);
}

static void check_recipe(const struct recipe *recipe)
{
    struct map bindings = {0};

    /* Names and folders are checked before they are bound: these are allowed. */
    for (size_t i = 0; names[i]; i++)
        CHECK(map_put(&bindings, names[i], (void *)(uintptr_t) "a.b-c") == 0);
    for (size_t i = 0; i < recipe->addon_count; i++) {
        const struct recipe_addon *addon = &recipe->addons[i];
        CHECK(addon->rule_count > 0);
        CHECK((addon->name.text != NULL) != (addon->name.file != NULL));
        CHECK((addon->version.text != NULL) != (addon->version.file != NULL));
        for (size_t j = 0; j < addon->variable_count; j++) {
            if (!map_find(&bindings, addon->variables[j].name))
                CHECK(map_put(&bindings, addon->variables[j].name, (void *)(uintptr_t) "v") == 0);
        }
        check_path(&bindings, addon->client);
        for (size_t j = 0; j < addon->rule_count; j++)
            check_rule(&bindings, &addon->rules[j]);
    }
    map_clear(&bindings, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cleanup_recipe struct recipe *recipe = NULL;
    struct error error = {0};

    int r = recipe_parse((const char *)input, size, "r.json", &recipe, &error);
    if (r < 0)
        CHECK(error.code == r && strncmp(error.text, "r.json", 6) == 0);
    else
        check_recipe(recipe);
    return 0;
}
