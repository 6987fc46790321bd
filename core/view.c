#include "view_parts.h"

#include <addonfs/bundle_ahead.h>
#include <addonfs/source_version.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* A source that changes under every look is given up after so many: nothing true can be said of it.
 */
enum { ATTEMPTS = 64 };

/*
 * A look that builds compares one folder after the other, and what is written meanwhile gets into
 * some and not into others. So after it has built it asks once more whether anything has happened
 * since it began, and builds again if so: what it ends with was all there at one moment. Under a
 * writer who never rests it takes what there is after so many times.
 */
enum { CONSISTENT_ATTEMPTS = 8 };

/* Serials count on from the present, so that those of two mounts differ. */
static uint64_t first_serial(const struct view *view)
{
    return (uint64_t)view->opened.tv_sec * 1000000 + (uint64_t)view->opened.tv_nsec / 1000;
}

bool view_heals(struct entry *entry, const struct origin *origin)
{
    bool found = entry->kind == ENTRY_ZIP && !entry->failure && bundle_heals(entry->bundle, origin);

    for (size_t i = 0; i < entry->count && !found; i++)
        found = view_heals(entry->children[i], origin);
    return found;
}

/*
 * There are folders that could not be computed: can they be now? What they lack may come although
 * no file changes: objects, history for a derived version, a disk that reads again. The lock is
 * held.
 */
static bool recovers_now(struct view *view)
{
    struct content_id horizon = {{0}};

    if (!view->current->unhealthy)
        return false;
    if (view->shown.derive_version)
        (void)source_version_horizon(view->source, &horizon);
    uint64_t healing = source_healing(view->source) + source_objects_healing(view->source);
    if (healing == view->recovering && content_id_equal(&horizon, &view->horizon))
        return false;
    view->recovering = healing;
    view->horizon = horizon;
    return true;
}

/* With problems=skip: can what was left out be had now? The lock is held. */
static bool heals_now(struct view *view)
{
    if (recovers_now(view))
        return true;
    if (!view->origin.skip_problems)
        return false;
    uint64_t healing = source_healing(view->source);
    if (healing == view->healing)
        return false;
    view->healing = healing;
    return view->incomplete || view_heals(view->current->root, &view->origin);
}

/* Where versions are derived, a worktree's hang on its commit as well. The lock is held. */
static bool head_has_moved(const struct view *view)
{
    struct error why = {0};
    struct ref head;

    if (!view->shown.derive_version || source_commit(view->source))
        return false;
    if (refs_head(view->source, &head, &why) == 0)
        return strcmp(view->current->head, head.commit) != 0;
    return !view->current->headless || strcmp(view->current->headless, why.text) != 0;
}

/* One attempt; the lock is held. `*ret_gone`: the generation that was, for the caller to unref. */
static int look(struct view *view, struct generation **ret_gone, struct error *error)
{
    const struct generation_maker maker = {
        .origin = &view->origin,
        .options = &view->shown,
        .next_number = &view->next_number,
        .vanished = &view->vanished,
        .head = &view->head,
        .fills_clients = view->fills_clients,
    };
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
    if (!changed && !view->outdated && view->current && !heals_now(view) && !head_has_moved(view))
        return 0;
    r = generation_build(&maker, view->current,
                         view->current ? view->current->serial + 1 : first_serial(view), &next,
                         error);
    view->outdated = r < 0;
    if (r < 0)
        return r;
    view->incomplete = next->retry;
    source_settle(view->source);
    /* What nobody can tell apart is the same generation. */
    if (view->current && next->root == view->current->root)
        next->serial = view->current->serial;
    *ret_gone = view->current;
    view->current = next;
    return 0;
}

/* Until what is current was all there at one moment. */
static int look_until_consistent(struct view *view, struct generation **ret_gone,
                                 struct error *error)
{
    int r = -ESTALE;

    for (int i = 0, built = 0; i < ATTEMPTS && built < CONSISTENT_ATTEMPTS; i++) {
        const struct generation *before = view->current;
        struct generation *gone = NULL;
        r = look(view, &gone, error);
        if (r < 0 && r != -ESTALE)
            return r;
        bool has_built = view->current != before;
        /* Of those that were built here nobody has seen any but the last. */
        if (*ret_gone)
            generation_unref(gone);
        else
            *ret_gone = gone;
        if (r == 0 && (!has_built || !source_is_watched(view->source)))
            return 0;
        built += has_built;
    }
    return r;
}

int view_look(struct view *view, struct generation **ret_generation, struct error *error)
{
    struct generation *gone = NULL;
    uint64_t before;
    uint64_t after;
    int r;
    {
        cleanup_lock(&view->lock);
        before = after = view->current ? view->current->serial : 0;
        r = look_until_consistent(view, &gone, error);
        view_watcher_looked(view);
        if (r == 0)
            *ret_generation = generation_ref(view->current);
        if (view->current)
            after = view->current->serial;
    }
    if (r == 0 && gone && before != after && view->dropped)
        view_tell_vanished(view, gone->root, (*ret_generation)->root);
    /* Without the lock: freeing an archive takes its time. */
    generation_unref(gone);
    if (before == after)
        return r;
    frozen_expire(&view->commits);
    frozen_expire(&view->snapshots);
    if (view->advanced)
        view->advanced(view->advanced_context);
    return r;
}

