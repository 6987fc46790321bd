/*
 * recipe: which source path goes where in a package.
 *
 * A recipe is data: for each addon where its name and version stand, and a table of rules, "from
 * this source path, through this filter, to that package path, or into that zip". The known layouts
 * (core/layouts/) and a user's own are written in the same JSON, which the README describes, and
 * read by the same reader. The package module applies a recipe; nothing else knows a layout.
 *
 * Texts may hold variables in braces: {folder} and {dir}, the path and the base name of the folder
 * that an addon was found in; {name}, {version}; and those that the recipe reads itself. A rule
 * with a variable that is not set does not apply.
 *
 * A recipe is immutable and reference-counted; any number of threads may use it.
 */
#ifndef ADDONFS_RECIPE_H
#define ADDONFS_RECIPE_H

#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/map.h>
#include <addonfs/match.h>
#include <addonfs/source.h>
#include <addonfs/spool.h>
#include <stdbool.h>
#include <stddef.h>

#define RECIPE_FILE_NAME "addonfs.json" /* at a source's root: its own recipe */
#define RECIPE_SIZE_LIMIT ((size_t)1 << 20)

enum recipe_kind {
    RECIPE_FILE, /* one file */
    RECIPE_TREE, /* a folder's content */
    RECIPE_TEXT, /* a file that is made up */
};

struct recipe_rule {
    enum recipe_kind kind;
    const char *source;        /* path from the source's root; of a text: the file that it replaces,
                                  without which there is none, or NULL */
    const char *zip;           /* the zip that it goes into, a path in the package; or NULL */
    const char *destination;   /* path in the package's folder or in the zip; "" is its root */
    const char *text;          /* RECIPE_TEXT */
    const char *expected_with; /* warn if this is there, and `source` is not; or NULL */
    struct match_filter top;   /* for names directly in `source` */
    struct match_filter below; /* for names further down */
    const char *const *without; /* paths below `source` that are left out, NULL-terminated */
    int priority;               /* where rules name the same path the highest wins */
    bool optional;              /* nothing is to be done where `source` is not there */
    bool empty_folders;         /* folders without files are shown */
    bool linked_folders;        /* links to folders are followed; else they are left out */
    bool license;               /* does not apply with license=no */
};

/* A text with variables, or else what a Python file binds a name to. */
struct recipe_value {
    const char *text;
    const char *file;
    const char *variable;
};

struct recipe_variable {
    const char *name;
    struct recipe_value value;
};

enum recipe_upload {
    RECIPE_UPLOAD_ROOT,     /* the package's files at the zip's root */
    RECIPE_UPLOAD_MANIFEST, /* manifest.json, and the files below addon/ */
    RECIPE_UPLOAD_PREFIXED, /* below <name>/<version>/, for servers before July 2023 */
};

struct recipe_addon {
    const char *parent;         /* each folder in this one is an addon; or NULL: there is one */
    const char *const *ignored; /* but for folders of these names */
    const char *const *files; /* signs, without which there is no such addon: these are files … */
    const char *const *folders; /* … and these are folders; NULL-terminated */
    struct recipe_value name;
    struct recipe_value version;
    size_t variable_count;
    const struct recipe_variable *variables;
    const char *client; /* the zip that client/ unpacks, a path in the package; or NULL */
    enum recipe_upload upload;
    size_t rule_count;
    const struct recipe_rule *rules;
};

struct recipe;

/*
 * Read a recipe. `text` are `size` bytes of JSON, `path` is their name for messages. -EINVAL: the
 * error says where ("PATH: $.addons[0].rules[2].kind: …") and what is allowed there. -ENOMEM.
 */
int recipe_parse(const char *text, size_t size, const char *path, struct recipe **ret_recipe,
                 struct error *error);

/* The same from a file of the file system, which is not the source's. Also -ENOENT, …, -EFBIG. */
int recipe_read(const char *path, struct recipe **ret_recipe, struct error *error);

struct recipe *recipe_ref(struct recipe *recipe);
void recipe_unref(struct recipe *recipe);

/* "a", …, or "recipe". */
const char *recipe_layout(const struct recipe *recipe);

CLEANUP(recipe, struct recipe *, recipe_unref)
#define cleanup_recipe __attribute__((cleanup(cleanup_recipe_scope)))

/* An addon that a source holds by a recipe. */
struct recipe_match {
    const struct recipe_addon *addon; /* of a recipe that the matches refer to */
    char *folder;                     /* with `parent`: the addon's folder in the source; or NULL */
};

/* A submodule that is not there, so that nobody knows which addons are in it, or are it. */
struct recipe_absent {
    char *path;
    char *reason;
    bool unfetched; /* nothing says that it ever was, so it is as in a checkout without it */
};

/* What a source holds. */
struct recipe_matches {
    struct recipe *recipes[2]; /* references; the second is NULL but for layouts c and d together */
    char *layout;              /* "c+d", say */
    size_t count;
    struct recipe_match *items;
    size_t absent_count;
    struct recipe_absent *absent; /* each path once */
};

struct recipe_choice {
    const char *layout;    /* only this one: "a", "b", "c", "d"; or NULL. Before all recipes */
    struct recipe *recipe; /* only this one; or NULL. Borrowed */
};

/* Is there a layout of that name? */
bool recipe_layout_exists(const char *name);

/* Names of all layouts, as in "a, b, c or d". */
const char *recipe_layout_names(void);

/*
 * What the source holds in its present look: by the chosen recipe, by its own (`own`, or NULL: it
 * has none), or by the first known layout whose signs it shows. -ENOENT: nothing; the error says
 * what was looked for. Other codes: the source cannot be asked (see source_find).
 */
int recipe_find(struct source *source, struct spool *spool, const struct recipe_choice *choice,
                struct recipe *own, struct recipe_matches *ret_matches, struct error *error);

void recipe_matches_clear(struct recipe_matches *matches);
#define cleanup_recipe_matches __attribute__((cleanup(recipe_matches_clear)))

/*
 * Replace the variables in `text` by their values (`bindings`: of const char *, by name). NULL in
 * `*ret_text`: one of them is not set. The caller frees it. -ENOMEM.
 */
int recipe_expand(const char *text, const struct map *bindings, char **ret_text);

#endif
