#include "view_parts.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* A source that changes while it is frozen is tried again so often. */
enum { ATTEMPTS = 64 };

/* --- Commits ------------------------------------------------------------------------------------
 */

/* Can it be that the tree would be another one now? */
static bool may_heal(const struct view *view, const struct generation *known)
{
    return known->retry || view->origin.skip_problems;
}

/*
 * A number that moves on when it may be. An object of Git LFS that is not there fails what is made
 * of it, and has no say in the tree, unless it is left out of it.
 */
static uint64_t healing_of(const struct view *view)
{
    return view->origin.skip_problems ? source_objects_healing(view->source)
                                      : source_trees_healing(view->source);
}

static int build_commit(struct view *view, const char *id, const struct origin *asking,
                        struct generation **ret_generation, struct error *error)
{
    cleanup_source struct source *source = NULL;
    struct origin origin = *asking;
    uint64_t healing = healing_of(view);
    bool changed;

    int r = source_open_revision(view->source, id, &source, error);
    if (r < 0)
        return r;
    r = source_refresh(source, &changed, error);
    if (r < 0)
        return r;
    origin.source = source;
    const struct generation_maker maker = {
        .origin = &origin,
        .options = &view->shown,
        .next_number = &view->next_number,
    };
    r = generation_build(&maker, NULL, 0, ret_generation, error);
    if (r < 0)
        return r;
    memcpy((*ret_generation)->id, id, strlen(id) + 1);
    atomic_store(&(*ret_generation)->healing, healing);
    return 0;
}

/* Is it worth another try? */
static bool may_heal_now(const struct view *view, const struct generation *known)
{
    return may_heal(view, known) && atomic_load(&known->healing) != healing_of(view);
}

/* Was something left out of it that can be had now? The lock is held. */
static bool heals(struct view *view, struct generation *known)
{
    uint64_t healing = healing_of(view);

    if (!may_heal(view, known) || atomic_load(&known->healing) == healing)
        return false;
    if (known->retry || view_heals(known->root, &view->origin))
        return true;
    atomic_store(&known->healing, healing);
    return false;
}

/* The lock is held. */
static int find_or_build(struct view *view, const char *id, const struct origin *origin,
                         struct generation **ret_generation, struct frozen_gone *gone,
                         struct error *error)
{
    struct generation *known = frozen_use(&view->commits, id, gone);
    struct generation *built = NULL;
    bool healed = known && heals(view, known);

    if (known && !healed) {
        *ret_generation = known;
        return 0;
    }
    if (known)
        gone->items[gone->count++] = (struct frozen_item){known, false};
    /* Git throws away what no ref leads to. */
    if (!refs_has_commit(view->source, id))
        return error_errno(error, -ENOENT, "commits/%s", id);
    int r = build_commit(view, id, origin, &built, error);
    if (r < 0)
        return r;
    if (known && generation_is_as_before(known, built, &view->origin)) {
        atomic_store(&known->healing, atomic_load(&built->healing));
        gone->items[gone->count++] = (struct frozen_item){built, false};
        *ret_generation = generation_ref(known);
        return 0;
    }
    /* What could not be computed may be next time: an object that was fetched, say. */
    *ret_generation = built->unhealthy ? built : frozen_put(&view->commits, built, healed, gone);
    return *ret_generation ? 0 : error_errno(error, -ENOMEM, "commits/%s", id);
}

int view_commit(struct view *view, const char *id, const _Atomic bool *interrupted,
                struct generation **ret_generation, struct error *error)
{
    struct frozen_gone gone = {0};
    struct origin origin = view->origin;

    struct generation *known = frozen_use(&view->commits, id, &gone);

    frozen_release(&view->commits, &gone);
    if (known && !may_heal_now(view, known)) {
        *ret_generation = known;
        return 0;
    }
    generation_unref(known);
    origin.interrupted = interrupted;
    int r = origin_lock(&origin, &view->commit_lock);
    if (r < 0)
        return error_errno(error, r, "commits/%s", id);
    r = find_or_build(view, id, &origin, ret_generation, &gone, error);
    pthread_mutex_unlock(&view->commit_lock);
    frozen_release(&view->commits, &gone);
    return r;
}

/* --- Snapshots ----------------------------------------------------------------------------------
 */

/* The lock is held: who waited for another to freeze the same has nothing left to do. */
static int freeze(struct view *view, struct generation *live, const struct origin *origin,
                  struct generation **ret_generation, struct frozen_gone *gone, struct error *error)
{
    struct generation *frozen = NULL;

    if (live->frozen_as[0] && (frozen = frozen_use(&view->snapshots, live->frozen_as, gone))) {
        *ret_generation = frozen;
        return 0;
    }
    int r = generation_freeze(live, origin, &view->next_number, &frozen, error);
    if (r < 0)
        return r;
    /* What cannot be read now may be at the next look, without another generation. */
    bool lasts = !frozen->unreadable;
    frozen = frozen_put(&view->snapshots, frozen, false, gone);
    if (!frozen)
        return error_errno(error, -ENOMEM, "snapshots/current");
    if (lasts)
        memcpy(live->frozen_as, frozen->id, sizeof(live->frozen_as));
    *ret_generation = frozen;
    return 0;
}

static int look_and_freeze(struct view *view, const struct origin *origin,
                           struct generation **ret_generation, struct error *error)
{
    cleanup_generation struct generation *live = NULL;
    struct frozen_gone gone = {0};

    int r = view_look(view, &live, error);
    if (r < 0)
        return r;
    r = origin_lock(origin, &view->snapshot_lock);
    if (r < 0)
        return error_errno(error, r, "snapshots/current");
    r = freeze(view, live, origin, ret_generation, &gone, error);
    pthread_mutex_unlock(&view->snapshot_lock);
    frozen_release(&view->snapshots, &gone);
    return r;
}

int view_snapshot(struct view *view, const _Atomic bool *interrupted,
                  struct generation **ret_generation, struct error *error)
{
    struct origin origin = view->origin;
    int r = -ESTALE;

    origin.interrupted = interrupted;
    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++)
        r = look_and_freeze(view, &origin, ret_generation, error);
    return r;
}
