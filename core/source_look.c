#include "source_backend.h"

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

/*
 * A look
 *
 * source_refresh compares what was asked for since with what is there. Then the same and more is
 * asked for: a folder whose record is there was compared, one that is new is compared on the spot.
 * What nobody asked for any more is forgotten by source_settle. So the records are what a change
 * has to be looked for in, and nothing else is.
 */

uint64_t source_look_number(const struct source *source)
{
    return source->look;
}

uint64_t source_owners_changed(const struct source *source)
{
    return source->owners;
}

/* Compare one folder with what it was, once a look. */
static int check(struct source *source, struct source_folder *folder, bool *ret_changed,
                 struct error *error)
{
    int failure = folder->failure;
    bool changed = false;
    int r = 0;

    if (folder->checked == source->look)
        return 0;
    /* Watched, and nothing has happened since it was compared. */
    bool quiet = !source->poll && folder->watched && folder->checked && !folder->dirty;
    if (!quiet)
        r = source->backend->load(source, folder, &changed, error);
    else if (folder->unsure)
        r = source->backend->load_unsure(source, folder, &changed, error);
    /* While it cannot be listed, nobody knows who may enter it: see source_owners_changed. */
    if (folder->changed && (failure == 0) != (folder->failure == 0))
        source->owners = source->look;
    /* Even if it failed half-way: the folder holds what it found until then, and will find no
     * difference to that the next time. */
    if (changed || (r == 0 && !folder->changed))
        folder->changed = source->look;
    *ret_changed = *ret_changed || changed;
    if (r < 0)
        return r;
    folder->dirty = false;
    folder->checked = source->look;
    return 0;
}

struct check_all {
    struct source *source;
    bool changed;
    int result;
    struct error *error;
};

static void check_node(const void *node, VISIT visit, void *context)
{
    struct check_all *all = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit != postorder && visit != leaf) || all->result < 0)
        return;
    all->result = check(all->source, folder, &all->changed, all->error);
}

static int mark_suspect(void *context, const char *path, void *value)
{
    struct source *source = context;
    struct source_folder *folder = source_known(source, path);

    (void)value;
    if (folder)
        folder->dirty = source->pending = true;
    return 0;
}

static void mark_suspects(struct source *source)
{
    cleanup_lock(&source->suspects_lock);

    if (source->suspects.count == 0)
        return;
    (void)map_each(&source->suspects, mark_suspect, source);
    map_clear(&source->suspects, NULL);
}

bool source_is_watched(const struct source *source)
{
    return source->backend->forget != NULL && !source->poll;
}

int source_refresh(struct source *source, bool *ret_changed, struct error *error)
{
    struct check_all all = {.source = source, .error = error};
    int was_broken = source->broken.code;
    struct error why = {0};

    source->look++;
    source->renewed = false;
    mark_suspects(source);
    int r = source->backend->begin(source, &why);
    if (r < 0) {
        *ret_changed = was_broken != r || strcmp(source->broken.text, why.text) != 0;
        source->broken = why;
        source->broken.code = r;
        if (error)
            *error = source->broken;
        return r;
    }
    source->broken.code = 0;
    /*
     * A new commit makes every folder worth building from again, even where nothing differs.
     * Comparing is then left to whoever asks for the folder.
     */
    bool nothing_told = source_is_watched(source) && !source->pending && source->unsure == 0;
    if (!source->renewed && !was_broken && !nothing_told)
        twalk_r(source->folders, check_node, &all);
    source->pending = source->pending && all.result < 0;
    *ret_changed = all.changed || source->renewed || was_broken || source->unreported;
    source->unreported = *ret_changed && all.result < 0;
    return all.result;
}

struct mark {
    const char *path;
    const char *real;
};

static void mark_node(const void *node, VISIT visit, void *context)
{
    const struct mark *mark = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit == postorder || visit == leaf) &&
        (path_is_within(folder->path, mark->path) || path_is_within(folder->real, mark->real)))
        folder->dirty = true;
}

void source_mark(struct source *source, const char *path, const char *real)
{
    struct mark mark = {path, real};

    twalk_r(source->folders, mark_node, &mark);
    source->pending = true;
}

/* Is the path, or a folder that it lies in, one of these? */
static bool is_at_or_below(const char *path, const struct map *paths)
{
    char prefix[PATH_MAX];
    size_t length = strlen(path);

    /* No path that can be opened is longer. */
    if (length >= sizeof(prefix))
        return true;
    memcpy(prefix, path, length + 1);
    for (;;) {
        if (map_find(paths, prefix))
            return true;
        if (*prefix == '\0')
            return false;
        char *slash = strrchr(prefix, '/');
        *(slash ? slash : prefix) = '\0';
    }
}

