/* How much of the work that a view has before it is done. */
#include "view_parts.h"

#include <addonfs/path.h>

static void count(struct entry *entry, uint64_t *done, uint64_t *total)
{
    for (size_t i = 0; i < entry->count; i++)
        count(entry->children[i], done, total);
    if (entry->kind != ENTRY_ZIP || entry->failure)
        return;
    *done += bundle_ready(entry->bundle);
    *total += bundle_count(entry->bundle);
}

bool view_progress(struct view *view, uint64_t *ret_done, uint64_t *ret_total)
{
    cleanup_generation struct generation *generation = NULL;
    struct entry *packages = NULL;

    if (pthread_mutex_trylock(&view->lock) != 0)
        return false;
    if (view->current)
        generation = generation_ref(view->current);
    pthread_mutex_unlock(&view->lock);
    *ret_done = 0;
    *ret_total = 0;
    if (!generation || entry_find(generation->root, "package", &packages) < 0)
        return false;
    count(packages, ret_done, ret_total);
    return true;
}
