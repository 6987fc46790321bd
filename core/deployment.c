#include "deployment_manifest.h"
#include "deployment_parts.h"

#include <addonfs/deployment.h>
#include <addonfs/path.h>
#include <addonfs/pylit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct finding {
    struct inventory_item *root;
    const char *path;
    const struct deployment_hint *hints;
    size_t hint_count;
    struct deployments *found;
};

const char *deployment_shape_name(enum deployment_shape shape)
{
    static const char *const names[] = {
        [DEPLOYMENT_VERSION] = "version", [DEPLOYMENT_ADDON] = "addon",
        [DEPLOYMENT_ROOT] = "root",       [DEPLOYMENT_UPLOAD] = "upload",
        [DEPLOYMENT_UPLOADS] = "uploads", [DEPLOYMENT_CLIENTS] = "clients",
    };

    return names[shape];
}

/* --- What it is called --------------------------------------------------------------------------
 */

static char *component(const char *path, int from_behind)
{
    const char *end = path + strlen(path);

    for (;;) {
        while (end > path && end[-1] == '/')
            end--;
        const char *start = end;
        while (start > path && start[-1] != '/')
            start--;
        if (start == end)
            return NULL;
        if (from_behind-- == 0)
            return strndup(start, (size_t)(end - start));
        end = start;
    }
}

/* "ayon_maya-1.0.0" or "core_1.2.0": where the version begins, or NULL. */
static const char *version_in(const struct finding *finding, const char *name, char separator)
{
    for (size_t i = 0; i < finding->hint_count; i++) {
        size_t length = strlen(finding->hints[i].addon);
        if (strncmp(name, finding->hints[i].addon, length) == 0 && name[length] == separator &&
            name[length + 1])
            return name + length + 1;
    }
    for (const char *at = name; (at = strchr(at, separator)); at++) {
        if (at > name && at[1] >= '0' && at[1] <= '9')
            return at + 1;
    }
    return NULL;
}

static int name_both(const struct finding *finding, struct deployment *deployment, const char *name,
                     size_t length, char separator)
{
    cleanup_free char *text = strndup(name, length);
    const char *version = text ? version_in(finding, text, separator) : NULL;

    if (!text)
        return -ENOMEM;
    if (!version)
        return 0;
    deployment->folder_version = strdup(version);
    deployment->folder_addon = strndup(text, (size_t)(version - text) - 1);
    return deployment->folder_version && deployment->folder_addon ? 0 : -ENOMEM;
}

/* How long an archive's name is without what says that it is one. */
static size_t stem_length(const char *name)
{
    static const char *const endings[] = {".zip",    ".tar",     ".tar.gz",  ".tgz",
                                          ".tar.xz", ".tar.zst", ".tar.bz2", ".7z"};
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0)
            return length - ending;
    }
    return length;
}

/* --- What it says of itself ---------------------------------------------------------------------
 */

int deployment_literal(const struct inventory_item *item, const char *variable, char **ret_value)
{
    *ret_value = NULL;
    if (!item || item->kind != INVENTORY_FILE || item->fault || !item->text)
        return 0;
    int r = pylit_optional_string(item->text, (size_t)item->size, "", variable, ret_value, NULL);
    return r == -ENOMEM ? r : 0;
}

static int declared(const struct deployment *deployment, char **ret_addon, char **ret_version)
{
    struct inventory_item *files = deployment_files(deployment);
    int r = 0;

    if (deployment->shape == DEPLOYMENT_UPLOAD)
        r = deployment_manifest(inventory_find(deployment->item, "manifest.json"), ret_addon,
                                ret_version);
    if (r == -ENOMEM || !files)
        return r == -ENOMEM ? r : 0;
    r = 0;
    if (!*ret_addon)
        r = deployment_literal(inventory_find(files, "package.py"), "name", ret_addon);
    if (r == 0 && !*ret_version)
        r = deployment_literal(inventory_find(files, "package.py"), "version", ret_version);
    if (r == 0 && !*ret_version)
        r = deployment_literal(inventory_find(files, "version.py"), "__version__", ret_version);
    return r;
}

static bool is_hinted(const struct finding *finding, const char *addon)
{
    for (size_t i = 0; addon && i < finding->hint_count; i++) {
        if (strcmp(finding->hints[i].addon, addon) == 0)
            return true;
    }
    return false;
}

/* Say whose it is. A folder's name counts before what is in it, if it is to be one of an addon. */
static int identify(const struct finding *finding, struct deployment *deployment, bool placed)
{
    cleanup_free char *addon = NULL;
    cleanup_free char *version = NULL;
    int r = declared(deployment, &addon, &version);

    if (r < 0)
        return r;
    if (!placed && !addon && !is_hinted(finding, deployment->folder_addon)) {
        free(deployment->folder_addon);
        deployment->folder_addon = NULL;
    }
    const char *of_addon = placed && deployment->folder_addon ? deployment->folder_addon : addon;
    const char *of_version =
        placed && deployment->folder_version ? deployment->folder_version : version;
    if (!of_addon)
        of_addon = deployment->folder_addon;
    if (!of_addon && finding->hint_count == 1)
        of_addon = finding->hints[0].addon;
    if (!of_version)
        of_version = deployment->folder_version;
    deployment->addon = of_addon ? strdup(of_addon) : NULL;
    deployment->version = of_version ? strdup(of_version) : NULL;
    return (of_addon && !deployment->addon) || (of_version && !deployment->version) ? -ENOMEM : 0;
}

