#include "view_share.h"

#include <addonfs/package.h>
#include <addonfs/view.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* A source that changes under every look is given up after so many: nothing true can be said of it.
 */
enum { ATTEMPTS = 64 };

struct view {
    struct origin origin;
    struct source *source;
    struct spool *spool;
    struct members *members;
    struct cache *cache;
    _Atomic uint64_t next_number;
    _Atomic bool stop;
    pthread_t preparation;
    bool prepares;

    pthread_mutex_t lock; /* around looks: the source's folders, and the rest */
    struct generation *current;
    bool outdated; /* the last look did not end, or left something out that may be there now */
};

struct generation *generation_ref(struct generation *generation)
{
    atomic_fetch_add(&generation->references, 1);
    return generation;
}

void generation_unref(struct generation *generation)
{
    if (!generation || atomic_fetch_sub(&generation->references, 1) > 1)
        return;
    entry_unref(generation->root);
    problems_clear(&generation->problems);
    for (size_t i = 0; i < generation->addon_count; i++) {
        free(generation->addons[i].name);
        free(generation->addons[i].version);
    }
    free(generation->addons);
    free(generation->commit);
    free(generation);
}

static struct source_owner ours(void)
{
    return (struct source_owner){0555, geteuid(), getegid()};
}

/* What stops the whole of `package/`. */
static int fail_all(struct generation *generation, const struct view *view, const struct error *why,
                    struct error *error)
{
    const char *path = source_path(view->source);
    const char *reason = error_reason(why->text, path);

    struct entry *failed = entry_new_failed(ENTRY_FOLDER, "package", path, reason);
    if (!failed || entry_insert(generation->root, failed) < 0 ||
        problems_add(&generation->problems, path, reason, false, "package") < 0)
        return error_errno(error, -ENOMEM, "%s", path);
    return 0;
}

