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

    return r == 0 && file->link ? visit(context, file->link) : r;
}

/* The folder, and those members that are elsewhere. */
static int visit_zip(const struct origin *origin, const struct entry *entry, path_visitor visit,
                     void *context)
{
    struct source_folder *folder = NULL;
    size_t count = 0;
    const struct bundle_member *members = bundle_members(entry->bundle, &count);

    int r = source_list(origin->source, entry->path, &folder, NULL);
    if (r == 0)
        r = visit(context, folder->real);
    if (r == 0 && folder->link)
        r = visit(context, folder->link);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct file *file = members[i].file;
        if (file && (file->link || !path_is_within(file->real, folder->real)))
            r = visit_file(file, visit, context);
    }
    return r;
}

static int visit_entry(const struct origin *origin, const struct entry *entry, path_visitor visit,
                       void *context)
{
    return entry->kind == ENTRY_ZIP ? visit_zip(origin, entry, visit, context)
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

int package_set_times(const struct origin *origin, struct package *package, struct error *error)
{
    __attribute__((cleanup(paths_clear))) struct paths paths = {0};
    struct error why = {0};

    int r = collect(origin, package->folder, &paths);
    if (r < 0)
        return error_errno(error, r, "%s", package->addon);
    sort(&paths);
    paths.times = calloc(paths.count + 1, sizeof(*paths.times));
    if (!paths.times)
        return error_errno(error, -ENOMEM, "%s", package->addon);
    r = source_times(origin->source, origin->cache, paths.items, paths.count, paths.times, check,
                     origin, &why);
    if (r == 0) {
        r = set(origin, package->folder, &paths);
        return r < 0 ? error_errno(error, r, "%s", package->addon) : 0;
    }
    /* What is of the moment must not become a time for ever. */
    if (error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    package->retry = true;
    r = problems_add(&package->problems, source_path(origin->source), why.text, true,
                     package->addon);
    return r < 0 ? error_errno(error, r, "%s", package->addon) : 0;
}
