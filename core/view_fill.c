/* Looking into folders that are filled when somebody does. */
#include "view_parts.h"

#include <errno.h>
#include <string.h>

static struct generation_maker maker_of(struct view *view, const struct origin *origin,
                                        struct map *vanished)
{
    return (struct generation_maker){
        .origin = origin,
        .options = &view->shown,
        .next_number = &view->next_number,
        .vanished = vanished,
    };
}

/*
 * A folder of the live tree. Its times are found out before the lock is taken: what takes long is
 * remembered then. Under the lock it must still be part of what is current, for what was shown at
 * its paths is remembered in the order in which it was.
 */
static int fill_live(struct view *view, struct generation *generation, struct entry *folder,
                     const char *path, const struct origin *origin, struct error *error)
{
    const struct generation_maker maker = maker_of(view, origin, &view->vanished);

    int r = generation_time(origin, folder, error);
    if (r < 0)
        return r;
    r = origin_lock(origin, &view->lock);
    if (r < 0)
        return error_errno(error, r, "%s", path);
    view->fills_clients = true;
    r = view->current == generation || view->current->root == generation->root
            ? generation_fill(&maker, folder, path, error)
            : error_set(error, -ESTALE, "%s: has changed meanwhile", path);
    view_watcher_looked(view);
    pthread_mutex_unlock(&view->lock);
    return r;
}

int view_fill_frozen(struct view *view, struct entry *entry, const char *path,
                     const _Atomic bool *interrupted, struct entry **ret_entry, struct error *error)
{
    struct origin origin = view->origin;
    const struct generation_maker maker = maker_of(view, &origin, NULL);
    int r = 0;

    origin.interrupted = interrupted;
    if (entry->lazy && entry_filled(entry) == entry) {
        r = generation_time(&origin, entry, error);
        if (r == 0)
            r = origin_lock(&origin, &view->fill_lock);
        if (r < 0)
            return r;
        r = generation_fill(&maker, entry, path, error);
        pthread_mutex_unlock(&view->fill_lock);
    }
    *ret_entry = entry_filled(entry);
    return r;
}

/* The path of the lazy folder that a walk along `path` has come to: it is the first of its name. */
static char *path_of(const struct generation *generation, const char *path,
                     const struct entry *folder)
{
    size_t length = 0;

    for (;;) {
        length += strcspn(path + length, "/");
        cleanup_free char *above = strndup(path, length);
        struct entry *found = NULL;
        if (!above)
            return NULL;
        if (entry_find(generation->root, above, &found) == -EINPROGRESS && found == folder)
            return steal_pointer(&above);
        if (!path[length])
            return NULL;
        length++;
    }
}

int view_find_entry(struct view *view, struct generation *generation, const char *path,
                    const _Atomic bool *interrupted, struct entry **ret_entry, struct error *error)
{
    struct origin origin = view->origin;
    struct entry *found = NULL;

    origin.interrupted = interrupted;
    int r = entry_find(generation->root, path, &found);
    while (r == -EINPROGRESS) {
        cleanup_free char *folder = path_of(generation, path, found);
        if (!folder)
            return error_errno(error, -ENOMEM, "%s", path);
        r = *generation->id ? view_fill_frozen(view, found, folder, interrupted, &found, error)
                            : fill_live(view, generation, found, folder, &origin, error);
        if (r < 0)
            return r;
        r = entry_find(generation->root, path, &found);
    }
    if (r == -EIO)
        return error_set(error, r, "%s", found->failure);
    if (r == 0)
        *ret_entry = found;
    return r;
}
