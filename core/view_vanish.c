/* What has gone from the live tree. */
#include "view_parts.h"

/*
 * The kernel remembers names until memory is short, and what they led to has to live as long.
 * Nobody asks for a name again that has gone: the folder of the last version, say, with its
 * archive.
 */
void view_tell_vanished(struct view *view, const struct entry *last, const struct entry *next)
{
    if (last == next || next->failure)
        return;
    /* A folder that failed in between. */
    if (last->before)
        last = last->before;
    for (size_t i = 0; i < last->count; i++) {
        const struct entry *gone = last->children[i];
        const struct entry *now = entry_child(next, gone->name);
        if (!now || (now->kind == ENTRY_FOLDER) != (gone->kind == ENTRY_FOLDER))
            view->dropped(view->dropped_context, next->number, gone->name);
        else if (now->kind == ENTRY_FOLDER)
            view_tell_vanished(view, gone, now);
    }
}
