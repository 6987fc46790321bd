#include "generation_share.h"

#include <stdatomic.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_owner(const struct source_owner *a, const struct source_owner *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

/* The same content and attributes, folders' children apart. */
static bool is_same(const struct entry *last, const struct entry *next, const struct origin *origin)
{
    if (last->kind != next->kind || !same_owner(&last->owner, &next->owner) ||
        !same_text(last->failure, next->failure) || !same_text(last->path, next->path))
        return false;
    if (last->kind == ENTRY_FILE)
        return file_equal(last->file, next->file);
    if (last->kind == ENTRY_ZIP)
        return bundle_equal(last->bundle, next->bundle) && !bundle_heals(last->bundle, origin);
    return true;
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/*
 * rsync's quick check compares sizes and whole seconds. Other content under the second that the
 * last one was shown with (or had, before it was moved on itself) is moved on by a second.
 */
static void set_file_time(const struct entry *last, struct entry *next)
{
    next->shown_from = next->mtime.tv_sec;
    if (last->kind == ENTRY_FOLDER || next->mtime.tv_sec < last->shown_from ||
        next->mtime.tv_sec > last->mtime.tv_sec)
        return;
    next->shown_from = last->shown_from;
    next->mtime.tv_sec = last->mtime.tv_sec + 1;
}

/* A folder's first time is that of its newest child; it moves on whenever a name in it moves. */
static void set_folder_time(const struct entry *last, struct entry *next)
{
    for (size_t i = 0; i < next->count; i++) {
        if (is_later(next->children[i]->mtime, next->mtime))
            next->mtime = next->children[i]->mtime;
    }
    if (!last)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!is_later(now, last->mtime)) {
        now = last->mtime;
        now.tv_nsec++;
        if (now.tv_nsec == 1000000000) {
            now.tv_nsec = 0;
            now.tv_sec++;
        }
    }
    next->mtime = now;
}

struct entry *generation_share(struct entry *last, struct entry *next, const struct origin *origin,
                               _Atomic uint64_t *next_number)
{
    /* Taken from the last generation as it is. */
    if (next == last) {
        entry_unref(next);
        return entry_ref(last);
    }
    bool both_folders = last && last->kind == ENTRY_FOLDER && next->kind == ENTRY_FOLDER;
    /* A folder that heals goes on from what it was, so that whoever stands below it stays there. */
    struct entry *healthy = both_folders && last->before ? last->before : last;
    bool same = last && is_same(last, next, origin) && last->count == next->count;

    for (size_t i = 0; i < next->count; i++) {
        struct entry *before = both_folders ? entry_child(healthy, next->children[i]->name) : NULL;
        next->children[i] = generation_share(before, next->children[i], origin, next_number);
        same = same && next->children[i] == before;
    }
    if (same) {
        entry_unref(next);
        return entry_ref(last);
    }
    if (both_folders && next->failure)
        next->before = entry_ref(healthy);
    if (next->kind == ENTRY_FOLDER) {
        set_folder_time(both_folders ? last : NULL, next);
    } else if (last) {
        set_file_time(last, next);
    } else {
        next->shown_from = next->mtime.tv_sec;
    }
    /* A folder keeps its number as long as there is one at its path. */
    next->number = both_folders ? last->number : atomic_fetch_add(next_number, 1);
    return next;
}
