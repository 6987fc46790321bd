#include "view_parts.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* A source that changes while it is frozen is tried again so often. */
enum { ATTEMPTS = 64 };

void frozen_table_init(struct frozen_table *table, const char *folder, size_t kept_limit)
{
    pthread_mutex_init(&table->lock, NULL);
    table->folder = folder;
    table->kept_limit = kept_limit;
}

void frozen_table_clear(struct frozen_table *table)
{
    for (size_t i = 0; i < table->kept_limit; i++)
        generation_unref(table->kept[i]);
    map_clear(&table->by_id, NULL);
    pthread_mutex_destroy(&table->lock);
}

/* The last reference of `generation` has gone. Another may have its id by now. */
static void forget(void *context, const struct generation *generation)
{
    struct frozen_table *table = context;
    cleanup_lock(&table->lock);

    if (map_find(&table->by_id, generation->id) == generation)
        map_remove(&table->by_id, generation->id);
}

/* The table is locked. */
static struct generation *find(struct frozen_table *table, const char *id)
{
    struct generation *found = map_find(&table->by_id, id);

    return found && generation_try_ref(found) ? found : NULL;
}

/* Let it be the newest of those that are kept; the oldest, which goes for it, is the caller's. */
static struct generation *keep(struct frozen_table *table, struct generation *generation)
{
    size_t at = 0;

    while (at < table->kept_limit - 1 && table->kept[at] && table->kept[at] != generation)
        at++;
    struct generation *gone = table->kept[at];
    memmove(&table->kept[1], &table->kept[0], at * sizeof(struct generation *));
    table->kept[0] = generation_ref(generation);
    return gone;
}

/* Give back what is kept no more, without the lock: that may free it. */
static void drop(struct frozen_table *table, struct generation *gone,
                 const struct generation *in_place)
{
    char id[COMMIT_ID_SIZE];

    if (!gone)
        return;
    memcpy(id, gone->id, sizeof(id));
    bool other = gone != in_place;
    generation_unref(gone);
    if (other && table->dropped)
        table->dropped(table->dropped_context, table->folder, id);
}

struct generation *frozen_table_find(struct frozen_table *table, const char *id)
{
    struct generation *gone = NULL;
    struct generation *found;
    {
        cleanup_lock(&table->lock);
        found = find(table, id);
        if (found)
            gone = keep(table, found);
    }
    drop(table, gone, found);
    return found;
}

struct generation *frozen_table_add(struct frozen_table *table, struct generation *generation)
{
    struct generation *gone = NULL;
    struct generation *known;
    {
        cleanup_lock(&table->lock);
        known = find(table, generation->id);
        /* One that is just being freed finds that it is not here any more. */
        if (!known && map_put(&table->by_id, generation->id, generation) == 0) {
            generation->forget = forget;
            generation->forget_context = table;
            known = generation_ref(generation);
        }
        if (known)
            gone = keep(table, known);
    }
    drop(table, gone, known);
    generation_unref(generation);
    return known;
}

int view_collect_id(void *context, const char *id, void *value)
{
    struct ref_names *ids = context;
    struct ref_name *items = reallocarray(ids->items, ids->count + 1, sizeof(*items));

    (void)value;
    if (!items)
        return -ENOMEM;
    ids->items = items;
    items[ids->count] = (struct ref_name){strdup(id), true};
    return items[ids->count++].name ? 0 : -ENOMEM;
}

int frozen_table_list(struct frozen_table *table, struct ref_names *ret_names)
{
    struct ref_names names = {0};
    cleanup_lock(&table->lock);

    int r = map_each(&table->by_id, view_collect_id, &names);
    if (r < 0)
        ref_names_clear(&names);
    else
        *ret_names = names;
    return r;
}

/* --- Commits ------------------------------------------------------------------------------------
 */

/*
 * A frozen tree's root has the number of its name, so that a listing can tell it. Not so if it may
 * turn out otherwise next time: then it is another inode each time.
 */
static int name_root(struct view *view, const char *folder, struct generation *generation,
                     struct error *error)
{
    uint64_t number = generation->unhealthy ? generation->root->number
                                            : view_number_of(view, folder, generation->id);

    if (number == 0) {
        generation_unref(generation);
        return error_errno(error, -ENOMEM, "%s", folder);
    }
    generation->root->number = number;
    return 0;
}

static int build_commit(struct view *view, const char *id, struct generation **ret_generation,
                        struct error *error)
{
    cleanup_source struct source *source = NULL;
    struct origin origin = view->origin;
    bool changed;

    int r = source_open_revision(view->source, id, &source, error);
    if (r < 0)
        return r;
    r = source_refresh(source, &changed, error);
    if (r < 0)
        return r;
    origin.source = source;
    r = generation_build(&origin, NULL, 0, &view->next_number, NULL, ret_generation, error);
    if (r < 0)
        return r;
    memcpy((*ret_generation)->id, id, strlen(id) + 1);
    return name_root(view, "commits", *ret_generation, error);
}

int view_commit(struct view *view, const char *id, struct generation **ret_generation,
                struct error *error)
{
    struct generation *known = frozen_table_find(&view->commits, id);
    struct generation *built = NULL;

    if (known) {
        *ret_generation = known;
        return 0;
    }
    cleanup_lock(&view->commit_lock);
    known = frozen_table_find(&view->commits, id);
    if (!known) {
        int r = build_commit(view, id, &built, error);
        if (r < 0)
            return r;
        /* What could not be computed may be next time: an object that was fetched, say. */
        known = built->unhealthy ? built : frozen_table_add(&view->commits, built);
    }
    *ret_generation = known;
    return known ? 0 : error_errno(error, -ENOMEM, "commits/%s", id);
}

/* --- Snapshots ----------------------------------------------------------------------------------
 */

static int freeze(struct view *view, struct generation **ret_generation, struct error *error)
{
    cleanup_generation struct generation *live = NULL;
    struct generation *frozen = NULL;

    int r = view_look(view, &live, error);
    if (r < 0)
        return r;
    {
        cleanup_lock(&view->snapshots.lock);
        if (live->frozen_as[0] && (frozen = find(&view->snapshots, live->frozen_as))) {
            *ret_generation = frozen;
            return 0;
        }
    }
    r = generation_freeze(live, &view->origin, &view->next_number, &frozen, error);
    if (r == 0)
        r = name_root(view, "snapshots", frozen, error);
    if (r < 0)
        return r;
    frozen = frozen_table_add(&view->snapshots, frozen);
    if (!frozen)
        return error_errno(error, -ENOMEM, "snapshots/current");
    /* What cannot be read now may be at the next look, without another generation. */
    if (!frozen->unreadable) {
        cleanup_lock(&view->snapshots.lock);
        memcpy(live->frozen_as, frozen->id, sizeof(live->frozen_as));
    }
    *ret_generation = frozen;
    return 0;
}

int view_snapshot(struct view *view, struct generation **ret_generation, struct error *error)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++)
        r = freeze(view, ret_generation, error);
    return r;
}
