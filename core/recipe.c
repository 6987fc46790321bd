#include "recipe_parts.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct recipe *recipe_ref(struct recipe *recipe)
{
    atomic_fetch_add(&recipe->references, 1);
    return recipe;
}

void recipe_unref(struct recipe *recipe)
{
    if (!recipe || atomic_fetch_sub(&recipe->references, 1) > 1)
        return;
    for (size_t i = 0; i < recipe->piece_count; i++)
        free(recipe->pieces[i]);
    free(recipe->pieces);
    recipe_json_free(recipe->json);
    free(recipe);
}

void *recipe_allocate(struct recipe *recipe, size_t size)
{
    void **pieces = reallocarray(recipe->pieces, recipe->piece_count + 1, sizeof(void *));

    if (!pieces)
        return NULL;
    recipe->pieces = pieces;
    void *piece = calloc(1, size > 0 ? size : 1);
    if (piece)
        pieces[recipe->piece_count++] = piece;
    return piece;
}

const char *recipe_layout(const struct recipe *recipe)
{
    return recipe->layout;
}

/* --- Variables ----------------------------------------------------------------------------------
 */

bool recipe_knows_variable(const char *name)
{
    static const char *const names[] = {"folder", "dir", "name", "version"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

const char *recipe_next_variable(const char **at, const char **ret_name, size_t *ret_length)
{
    for (const char *open = strchr(*at, '{'); open; open = strchr(open + 1, '{')) {
        size_t length = strspn(open + 1, "abcdefghijklmnopqrstuvwxyz_");
        if (length == 0 || open[1 + length] != '}')
            continue;
        *ret_name = open + 1;
        *ret_length = length;
        *at = open + length + 2;
        return open;
    }
    return NULL;
}

int recipe_expand(const char *text, const struct map *bindings, char **ret_text)
{
    cleanup_free char *expanded = NULL;
    size_t size = 0;
    const char *at = text;
    const char *rest = text;
    const char *name;
    const char *open;
    size_t length;
    FILE *stream = open_memstream(&expanded, &size);
    bool unset = false;

    if (!stream)
        return -ENOMEM;
    while (!unset && (open = recipe_next_variable(&at, &name, &length))) {
        cleanup_free char *key = strndup(name, length);
        const char *value = key ? map_find(bindings, key) : NULL;
        fwrite(rest, 1, (size_t)(open - rest), stream);
        unset = !value;
        if (value)
            fputs(value, stream);
        rest = at;
    }
    fputs(rest, stream);
    bool failed = ferror(stream) != 0;
    if (fclose(stream) != 0 || failed)
        return -ENOMEM;
    *ret_text = unset ? NULL : steal_pointer(&expanded);
    return 0;
}

/* --- What a source holds ------------------------------------------------------------------------
 */

void recipe_matches_clear(struct recipe_matches *matches)
{
    for (size_t i = 0; i < matches->count; i++)
        free(matches->items[i].folder);
    free(matches->items);
    for (size_t i = 0; i < matches->absent_count; i++) {
        free(matches->absent[i].path);
        free(matches->absent[i].reason);
    }
    free(matches->absent);
    free(matches->layout);
    recipe_unref(matches->recipes[0]);
    recipe_unref(matches->recipes[1]);
    *matches = (struct recipe_matches){0};
}

struct search {
    struct source *source;
    struct spool *spool;
    struct recipe_matches *matches;
};

static int no_memory(const struct search *search, struct error *error)
{
    return error_errno(error, -ENOMEM, "%s", source_path(search->source));
}

static int add_absent(const struct search *search, const char *path, const char *reason,
                      bool unfetched, struct error *error)
{
    struct recipe_matches *matches = search->matches;

    for (size_t i = 0; i < matches->absent_count; i++) {
        if (strcmp(matches->absent[i].path, path) == 0)
            return 0;
    }
    struct recipe_absent *absent =
        reallocarray(matches->absent, matches->absent_count + 1, sizeof(*absent));
    if (!absent)
        return no_memory(search, error);
    matches->absent = absent;
    absent += matches->absent_count++;
    *absent = (struct recipe_absent){.path = strdup(path), .unfetched = unfetched};
    if (asprintf(&absent->reason, "which addons it holds is not known: %s", reason) < 0)
        absent->reason = NULL;
    return absent->path && absent->reason ? 0 : no_memory(search, error);
}

/* Is the folder of a worktree, which is at `path`, a submodule that is not checked out? */
static int note_empty(const struct search *search, const char *path, bool *ret_found,
                      struct error *error)
{
    struct source_folder *folder = NULL;
    int r = source_list(search->source, path, &folder, error);

    if (r < 0 || folder->count > 0 || folder->hides_git)
        return r < 0 && error_is_transient(r) ? r : 0;
    r = source_is_unfetched(search->source, folder->real, search->spool, ret_found, error);
    return r == 0 && *ret_found
               ? add_absent(search, path,
                            "a submodule that is not checked out: git submodule update --init",
                            true, error)
               : r;
}

/* Nothing was found at `path`. If it is, or lies in, what is not there, that is to be told. */
static int note_absent(const struct search *search, const char *path, struct error *error)
{
    cleanup_free char *prefix = strdup(path);
    bool found = false;
    int r = 0;

    if (!prefix)
        return no_memory(search, error);
    for (size_t end = 0; r == 0 && !found && path[end] != '\0';) {
        struct source_entry *entry = NULL;
        end += path[end] == '/';
        end += strcspn(path + end, "/");
        memcpy(prefix, path, end);
        prefix[end] = '\0';
        r = source_find(search->source, prefix, NULL, &entry, error);
        if (r < 0)
            return error_is_transient(r) ? r : 0;
        found = entry->faulty;
        if (found)
            r = add_absent(search, prefix, entry->reason ? entry->reason : "cannot be looked at",
                           entry->unfetched, error);
        else if (entry->kind != SOURCE_FOLDER)
            return 0;
        else if (!source_commit(search->source))
            r = note_empty(search, prefix, &found, error);
    }
    return r;
}

/* Is it there? 1 or 0, else a negative errno. */
static int shows(const struct search *search, const char *path, enum source_kind kind,
                 struct error *error)
{
    struct source_entry *entry = NULL;
    int r = source_find(search->source, path, NULL, &entry, error);

    if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ENOLINK)
        return r;
    if (r == 0 && (entry->kind == kind || (entry->kind == SOURCE_GITLINK && kind == SOURCE_FOLDER)))
        return 1;
    /* What is in a submodule that is not there is in no checkout either. */
    return note_absent(search, path, error);
}

/* 1: every sign is there; 0: one is missing; else a negative errno. */
static int shows_sign(const struct search *search, const char *const *paths, const char *folder,
                      enum source_kind kind, struct error *error)
{
    struct map bindings = {0};
    const char *slash = folder ? strrchr(folder, '/') : NULL;
    const char *dir = slash ? slash + 1 : folder;
    int r = folder ? map_put(&bindings, "folder", (void *)(uintptr_t)folder) : 0;
    int shown = 1;

    if (r == 0 && folder)
        r = map_put(&bindings, "dir", (void *)(uintptr_t)dir);
    for (; r == 0 && shown > 0 && paths && *paths; paths++) {
        cleanup_free char *path = NULL;
        r = recipe_expand(*paths, &bindings, &path);
        if (r == 0 && !path)
            r = -ENOMEM;
        if (r == 0)
            shown = shows(search, path, kind, error);
    }
    map_clear(&bindings, NULL);
    return r < 0 ? no_memory(search, error) : shown;
}

static int shows_signs(const struct search *search, const char *const *files,
                       const char *const *folders, const char *folder, struct error *error)
{
    int r = shows_sign(search, files, folder, SOURCE_FILE, error);

    return r > 0 ? shows_sign(search, folders, folder, SOURCE_FOLDER, error) : r;
}

static int add(struct recipe_matches *matches, const struct recipe_addon *addon, const char *folder)
{
    struct recipe_match *items =
        reallocarray(matches->items, matches->count + 1, sizeof(*matches->items));

    if (!items)
        return -ENOMEM;
    matches->items = items;
    items[matches->count] = (struct recipe_match){addon, folder ? strdup(folder) : NULL};
    if (folder && !items[matches->count].folder)
        return -ENOMEM;
    matches->count++;
    return 0;
}

static bool is_among(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

/* One that cannot be looked at is taken for an addon: what is wrong will be told of it. */
static int consider(const struct search *search, const struct recipe_addon *addon,
                    const char *folder, struct error *error)
{
    struct error why = {0};
    int r = shows_signs(search, addon->files, addon->folders, folder, &why);

    if (r == 0)
        return 0;
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    return add(search->matches, addon, folder) < 0 ? no_memory(search, error) : 0;
}

/* Every folder in `addon->parent`. */
static int find_folders(const struct search *search, const struct recipe_addon *addon,
                        struct error *error)
{
    struct source_folder *parent = NULL;
    int r = source_list(search->source, addon->parent, &parent, error);

    if (r == -ENOENT || r == -ENOTDIR || r == -ENOLINK || (r == 0 && parent->count == 0))
        return note_absent(search, addon->parent, error);
    for (size_t i = 0; r == 0 && i < parent->count; i++) {
        struct source_entry *entry = &parent->entries[i];
        cleanup_free char *folder = path_join(addon->parent, entry->name);
        if (!folder)
            return error_errno(error, -ENOMEM, "%s", addon->parent);
        if (is_among(addon->ignored, entry->name))
            continue;
        r = source_look(search->source, parent, entry, error);
        if (r == 0 && entry->kind == SOURCE_FOLDER)
            r = consider(search, addon, folder, error);
        else if (r == 0 && entry->faulty)
            r = note_absent(search, folder, error);
    }
    return r;
}

/* Add what the source holds by `recipe`, of which the matches keep a reference if there is any. */
static int find_by(const struct search *search, struct recipe *recipe, struct error *error)
{
    struct recipe_matches *matches = search->matches;
    size_t before = matches->count;
    int r = shows_signs(search, recipe->files, recipe->folders, NULL, error);

    if (r <= 0)
        return r;
    r = 0;
    for (size_t i = 0; r == 0 && i < recipe->addon_count; i++) {
        const struct recipe_addon *addon = &recipe->addons[i];
        r = addon->parent ? find_folders(search, addon, error)
                          : consider(search, addon, NULL, error);
    }
    if (r < 0 || matches->count == before)
        return r;
    matches->recipes[matches->recipes[0] ? 1 : 0] = recipe_ref(recipe);
    cleanup_free char *joined = NULL;
    if (asprintf(&joined, "%s%s%s", matches->layout ? matches->layout : "",
                 matches->layout ? "+" : "", recipe->layout) < 0) {
        joined = NULL;
        return no_memory(search, error);
    }
    free(matches->layout);
    matches->layout = steal_pointer(&joined);
    return 0;
}

static int find_known(const struct search *search, const char *layout, struct error *error)
{
    for (size_t i = 0; i < RECIPE_KNOWN; i++) {
        if (layout && strcmp(layout, recipe_known_names[i]) != 0)
            continue;
        cleanup_recipe struct recipe *recipe = recipe_known(i);
        if (!recipe)
            return no_memory(search, error);
        int r = find_by(search, recipe, error);
        if (r < 0)
            return r;
        /* c and d may be there together. */
        if (search->matches->count > 0 && i != RECIPE_C)
            break;
    }
    return 0;
}

/* What the addons of a recipe are recognised by, for a message. */
static int fail(struct source *source, const struct recipe_choice *choice, bool has_own,
                struct error *error)
{
    const char *path = source_path(source);

    if (choice->layout)
        return error_set(error, -ENOENT,
                         "%s: does not have the signs of layout %s: leave out -o layout=", path,
                         choice->layout);
    if (choice->recipe || has_own)
        return error_set(error, -ENOENT,
                         "%s: holds no addon by its recipe: look at \"signs\" and \"folders\" "
                         "there",
                         path);
    return error_set(error, -ENOENT,
                     "%s: no known layout: expected package.py, or openpype/version.py and "
                     "server_addon/server/, or server_addon/<addon>/ with package.py and server/, "
                     "or a recipe in " RECIPE_FILE_NAME,
                     path);
}

int recipe_find(struct source *source, struct spool *spool, const struct recipe_choice *choice,
                struct recipe *own, struct recipe_matches *ret_matches, struct error *error)
{
    cleanup_recipe_matches struct recipe_matches matches = {0};
    const struct search search = {source, spool, &matches};
    struct recipe *recipe = choice->recipe ? choice->recipe : own;

    int r = recipe && !choice->layout ? find_by(&search, recipe, error)
                                      : find_known(&search, choice->layout, error);
    if (r < 0)
        return r;
    if (matches.count == 0)
        return fail(source, choice, own != NULL, error);
    *ret_matches = matches;
    matches = (struct recipe_matches){0};
    return 0;
}