static int add_problems(struct generation *generation, const struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        for (size_t j = 0; j < problem->affects_count; j++) {
            if (problems_add(&generation->problems, problem->path, problem->reason,
                             problem->warning, problem->affects[j]) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

/* What a folder was when it could be listed. */
static struct entry *healthy(struct entry *folder)
{
    return folder && folder->before ? folder->before : folder;
}

/* The package's folder in the last generation, if that was made by the same recipe; or NULL. */
static struct entry *last_package(const struct view *view, const struct generation *generation,
                                  const char *addon)
{
    const struct generation *last = view->current;
    struct entry *folder = NULL;

    if (last && last->recipe == generation->recipe) {
        folder = healthy(entry_child(last->root, "package"));
        folder = folder ? healthy(entry_child(folder, addon)) : NULL;
    }
    return folder && folder->count == 1 ? healthy(folder->children[0]) : NULL;
}

/* Put one addon's package, or what is known of it, under `package/`. */
static int add_addon(struct view *view, struct generation *generation, struct entry *packages,
                     const struct recipe_addon *recipe, struct error *error)
{
    cleanup_package struct package *package = NULL;
    struct generation_addon *addon = &generation->addons[generation->addon_count];
    cleanup_free char *affects = NULL;
    struct entry *folder;

    int r = package_build(&view->origin, recipe, last_package(view, generation, recipe->name),
                          &package, error);
    if (r < 0)
        return r;
    view->outdated = view->outdated || package->retry;
    addon->name = strdup(recipe->name);
    if (!addon->name)
        return error_errno(error, -ENOMEM, "%s", recipe->name);
    generation->addon_count++;
    if (package->version && !(addon->version = strdup(package->version)))
        return error_errno(error, -ENOMEM, "%s", recipe->name);
    if (!package->failure) {
        folder = entry_new_folder(recipe->name, ours());
        if (folder && entry_insert(folder, entry_ref(package->folder)) < 0) {
            entry_unref(folder);
            folder = NULL;
        }
    } else {
        folder =
            entry_new_failed(ENTRY_FOLDER, recipe->name, package->failure_path, package->failure);
        if (asprintf(&affects, "package/%s", recipe->name) < 0)
            affects = NULL;
        if (!affects || problems_add(&generation->problems, package->failure_path, package->failure,
                                     false, affects) < 0) {
            entry_unref(folder);
            folder = NULL;
        }
    }
    if (!folder || entry_insert(packages, folder) < 0 ||
        add_problems(generation, &package->problems) < 0)
        return error_errno(error, -ENOMEM, "%s", recipe->name);
    return 0;
}

static int add_addons(struct view *view, struct generation *generation, struct error *error)
{
    const struct recipe *recipe = NULL;
    struct error why = {0};
    struct entry *packages;

    int r = recipe_detect(view->source, &recipe, &why);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    if (r < 0)
        return fail_all(generation, view, &why, error);
    generation->recipe = recipe;
    generation->layout = recipe->layout;
    generation->addons = calloc(recipe->addon_count, sizeof(*generation->addons));
    packages = entry_new_folder("package", ours());
    if (!generation->addons || !packages || entry_insert(generation->root, packages) < 0)
        return error_errno(error, -ENOMEM, "%s", source_path(view->source));
    for (size_t i = 0; i < recipe->addon_count; i++) {
        r = add_addon(view, generation, packages, &recipe->addons[i], error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Make the next generation out of what the source holds. */
static int build(struct view *view, struct generation **ret_generation, struct error *error)
{
    cleanup_generation struct generation *generation = calloc(1, sizeof(*generation));
    struct generation *last = view->current;

    if (!generation)
        return error_errno(error, -ENOMEM, "%s", source_path(view->source));
    atomic_init(&generation->references, 1);
    generation->serial = last ? last->serial + 1 : 1;
    generation->root = entry_new_folder("", ours());
    if (!generation->root)
        return error_errno(error, -ENOMEM, "%s", source_path(view->source));
    int r = add_addons(view, generation, error);
    if (r < 0)
        return r;
    if (source_commit(view->source) && !(generation->commit = strdup(source_commit(view->source))))
        return error_errno(error, -ENOMEM, "%s", source_path(view->source));
    generation->root =
        view_share(last ? last->root : NULL, generation->root, &view->origin, &view->next_number);
    *ret_generation = steal_pointer(&generation);
    return 0;
}

static bool heals(const struct entry *entry, const struct origin *origin)
{
    bool found = entry->kind == ENTRY_ZIP && !entry->failure && bundle_heals(entry->bundle, origin);

    for (size_t i = 0; i < entry->count && !found; i++)
        found = heals(entry->children[i], origin);
    return found;
}

/* One attempt; the lock is held. */
static int look(struct view *view, struct error *error)
{
    struct generation *next = NULL;
    struct error why = {0};
    bool changed = false;

    int r = source_refresh(view->source, &changed, &why);
    if (r < 0 && error_is_transient(r)) {
        view->outdated = true;
        if (error)
            *error = why;
        return r;
    }
    if (!changed && !view->outdated && view->current &&
        !(view->origin.skip_problems && heals(view->current->root, &view->origin)))
        return 0;
    view->outdated = false;
    r = build(view, &next, error);
    if (r < 0) {
        view->outdated = true;
        return r;
    }
    source_settle(view->source);
    generation_unref(view->current);
    view->current = next;
    return 0;
}

int view_look(struct view *view, struct generation **ret_generation, struct error *error)
{
    cleanup_lock(&view->lock);
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++)
        r = look(view, error);
    if (r == 0)
        *ret_generation = generation_ref(view->current);
    return r;
}

int view_body(struct view *view, struct entry *entry, struct body **ret_body, struct error *error)
{
    return entry_body(entry, &view->origin, &view->next_number, ret_body, error);
}

int view_open_body(struct view *view, struct body *body, struct error *error)
{
    return body_open(body, &view->origin, error);
}

uint64_t view_number(struct view *view)
{
    return atomic_fetch_add(&view->next_number, 1);
}

const struct source *view_source(const struct view *view)
{
    return view->source;
}

/* Ask every file and zip below `entry`, and add what is wrong with it. */
static int examine(struct view *view, struct entry *entry, const char *path,
                   struct problems *problems, struct error *error)
{
    cleanup_body struct body *body = NULL;

    for (size_t i = 0; i < entry->count; i++) {
        cleanup_free char *below = NULL;
        if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", entry->children[i]->name) < 0) {
            below = NULL;
            return error_errno(error, -ENOMEM, "%s", path);
        }
        int r = examine(view, entry->children[i], below, problems, error);
        if (r < 0)
            return r;
    }
    if (entry->failure)
        return problems_add(problems, entry->path, entry->failure, false, path) < 0
                   ? error_errno(error, -ENOMEM, "%s", path)
                   : 0;
    if (entry->kind == ENTRY_FOLDER)
        return 0;
    int r = view_body(view, entry, &body, error);
    size_t known = problems->count;
    if (r == 0 && entry->kind == ENTRY_ZIP)
        r = bundle_problems(entry->bundle, &view->origin, path, problems);
    /* A file, or a zip that fails for another reason than a member (no room, say). */
    if (r == 0 && body_failure(body) && problems->count == known)
        r = problems_add(problems, entry->path, error_reason(body_failure(body), entry->path),
                         false, path);
    return r == -ENOMEM ? error_errno(error, r, "%s", path) : r;
}

int view_problems(struct view *view, struct generation **ret_generation, struct problems *problems,
                  struct error *error)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++) {
        cleanup_generation struct generation *generation = NULL;
        struct generation known = {0};
        problems_clear(problems);
        r = view_look(view, &generation, error);
        if (r < 0)
            return r;
        r = examine(view, generation->root, "", &known.problems, error);
        if (r == 0)
            r = add_problems(&known, &generation->problems);
        const char *warning;
        for (size_t j = 0; r == 0 && (warning = view_warning(view, j)); j++)
            r = problems_add(&known.problems, "", warning, true, NULL);
        *problems = known.problems;
        if (r == 0)
            *ret_generation = steal_pointer(&generation);
    }
    return r;
}

/* The first look of all must show something: a mount that could only fail is refused. */
static int refuse_failed(const struct generation *generation, struct error *error)
{
    for (size_t i = 0; i < generation->problems.count; i++) {
        const struct problem *problem = &generation->problems.items[i];
        if (problem->warning)
            continue;
        if (strncmp(problem->reason, problem->path, strlen(problem->path)) == 0)
            return error_set(error, -EINVAL, "%s", problem->reason);
        return error_set(error, -EINVAL, "%s: %s", problem->path, problem->reason);
    }
    return 0;
}

static void *prepare(void *argument)
{
    struct view *view = argument;
    cleanup_generation struct generation *generation = NULL;
    struct problems problems = {0};

    (void)view_problems(view, &generation, &problems, NULL);
    problems_clear(&problems);
    return NULL;
}

void view_prepare(struct view *view)
{
    view->prepares = pthread_create(&view->preparation, NULL, prepare, view) == 0;
}

const char *view_warning(const struct view *view, size_t index)
{
    const char *const warnings[] = {cache_fault(view->cache), source_warning(view->source)};

    for (size_t i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++) {
        if (warnings[i] && index-- == 0)
            return warnings[i];
    }
    return NULL;
}

/* The store of members, and the cache behind it. */
static int open_members(struct view *view, const struct view_options *options)
{
    int level = options->level ? options->level : DEFLATE_LEVEL_DEFAULT;
    cleanup_free char *folder = NULL;
    char codec[64];

    deflate_codec(level, codec, sizeof(codec));
    if (!options->no_cache) {
        folder = options->cache_folder ? strdup(options->cache_folder) : cache_default_folder();
        if (!folder)
            return -ENOMEM;
        view->cache = cache_open(
            folder, options->cache_size ? options->cache_size : CACHE_SIZE_DEFAULT, codec);
        if (!view->cache)
            return -ENOMEM;
    }
    view->spool = spool_new(NULL);
    view->members = view->spool ? members_new(view->spool, view->cache, level) : NULL;
    view->origin.spool = view->spool;
    view->origin.members = view->members;
    view->origin.cache = view->cache;
    view->origin.level = level;
    view->origin.stop = &view->stop;
    view->origin.skip_problems = options->skip_problems;
    return view->members ? 0 : -ENOMEM;
}

int view_open(const struct view_options *options, struct view **ret_view, struct error *error)
{
    cleanup_view struct view *view = calloc(1, sizeof(*view));
    cleanup_generation struct generation *generation = NULL;

    if (!view)
        return error_errno(error, -ENOMEM, "%s", options->source.path);
    pthread_mutex_init(&view->lock, NULL);
    atomic_init(&view->next_number, VIEW_FIRST_NUMBER);
    int r = source_open(&options->source, &view->source, error);
    if (r < 0)
        return r;
    view->origin.source = view->source;
    if (open_members(view, options) < 0)
        return error_errno(error, -ENOMEM, "%s", options->source.path);
    r = view_look(view, &generation, error);
    if (r == 0)
        r = refuse_failed(generation, error);
    if (r < 0)
        return r;
    *ret_view = steal_pointer(&view);
    return 0;
}

void view_close(struct view *view)
{
    if (!view)
        return;
    atomic_store(&view->stop, true);
    if (view->prepares)
        pthread_join(view->preparation, NULL);
    generation_unref(view->current);
    source_close(view->source);
    /* What it still has to write it reads from members. */
    cache_close(view->cache);
    members_free(view->members);
    spool_free(view->spool);
    pthread_mutex_destroy(&view->lock);
    free(view);
}
