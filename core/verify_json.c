#include "json.h"

#include <addonfs/verify.h>
#include <errno.h>

static bool add_versions(cJSON *object, const struct verification *verification)
{
    static const char *const origins[] = {[VERIFY_UNASKED] = "unasked",
                                          [VERIFY_COMMIT] = "commit",
                                          [VERIFY_WORKTREE] = "worktree",
                                          [VERIFY_NONE] = "none"};
    cJSON *array = cJSON_AddArrayToObject(object, "versions");

    for (size_t i = 0; array && i < verification->count; i++) {
        const struct verified *verified = &verification->items[i];
        const char *commit = verified->origin == VERIFY_COMMIT ? verified->commit : NULL;
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, item) || !json_add_text(item, "addon", verified->addon) ||
            !json_add_text(item, "version", verified->version) ||
            !json_add_text(item, "path", verified->path) ||
            !json_add_text(item, "origin", origins[verified->origin]) ||
            !json_add_text(item, "commit", commit) ||
            !cJSON_AddNumberToObject(item, "tried", verified->tried) ||
            !cJSON_AddNumberToObject(item, "looked", verified->looked))
            return false;
    }
    return array != NULL;
}

static bool add_findings(cJSON *object, const struct verification *verification)
{
    cJSON *array = cJSON_AddArrayToObject(object, "findings");

    for (size_t i = 0; array && i < verification->finding_count; i++) {
        const struct verify_finding *finding = &verification->findings[i];
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(array, item) || !json_add_text(item, "path", finding->path) ||
            !json_add_text(item, "text", finding->text))
            return false;
    }
    return array != NULL;
}

int verify_json(const struct verification *verification, char **ret_text, struct error *error)
{
    cleanup_json cJSON *object = cJSON_CreateObject();

    if (!object || !json_add_text(object, "package", verification->package) ||
        !json_add_text(object, "shape", deployment_shape_name(verification->shape)) ||
        !cJSON_AddBoolToObject(object, "good", verify_is_good(verification)) ||
        !add_versions(object, verification) || !add_findings(object, verification) ||
        !(*ret_text = json_print(object)))
        return error_errno(error, -ENOMEM, "%s", verification->package);
    return 0;
}