int view_body(struct view *view, struct entry *entry, const _Atomic bool *interrupted,
              struct body **ret_body, struct error *error)
{
    struct origin origin = view->origin;

    origin.interrupted = interrupted;
    return entry_body(entry, &origin, &view->next_number, ret_body, error);
}

int view_open_body(struct view *view, struct body *body, const _Atomic bool *interrupted,
                   struct error *error)
{
    struct origin origin = view->origin;

    origin.interrupted = interrupted;
    return body_open(body, &origin, error);
}

uint64_t view_new_number(struct view *view)
{
    return atomic_fetch_add(&view->next_number, 1);
}

const struct source *view_source(const struct view *view)
{
    return view->source;
}

struct source *view_repository(struct view *view)
{
    return view->source;
}

bool view_derives_versions(const struct view *view)
{
    return view->shown.derive_version;
}

void view_counters(const struct view *view, struct members_counters *ret_counters)
{
    members_counters(view->members, ret_counters);
}

bool view_has_cache(const struct view *view)
{
    return view->cache != NULL;
}

/* Ask every file and zip below `entry`, and add what is wrong with it. */
static int examine(struct view *view, struct entry *entry, const char *path,
                   const _Atomic bool *interrupted, struct problems *problems, struct error *error)
{
    cleanup_body struct body *body = NULL;
    cleanup_problems struct problems own = {0};

    for (size_t i = 0; i < entry->count; i++) {
        cleanup_free char *below = NULL;
        if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", entry->children[i]->name) < 0) {
            below = NULL;
            return error_errno(error, -ENOMEM, "%s", path);
        }
        int r = examine(view, entry->children[i], below, interrupted, problems, error);
        if (r < 0)
            return r;
    }
    if (entry->failure)
        return problems_add(problems, entry->path, entry->failure, false, path) < 0
                   ? error_errno(error, -ENOMEM, "%s", path)
                   : 0;
    if (entry->kind == ENTRY_FOLDER)
        return 0;
    int r = view_body(view, entry, interrupted, &body, error);
    if (r == 0 && entry->kind == ENTRY_ZIP)
        r = bundle_problems(entry->bundle, &view->origin, path, &own);
    /* A file, or a zip that fails for another reason than a member (no room, say). */
    if (r == 0 && body_failure(body) && own.count == 0)
        r = problems_add(&own, entry->path, error_reason(body_failure(body), entry->path), false,
                         path);
    if (r == 0)
        r = problems_add_all(problems, &own);
    return r == -ENOMEM ? error_errno(error, r, "%s", path) : r;
}

/* What is known without reading content. */
static int add_known(struct view *view, const struct generation *generation,
                     struct problems *problems, struct error *error)
{
    int r = problems_add_all(problems, &generation->problems);
    const char *warning;

    for (size_t i = 0; r == 0 && (warning = view_warning(view, i)); i++)
        r = problems_add(problems, "", warning, true, NULL);
    return r < 0 ? error_errno(error, r, "%s", source_path(view->source)) : 0;
}

int view_problems(struct view *view, const _Atomic bool *interrupted,
                  struct generation **ret_generation, struct problems *problems,
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
        r = examine(view, generation->root, "", interrupted, &known.problems, error);
        if (r == 0)
            r = add_known(view, generation, &known.problems, error);
        *problems = known.problems;
        if (r == 0)
            *ret_generation = steal_pointer(&generation);
    }
    return r;
}

/* The first look of all must show something: a mount that could only fail is refused. */
static int refuse_failed(const struct generation *generation, struct error *error)
{
    for (size_t i = 0; i < generation->addon_count; i++) {
        if (generation->addons[i].version)
            return 0;
    }
    for (size_t i = 0; i < generation->problems.count; i++) {
        const struct problem *problem = &generation->problems.items[i];
        if (problem->warning)
            continue;
        return error_set(error, -EINVAL, "%s%s%s",
                         error_names(problem->reason, problem->path) ? "" : problem->path,
                         error_names(problem->reason, problem->path) ? "" : ": ", problem->reason);
    }
    return 0;
}

void view_on_advanced(struct view *view, void (*advanced)(void *context), void *context)
{
    view->advanced = advanced;
    view->advanced_context = context;
}

void view_on_dropped(struct view *view,
                     void (*dropped)(void *context, uint64_t parent, const char *name),
                     void *context)
{
    view->dropped = dropped;
    view->dropped_context = context;
}

/*
 * A reader of an archive should find its streams at hand. Bringing them into the spool ahead is
 * worth it for an addon as they are; more would only wear the disk.
 */
enum { SECURED_AHEAD = 1 << 28 };