struct mark_below {
    const struct map *paths;
};

static void mark_node_below(const void *node, VISIT visit, void *context)
{
    const struct mark_below *mark = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit == postorder || visit == leaf) &&
        (is_at_or_below(folder->path, mark->paths) ||
         (strcmp(folder->path, folder->real) != 0 && is_at_or_below(folder->real, mark->paths))))
        folder->dirty = true;
}

void source_mark_below(struct source *source, const struct map *paths)
{
    struct mark_below mark = {paths};

    twalk_r(source->folders, mark_node_below, &mark);
    source->pending = true;
}

void source_set_unsure(struct source *source, struct source_folder *folder, bool unsure)
{
    if (folder->unsure != unsure)
        source->unsure += unsure ? 1 : SIZE_MAX;
    folder->unsure = unsure;
}

struct settle {
    struct source *source;
    struct source_folder *unasked;
};

static void settle_node(const void *node, VISIT visit, void *context)
{
    struct settle *settle = context;
    struct source_folder *folder = *(struct source_folder *const *)node;

    if ((visit == postorder || visit == leaf) && folder->asked != settle->source->look) {
        folder->next = settle->unasked;
        settle->unasked = folder;
    }
}

void source_settle(struct source *source)
{
    struct settle settle = {.source = source};

    twalk_r(source->folders, settle_node, &settle);
    while (settle.unasked) {
        struct source_folder *folder = settle.unasked;
        settle.unasked = folder->next;
        tdelete(folder, &source->folders, folder_compare);
        source_set_unsure(source, folder, false);
        if (source->backend->forget)
            source->backend->forget(source, folder);
        folder_free(folder);
    }
}

struct source_folder *source_known(const struct source *source, const char *path)
{
    struct source_folder wanted = {.path = (char *)(uintptr_t)path};
    struct source_folder *const *found = tfind(&wanted, &source->folders, folder_compare);

    return found ? *found : NULL;
}

/* The folder at a place, made if need be and compared in this look. */
static int folder_get(struct source *source, const struct folder_place *place,
                      struct source_folder **ret_folder, struct error *error)
{
    struct source_folder *folder = source_known(source, place->path);
    bool changed = false;

    if (!folder) {
        folder = folder_new(place);
        if (!folder || !tsearch(folder, &source->folders, folder_compare)) {
            folder_free(folder);
            return error_errno(error, -ENOMEM, "%s", place->path);
        }
    } else if (!folder_is_at(folder, place)) {
        int r = folder_move(source, folder, place, error);
        if (r < 0)
            return r;
    }
    folder->asked = source->look;
    *ret_folder = folder;
    return check(source, folder, &changed, error);
}

/* The same, or why it cannot be listed. */
static int folder_list(struct source *source, const struct folder_place *place,
                       struct source_folder **ret_folder, struct error *error)
{
    struct source_folder *folder = NULL;

    int r = folder_get(source, place, &folder, error);
    if (r < 0)
        return r;
    if (folder->failure) {
        if (error && folder->error)
            *error = *folder->error;
        return folder->failure;
    }
    *ret_folder = folder;
    return 0;
}

/* Ask for each folder above `real`, from the root down. `owners` has room for them, or is NULL. */
static int ask_above(struct source *source, const char *real, struct source_owner *owners,
                     struct error *error)
{
    static const struct source_owner unknown = {.mode = 0700};
    cleanup_free char *prefix = strdup(real);
    size_t count = 0;

    if (!prefix)
        return error_errno(error, -ENOMEM, "%s", real);
    for (size_t length = 0; real[length] != '\0'; length++) {
        struct source_folder *folder = NULL;
        if (length > 0 && real[length] != '/')
            continue;
        prefix[length] = '\0';
        const struct folder_place place = {prefix, prefix, NULL};
        int r = folder_get(source, &place, &folder, error);
        prefix[length] = real[length];
        if (r < 0)
            return r;
        if (!owners)
            continue;
        owners[count] = folder->failure ? unknown : folder->owner;
        if (folder->failure) {
            owners[count].uid = geteuid();
            owners[count].gid = getegid();
        }
        count++;
    }
    return 0;
}

int source_owners_above(struct source *source, const char *real, struct source_owner **ret_owners,
                        size_t *ret_count, struct error *error)
{
    size_t count = *real != '\0';

    for (const char *at = real; *at; at++)
        count += *at == '/';
    cleanup_free struct source_owner *owners = calloc(count + 1, sizeof(*owners));
    if (!owners)
        return error_errno(error, -ENOMEM, "%s", real);
    int r = ask_above(source, real, owners, error);
    if (r < 0)
        return r;
    *ret_owners = steal_pointer(&owners);
    *ret_count = count;
    return 0;
}

