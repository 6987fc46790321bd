/* What an inventory looks like. */
#include "deployment_parts.h"

#include <string.h>

bool deployment_is_file(struct inventory_item *item, const char *path)
{
    const struct inventory_item *found = inventory_find(item, path);

    return found && found->kind == INVENTORY_FILE;
}

bool deployment_is_folder(struct inventory_item *item, const char *path)
{
    const struct inventory_item *found = inventory_find(item, path);

    return found && found->kind == INVENTORY_FOLDER;
}

bool deployment_is_version(struct inventory_item *item)
{
    static const char *const signs[] = {"package.py",         "version.py",
                                        "__init__.py",        "server/__init__.py",
                                        "private/client.zip", "private/pyproject.toml"};

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (deployment_is_file(item, signs[i]))
            return true;
    }
    return false;
}

bool deployment_is_upload(struct inventory_item *item)
{
    return deployment_is_file(item, "manifest.json") && deployment_is_folder(item, "addon");
}

static int visit_version(void *context, const char *name, void *value)
{
    (void)context;
    return *name != '.' && deployment_is_version(value);
}

bool deployment_is_addon(struct inventory_item *item)
{
    return map_each(&item->children, visit_version, NULL) != 0;
}

static int visit_addon(void *context, const char *name, void *value)
{
    (void)context;
    return *name != '.' && deployment_is_addon(value);
}

bool deployment_is_root(struct inventory_item *item)
{
    return map_each(&item->children, visit_addon, NULL) != 0;
}

static int visit_other(void *context, const char *name, void *value)
{
    const struct inventory_item *item = value;
    size_t *count = context;

    if (*name == '.')
        return 0;
    ++*count;
    return item->kind != INVENTORY_FILE || !item->is_archive;
}

bool deployment_holds_zips(struct inventory_item *item)
{
    size_t count = 0;

    return map_each(&item->children, visit_other, &count) == 0 && count > 0;
}

static int visit_version_name(void *context, const char *name, void *value)
{
    (void)context;
    (void)value;
    return *name >= '0' && *name <= '9';
}

static int visit_client(void *context, const char *name, void *value)
{
    const struct inventory_item *item = value;
    bool *found = context;
    const char *version = strrchr(name, '_');

    if (*name == '.')
        return 0;
    while (version && version > name && !(version[1] >= '0' && version[1] <= '9'))
        version = memrchr(name, '_', (size_t)(version - name));
    *found = version && version > name && version[1] >= '0' && version[1] <= '9' &&
             item->kind == INVENTORY_FOLDER &&
             map_each(&item->children, visit_version_name, NULL) == 0;
    return *found ? 0 : -1;
}

bool deployment_is_clients(struct inventory_item *item)
{
    bool found = false;

    return map_each(&item->children, visit_client, &found) == 0 && found;
}