/* --- Finding ------------------------------------------------------------------------------------
 */

struct inventory_item *deployment_files(const struct deployment *deployment)
{
    struct inventory_item *addon = deployment->item;

    if (deployment->shape == DEPLOYMENT_UPLOAD)
        addon = inventory_find(deployment->item, "addon");
    return addon;
}

static struct deployment *add(const struct finding *finding, enum deployment_shape shape,
                              const char *path, struct inventory_item *item)
{
    struct deployments *found = finding->found;
    struct deployment *items = reallocarray(found->items, found->count + 1, sizeof(*items));

    if (!items)
        return NULL;
    found->items = items;
    struct deployment *deployment = &items[found->count++];
    *deployment = (struct deployment){.shape = shape, .path = strdup(path), .item = item};
    return deployment->path ? deployment : NULL;
}

struct versions {
    const struct finding *finding;
    const char *addon; /* its folder; NULL: not known */
    const char *path;
};

static int add_version(void *context, const char *name, void *value)
{
    const struct versions *versions = context;
    const struct inventory_item *item = value;

    if (*name == '.' || item->kind != INVENTORY_FOLDER)
        return 0;
    cleanup_free char *path = path_join(versions->path, name);
    struct deployment *deployment =
        path ? add(versions->finding, DEPLOYMENT_VERSION, path, value) : NULL;
    if (!deployment)
        return -ENOMEM;
    deployment->folder_version = strdup(name);
    deployment->folder_addon = versions->addon ? strdup(versions->addon) : NULL;
    if (!deployment->folder_version || (versions->addon && !deployment->folder_addon))
        return -ENOMEM;
    return identify(versions->finding, deployment, true);
}

static int add_versions(const struct finding *finding, const char *addon, const char *path,
                        const struct inventory_item *item)
{
    struct versions versions = {finding, addon, path};

    return map_each(&item->children, add_version, &versions);
}

static int add_addon(void *context, const char *name, void *value)
{
    const struct finding *finding = context;

    return *name == '.' ? 0 : add_versions(finding, name, name, value);
}

static int add_upload(void *context, const char *name, void *value)
{
    const struct finding *finding = context;

    if (*name == '.')
        return 0;
    /* As servers before July 2023 took them: <addon>/<version>/… */
    if (!deployment_is_upload(value) && !deployment_is_version(value)) {
        struct inventory_item *item = value;
        size_t before = finding->found->count;
        int r = map_each(&item->children, add_addon, context);
        if (r < 0 || finding->found->count > before)
            return r;
    }
    struct deployment *deployment = add(
        finding, deployment_is_upload(value) ? DEPLOYMENT_UPLOAD : DEPLOYMENT_VERSION, name, value);
    if (!deployment || name_both(finding, deployment, name, stem_length(name), '-') < 0)
        return -ENOMEM;
    return identify(finding, deployment, true);
}

static int add_client(void *context, const char *name, void *value)
{
    const struct finding *finding = context;
    const struct inventory_item *item = value;

    if (*name == '.' || item->kind != INVENTORY_FOLDER)
        return 0;
    struct deployment *deployment = add(finding, DEPLOYMENT_CLIENTS, name, value);
    if (!deployment || name_both(finding, deployment, name, strlen(name), '_') < 0)
        return -ENOMEM;
    return identify(finding, deployment, true);
}

/* A version alone: folders above, or the archive's name, may say whose it is. */
static int add_single(const struct finding *finding, enum deployment_shape shape)
{
    struct deployment *deployment = add(finding, shape, "", finding->root);
    cleanup_free char *name = component(finding->path, 0);
    int r = deployment ? 0 : -ENOMEM;

    if (r == 0 && finding->root->is_archive && name)
        r = name_both(finding, deployment, name, stem_length(name), '-');
    if (r == 0 && !finding->root->is_archive && name && path_version_ok(name) && *name >= '0' &&
        *name <= '9') {
        deployment->folder_version = strdup(name);
        deployment->folder_addon = component(finding->path, 1);
    }
    return r == 0 ? identify(finding, deployment, false) : r;
}

static int add_single_addon(const struct finding *finding)
{
    cleanup_free char *name = component(finding->path, 0);
    struct deployments *found = finding->found;

    if (name && finding->root->is_archive)
        name[stem_length(name)] = '\0';
    bool tells = name && !finding->root->is_archive;
    int r =
        add_versions(finding, tells || is_hinted(finding, name) ? name : NULL, "", finding->root);
    /* A folder of another name says less than what is in it. */
    for (size_t i = 0; r == 0 && i < found->count; i++) {
        struct deployment *deployment = &found->items[i];
        cleanup_free char *addon = NULL;
        cleanup_free char *version = NULL;
        r = declared(deployment, &addon, &version);
        if (r == 0 && !addon && !is_hinted(finding, name) && finding->hint_count == 1)
            addon = strdup(finding->hints[0].addon);
        if (r == 0 && addon) {
            free(deployment->addon);
            deployment->addon = steal_pointer(&addon);
        }
    }
    return r;
}

