#include "json.h"

#include <addonfs/listing.h>
#include <errno.h>

static bool add_addon(cJSON *addons, const struct listing_addon *addon)
{
    cJSON *object = cJSON_CreateObject();

    return cJSON_AddItemToArray(addons, object) && json_add_text(object, "name", addon->name) &&
           json_add_text(object, "version", addon->version) &&
           cJSON_AddNumberToObject(object, "files", (double)addon->files) &&
           cJSON_AddNumberToObject(object, "size", (double)addon->size) &&
           cJSON_AddNumberToObject(object, "members", (double)addon->members) &&
           cJSON_AddNumberToObject(object, "client", (double)addon->zipped) &&
           cJSON_AddNumberToObject(object, "upload", (double)addon->upload);
}

static bool add_addons(cJSON *object, const struct listing *listing)
{
    cJSON *addons = cJSON_AddArrayToObject(object, "addons");
    bool added = addons != NULL;

    for (size_t i = 0; added && i < listing->count; i++)
        added = add_addon(addons, &listing->addons[i]);
    return added;
}

int listing_json(const struct view *view, const struct listing *listing, char **ret_text,
                 struct error *error)
{
    cleanup_json cJSON *object = cJSON_CreateObject();
    const struct source *source = view_source(view);

    if (!object || !json_add_text(object, "source", source_path(source)) ||
        !json_add_text(object, "revision", source_revision(source)) ||
        !json_add_text(object, "commit", listing->generation->commit) ||
        !json_add_text(object, "layout", listing->generation->layout) ||
        !add_addons(object, listing) || !json_add_problems(object, &listing->problems) ||
        !(*ret_text = json_print(object)))
        return error_errno(error, -ENOMEM, "%s", source_path(source));
    return 0;
}
