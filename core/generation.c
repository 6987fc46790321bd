#include "generation_share.h"

#include <addonfs/generation.h>
#include <addonfs/package.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct generation *generation_ref(struct generation *generation)
{
    atomic_fetch_add(&generation->references, 1);
    return generation;
}

void generation_unref(struct generation *generation)
{
    if (!generation || atomic_fetch_sub(&generation->references, 1) > 1)
        return;
    if (generation->forget)
        generation->forget(generation->forget_context, generation);
    entry_unref(generation->root);
    for (size_t i = 0; i < generation->held_count; i++) {
        body_close(generation->held[i]);
        body_unref(generation->held[i]);
    }
    free(generation->held);
    problems_clear(&generation->problems);
    for (size_t i = 0; i < generation->addon_count; i++) {
        free(generation->addons[i].name);
        free(generation->addons[i].version);
    }
    free(generation->addons);
    free(generation->commit);
    free(generation);
}

bool generation_try_ref(struct generation *generation)
{
    unsigned references = atomic_load(&generation->references);

    while (references > 0) {
        if (atomic_compare_exchange_weak(&generation->references, &references, references + 1))
            return true;
    }
    return false;
}

static struct source_owner ours(void)
{
    return (struct source_owner){0555, geteuid(), getegid()};
}

/* What stops the whole of `package/`. */
static int fail_all(struct generation *generation, const struct origin *origin,
                    const struct error *why, struct error *error)
{
    const char *path = source_path(origin->source);
    const char *reason = error_reason(why->text, path);

    struct entry *failed = entry_new_failed(ENTRY_FOLDER, "package", path, reason);
    if (!failed || entry_insert(generation->root, failed) < 0 ||
        problems_add(&generation->problems, path, reason, false, "package") < 0)
        return error_errno(error, -ENOMEM, "%s", path);
    return 0;
}

/* What a folder was when it could be listed. */
static struct entry *healthy(struct entry *folder)
{
    return folder && folder->before ? folder->before : folder;
}

/* The package's folder in the last generation, if that was made by the same recipe; or NULL. */
static struct entry *last_package(const struct generation *last,
                                  const struct generation *generation, const char *addon)
{
    struct entry *folder = NULL;

    if (last && last->recipe == generation->recipe) {
        folder = healthy(entry_child(last->root, "package"));
        folder = folder ? healthy(entry_child(folder, addon)) : NULL;
    }
    return folder && folder->count == 1 ? healthy(folder->children[0]) : NULL;
}

/* Put one addon's package, or what is known of it, under `package/`. */
static int add_addon(const struct origin *origin, const struct generation *last,
                     struct generation *generation, struct entry *packages,
                     const struct recipe_addon *recipe, struct error *error)
{
    cleanup_package struct package *package = NULL;
    struct generation_addon *addon = &generation->addons[generation->addon_count];
    cleanup_free char *affects = NULL;
    struct entry *folder;

    int r = package_build(origin, recipe, last_package(last, generation, recipe->name), &package,
                          error);
    if (r < 0)
        return r;
    generation->retry = generation->retry || package->retry;
    addon->name = strdup(recipe->name);
    if (!addon->name)
        return error_errno(error, -ENOMEM, "%s", recipe->name);
    generation->addon_count++;
    if (package->version && !(addon->version = strdup(package->version)))
        return error_errno(error, -ENOMEM, "%s", recipe->name);
    if (!package->failure) {
        folder = entry_new_folder(recipe->name, ours());
        if (folder && entry_insert(folder, entry_ref(package->folder)) < 0) {
            entry_unref(folder);
            folder = NULL;
        }
    } else {
        folder =
            entry_new_failed(ENTRY_FOLDER, recipe->name, package->failure_path, package->failure);
        if (asprintf(&affects, "package/%s", recipe->name) < 0)
            affects = NULL;
        if (!affects || problems_add(&generation->problems, package->failure_path, package->failure,
                                     false, affects) < 0) {
            entry_unref(folder);
            folder = NULL;
        }
    }
    if (!folder || entry_insert(packages, folder) < 0 ||
        problems_add_all(&generation->problems, &package->problems) < 0)
        return error_errno(error, -ENOMEM, "%s", recipe->name);
    return 0;
}

static int add_addons(const struct origin *origin, const struct generation *last,
                      struct generation *generation, struct error *error)
{
    const struct recipe *recipe = NULL;
    struct error why = {0};
    struct entry *packages;

    int r = recipe_detect(origin->source, &recipe, &why);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    if (r < 0)
        return fail_all(generation, origin, &why, error);
    generation->recipe = recipe;
    generation->layout = recipe->layout;
    generation->addons = calloc(recipe->addon_count, sizeof(*generation->addons));
    packages = entry_new_folder("package", ours());
    if (!generation->addons || !packages || entry_insert(generation->root, packages) < 0)
        return error_errno(error, -ENOMEM, "%s", source_path(origin->source));
    for (size_t i = 0; i < recipe->addon_count; i++) {
        r = add_addon(origin, last, generation, packages, &recipe->addons[i], error);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Is there a folder that cannot be listed? */
static bool has_failed_folder(const struct entry *entry)
{
    bool failed = entry->kind == ENTRY_FOLDER && entry->failure;

    for (size_t i = 0; i < entry->count && !failed; i++)
        failed = has_failed_folder(entry->children[i]);
    return failed;
}

int generation_build(const struct origin *origin, struct generation *last, uint64_t serial,
                     _Atomic uint64_t *next_number, struct map *vanished,
                     struct generation **ret_generation, struct error *error)
{
    const struct share share = {origin, next_number, vanished};
    cleanup_generation struct generation *generation = calloc(1, sizeof(*generation));
    const char *path = source_path(origin->source);
    const char *commit = source_commit(origin->source);

    if (!generation)
        return error_errno(error, -ENOMEM, "%s", path);
    atomic_init(&generation->references, 1);
    generation->serial = serial;
    generation->root = entry_new_folder("", ours());
    if (!generation->root)
        return error_errno(error, -ENOMEM, "%s", path);
    int r = add_addons(origin, last, generation, error);
    if (r < 0)
        return r;
    if (commit && !(generation->commit = strdup(commit)))
        return error_errno(error, -ENOMEM, "%s", path);
    generation->unhealthy = has_failed_folder(generation->root);
    generation->root = generation_share(&share, last ? last->root : NULL, generation->root);
    *ret_generation = steal_pointer(&generation);
    return 0;
}
