#include "view_parts.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char *const top_names[] = {"HEAD", "branches", "commits", "snapshots", "tags"};
enum { TOP_COUNT = sizeof(top_names) / sizeof(top_names[0]) };

static const char current_name[] = "current";

/* Names whose numbers are remembered; those that come later have another one each time. */
enum { NUMBERS_LIMIT = 20000 };

/* --- Numbers ------------------------------------------------------------------------------------
 */

uint64_t view_number_of(struct view *view, const char *folder, const char *name)
{
    cleanup_free char *path = path_join(folder, name);
    cleanup_lock(&view->names_lock);
    uint64_t *number = path ? map_find(&view->numbers, path) : NULL;

    if (number || !path)
        return number ? *number : 0;
    if (view->numbers.count >= NUMBERS_LIMIT)
        return view_new_number(view);
    number = malloc(sizeof(*number));
    if (!number || map_put(&view->numbers, path, number) < 0) {
        free(number);
        return 0;
    }
    *number = atomic_fetch_add(&view->next_number, 1);
    return *number;
}

void view_forget_names(struct view *view)
{
    map_clear(&view->numbers, free);
    pthread_mutex_destroy(&view->names_lock);
}

/* --- Finding ------------------------------------------------------------------------------------
 */

void view_name_clear(struct view_name *name)
{
    free(name->target);
    generation_unref(name->frozen);
    *name = (struct view_name){.target = NULL};
}

/* `target` is taken over. */
static int answer_link(struct view *view, const char *folder, const char *name, char *target,
                       int64_t time, struct view_name *ret_name, struct error *error)
{
    uint64_t number = target ? view_number_of(view, folder, name) : 0;

    if (number == 0) {
        free(target);
        return error_errno(error, -ENOMEM, "%s", name);
    }
    *ret_name = (struct view_name){
        .kind = VIEW_LINK,
        .number = number,
        .target = target,
        .mtime = {.tv_sec = (time_t)time},
    };
    return 0;
}

/* A link from `folder` to the tree of a commit. */
static int answer_ref(struct view *view, const char *folder, const char *name,
                      const struct ref *ref, struct view_name *ret_name, struct error *error)
{
    char *target = NULL;
    size_t used = 0;

    if (*folder == '\0') {
        if (asprintf(&target, "commits/%s", ref->commit) < 0)
            target = NULL;
        return answer_link(view, folder, name, target, ref->time, ret_name, error);
    }
    size_t depth = 1;
    for (const char *at = folder; *at; at++)
        depth += *at == '/';
    size_t room = 3 * depth + sizeof("commits/") + sizeof(ref->commit);
    target = malloc(room);
    for (size_t i = 0; target && i < depth; i++, used += 3)
        memcpy(target + used, "../", 3);
    if (target)
        snprintf(target + used, room - used, "commits/%s", ref->commit);
    return answer_link(view, folder, name, target, ref->time, ret_name, error);
}

/* A folder, the same as long as there is one. */
static int answer_folder(struct view *view, const char *folder, const char *name,
                         struct view_name *ret_name, struct error *error)
{
    uint64_t number = view_number_of(view, folder, name);

    *ret_name = (struct view_name){
        .kind = VIEW_FOLDER,
        .number = number,
        .mtime = view->opened,
    };
    return number ? 0 : error_errno(error, -ENOMEM, "%s", name);
}

static void answer_frozen(struct generation *frozen, struct view_name *ret_name)
{
    *ret_name = (struct view_name){
        .kind = VIEW_FROZEN,
        .number = frozen->root->number,
        .mtime = frozen->root->mtime,
        .frozen = frozen,
    };
}

void view_folder(struct view *view, const char *folder, struct view_name *ret_name)
{
    (void)answer_folder(view, "", folder, ret_name, NULL);
}

static int find_top(struct view *view, const char *name, struct view_name *ret_name,
                    struct error *error)
{
    struct ref head;

    if (strcmp(name, "HEAD") == 0) {
        int r = refs_head(view->source, &head, error);
        return r < 0 ? r : answer_ref(view, "", name, &head, ret_name, error);
    }
    for (size_t i = 0; i < TOP_COUNT; i++) {
        if (strcmp(name, top_names[i]) == 0)
            return answer_folder(view, "", name, ret_name, error);
    }
    return error_errno(error, -ENOENT, "%s", name);
}

