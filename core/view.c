#include "view_parts.h"

#include <addonfs/bundle_ahead.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

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
    if (r < 0 && options->failed)
        options->failed(options->failed_context, error);
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
