#include "generation_version.h"
#include "generation_addons.h"

#include <addonfs/source_version.h>
#include <addonfs/version.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * What a worktree's commit holds
 *
 * A worktree is dirty if the content of its package is not that of its commit. So the commit's
 * packages are built as well, by its own recipe, and their ids remembered: those of one commit, for
 * HEAD rarely moves, and what was compressed once need not be read again.
 */
struct head_addon {
    char *name;
    char *version;
    struct content_id id;
    char *failure; /* why there is no id, or NULL */
};

void generation_head_clear(struct generation_head *head)
{
    for (size_t i = 0; i < head->count; i++) {
        free(head->addons[i].name);
        free(head->addons[i].version);
        free(head->addons[i].failure);
    }
    free(head->addons);
    *head = (struct generation_head){.count = 0};
}

static int add_head_addon(const struct origin *origin, struct package *package,
                          struct generation_head *head, struct error *error)
{
    struct head_addon *addons = reallocarray(head->addons, head->count + 1, sizeof(*addons));
    struct error why = {0};

    if (!addons)
        return error_errno(error, -ENOMEM, "%s", package->addon);
    head->addons = addons;
    struct head_addon *addon = &addons[head->count];
    *addon =
        (struct head_addon){.name = strdup(package->addon), .version = strdup(package->version)};
    head->count++;
    if (!addon->name || !addon->version)
        return error_errno(error, -ENOMEM, "%s", package->addon);
    int r = package_content_id(origin, package->folder, &addon->id, &why);
    if (r < 0 && error_is_transient(r))
        return error_set(error, r, "%s", why.text);
    /* Another addon's version does not hang on it. */
    head->incomplete = head->incomplete || r < 0;
    if (r < 0 && !(addon->failure = strdup(why.text)))
        return error_errno(error, -ENOMEM, "%s", package->addon);
    return 0;
}

/* The commit's own recipe has been read by whoever built its tree: here only matches count. */
static int read_head(const struct generation_maker *maker, const char *commit,
                     struct generation_head *head, struct error *error)
{
    cleanup_source struct source *source = NULL;
    cleanup_recipe struct recipe *own = NULL;
    cleanup_recipe_matches struct recipe_matches matches = {0};
    struct origin origin = *maker->origin;
    const struct package_options options = {
        .no_license = maker->options->no_license,
        .no_times = true,
    };
    bool changed;

    int r = source_open_revision(origin.source, commit, &source, error);
    if (r == 0)
        r = source_refresh(source, &changed, error);
    if (r < 0)
        return r;
    origin.source = source;
    struct error why = {0};
    r = generation_read_own(&origin, NULL, NULL, &own, NULL, &why);
    if (r == 0)
        r = recipe_find(source, origin.spool, &maker->options->choice, own, &matches, &why);
    /* A commit that holds no addon has none that could be the same. */
    if (r < 0)
        return error_is_transient(r) ? error_set(error, r, "%s", why.text) : 0;
    head->incomplete = head->incomplete || matches.absent_count > 0;
    for (size_t i = 0; r == 0 && i < matches.count; i++) {
        cleanup_package struct package *package = NULL;
        r = package_build(&origin, &options, &matches.items[i], NULL, &package, error);
        if (r == 0 && package->folder)
            r = add_head_addon(&origin, package, head, error);
        if (r == 0)
            head->incomplete = head->incomplete || package->retry || package->failure;
    }
    return r;
}

/* What is remembered is of another commit, or something that it lacks may be there now. */
static bool is_outdated(const struct generation_maker *maker, const char *commit)
{
    const struct generation_head *head = maker->head;

    return strcmp(head->commit, commit) != 0 ||
           (head->incomplete && head->healing != source_objects_healing(maker->origin->source));
}

/* The addon of that name in the commit; NULL if it has none. */
static int find_in_head(const struct generation_maker *maker, const char *commit, const char *name,
                        const struct head_addon **ret_addon, struct error *error)
{
    struct generation_head *head = maker->head;
    int r = 0;

    if (is_outdated(maker, commit)) {
        generation_head_clear(head);
        head->healing = source_objects_healing(maker->origin->source);
        r = read_head(maker, commit, head, error);
        if (r < 0) {
            generation_head_clear(head);
            return r;
        }
        snprintf(head->commit, sizeof(head->commit), "%s", commit);
    }
    *ret_addon = NULL;
    for (size_t i = 0; i < head->count && !*ret_addon; i++) {
        if (strcmp(head->addons[i].name, name) == 0)
            *ret_addon = &head->addons[i];
    }
    return 0;
}

/* --- The version --------------------------------------------------------------------------------
 */

/* What a version is derived from. */
struct state {
    char content[2 * sizeof(struct content_id) + 1]; /* "" if it is the commit's */
    bool is_bumped; /* the worktree declares another version than its commit */
};

static int compare_with_head(const struct generation_maker *maker, const char *commit,
                             const struct package *declared, struct state *state,
                             struct error *error)
{
    const struct head_addon *before = NULL;
    struct content_id id;

    int r = package_content_id(maker->origin, declared->folder, &id, error);
    if (r == 0)
        r = find_in_head(maker, commit, declared->addon, &before, error);
    if (r == 0 && before && before->failure)
        r = error_set(error, -EIO, "%s (in commit %.7s, which the worktree is compared with)",
                      before->failure, commit);
    if (r < 0)
        return r;
    state->is_bumped = !before || strcmp(before->version, declared->version) != 0;
    if (before && content_id_equal(&before->id, &id))
        return 0;
    content_id_text(&id, sizeof(state->content) - 1, state->content);
    return 0;
}

static int derive(const struct generation_maker *maker, const struct recipe_match *match,
                  const char *commit, const struct package *declared, char **ret_version,
                  struct error *error)
{
    const char *variable = match->addon->version.variable;
    struct source *source = maker->origin->source;
    struct version_base base = {.commits = 0};
    struct state state = {.content = ""};
    int r = 0;

    if (!declared->version_path || !variable)
        return error_set(error, -EINVAL,
                         "version=git needs a version that is read from a Python file: say how in "
                         "the recipe, or use version=TEXT");
    if (!source_commit(source))
        r = compare_with_head(maker, commit, declared, &state, error);
    if (r == 0 && !state.is_bumped)
        r = source_version_base(source, commit, declared->version_path, variable, &base, error);
    if (r < 0)
        return r;
    return version_derive(declared->version, base.commits, commit,
                          *state.content ? state.content : NULL, ret_version, error);
}

int generation_derive_version(const struct generation_maker *maker,
                              const struct recipe_match *match, const struct generation *generation,
                              struct package *declared, char **ret_version, struct error *error)
{
    const char *of_source = source_commit(maker->origin->source);
    const char *commit = of_source ? of_source : generation->head;
    const char *path =
        declared->version_path ? declared->version_path : source_path(maker->origin->source);
    struct error why = {0};
    int r = 0;

    *ret_version = NULL;
    if (!*commit)
        r = error_set(&why, -EINVAL, "version=git needs a commit: %s",
                      error_reason(generation->headless, "HEAD"));
    if (r == 0)
        r = derive(maker, match, commit, declared, ret_version, &why);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    if (r < 0 && package_fail(declared, path, why.text) < 0)
        return error_errno(error, -ENOMEM, "%s", path);
    return 0;
}