/* Secure the zips below `entry`, up to `*left` bytes. */
static void secure_ahead(struct view *view, struct entry *entry, uint64_t *left)
{
    cleanup_body struct body *body = NULL;

    for (size_t i = 0; i < entry->count; i++)
        secure_ahead(view, entry->children[i], left);
    if (entry->kind != ENTRY_ZIP || entry->failure ||
        view_body(view, entry, NULL, &body, NULL) < 0 || body_failure(body) ||
        body_size(body) > *left)
        return;
    *left -= body_size(body);
    if (view_open_body(view, body, NULL, NULL) == 0)
        body_close(body);
}

static void *prepare(void *argument)
{
    struct view *view = argument;
    cleanup_generation struct generation *generation = NULL;
    struct problems problems = {0};
    uint64_t left = SECURED_AHEAD;

    if (view_problems(view, NULL, &generation, &problems, NULL) == 0)
        secure_ahead(view, generation->root, &left);
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

    if (!options->no_cache) {
        folder = options->cache_folder ? strdup(options->cache_folder) : cache_default_folder();
        if (!folder || deflate_codec(level, codec, sizeof(codec)) < 0)
            return -ENOMEM;
        view->cache = cache_open(
            folder, options->cache_size ? options->cache_size : CACHE_SIZE_DEFAULT, codec);
        if (!view->cache)
            return -ENOMEM;
    }
    view->spool = spool_new(NULL);
    if (view->spool)
        spool_set_stop(view->spool, &view->stop);
    view->members = view->spool ? members_new(view->spool, view->cache, level) : NULL;
    view->origin.spool = view->spool;
    view->origin.members = view->members;
    view->origin.cache = view->cache;
    view->origin.level = level;
    view->origin.stop = &view->stop;
    view->origin.skip_problems = options->skip_problems;
    return view->members ? 0 : -ENOMEM;
}

/* What is opened beside the source, in a thread of its own. */
struct opening {
    struct view *view;
    const struct view_options *options;
    int result;
};

static void *open_beside(void *argument)
{
    struct opening *opening = argument;

    opening->result = open_members(opening->view, opening->options);
    return NULL;
}

/* Both the cache and libgit2, which reads all certificates that there are, take some milliseconds.
 */
static int open_parts(struct view *view, const struct view_options *options, struct error *error)
{
    struct opening opening = {view, options, 0};
    pthread_t beside;
    bool apart = pthread_create(&beside, NULL, open_beside, &opening) == 0;

    int r = source_open(&options->source, &view->source, error);
    if (apart)
        pthread_join(beside, NULL);
    else if (r == 0)
        (void)open_beside(&opening);
    if (r < 0)
        return r;
    view->origin.source = view->source;
    return opening.result < 0 ? error_errno(error, -ENOMEM, "%s", options->source.path) : 0;
}

int view_open(const struct view_options *options, struct view **ret_view, struct error *error)
{
    cleanup_view struct view *view = calloc(1, sizeof(*view));
    cleanup_generation struct generation *generation = NULL;

    if (!view)
        return error_errno(error, -ENOMEM, "%s", options->source.path);
    pthread_mutex_init(&view->lock, NULL);
    view_watcher_init(view);
    pthread_mutex_init(&view->names_lock, NULL);
    pthread_mutex_init(&view->commit_lock, NULL);
    pthread_mutex_init(&view->snapshot_lock, NULL);
    pthread_mutex_init(&view->fill_lock, NULL);
    frozen_table_init(&view->commits, view, "commits", KEPT_COMMITS, MOST_COMMITS);
    frozen_table_init(&view->snapshots, view, "snapshots", KEPT_SNAPSHOTS, MOST_SNAPSHOTS);
    clock_gettime(CLOCK_REALTIME, &view->opened);
    atomic_init(&view->next_number, VIEW_FIRST_NUMBER);
    view->shown = options->shown;
    int r = options->recipe_path
                ? recipe_read(options->recipe_path, &view->shown.choice.recipe, error)
                : 0;
    if (r == 0)
        r = open_parts(view, options, error);
    if (r < 0)
        return r;
    if (options->prepares)
        view->ahead = ahead_begin(&view->origin);
    view->origin.ahead = view->ahead;
    r = view_look(view, &generation, error);
    ahead_stop(view->ahead);
    if (r == 0)
        r = refuse_failed(generation, error);
    if (r < 0)
        return r;
    *ret_view = steal_pointer(&view);
    return 0;
}

void view_stop(struct view *view)
{
    atomic_store(&view->stop, true);
}

void view_close(struct view *view)
{
    if (!view)
        return;
    view_stop(view);
    view_watcher_end(view);
    if (view->prepares)
        pthread_join(view->preparation, NULL);
    ahead_free(view->ahead);
    generation_unref(view->current);
    frozen_table_clear(&view->commits);
    frozen_table_clear(&view->snapshots);
    view_forget_names(view);
    map_clear(&view->vanished, free);
    generation_head_clear(&view->head);
    recipe_unref(view->shown.choice.recipe);
    source_close(view->source);
    /* What it still has to write it reads from members. */
    cache_close(view->cache);
    members_free(view->members);
    spool_free(view->spool);
    pthread_mutex_destroy(&view->fill_lock);
    pthread_mutex_destroy(&view->snapshot_lock);
    pthread_mutex_destroy(&view->commit_lock);
    pthread_mutex_destroy(&view->lock);
    free(view);
}
