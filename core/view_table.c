/* The tables of frozen trees. */
#include "view_parts.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

void frozen_table_init(struct frozen_table *table, struct view *view, const char *folder,
                       size_t always, size_t most)
{
    pthread_mutex_init(&table->lock, NULL);
    table->view = view;
    table->folder = folder;
    table->always = always;
    table->most = most;
}

void frozen_table_clear(struct frozen_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        generation_unref(table->kept[i].generation);
    map_clear(&table->by_id, NULL);
    pthread_mutex_destroy(&table->lock);
}

void frozen_release(struct frozen_table *table, struct frozen_gone *gone)
{
    const struct view *view = table->view;
    char id[COMMIT_ID_SIZE];

    for (size_t i = 0; i < gone->count; i++) {
        bool tell = gone->items[i].tell && view->dropped;
        memcpy(id, gone->items[i].generation->id, sizeof(id));
        generation_unref(gone->items[i].generation);
        if (tell)
            view->dropped(view->dropped_context, view_number_of(table->view, "", table->folder),
                          id);
    }
    gone->count = 0;
}

/* The last reference of `generation` has gone. Another may have its id by now. */
static void forget(void *context, const struct generation *generation)
{
    struct frozen_table *table = context;
    cleanup_lock(&table->lock);

    if (map_find(&table->by_id, generation->id) == generation)
        map_remove(&table->by_id, generation->id);
}

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* The table is locked, here and below. */
static struct generation *find(struct frozen_table *table, const char *id)
{
    struct generation *found = map_find(&table->by_id, id);

    return found && generation_try_ref(found) ? found : NULL;
}

static void give_up(struct frozen_table *table, size_t at, bool tell, struct frozen_gone *gone)
{
    gone->items[gone->count].generation = table->kept[at].generation;
    gone->items[gone->count++].tell = tell;
    table->count--;
    memmove(&table->kept[at], &table->kept[at + 1],
            (table->count - at) * sizeof(struct frozen_kept));
}

/* Give up those that are too many or have not been used for long: they are at the end. */
static void trim(struct frozen_table *table, struct frozen_gone *gone)
{
    time_t oldest = now() - KEPT_SECONDS;

    while (table->count > table->always &&
           (table->count > table->most || table->kept[table->count - 1].used < oldest))
        give_up(table, table->count - 1, true, gone);
}

/* The place of a generation among those that are kept, or their number. */
static size_t place_of(const struct frozen_table *table, const struct generation *generation)
{
    size_t at = 0;

    while (at < table->count && table->kept[at].generation != generation)
        at++;
    return at;
}

/* Let it be the one of those that are kept which was used last. */
static void keep(struct frozen_table *table, struct generation *generation,
                 struct frozen_gone *gone)
{
    size_t at = place_of(table, generation);

    if (at == table->count) {
        generation_ref(generation);
        table->count++;
    }
    memmove(&table->kept[1], &table->kept[0], at * sizeof(struct frozen_kept));
    table->kept[0] = (struct frozen_kept){generation, now()};
    trim(table, gone);
}

struct generation *frozen_use(struct frozen_table *table, const char *id, struct frozen_gone *gone)
{
    cleanup_lock(&table->lock);
    struct generation *found = find(table, id);

    if (found)
        keep(table, found, gone);
    return found;
}

/* Take out what is known by that id: another is to have it, or nothing. */
static void take_out(struct frozen_table *table, struct generation *known, struct frozen_gone *gone)
{
    size_t at = place_of(table, known);

    map_remove(&table->by_id, known->id);
    if (at < table->count)
        give_up(table, at, false, gone);
}

struct generation *frozen_put(struct frozen_table *table, struct generation *generation, bool anew,
                              struct frozen_gone *gone)
{
    cleanup_lock(&table->lock);
    struct generation *known = find(table, generation->id);

    if (known && (anew || !generation_is_same_for_all(known, generation))) {
        take_out(table, known, gone);
        gone->items[gone->count++] = (struct frozen_item){known, false};
        known = NULL;
    }
    /* One that is just being freed finds that it is not here any more. */
    if (!known && map_put(&table->by_id, generation->id, generation) == 0) {
        generation->forget = forget;
        generation->forget_context = table;
        known = generation_ref(generation);
    }
    if (known)
        keep(table, known, gone);
    gone->items[gone->count++] = (struct frozen_item){generation, false};
    return known;
}

void frozen_take_out(struct frozen_table *table, const char *id)
{
    struct frozen_gone gone = {0};
    {
        cleanup_lock(&table->lock);
        struct generation *known = find(table, id);
        if (known) {
            take_out(table, known, &gone);
            gone.items[gone.count++] = (struct frozen_item){known, true};
        }
    }
    frozen_release(table, &gone);
}

void frozen_expire(struct frozen_table *table)
{
    struct frozen_gone gone = {0};
    {
        cleanup_lock(&table->lock);
        trim(table, &gone);
    }
    frozen_release(table, &gone);
}

static int list_one(void *context, const char *id, void *value)
{
    const struct generation *generation = value;

    return view_names_add(context, id, VIEW_FROZEN, generation->root->number);
}

int frozen_list(struct frozen_table *table, struct view_names *names)
{
    cleanup_lock(&table->lock);

    return map_each(&table->by_id, list_one, names);
}
