#include "json.h"

#include <addonfs/diff.h>
#include <errno.h>

static bool add_differences(cJSON *object, const struct diff *diff)
{
    cJSON *array = cJSON_AddArrayToObject(object, "differences");

    for (size_t i = 0; array && i < diff->count; i++) {
        const struct difference *difference = &diff->items[i];
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, item) ||
            !json_add_text(item, "kind", difference_kind_name(difference->kind)) ||
            !json_add_text(item, "path", difference->path) ||
            !json_add_text(item, "detail", difference->text))
            return false;
    }
    return array != NULL;
}

int diff_json(const struct view *view, const struct diff *diff, char **ret_text,
              struct error *error)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    const struct source *source = view_source(view);

    if (!object || !json_add_text(object, "source", source_path(source)) ||
        !json_add_text(object, "revision", source_revision(source)) ||
        !json_add_text(object, "commit", diff->generation->commit) ||
        !json_add_text(object, "package", diff->package) ||
        !json_add_text(object, "shape", deployment_shape_name(diff->shape)) ||
        !cJSON_AddBoolToObject(object, "same", diff->count == 0) ||
        !cJSON_AddNumberToObject(object, "compared", (double)diff->compared) ||
        !add_differences(object, diff) || !(*ret_text = json_print(object)))
        return error_errno(error, -ENOMEM, "%s", diff->package);
    return 0;
}
