/*
 * recipe: which source path goes where in a package.
 *
 * A recipe is data. It names the signs by which a source is recognised and, for each addon, where
 * its version stands and a table of rules: "from this source path, through this filter, to that
 * package path, as files or as a zip". The package module applies it; nothing else knows a layout.
 */
#ifndef ADDONFS_RECIPE_H
#define ADDONFS_RECIPE_H

#include <addonfs/error.h>
#include <addonfs/match.h>
#include <addonfs/source.h>
#include <stdbool.h>
#include <stddef.h>

enum recipe_kind {
    RECIPE_FILE, /* one file */
    RECIPE_TREE, /* a folder's content */
    RECIPE_ZIP,  /* a folder's content, as the members of a zip */
};

struct recipe_rule {
    enum recipe_kind kind;
    const char *source;               /* path from the source's root */
    const char *destination;          /* path from the package's folder; "" is that folder */
    const char *prefix;               /* zip: before each member's path, e.g. "openpype/" */
    const struct match_filter *top;   /* for names directly in `source` */
    const struct match_filter *below; /* for names further down */
    bool yields;                      /* gives way to another rule that names the same path */
};

struct recipe_addon {
    const char *name;
    const char *version_file;     /* a Python file, path from the source's root */
    const char *version_variable; /* what holds the version there */
    const struct recipe_rule *rules;
    size_t rule_count;
};

struct recipe {
    const char *layout;         /* as in -o layout= */
    const char *const *files;   /* signs: these are files …, NULL-terminated */
    const char *const *folders; /* … and these are folders */
    const struct recipe_addon *addons;
    size_t addon_count;
};

/*
 * The recipe whose signs the source shows now. Static data, never freed. -ENOENT: none; the error
 * says what was looked for. Other codes: the source cannot be asked (see source_find).
 */
int recipe_detect(struct source *source, const struct recipe **ret_recipe, struct error *error);

#endif
