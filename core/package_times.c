#include "package_times.h"

#include <addonfs/path.h>
#include <errno.h>
#include <string.h>

/* The paths that are asked for, each once and sorted when they are; they belong to entries. */
struct paths {
    const char **items;
    size_t count;
    size_t capacity;
    int64_t *times;
};

static void paths_clear(struct paths *paths)
{
    free(paths->items);
    free(paths->times);
}

static int add(struct paths *paths, const char *path)
{
    if (!path || (paths->count > 0 && paths->items[paths->count - 1] == path))
        return 0;
    if (paths->count == paths->capacity) {
        size_t capacity = paths->capacity ? 2 * paths->capacity : 64;
        const char **items = reallocarray(paths->items, capacity, sizeof(char *));
        if (!items)
            return -ENOMEM;
        paths->items = items;
        paths->capacity = capacity;
    }
    paths->items[paths->count++] = path;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort(struct paths *paths)
{
    size_t kept = 0;

    if (paths->count > 0)
        qsort(paths->items, paths->count, sizeof(char *), compare);
    for (size_t i = 0; i < paths->count; i++) {
        if (i == 0 || strcmp(paths->items[i], paths->items[kept - 1]) != 0)
            paths->items[kept++] = paths->items[i];
    }
    paths->count = kept;
}

/* `*newest` or the time of `path` (which may be NULL), whichever is later. */
static void take_later(const struct paths *paths, const char *path, int64_t *newest)
{
    const char *const *found =
        path ? bsearch(&path, paths->items, paths->count, sizeof(char *), compare) : NULL;

    if (found && paths->times[found - paths->items] > *newest)
        *newest = paths->times[found - paths->items];
}

/* What is done with each path that an entry's content comes from. */
typedef int (*path_visitor)(void *context, const char *path);

static int visit_file(const struct file *file, path_visitor visit, void *context)
{
    int r = visit(context, file->real);

    if (r == 0 && file->link)
        r = visit(context, file->link);
    return r == 0 && file->also ? visit(context, file->also) : r;
}

/* A folder that a rule names: `*ret_real` is what files below it need not be visited for. */
static int visit_root(const struct origin *origin, const struct entry *entry, path_visitor visit,
                      void *context, const char **ret_real)
{
    struct source_folder *folder = NULL;

    int r = source_list(origin->source, entry->path, &folder, NULL);
    if (r < 0)
        return error_is_transient(r) ? r : 0;
    *ret_real = folder->real;
    r = visit(context, folder->real);
    return r == 0 && folder->link ? visit(context, folder->link) : r;
}

/* The folders that a zip is made of, and those files that are elsewhere. */
static int visit_tree(const struct origin *origin, const struct entry *entry, const char *real,
                      path_visitor visit, void *context)
{
    const struct file *file = entry->file;
    int r = 0;

    if (entry->failure)
        return 0;
    if (entry->kind == ENTRY_ZIP)
        return visit_tree(origin, entry->tree, NULL, visit, context);
    if (entry->kind == ENTRY_FILE)
        return !real || file->link || file->also || !path_is_within(file->real, real)
                   ? visit_file(file, visit, context)
                   : 0;
    if (!real && entry->path && *entry->path)
        r = visit_root(origin, entry, visit, context, &real);
    for (size_t i = 0; r == 0 && i < entry->count; i++)
        r = visit_tree(origin, entry->children[i], real, visit, context);
    return r;
}

static int visit_entry(const struct origin *origin, const struct entry *entry, path_visitor visit,
                       void *context)
{
    return entry->kind == ENTRY_ZIP ? visit_tree(origin, entry, NULL, visit, context)
                                    : visit_file(entry->file, visit, context);
}

static bool is_timed(const struct entry *entry)
{
    return entry->kind != ENTRY_FOLDER && entry->number == 0 && !entry->failure;
}

static int collect_path(void *context, const char *path)
{
    return add(context, path);
}

static int collect(const struct origin *origin, const struct entry *entry, struct paths *paths)
{
    int r = is_timed(entry) ? visit_entry(origin, entry, collect_path, paths) : 0;

    for (size_t i = 0; r == 0 && i < entry->count; i++)
        r = collect(origin, entry->children[i], paths);
    return r;
}

struct newest {
    const struct paths *paths;
    int64_t time;
};

static int compare_time(void *context, const char *path)
{
    struct newest *newest = context;

    take_later(newest->paths, path, &newest->time);
    return 0;
}

static int set(const struct origin *origin, struct entry *entry, const struct paths *paths)
{
    struct newest newest = {paths, INT64_MIN};
    int r = 0;

    if (is_timed(entry)) {
        r = visit_entry(origin, entry, compare_time, &newest);
        if (newest.time != INT64_MIN)
            entry->mtime = (struct timespec){.tv_sec = (time_t)newest.time};
    }
    for (size_t i = 0; r == 0 && i < entry->count; i++)
        r = set(origin, entry->children[i], paths);
    return r;
}

static int check(const void *context)
{
    return origin_check(context);
}

int package_set_times(const struct origin *origin, struct entry *root, const char *affects,
                      struct problems *problems, bool *ret_retry, struct error *error)
{
    __attribute__((cleanup(paths_clear))) struct paths paths = {0};
    struct error why = {0};

    int r = collect(origin, root, &paths);
    if (r < 0)
        return error_errno(error, r, "%s", affects);
    sort(&paths);
    paths.times = calloc(paths.count + 1, sizeof(*paths.times));
    if (!paths.times)
        return error_errno(error, -ENOMEM, "%s", affects);
    r = source_times(origin->source, origin->cache, paths.items, paths.count, paths.times, check,
                     origin, &why);
    if (r == 0) {
        r = set(origin, root, &paths);
        return r < 0 ? error_errno(error, r, "%s", affects) : 0;
    }
    /* What is of the moment must not become a time for ever. */
    if (error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    *ret_retry = true;
    r = problems_add(problems, source_path(origin->source), why.text, true, affects);
    return r < 0 ? error_errno(error, r, "%s", affects) : 0;
}