/* Which shape do only the source's names tell? */
static bool is_hinted_shape(const struct finding *finding, enum deployment_shape shape)
{
    for (size_t i = 0; i < finding->hint_count; i++) {
        const struct deployment_hint *hint = &finding->hints[i];
        cleanup_free char *client = NULL;
        if (asprintf(&client, "%s_%s", hint->addon, hint->version ? hint->version : "") < 0)
            client = NULL;
        if (shape == DEPLOYMENT_CLIENTS && client && deployment_is_folder(finding->root, client))
            return true;
        if (shape == DEPLOYMENT_ADDON && hint->version &&
            deployment_is_folder(finding->root, hint->version))
            return true;
        if (shape == DEPLOYMENT_ROOT && deployment_is_folder(finding->root, hint->addon) &&
            hint->version &&
            deployment_is_folder(inventory_find(finding->root, hint->addon), hint->version))
            return true;
    }
    return false;
}

/* Where the source's names say nothing, or may not. */
static int find_plain_shape(const struct finding *finding, enum deployment_shape *ret_shape,
                            struct error *error)
{
    struct inventory_item *root = finding->root;

    if (deployment_is_version(root))
        *ret_shape = DEPLOYMENT_VERSION;
    else if (deployment_is_clients(root))
        *ret_shape = DEPLOYMENT_CLIENTS;
    else if (deployment_holds_zips(root))
        *ret_shape = DEPLOYMENT_UPLOADS;
    else if (is_hinted_shape(finding, DEPLOYMENT_ADDON) || deployment_is_addon(root))
        *ret_shape = DEPLOYMENT_ADDON;
    else if (deployment_is_root(root))
        *ret_shape = DEPLOYMENT_ROOT;
    else
        return error_set(error, -EINVAL,
                         "%s: looks like no package of an addon: give a version's folder, an "
                         "addon's, the folder of addons, or an archive of one of these",
                         finding->path);
    return 0;
}

static int find_shape(const struct finding *finding, enum deployment_shape *ret_shape,
                      struct error *error)
{
    struct inventory_item *root = finding->root;

    if (deployment_is_upload(root))
        *ret_shape = DEPLOYMENT_UPLOAD;
    else if (is_hinted_shape(finding, DEPLOYMENT_ROOT))
        *ret_shape = DEPLOYMENT_ROOT;
    else if (is_hinted_shape(finding, DEPLOYMENT_CLIENTS))
        *ret_shape = DEPLOYMENT_CLIENTS;
    else
        return find_plain_shape(finding, ret_shape, error);
    return 0;
}

static int add_all(struct finding *finding, enum deployment_shape shape)
{
    struct inventory_item *root = finding->root;

    if (shape == DEPLOYMENT_VERSION || shape == DEPLOYMENT_UPLOAD)
        return add_single(finding, shape);
    if (shape == DEPLOYMENT_ADDON)
        return add_single_addon(finding);
    return map_each(&root->children,
                    shape == DEPLOYMENT_ROOT      ? add_addon
                    : shape == DEPLOYMENT_UPLOADS ? add_upload
                                                  : add_client,
                    finding);
}

/* Is it a zip to upload as servers before July 2023 took them: <addon>/<version>/… of one addon? */
static bool is_prefixed_upload(const struct finding *finding)
{
    const struct deployments *found = finding->found;
    cleanup_free char *name = component(finding->path, 0);
    const char *addon = found->count > 0 ? found->items[0].addon : NULL;
    bool same = finding->root->is_archive && addon && name &&
                strncmp(name, addon, strlen(addon)) == 0 && name[strlen(addon)] == '-';

    for (size_t i = 0; same && i < found->count; i++)
        same = found->items[i].addon && strcmp(found->items[i].addon, addon) == 0;
    return same;
}

int deployments_find(struct inventory_item *root, const char *path,
                     const struct deployment_hint *hints, size_t hint_count,
                     struct deployments *ret_deployments, struct error *error)
{
    struct deployments found = {.count = 0};
    struct finding finding = {root, path, hints, hint_count, &found};

    int r = find_shape(&finding, &found.shape, error);
    if (r < 0)
        return r;
    r = add_all(&finding, found.shape);
    if (r < 0) {
        deployments_clear(&found);
        return error_errno(error, r, "%s", path);
    }
    if (found.shape == DEPLOYMENT_ROOT && is_prefixed_upload(&finding))
        found.shape = DEPLOYMENT_ADDON;
    *ret_deployments = found;
    return 0;
}

void deployments_clear(struct deployments *deployments)
{
    for (size_t i = 0; i < deployments->count; i++) {
        struct deployment *deployment = &deployments->items[i];
        free(deployment->path);
        free(deployment->addon);
        free(deployment->version);
        free(deployment->folder_addon);
        free(deployment->folder_version);
    }
    free(deployments->items);
    *deployments = (struct deployments){.count = 0};
}