static int find_ref(struct view *view, enum refs_kind kind, const char *folder, const char *below,
                    const char *name, struct view_name *ret_name, struct error *error)
{
    cleanup_free char *path = path_join(below, name);
    struct ref ref;

    if (!path)
        return error_errno(error, -ENOMEM, "%s", name);
    int r = refs_find(view->source, kind, path, &ref, error);
    if (r < 0)
        return r;
    return ref.is_folder ? answer_folder(view, folder, name, ret_name, error)
                         : answer_ref(view, folder, name, &ref, ret_name, error);
}

/* While there is no repository, what is held of it can be read on: 0, and otherwise `failure`. */
static int find_held(struct view *view, const char *id, int failure, struct view_name *ret_name)
{
    struct frozen_gone gone = {0};

    if (refs_are_there(view->source))
        return failure;
    struct generation *frozen = frozen_use(&view->commits, id, &gone);
    frozen_release(&view->commits, &gone);
    if (!frozen)
        return failure;
    answer_frozen(frozen, ret_name);
    return 0;
}

static int find_commit(struct view *view, const char *name, const _Atomic bool *interrupted,
                       struct view_name *ret_name, struct error *error)
{
    struct generation *frozen = NULL;
    struct ref ref;

    int r = refs_commit(view->source, name, &ref, error);
    if (r < 0)
        return r == -EIO ? find_held(view, name, r, ret_name) : r;
    if (strcmp(name, ref.commit) != 0)
        return answer_link(view, "commits", name, strdup(ref.commit), ref.time, ret_name, error);
    r = view_commit(view, ref.commit, interrupted, &frozen, error);
    if (r < 0)
        return r;
    answer_frozen(frozen, ret_name);
    return 0;
}

static int find_snapshot(struct view *view, const char *name, const _Atomic bool *interrupted,
                         struct view_name *ret_name, struct error *error)
{
    struct frozen_gone gone = {0};
    struct generation *frozen;

    if (strcmp(name, current_name) == 0) {
        cleanup_generation struct generation *now = NULL;
        int r = view_snapshot(view, interrupted, &now, error);
        return r < 0 ? r
                     : answer_link(view, "snapshots", name, strdup(now->id),
                                   now->root->mtime.tv_sec, ret_name, error);
    }
    frozen = frozen_use(&view->snapshots, name, &gone);
    frozen_release(&view->snapshots, &gone);
    if (!frozen)
        return error_errno(error, -ENOENT, "snapshots/%s", name);
    answer_frozen(frozen, ret_name);
    return 0;
}

/* What of `folder` is below `top`: "" or "feature"; NULL if it is not there. */
static const char *below(const char *folder, const char *top)
{
    size_t length = strlen(top);

    if (!path_is_within(folder, top))
        return NULL;
    return folder[length] == '/' ? folder + length + 1 : folder + length;
}

int view_find(struct view *view, const char *folder, const char *name,
              const _Atomic bool *interrupted, struct view_name *ret_name, struct error *error)
{
    const char *rest;

    if (*folder == '\0')
        return find_top(view, name, ret_name, error);
    if ((rest = below(folder, "branches")))
        return find_ref(view, REFS_BRANCHES, folder, rest, name, ret_name, error);
    if ((rest = below(folder, "tags")))
        return find_ref(view, REFS_TAGS, folder, rest, name, ret_name, error);
    if (strcmp(folder, "commits") == 0)
        return find_commit(view, name, interrupted, ret_name, error);
    if (strcmp(folder, "snapshots") == 0)
        return find_snapshot(view, name, interrupted, ret_name, error);
    return error_errno(error, -ENOENT, "%s/%s", folder, name);
}

/* --- Listing ------------------------------------------------------------------------------------
 */

void view_names_clear(struct view_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i].name);
    free(names->items);
    *names = (struct view_names){0};
}

