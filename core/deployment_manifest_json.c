#include "deployment_manifest.h"
#include "json.h"

#include <errno.h>
#include <string.h>

static int copy(const cJSON *object, const char *name, char **ret_text)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);

    if (!cJSON_IsString(found))
        return 0;
    *ret_text = strdup(found->valuestring);
    return *ret_text ? 0 : -ENOMEM;
}

int deployment_manifest(const struct inventory_item *item, char **ret_addon, char **ret_version)
{
    cleanup_json cJSON *object = NULL;
    const char *end;

    *ret_addon = NULL;
    *ret_version = NULL;
    int r = item->text ? json_parse(item->text, strlen(item->text), &end, &object) : -EINVAL;
    if (r == 0 && !cJSON_IsObject(object))
        r = -EINVAL;
    if (r < 0)
        return r;
    r = copy(object, "addon_name", ret_addon);
    return r < 0 ? r : copy(object, "addon_version", ret_version);
}
