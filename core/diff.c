#include <addonfs/diff.h>

#include <addonfs/path.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A source that never holds still for the time of one comparison. */
enum { ATTEMPTS = 10 };

const char *difference_kind_name(enum difference_kind kind)
{
    static const char *const names[] = {
        [DIFFERENCE_MISSING] = "missing", [DIFFERENCE_EXTRA] = "extra",
        [DIFFERENCE_BYTES] = "bytes",     [DIFFERENCE_MODE] = "mode",
        [DIFFERENCE_KIND] = "kind",       [DIFFERENCE_FAULT] = "fault",
        [DIFFERENCE_VERSION] = "version", [DIFFERENCE_ADDON] = "addon",
    };

    return names[kind];
}

static int add(struct diff *diff, enum difference_kind kind, const char *path, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* `format`: NULL for none. */
static int add(struct diff *diff, enum difference_kind kind, const char *path, const char *format,
               ...)
{
    struct difference *items = reallocarray(diff->items, diff->count + 1, sizeof(*items));
    va_list arguments;

    if (!items)
        return -ENOMEM;
    diff->items = items;
    struct difference *difference = &items[diff->count++];
    *difference = (struct difference){.kind = kind, .path = strdup(path)};
    if (!difference->path || !format)
        return difference->path ? 0 : -ENOMEM;
    va_start(arguments, format);
    int length = vasprintf(&difference->text, format, arguments);
    va_end(arguments);
    if (length < 0)
        difference->text = NULL;
    return length < 0 ? -ENOMEM : 0;
}

static int by_path(const void *a, const void *b)
{
    const struct difference *one = a;
    const struct difference *other = b;

    return strcmp(one->path, other->path);
}

void diff_clear(struct diff *diff)
{
    for (size_t i = 0; i < diff->count; i++) {
        free(diff->items[i].path);
        free(diff->items[i].text);
    }
    free(diff->items);
    free(diff->package);
    generation_unref(diff->generation);
    *diff = (struct diff){.count = 0};
}

/* --- Two trees ----------------------------------------------------------------------------------
 */

struct comparison {
    struct diff *diff;
    const struct inventory_item *other; /* what the children are compared with */
    const char *path;
    bool empty_folders; /* folders without files count */
};

static bool counts(const struct comparison *comparison, const struct inventory_item *item)
{
    return comparison->empty_folders || inventory_has_files(item);
}

static int compare_expected(void *context, const char *name, void *value)
{
    const struct comparison *comparison = context;
    const struct inventory_item *is = map_find(&comparison->other->children, name);
    cleanup_free char *path = path_join(comparison->path, name);

    if (!path)
        return -ENOMEM;
    if (is)
        return diff_compare(comparison->diff, value, is, path, comparison->empty_folders);
    return counts(comparison, value) ? add(comparison->diff, DIFFERENCE_MISSING, path, NULL) : 0;
}

static int find_extra(void *context, const char *name, void *value)
{
    const struct comparison *comparison = context;
    const struct inventory_item *is = value;
    cleanup_free char *path = path_join(comparison->path, name);

    if (!path)
        return -ENOMEM;
    if (map_find(&comparison->other->children, name) || !counts(comparison, is))
        return 0;
    return is->fault ? add(comparison->diff, DIFFERENCE_FAULT, path, "%s", is->fault)
                     : add(comparison->diff, DIFFERENCE_EXTRA, path, NULL);
}

static int compare_children(struct diff *diff, const struct inventory_item *should,
                            const struct inventory_item *is, const char *path, bool empty_folders)
{
    struct comparison comparison = {diff, is, path, empty_folders};

    int r = map_each(&should->children, compare_expected, &comparison);
    comparison.other = should;
    return r == 0 ? map_each(&is->children, find_extra, &comparison) : r;
}

static int compare_files(struct diff *diff, const struct inventory_item *should,
                         const struct inventory_item *is, const char *path)
{
    int r = 0;

    if (should->executable != is->executable)
        r = add(diff, DIFFERENCE_MODE, path, "%s",
                should->executable ? "is to be executable" : "is not to be executable");
    if (r < 0 || content_id_equal(&should->id, &is->id))
        return r;
    if (should->is_archive && !should->broken && is->broken)
        r = add(diff, DIFFERENCE_FAULT, path, "%s", is->broken);
    if (r == 0 && should->is_archive && !should->broken && is->is_archive)
        return compare_children(diff, should, is, path, false);
    return r == 0 && !(should->is_archive && is->broken) ? add(diff, DIFFERENCE_BYTES, path, NULL)
                                                         : r;
}

int diff_compare(struct diff *diff, const struct inventory_item *should,
                 const struct inventory_item *is, const char *path, bool empty_folders)
{
    if (is->fault)
        return add(diff, DIFFERENCE_FAULT, path, "%s", is->fault);
    if (should->kind != is->kind)
        return add(diff, DIFFERENCE_KIND, path, "%s",
                   is->kind == INVENTORY_FOLDER ? "is a folder, not a file"
                                                : "is a file, not a folder");
    if (is->kind == INVENTORY_FILE)
        return compare_files(diff, should, is, path);
    return compare_children(diff, should, is, path, empty_folders);
}

/* --- A source and a package ---------------------------------------------------------------------
 */

struct making {
    struct view *view;
    struct inventory_reading reading;
    struct deployments deployments;
    bool is_archive;
    struct diff *diff;
};

/* Where the view has what such a deployment is to be. NULL without memory. */
static char *place_in_view(const struct deployment *deployment, const char *addon,
                           const char *version)
{
    char *path = NULL;
    int length;

    if (deployment->shape == DEPLOYMENT_UPLOAD)
        length = asprintf(&path, "upload/%s-%s.zip", addon, version);
    else if (deployment->shape == DEPLOYMENT_CLIENTS)
        length = asprintf(&path, "client/%s_%s", addon, version);
    else
        length = asprintf(&path, "package/%s/%s", addon, version);
    return length < 0 ? NULL : path;
}

static int compare_version(struct view *view, struct generation *generation,
                           const struct deployment *deployment, bool empty_folders,
                           struct inventory_reading *reading, struct diff *diff,
                           struct error *error)
{
    cleanup_free char *path = place_in_view(deployment, deployment->addon, deployment->version);
    cleanup_inventory struct inventory_item *should = NULL;
    const struct inventory_item *is = deployment->item;

    if (!path)
        return error_errno(error, -ENOMEM, "%s", deployment->addon);
    int r = inventory_of_view(view, generation, path, reading, &should, error);
    if (r < 0)
        return r;
    diff->compared++;
    if (is->broken)
        r = add(diff, DIFFERENCE_FAULT, deployment->path, "%s", is->broken);
    if (r == 0)
        r = compare_children(diff, should, is, deployment->path, empty_folders);
    return r < 0 ? error_errno(error, r, "%s", path) : 0;
}

int diff_deployment(struct view *view, struct generation *generation,
                    const struct deployment *deployment, bool empty_folders,
                    struct inventory_reading *reading, bool *ret_differs, struct error *error)
{
    cleanup_diff struct diff diff = {.count = 0};

    int r = compare_version(view, generation, deployment, empty_folders, reading, &diff, error);
    if (r == 0)
        *ret_differs = diff.count > 0;
    return r;
}

static bool is_of(const struct deployment *deployment, const char *addon)
{
    return deployment->addon && strcmp(deployment->addon, addon) == 0;
}

/* All versions of an addon that are there: "3.15.11, 3.15.10". NULL: none, or no memory. */
static char *list_versions(const struct deployments *deployments, const char *addon)
{
    char *list = NULL;

    for (size_t i = 0; i < deployments->count; i++) {
        const struct deployment *deployment = &deployments->items[i];
        char *longer = NULL;
        if (!is_of(deployment, addon) || !deployment->version)
            continue;
        if (asprintf(&longer, "%s%s%s", list ? list : "", list ? ", " : "", deployment->version) <
            0)
            longer = NULL;
        free(list);
        list = longer;
    }
    return list;
}

static int add_absent(struct making *making, const struct generation_addon *addon,
                      struct error *error)
{
    cleanup_free char *versions = list_versions(&making->deployments, addon->name);
    cleanup_free char *path = path_join(addon->name, addon->version);
    int r = -ENOMEM;

    if (path && versions)
        r = add(making->diff, DIFFERENCE_VERSION, path, "is not deployed, but %s is", versions);
    else if (path)
        r = add(making->diff, DIFFERENCE_ADDON, path, "is not deployed, in no version");
    return r < 0 ? error_errno(error, r, "%s", addon->name) : 0;
}

static bool has_client(const struct making *making, const struct generation_addon *addon)
{
    cleanup_free char *path = NULL;
    struct entry *found;

    if (asprintf(&path, "client/%s_%s", addon->name, addon->version) < 0)
        path = NULL;
    return !path || entry_find(making->diff->generation->root, path, &found) != -ENOENT;
}

static int compare_addon(struct making *making, const struct generation_addon *addon,
                         struct error *error)
{
    const struct deployments *deployments = &making->deployments;

    if (deployments->shape == DEPLOYMENT_CLIENTS && !has_client(making, addon))
        return 0;
    for (size_t i = 0; i < deployments->count; i++) {
        const struct deployment *deployment = &deployments->items[i];
        if (is_of(deployment, addon->name) && deployment->version &&
            strcmp(deployment->version, addon->version) == 0)
            return compare_version(making->view, making->diff->generation, deployment,
                                   !making->is_archive, &making->reading, making->diff, error);
    }
    return add_absent(making, addon, error);
}

/* Is the package one that is to hold this addon? A single one need not hold the others. */
static bool is_expected(const struct making *making, const char *addon)
{
    const struct deployments *deployments = &making->deployments;
    bool single = deployments->shape != DEPLOYMENT_ROOT &&
                  deployments->shape != DEPLOYMENT_UPLOADS &&
                  deployments->shape != DEPLOYMENT_CLIENTS;
    bool expected = !single;

    for (size_t i = 0; i < deployments->count && !expected; i++)
        expected = is_of(&deployments->items[i], addon);
    return expected;
}

static int fail_unknown(const struct making *making, struct error *error)
{
    const struct deployments *deployments = &making->deployments;
    const char *addon = deployments->count > 0 ? deployments->items[0].addon : NULL;
    const char *source = source_path(view_source(making->view));

    if (!addon)
        return error_set(error, -EINVAL,
                         "%s: nothing tells which addon of %s it is of: give the addon's folder",
                         making->diff->package, source);
    return error_set(error, -EINVAL,
                     "%s: is of the addon %s, which %s does not hold: see addonfs "
                     "list",
                     making->diff->package, addon, source);
}

static int compare_all(struct making *making, struct error *error)
{
    const struct generation *generation = making->diff->generation;
    size_t expected = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < generation->addon_count; i++) {
        const struct generation_addon *addon = &generation->addons[i];
        if (!addon->name || (addon->version && !is_expected(making, addon->name)))
            continue;
        expected++;
        r = addon->version
                ? compare_addon(making, addon, error)
                : error_set(error, -EIO, "%s: its version is not known: see addonfs list",
                            addon->name);
    }
    return r == 0 && expected == 0 ? fail_unknown(making, error) : r;
}