int view_names_add(struct view_names *names, const char *name, enum view_kind kind, uint64_t number)
{
    struct view_listed *items = reallocarray(names->items, names->count + 1, sizeof(*names->items));

    if (!items)
        return -ENOMEM;
    names->items = items;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    items[names->count++] = (struct view_listed){copy, kind, number};
    return 0;
}

/* A link or a folder. */
static int add(struct view *view, const char *folder, struct view_names *names, const char *name,
               enum view_kind kind)
{
    uint64_t number = view_number_of(view, folder, name);

    return number ? view_names_add(names, name, kind, number) : -ENOMEM;
}

static int list_top(struct view *view, struct view_names *names)
{
    struct ref head;
    int r = 0;

    for (size_t i = 0; r == 0 && i < TOP_COUNT; i++) {
        bool is_head = strcmp(top_names[i], "HEAD") == 0;
        if (!is_head || refs_head(view->source, &head, NULL) != -ENOENT)
            r = add(view, "", names, top_names[i], is_head ? VIEW_LINK : VIEW_FOLDER);
    }
    return r;
}

static int list_refs(struct view *view, enum refs_kind kind, const char *folder, const char *below,
                     struct view_names *names, struct error *error)
{
    cleanup_ref_names struct ref_names refs = {0};

    int r = refs_list(view->source, kind, below, &refs, error);
    /* A folder of refs is there as long as there are refs in it, were they tags of no commit. */
    if (r == 0 && refs.count == 0 && *below) {
        struct ref ref;
        r = refs_find(view->source, kind, below, &ref, error);
        if (r == 0 && !ref.is_folder)
            r = error_errno(error, -ENOTDIR, "%s", folder);
    }
    for (size_t i = 0; r == 0 && i < refs.count; i++)
        r = add(view, folder, names, refs.items[i].name,
                refs.items[i].is_folder ? VIEW_FOLDER : VIEW_LINK);
    return r;
}

/* HEAD, and those that are in use or have been lately. Not none because HEAD cannot be read. */
static int list_commits(struct view *view, struct view_names *names, struct error *error)
{
    cleanup_view_names struct view_names known = {0};
    struct ref head;
    int found = refs_head(view->source, &head, error);
    bool has_head = found == 0;
    int r = frozen_list(&view->commits, &known);

    for (size_t i = 0; r == 0 && i < known.count; i++) {
        const struct view_listed *commit = &known.items[i];
        int order = has_head ? strcmp(head.commit, commit->name) : 1;
        if (order < 0)
            r = view_names_add(names, head.commit, VIEW_FROZEN, 0);
        has_head = has_head && order > 0;
        if (r < 0)
            break;
        if (order == 0 || refs_has_commit(view->source, commit->name))
            r = view_names_add(names, commit->name, VIEW_FROZEN, commit->number);
        else
            frozen_take_out(&view->commits, commit->name);
    }
    if (r == 0 && has_head)
        r = view_names_add(names, head.commit, VIEW_FROZEN, 0);
    return r == 0 && names->count == 0 && found != -ENOENT ? found : r;
}

static int list_snapshots(struct view *view, struct view_names *names)
{
    int r = frozen_list(&view->snapshots, names);

    return r < 0 ? r : add(view, "snapshots", names, current_name, VIEW_LINK);
}

int view_list(struct view *view, const char *folder, struct view_names *ret_names,
              struct error *error)
{
    struct view_names names = {0};
    const char *rest;
    int r;

    if (*folder == '\0')
        r = list_top(view, &names);
    else if ((rest = below(folder, "branches")))
        r = list_refs(view, REFS_BRANCHES, folder, rest, &names, error);
    else if ((rest = below(folder, "tags")))
        r = list_refs(view, REFS_TAGS, folder, rest, &names, error);
    else if (strcmp(folder, "commits") == 0)
        r = list_commits(view, &names, error);
    else if (strcmp(folder, "snapshots") == 0)
        r = list_snapshots(view, &names);
    else
        r = -ENOENT;
    if (r < 0) {
        view_names_clear(&names);
        return r == -ENOMEM || r == -ENOENT ? error_errno(error, r, "%s", folder) : r;
    }
    *ret_names = names;
    return 0;
}
