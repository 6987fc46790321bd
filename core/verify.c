#include "verify_parts.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void verify_clear(struct verification *verification)
{
    for (size_t i = 0; i < verification->count; i++) {
        free(verification->items[i].addon);
        free(verification->items[i].version);
        free(verification->items[i].path);
    }
    for (size_t i = 0; i < verification->finding_count; i++) {
        free(verification->findings[i].path);
        free(verification->findings[i].text);
    }
    free(verification->items);
    free(verification->findings);
    free(verification->package);
    *verification = (struct verification){.count = 0};
}

bool verify_is_good(const struct verification *verification)
{
    for (size_t i = 0; i < verification->count; i++) {
        if (verification->items[i].origin == VERIFY_NONE)
            return false;
    }
    return verification->finding_count == 0;
}

int verify_add(struct verification *verification, const char *path, const char *format, ...)
{
    struct verify_finding *findings =
        reallocarray(verification->findings, verification->finding_count + 1, sizeof(*findings));
    va_list arguments;

    if (!findings)
        return -ENOMEM;
    verification->findings = findings;
    struct verify_finding *finding = &findings[verification->finding_count++];
    *finding = (struct verify_finding){.path = strdup(path)};
    va_start(arguments, format);
    int length = vasprintf(&finding->text, format, arguments);
    va_end(arguments);
    if (length < 0)
        finding->text = NULL;
    return finding->path && finding->text ? 0 : -ENOMEM;
}

/* --- Soundness ----------------------------------------------------------------------------------
 */

struct walk {
    struct verification *verification;
    const char *path;
};

static int visit(void *context, const char *name, void *value)
{
    const struct walk *walk = context;
    cleanup_free char *path = path_join(walk->path, name);
    int r = path ? 0 : -ENOMEM;

    if (r == 0 && path_is_git(name))
        r = verify_add(walk->verification, path, "is a name of Git's own");
    return r == 0 ? verify_tree(walk->verification, value, path) : r;
}

int verify_tree(struct verification *verification, const struct inventory_item *item,
                const char *path)
{
    struct walk walk = {verification, path};
    int r = 0;

    if (item->fault)
        r = verify_add(verification, path, "%s", item->fault);
    if (r == 0 && item->broken)
        r = verify_add(verification, path, "%s", item->broken);
    return r == 0 ? map_each(&item->children, visit, &walk) : r;
}

/* --- All of it ----------------------------------------------------------------------------------
 */

static int take(struct verification *verification, const struct deployment *deployment,
                struct verified *verified)
{
    *verified = (struct verified){
        .addon = deployment->addon ? strdup(deployment->addon) : NULL,
        .version = deployment->version ? strdup(deployment->version) : NULL,
        .path = strdup(deployment->path),
    };
    verification->count++;
    return (deployment->addon && !verified->addon) || (deployment->version && !verified->version) ||
                   !verified->path
               ? -ENOMEM
               : 0;
}

static int look_at(struct verification *verification, struct view *view,
                   const struct deployments *found, bool in_archive,
                   const _Atomic bool *interrupted, struct error *error)
{
    int r = 0;

    verification->items = calloc(found->count + 1, sizeof(*verification->items));
    if (!verification->items)
        return error_errno(error, -ENOMEM, "%s", verification->package);
    for (size_t i = 0; r == 0 && i < found->count; i++) {
        struct verified *verified = &verification->items[i];
        r = take(verification, &found->items[i], verified);
        if (r == 0)
            r = verify_version(verification, &found->items[i]);
        if (r < 0)
            return error_errno(error, r, "%s", verification->package);
        if (view)
            r = verify_find_origin(verification, view, &found->items[i], in_archive, interrupted,
                                   verified, error);
    }
    return r;
}

static int make(struct verification *verification, struct view *view,
                const _Atomic bool *interrupted, struct error *error)
{
    cleanup_inventory struct inventory_item *root = NULL;
    cleanup_deployments struct deployments found = {.count = 0};
    struct inventory_reading reading = {.interrupted = interrupted};
    cleanup_free char *path = realpath(verification->package, NULL);

    int r = inventory_read(verification->package, &reading, &root, error);
    if (r == 0)
        r = deployments_find(root, path ? path : verification->package, NULL, 0, &found, error);
    if (r < 0)
        return r;
    verification->shape = found.shape;
    if (verify_tree(verification, root, "") < 0)
        return error_errno(error, -ENOMEM, "%s", verification->package);
    return look_at(verification, view, &found, root->is_archive, interrupted, error);
}

int verify_make(const char *package, struct view *view, const _Atomic bool *interrupted,
                struct verification *ret_verification, struct error *error)
{
    cleanup_verification struct verification verification = {.package = strdup(package)};

    if (!verification.package)
        return error_errno(error, -ENOMEM, "%s", package);
    int r = make(&verification, view, interrupted, error);
    if (r == 0) {
        *ret_verification = verification;
        verification = (struct verification){.count = 0};
    }
    return r;
}
