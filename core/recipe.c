#include <addonfs/recipe.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Layout a: `openpype` of July 2023. The packaging script copies dot files of server/ as well. */
static const struct recipe_rule openpype_rules[] = {
    {.kind = RECIPE_FILE,
     .source = "openpype/version.py",
     .destination = "version.py",
     .yields = true},
    {.kind = RECIPE_TREE,
     .source = "server_addon/server",
     .destination = "",
     .top = &match_top_files,
     .below = &match_walk},
    {.kind = RECIPE_FILE,
     .source = "server_addon/client/pyproject.toml",
     .destination = "private/pyproject.toml"},
    {.kind = RECIPE_ZIP,
     .source = "openpype",
     .destination = "private/client.zip",
     .prefix = "openpype/",
     .top = &match_walk,
     .below = &match_walk},
};

static const struct recipe_addon openpype_addons[] = {
    {.name = "openpype",
     .version_file = "openpype/version.py",
     .version_variable = "__version__",
     .rules = openpype_rules,
     .rule_count = sizeof(openpype_rules) / sizeof(openpype_rules[0])},
};

static const char *const openpype_files[] = {"openpype/version.py", NULL};
static const char *const openpype_folders[] = {"server_addon/server", NULL};

static const struct recipe layouts[] = {
    {.layout = "a",
     .files = openpype_files,
     .folders = openpype_folders,
     .addons = openpype_addons,
     .addon_count = sizeof(openpype_addons) / sizeof(openpype_addons[0])},
};

/* 1: every sign is there; 0: one is missing; else a negative errno. */
static int shows_sign(struct source *source, const char *const *paths, enum source_kind kind,
                      struct error *error)
{
    for (; *paths; paths++) {
        struct source_entry *entry = NULL;
        int r = source_find(source, *paths, NULL, &entry, error);
        if (r == -ENOENT || r == -ENOTDIR)
            return 0;
        if (r < 0)
            return r;
        if (entry->kind != kind)
            return 0;
    }
    return 1;
}

int recipe_detect(struct source *source, const struct recipe **ret_recipe, struct error *error)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        int r = shows_sign(source, layouts[i].files, SOURCE_FILE, error);
        if (r > 0)
            r = shows_sign(source, layouts[i].folders, SOURCE_FOLDER, error);
        if (r < 0)
            return r;
        if (r > 0) {
            *ret_recipe = &layouts[i];
            return 0;
        }
    }
    return error_set(error, -ENOENT,
                     "%s: no known layout: expected openpype/version.py and the folder "
                     "server_addon/server",
                     source_path(source));
}
