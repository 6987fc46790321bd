/* The state of the source now: what every request on the live view begins with. */
#include "view_parts.h"

#include <addonfs/source_version.h>
#include <errno.h>
#include <string.h>

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

    for (int i = 0, built = 0; i < VIEW_ATTEMPTS && built < CONSISTENT_ATTEMPTS; i++) {
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