static int real_path(struct source *source, const char *path, char **ret_real, char **ret_link,
                     struct error *error);

int source_list(struct source *source, const char *path, struct source_folder **ret_folder,
                struct error *error)
{
    cleanup_free char *real = NULL;
    cleanup_free char *link = NULL;

    if (source->broken.code)
        return error_set(error, -EIO, "%s", source->broken.text);
    int r = real_path(source, path, &real, &link, error);
    const struct folder_place place = {path, real, link};
    return r < 0 ? r : folder_list(source, &place, ret_folder, error);
}

/* "folder/name" in `path`, which has room for PATH_MAX bytes; false if it is too long. */
static bool join(const char *folder, const char *name, char path[static PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s%s%s", folder, *folder ? "/" : "", name) < PATH_MAX;
}

int source_list_below(struct source *source, const struct source_folder *parent,
                      const struct source_entry *entry, struct source_folder **ret_folder,
                      struct error *error)
{
    char path[PATH_MAX];
    char real[PATH_MAX];

    if (!join(parent->path, entry->name, path) || !join(parent->real, entry->name, real))
        return error_errno(error, -ENAMETOOLONG, "%s/%s", parent->path, entry->name);
    /* What is above a link's target is watched before the target is opened: it may be swapped. */
    int r = entry->real ? ask_above(source, entry->real, NULL, error) : 0;
    if (r < 0)
        return r;
    const struct folder_place place = {path, entry->real ? entry->real : real,
                                       entry->real ? real : parent->link};
    return folder_list(source, &place, ret_folder, error);
}

int source_look(struct source *source, struct source_folder *folder, struct source_entry *entry,
                struct error *error)
{
    if (entry->kind != SOURCE_UNSEEN)
        return 0;
    folder->changed = source->look;
    return source->backend->look(source, folder, entry, error);
}

int source_find(struct source *source, const char *path, struct source_folder **ret_folder,
                struct source_entry **ret_entry, struct error *error)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    struct source_folder *folder = NULL;

    if (!parent)
        return error_errno(error, -ENOMEM, "%s", path);
    int r = source_list(source, parent, &folder, error);
    if (r < 0)
        return r;
    struct source_entry *entry = folder_entry(folder, slash ? slash + 1 : path);
    if (!entry)
        return error_errno(error, -ENOENT, "%s", path);
    r = source_look(source, folder, entry, error);
    if (r < 0)
        return r;
    if (ret_folder)
        *ret_folder = folder;
    *ret_entry = entry;
    return 0;
}

bool source_may_heal(const struct source *source, const char *path)
{
    const struct source_folder *folder = source_known(source, path);
    const char *slash = strrchr(path, '/');

    if (folder && folder->failure && folder->identity.faulty)
        return true;
    if (*path == '\0')
        return false;
    cleanup_free char *above = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    folder = above ? source_known(source, above) : NULL;
    const struct source_entry *entry =
        folder ? folder_entry(folder, slash ? slash + 1 : path) : NULL;
    return (entry && entry->faulty) || (above && source_may_heal(source, above));
}

/* The path of a folder without links: its parent's, and its own name or where its link leads. */
static int real_path(struct source *source, const char *path, char **ret_real, char **ret_link,
                     struct error *error)
{
    struct source_folder *parent = NULL;
    struct source_entry *entry = NULL;
    cleanup_free char *real = NULL;

    if (*path == '\0') {
        *ret_real = strdup("");
        return *ret_real ? 0 : error_errno(error, -ENOMEM, "%s", path);
    }
    int r = source_find(source, path, &parent, &entry, error);
    if (r < 0)
        return r;
    if (entry->kind == SOURCE_OTHER)
        return error_set(error, -EIO, "%s: %s", path, entry->reason);
    if (entry->kind != SOURCE_FOLDER && entry->kind != SOURCE_GITLINK)
        return error_errno(error, -ENOTDIR, "%s", path);
    real = path_join(parent->real, entry->name);
    if (!real)
        return error_errno(error, -ENOMEM, "%s", path);
    if (entry->real) {
        r = ask_above(source, entry->real, NULL, error);
        if (r < 0)
            return r;
        *ret_link = steal_pointer(&real);
        real = strdup(entry->real);
    } else if (parent->link) {
        *ret_link = strdup(parent->link);
    }
    if (!real || ((entry->real || parent->link) && !*ret_link))
        return error_errno(error, -ENOMEM, "%s", path);
    *ret_real = steal_pointer(&real);
    return 0;
}
