#include <addonfs/status.h>

#include <addonfs/deflate.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

CLEANUP(json, cJSON *, cJSON_Delete)
#define cleanup_json __attribute__((cleanup(cleanup_json_scope)))

struct problem_list {
    struct problems problems;
};

static void problem_list_clear(struct problem_list *list)
{
    problems_clear(&list->problems);
}

/* A string that may hold any bytes, as JSON needs it. NULL is null. */
static cJSON *text(const char *bytes)
{
    if (!bytes)
        return cJSON_CreateNull();
    size_t room = error_printable(bytes, strlen(bytes), NULL, 0) + 1;
    cleanup_free char *printable = malloc(room);
    if (!printable)
        return NULL;
    error_printable(bytes, strlen(bytes), printable, room);
    return cJSON_CreateString(printable);
}

/* cJSON_AddItemToObject refuses a NULL item, so one check at the end of a chain is enough. */
static bool add_text(cJSON *object, const char *name, const char *bytes)
{
    return cJSON_AddItemToObject(object, name, text(bytes));
}

static bool add_addons(cJSON *object, const struct generation *generation)
{
    cJSON *addons = cJSON_AddArrayToObject(object, "addons");

    for (size_t i = 0; addons && i < generation->addon_count; i++) {
        cJSON *addon = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(addons, addon) ||
            !add_text(addon, "name", generation->addons[i].name) ||
            !add_text(addon, "version", generation->addons[i].version))
            return false;
    }
    return addons != NULL;
}

static bool add_problems(cJSON *object, const struct problems *problems)
{
    cJSON *array = cJSON_AddArrayToObject(object, "problems");

    for (size_t i = 0; array && i < problems->count; i++) {
        const struct problem *problem = &problems->items[i];
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, item) || !add_text(item, "path", problem->path) ||
            !add_text(item, "reason", problem->reason) ||
            !add_text(item, "severity", problem->warning ? "warning" : "error"))
            return false;
        cJSON *affects = cJSON_AddArrayToObject(item, "affects");
        for (size_t j = 0; affects && j < problem->affects_count; j++) {
            if (!cJSON_AddItemToArray(affects, text(problem->affects[j])))
                return false;
        }
        if (!affects)
            return false;
    }
    return array != NULL;
}

static bool add_counters(cJSON *object, const struct view *view)
{
    struct members_counters counters;

    view_counters(view, &counters);
    if (view_has_cache(view)) {
        cJSON *cache = cJSON_AddObjectToObject(object, "cache");
        if (!cache || !cJSON_AddNumberToObject(cache, "hits", (double)counters.hits) ||
            !cJSON_AddNumberToObject(cache, "misses", (double)counters.misses))
            return false;
    } else if (!cJSON_AddNullToObject(object, "cache")) {
        return false;
    }
    return cJSON_AddNumberToObject(object, "compressed", (double)counters.compressed) &&
           cJSON_AddNumberToObject(object, "read", (double)counters.read);
}

static bool add_versions(cJSON *object, const struct status_mount *mount)
{
    cJSON *versions = cJSON_AddObjectToObject(object, "versions");

    return versions && add_text(versions, "addonfs", mount->version) &&
           add_text(versions, "libfuse", mount->fuse) &&
           add_text(versions, "libgit2", source_library_version()) &&
           add_text(versions, "libdeflate", deflate_library_version());
}

int status_json(struct view *view, const struct status_mount *mount,
                const _Atomic bool *interrupted, char **ret_text, struct error *error)
{
    __attribute__((cleanup(problem_list_clear))) struct problem_list list = {0};
    cleanup_generation struct generation *generation = NULL;
    const struct source *source = view_source(view);

    int r = view_problems(view, interrupted, &generation, &list.problems, error);
    if (r < 0)
        return r;
    cleanup_json cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddNumberToObject(object, "pid", mount->pid) ||
        !add_text(object, "source", source_path(source)) ||
        !add_text(object, "mountpoint", mount->mountpoint) ||
        !cJSON_AddBoolToObject(object, "worktree", source_revision(source) == NULL) ||
        !add_text(object, "revision", source_revision(source)) ||
        !add_text(object, "commit", generation->commit) ||
        !cJSON_AddNumberToObject(object, "generation", (double)generation->serial) ||
        !add_text(object, "layout", generation->layout) || !add_addons(object, generation) ||
        !add_problems(object, &list.problems) || !add_counters(object, view) ||
        !add_versions(object, mount))
        return error_errno(error, -ENOMEM, "status.json");
    cleanup_free char *printed = cJSON_Print(object);
    if (!printed || asprintf(ret_text, "%s\n", printed) < 0)
        return error_errno(error, -ENOMEM, "status.json");
    return 0;
}
