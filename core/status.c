#include "json.h"

#include <addonfs/status.h>

#include <addonfs/deflate.h>
#include <errno.h>
#include <string.h>

struct problem_list {
    struct problems problems;
};

static void problem_list_clear(struct problem_list *list)
{
    problems_clear(&list->problems);
}

static bool add_addons(cJSON *object, const struct generation *generation)
{
    cJSON *addons = cJSON_AddArrayToObject(object, "addons");

    for (size_t i = 0; addons && i < generation->addon_count; i++) {
        cJSON *addon = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(addons, addon) ||
            !json_add_text(addon, "name", generation->addons[i].name) ||
            !json_add_text(addon, "version", generation->addons[i].version))
            return false;
    }
    return addons != NULL;
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

static bool add_progress(cJSON *object, struct view *view)
{
    uint64_t ready;
    uint64_t members;

    if (!view_progress(view, &ready, &members))
        return cJSON_AddNullToObject(object, "members") && cJSON_AddNullToObject(object, "ready");
    return cJSON_AddNumberToObject(object, "members", (double)members) &&
           cJSON_AddNumberToObject(object, "ready", (double)ready);
}

static bool add_versions(cJSON *object, const struct status_mount *mount)
{
    cJSON *versions = cJSON_AddObjectToObject(object, "versions");

    return versions && json_add_text(versions, "addonfs", mount->version) &&
           json_add_text(versions, "libfuse", mount->fuse) &&
           json_add_text(versions, "libgit2", source_library_version()) &&
           json_add_text(versions, "libdeflate", deflate_library_version());
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
        !json_add_text(object, "source", source_path(source)) ||
        !json_add_text(object, "mountpoint", mount->mountpoint) ||
        !cJSON_AddBoolToObject(object, "worktree", source_revision(source) == NULL) ||
        !json_add_text(object, "revision", source_revision(source)) ||
        !json_add_text(object, "commit", generation->commit) ||
        !json_add_integer(object, "generation", generation->serial) ||
        !json_add_text(object, "layout", generation->layout) || !add_addons(object, generation) ||
        !json_add_problems(object, &list.problems) || !add_counters(object, view) ||
        !add_progress(object, view) || !add_versions(object, mount))
        return error_errno(error, -ENOMEM, "status.json");
    *ret_text = json_print(object);
    return *ret_text ? 0 : error_errno(error, -ENOMEM, "status.json");
}
