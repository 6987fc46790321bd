#include "generation_share.h"

#include "stamp.h"

#include <addonfs/generation.h>
#include <addonfs/path.h>
#include <addonfs/text.h>
#include <stdatomic.h>
#include <string.h>

static bool same_owner(const struct source_owner *a, const struct source_owner *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

/* What a lazy folder is made of: are names, owners and files the same? */
static bool is_same_tree(const struct entry *last, const struct entry *next)
{
    if (last == next)
        return true;
    bool same = last->kind == next->kind && last->count == next->count &&
                same_owner(&last->owner, &next->owner) && strcmp(last->name, next->name) == 0 &&
                text_equal(last->failure, next->failure) && file_equal(last->file, next->file);
    for (size_t i = 0; same && i < last->count; i++)
        same = is_same_tree(last->children[i], next->children[i]);
    return same;
}

/* The same content and attributes, folders' children apart. */
static bool is_same(const struct entry *last, const struct entry *next, const struct origin *origin)
{
    if (last->kind != next->kind || !same_owner(&last->owner, &next->owner) ||
        !text_equal(last->failure, next->failure) || !text_equal(last->path, next->path))
        return false;
    if (last->kind == ENTRY_FILE)
        return file_equal(last->file, next->file);
    if (last->kind == ENTRY_ZIP)
        return bundle_equal(last->bundle, next->bundle) && !bundle_heals(last->bundle, origin);
    return last->lazy == next->lazy && (!next->lazy || is_same_tree(last->tree, next->tree));
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/*
 * Times that rsync believes
 *
 * rsync's quick check compares sizes and whole seconds. So other content at a path must not have a
 * second that another content of this path was shown with: it is moved on behind all of them. All
 * the seconds of a path are between the first and the last. That holds for a path that was away for
 * a while, too: what was there before is remembered in `vanished`, by path. It forgets everything
 * when it has become too large, but then remembers up to when: a name that comes is moved on behind
 * that.
 */
enum { VANISHED_LIMIT = 10000 }; /* of some 200 bytes each */

static const char everything[] = ""; /* the key of what was forgotten */

static void widen(struct shown *shown, time_t second)
{
    if (second < shown->first)
        shown->first = second;
    if (second > shown->last)
        shown->last = second;
}

static bool was_shown(const struct shown *shown, time_t second)
{
    return second >= shown->first && second <= shown->last;
}

static void set_file_time(const struct shown *before, struct entry *next)
{
    if (before && was_shown(before, next->mtime.tv_sec))
        next->mtime.tv_sec = before->last + 1;
    next->shown = before ? *before : (struct shown){next->mtime.tv_sec, next->mtime.tv_sec};
    widen(&next->shown, next->mtime.tv_sec);
}

enum { COMPARED_LIMIT = 16 << 20 }; /* bytes that are read to know whether they are the same */

/*
 * A file's mode, owner or number of names has changed and with it its ctime, but neither its bytes
 * nor its own mtime: it is another inode, which has the attributes, with the same time, or rsync
 * would send it again. (An mtime that was set anew is shown.) Bytes that were written and whose
 * mtime was set back look just the same: so they are read, unless they are known.
 */
static bool is_same_content(const struct share *share, const struct entry *last,
                            const struct entry *next)
{
    cleanup_content struct content *content = NULL;
    struct content_id one;
    struct content_id two;

    if (last->kind != ENTRY_FILE || next->kind != ENTRY_FILE || !last->file || !next->file ||
        source_commit(share->origin->source))
        return false;
    struct file *file = next->file;
    if (last->file->size != file->size || last->file->mtime.tv_sec != file->mtime.tv_sec ||
        last->file->mtime.tv_nsec != file->mtime.tv_nsec || !file_known_id(last->file, &one))
        return false;
    if (!file_known_id(file, &two)) {
        if (file->size > COMPARED_LIMIT ||
            source_read(file, share->origin->spool, 0, &content, NULL) < 0)
            return false;
        two = content->id;
    }
    return content_id_equal(&one, &two);
}

/* Remember with what `path` was shown. */
static void remember(struct map *vanished, const char *path, const struct shown *shown)
{
    struct shown *known = map_find(vanished, path);

    if (known) {
        widen(known, shown->first);
        widen(known, shown->last);
        return;
    }
    struct shown *copy = malloc(sizeof(*copy));
    if (!copy)
        return;
    *copy = *shown;
    if (map_put(vanished, path, copy) < 0)
        free(copy);
}

static int find_last(void *context, const char *path, void *value)
{
    const struct shown *shown = value;

    (void)path;
    widen(context, shown->last);
    return 0;
}

static void forget_all(struct map *vanished)
{
    struct shown all = {0, 0};

    (void)map_each(vanished, find_last, &all);
    map_clear(vanished, free);
    remember(vanished, everything, &all);
}

/* Remember all files of a tree that has gone; of a folder that failed, those that it had before. */
static void vanish(struct map *vanished, const struct entry *gone, const char *path)
{
    if (gone->before)
        vanish(vanished, gone->before, path);
    for (size_t i = 0; i < gone->count; i++) {
        cleanup_free char *below = path_join(path, gone->children[i]->name);
        if (below)
            vanish(vanished, gone->children[i], below);
    }
    if (gone->kind == ENTRY_FOLDER)
        return;
    if (vanished->count >= VANISHED_LIMIT)
        forget_all(vanished);
    remember(vanished, path, &gone->shown);
}

/* What a file that comes to `path` was shown with before, if it was there. */
static const struct shown *shown_before(const struct share *share, const char *path,
                                        struct shown *ret)
{
    if (!share->vanished)
        return NULL;
    cleanup_free struct shown *known = map_remove(share->vanished, path);
    const struct shown *all = map_find(share->vanished, everything);
    if (known)
        *ret = *known;
    else if (all)
        *ret = *all;
    else
        return NULL;
    if (all)
        widen(ret, all->last);
    return ret;
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

/* What is there no more. Both are folders; names are sorted. */
static void vanish_children(const struct share *share, const struct entry *last,
                            const struct entry *next, const char *path)
{
    if (!share->vanished)
        return;
    for (size_t i = 0; i < last->count; i++) {
        const struct entry *gone = last->children[i];
        const struct entry *now = entry_child(next, gone->name);
        cleanup_free char *below = NULL;
        if (now && (now->kind == ENTRY_FOLDER) == (gone->kind == ENTRY_FOLDER))
            continue;
        if ((below = path_join(path, gone->name)))
            vanish(share->vanished, gone, below);
    }
}

/* The time of what is new or other at `path`. */
static void set_time(const struct share *share, const struct entry *last, struct entry *next,
                     const char *path)
{
    bool both_folders = last && last->kind == ENTRY_FOLDER && next->kind == ENTRY_FOLDER;
    struct shown before;

    if (next->kind == ENTRY_FOLDER) {
        set_folder_time(both_folders ? last : NULL, next);
    } else if (last && is_same_content(share, last, next)) {
        next->mtime = last->mtime;
        next->shown = last->shown;
    } else if (last && last->kind != ENTRY_FOLDER) {
        set_file_time(&last->shown, next);
    } else {
        set_file_time(shown_before(share, path, &before), next);
    }
}

/*
 * Folders that failed
 *
 * One that has failed keeps what it was before: a folder that heals goes on from there, so that
 * whoever stands below it stays there. And what is known of it in spite of its failure goes on from
 * that.
 */
static struct entry *known_child(const struct entry *folder, const char *name)
{
    struct entry *child = entry_child(folder, name);

    return child || !folder->before ? child : entry_child(folder->before, name);
}

/* Everything that was known of the folder, a reference; or less, for want of memory. */
static struct entry *all_known(struct entry *folder)
{
    struct entry *all;

    if (!folder->failure || !folder->before)
        return entry_ref(folder);
    all = folder->count > 0 ? entry_copy_folder(folder->before) : NULL;
    if (!all)
        return entry_ref(folder->before);
    for (size_t i = 0; i < folder->count; i++) {
        struct entry *child = folder->children[i];
        (void)entry_replace(all, child->name, entry_ref(child));
    }
    return all;
}

static void vanish_known(const struct share *share, const struct entry *last,
                         const struct entry *next, const char *path)
{
    vanish_children(share, last, next, path);
    if (last->before)
        vanish_children(share, last->before, next, path);
}

static struct entry *share_entry(const struct share *share, struct entry *last, struct entry *next,
                                 const char *path)
{
    last = last ? entry_filled(last) : NULL;
    /* Taken from the last generation as it is. */
    if (next == last) {
        entry_unref(next);
        return entry_ref(last);
    }
    bool both_folders = last && last->kind == ENTRY_FOLDER && next->kind == ENTRY_FOLDER;
    bool same = last && is_same(last, next, share->origin) && last->count == next->count;

    for (size_t i = 0; i < next->count; i++) {
        struct entry *child = next->children[i];
        cleanup_free char *below = path_join(path, child->name);
        struct entry *before = both_folders ? known_child(last, child->name) : NULL;
        next->children[i] = share_entry(share, before, child, below ? below : child->name);
        same = same && next->children[i] == before;
    }
    if (same) {
        /* The next walk goes on from the newer tree (package_walk.h). */
        struct entry *tree = last->tree;
        if (!last->lazy && tree != next->tree) {
            last->tree = next->tree;
            next->tree = tree;
        }
        entry_unref(next);
        return entry_ref(last);
    }
    if (both_folders && next->failure)
        next->before = all_known(last);
    else if (both_folders)
        vanish_known(share, last, next, path);
    if (last && last->kind == ENTRY_ZIP && next->kind == ENTRY_ZIP)
        entry_succeed(next, last);
    set_time(share, last, next, path);
    /* A folder keeps its number as long as there is one at its path. */
    next->number = both_folders ? last->number : atomic_fetch_add(share->next_number, 1);
    return next;
}

struct entry *generation_share(const struct share *share, struct entry *last, struct entry *next,
                               const char *path)
{
    return share_entry(share, last, next, path);
}

static bool is_as_before(const struct entry *known, const struct entry *built,
                         const struct origin *origin)
{
    bool same = known->count == built->count && strcmp(known->name, built->name) == 0 &&
                stamp_times_are_same(known->mtime, built->mtime) && is_same(known, built, origin);

    for (size_t i = 0; same && i < known->count; i++)
        same = is_as_before(known->children[i], built->children[i], origin);
    return same;
}

bool generation_is_as_before(const struct generation *known, const struct generation *built,
                             const struct origin *origin)
{
    return is_as_before(known->root, built->root, origin);
}