static int find_deployments(struct making *making, struct inventory_item *root, struct error *error)
{
    const struct generation *generation = making->diff->generation;
    cleanup_free char *path = realpath(making->diff->package, NULL);
    cleanup_free struct deployment_hint *hints =
        calloc(generation->addon_count + 1, sizeof(*hints));
    size_t count = 0;

    if (!hints)
        return error_errno(error, -ENOMEM, "%s", making->diff->package);
    for (size_t i = 0; i < generation->addon_count; i++) {
        if (generation->addons[i].name)
            hints[count++] =
                (struct deployment_hint){generation->addons[i].name, generation->addons[i].version};
    }
    return deployments_find(root, path ? path : making->diff->package, hints, count,
                            &making->deployments, error);
}

static int attempt(struct view *view, struct inventory_item *root,
                   const struct inventory_reading *reading, struct diff *diff, struct error *error)
{
    struct making making = {
        .view = view,
        .reading = {.interrupted = reading->interrupted},
        .is_archive = root->is_archive,
        .diff = diff,
    };

    int r = view_look(view, &diff->generation, error);
    if (r == 0)
        r = find_deployments(&making, root, error);
    if (r < 0)
        return r;
    diff->shape = making.deployments.shape;
    r = compare_all(&making, error);
    deployments_clear(&making.deployments);
    return r;
}

int diff_make(struct view *view, const char *package, const _Atomic bool *interrupted,
              struct diff *ret_diff, struct error *error)
{
    cleanup_inventory struct inventory_item *root = NULL;
    struct inventory_reading reading = {.interrupted = interrupted};

    int r = inventory_read(package, &reading, &root, error);
    if (r < 0)
        return r;
    r = -ESTALE;
    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++) {
        cleanup_diff struct diff diff = {.package = strdup(package)};
        r = diff.package ? attempt(view, root, &reading, &diff, error)
                         : error_errno(error, -ENOMEM, "%s", package);
        if (r < 0)
            continue;
        if (diff.count > 0)
            qsort(diff.items, diff.count, sizeof(*diff.items), by_path);
        *ret_diff = diff;
        diff = (struct diff){.count = 0};
    }
    return r;
}
