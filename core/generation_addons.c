#include "generation_addons.h"
#include "generation_version.h"

#include <addonfs/text.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *const generation_top_names[TOP_COUNT] = {
    [TOP_CLIENT] = "client", [TOP_PACKAGE] = "package", [TOP_UPLOAD] = "upload"};

struct entry *generation_healthy(struct entry *folder)
{
    return folder && folder->failure && folder->before ? folder->before : folder;
}

/* What an addon is added with. */
struct adding {
    const struct generation_maker *maker;
    const struct generation *last;
    struct generation *generation;
    struct entry **tops;
    const struct recipe_match *match;
    const struct generation_addon *before; /* the same addon in `last`, or NULL */
    struct package_total *total;
};

static int no_memory(const struct adding *adding, struct error *error)
{
    return error_errno(error, -ENOMEM, "%s", source_path(adding->maker->origin->source));
}

/* --- Before -------------------------------------------------------------------------------------
 */

/* The addon of the last generation that was found by the same recipe in the same place, or NULL. */
static const struct generation_addon *find_before(const struct generation *last,
                                                  const struct recipe_match *match)
{
    for (size_t i = 0; last && i < last->addon_count && i < last->matches.count; i++) {
        const struct recipe_match *other = &last->matches.items[i];
        if (other->addon == match->addon && text_equal(other->folder, match->folder))
            return &last->addons[i];
    }
    return NULL;
}

/* The addon's folder in the last generation's package/, or what it was when it was healthy. */
static struct entry *find_last_folder(const struct adding *adding)
{
    const struct generation_addon *before = adding->before;
    struct entry *folder;

    if (!before || !before->name)
        return NULL;
    folder = generation_healthy(entry_child(adding->last->root, generation_top_names[TOP_PACKAGE]));
    folder = folder ? generation_healthy(entry_child(folder, before->name)) : NULL;
    if (!folder)
        return NULL;
    if (before->version)
        return generation_healthy(entry_child(folder, before->version));
    /* Its version could not be had: there is one that it had before, if it is the only one. */
    return folder->count == 1 ? generation_healthy(folder->children[0]) : NULL;
}

/* --- The package --------------------------------------------------------------------------------
 */

static int build_as_declared(const struct adding *adding, const struct package_options *options,
                             struct entry *last, struct package **ret_package, struct error *error)
{
    return package_build(adding->maker->origin, options, adding->match, last, ret_package, error);
}

/* With a version of its own. `*ret_declared`: the folder as it is without. */
static int build_with_derived(const struct adding *adding, struct entry **ret_declared,
                              struct package **ret_package, struct error *error)
{
    const struct generation_maker *maker = adding->maker;
    cleanup_package struct package *declared = NULL;
    cleanup_free char *version = NULL;
    struct package_options options = {
        .no_license = maker->options->no_license,
        .no_times = true,
        .total = adding->total, /* Both are kept. */
    };

    int r = build_as_declared(adding, &options, adding->before ? adding->before->declared : NULL,
                              &declared, error);
    if (r < 0)
        return r;
    if (declared->folder)
        *ret_declared = entry_ref(declared->folder);
    if (declared->folder)
        r = generation_derive_version(maker, adding->match, adding->generation, declared, &version,
                                      error);
    if (r < 0)
        return r;
    if (!declared->folder) {
        *ret_package = steal_pointer(&declared);
        return 0;
    }
    options.no_times = false;
    options.version = strcmp(version, declared->version) == 0 ? NULL : version;
    return build_as_declared(adding, &options, find_last_folder(adding), ret_package, error);
}

static int build(const struct adding *adding, struct entry **ret_declared,
                 struct package **ret_package, struct error *error)
{
    const struct generation_options *options = adding->maker->options;
    const struct package_options declared = {
        .no_license = options->no_license,
        .version = options->version,
        .total = adding->total,
    };

    return options->derive_version
               ? build_with_derived(adding, ret_declared, ret_package, error)
               : build_as_declared(adding, &declared, find_last_folder(adding), ret_package, error);
}

/* --- Where it shows -----------------------------------------------------------------------------
 */

struct source_owner generation_owner(void)
{
    return (struct source_owner){0555, geteuid(), getegid()};
}

static int add_problem(const struct adding *adding, const char *path, const char *reason,
                       const char *affects, struct error *error)
{
    return problems_add(&adding->generation->problems, path, reason, false, affects) < 0
               ? no_memory(adding, error)
               : 0;
}

/* What the addon would have put into `folder`, at `affects`, nobody knows. */
static int fail_folder(const struct adding *adding, struct entry *folder,
                       const struct package *package, const char *affects, struct error *error)
{
    if (entry_fail(folder, package->failure_path, package->failure) < 0)
        return no_memory(adding, error);
    return add_problem(adding, package->failure_path, package->failure, affects, error);
}

/* The folder of an addon's versions. Two addons may have one name. */
static struct entry *versions_of(const struct adding *adding, const char *name)
{
    struct entry *packages = adding->tops[TOP_PACKAGE];
    struct entry *versions = entry_child(packages, name);

    if (versions)
        return versions;
    versions = entry_new_folder(name, generation_owner());
    return versions && entry_insert(packages, versions) == 0 ? versions : NULL;
}

/* Where the addon is that was added under the same name and version. */
static const char *origin_of_other(const struct adding *adding, const struct package *package)
{
    const struct generation *generation = adding->generation;

    for (size_t i = 0; i + 1 < generation->addon_count; i++) {
        const struct generation_addon *other = &generation->addons[i];
        if (text_equal(other->name, package->addon) && text_equal(other->version, package->version))
            return other->origin;
    }
    return "another one";
}

/* Two addons have one name and one version: neither is shown, for each would be in the other. */
static int fail_both(const struct adding *adding, struct entry *versions,
                     const struct package *package, struct error *error)
{
    cleanup_free char *affects = NULL;
    cleanup_free char *reason = NULL;
    const char *path = package->origin;

    if (asprintf(&reason, "is called %s %s, as %s is: one needs another name or version",
                 package->addon, package->version, origin_of_other(adding, package)) < 0)
        reason = NULL;
    if (asprintf(&affects, "package/%s/%s", package->addon, package->version) < 0)
        affects = NULL;
    struct entry *failed =
        reason && affects ? entry_new_failed(ENTRY_FOLDER, package->version, path, reason) : NULL;
    if (!failed || entry_replace(versions, package->version, failed) < 0)
        return no_memory(adding, error);
    return add_problem(adding, path, reason, affects, error);
}

static int add_package(const struct adding *adding, struct package *package, bool *ret_twice,
                       struct error *error)
{
    cleanup_free char *affects = NULL;
    struct entry *versions;

    *ret_twice = false;
    if (!package->addon)
        return fail_folder(adding, adding->tops[TOP_PACKAGE], package,
                           generation_top_names[TOP_PACKAGE], error);
    versions = versions_of(adding, package->addon);
    if (!versions || asprintf(&affects, "package/%s", package->addon) < 0) {
        affects = NULL;
        return no_memory(adding, error);
    }
    if (!package->folder)
        return fail_folder(adding, versions, package, affects, error);
    *ret_twice = entry_child(versions, package->version) != NULL;
    if (*ret_twice)
        return fail_both(adding, versions, package, error);
    return entry_insert(versions, entry_ref(package->folder)) < 0 ? no_memory(adding, error) : 0;
}

static int add_upload(const struct adding *adding, struct package *package, struct error *error)
{
    enum recipe_upload kind = adding->match->addon->upload;
    struct entry *upload = NULL;

    if (kind == RECIPE_UPLOAD_MANIFEST && adding->maker->options->prefixed_uploads)
        kind = RECIPE_UPLOAD_PREFIXED;
    int r = package_upload(adding->maker->origin, package, kind, &upload, error);
    if (r < 0)
        return r;
    return entry_insert(adding->tops[TOP_UPLOAD], upload) < 0 ? no_memory(adding, error) : 0;
}

/* The folder that what is in the client's zip unpacks to; of an addon without one there is none. */
static int add_client(const struct adding *adding, const struct package *package,
                      struct error *error)
{
    struct entry *clients = adding->tops[TOP_CLIENT];
    struct entry *zip = NULL;
    struct entry *client = NULL;
    cleanup_free char *name = NULL;

    if (!package->client || entry_find(package->folder, package->client, &zip) < 0)
        return 0;
    if (asprintf(&name, "%s_%s", package->addon, package->version) < 0) {
        name = NULL;
        return no_memory(adding, error);
    }
    if (zip->failure) {
        client = entry_new_failed(ENTRY_FOLDER, name, zip->path, zip->failure);
    } else if (zip->kind == ENTRY_ZIP && entry_child(clients, name)) {
        client =
            entry_new_failed(ENTRY_FOLDER, name, zip->path, "two addons would have this folder");
        return client && entry_replace(clients, name, client) == 0 ? 0 : no_memory(adding, error);
    } else if (zip->kind == ENTRY_ZIP) {
        client = entry_new_lazy(name, zip->tree);
        if (client)
            client->mtime = zip->mtime;
    } else {
        return 0;
    }
    return client && entry_insert(clients, client) == 0 ? 0 : no_memory(adding, error);
}

/* Put it everywhere. */
static int show(const struct adding *adding, struct package *package, struct error *error)
{
    bool twice = false;
    int r = add_package(adding, package, &twice, error);

    if (r == 0 && !package->folder)
        r = fail_folder(adding, adding->tops[TOP_UPLOAD], package, generation_top_names[TOP_UPLOAD],
                        error);
    if (r == 0 && !package->folder && adding->match->addon->client)
        r = fail_folder(adding, adding->tops[TOP_CLIENT], package, generation_top_names[TOP_CLIENT],
                        error);
    if (r < 0 || !package->folder)
        return r;
    r = add_upload(adding, package, error);
    return r == 0 ? add_client(adding, package, error) : r;
}

static int add_addon(const struct adding *adding, struct error *error)
{
    struct generation *generation = adding->generation;
    struct generation_addon *addon = &generation->addons[generation->addon_count];
    cleanup_package struct package *package = NULL;

    *addon = (struct generation_addon){.name = NULL};
    generation->addon_count++;
    int r = build(adding, &addon->declared, &package, error);
    if (r < 0)
        return r;
    generation->retry = generation->retry || package->retry;
    if ((package->addon && !(addon->name = strdup(package->addon))) ||
        (package->version && !(addon->version = strdup(package->version))) ||
        (package->origin && !(addon->origin = strdup(package->origin))))
        return no_memory(adding, error);
    r = show(adding, package, error);
    addon->sources = steal_pointer(&package->sources);
    addon->source_count = package->source_count;
    package->source_count = 0;
    if (r == 0 && problems_add_all(&generation->problems, &package->problems) < 0)
        r = no_memory(adding, error);
    return r;
}

/*
 * Of a submodule that is not there nobody knows which addons it holds. Without it the tree is what
 * a checkout without it holds, which is told. But one that was fetched, and lacks only this commit,
 * must not take addons away from whoever lists them.
 */
static int tell_absent(const struct adding *adding, const struct recipe_absent *absent,
                       struct error *error)
{
    struct generation *generation = adding->generation;
    int r = 0;

    generation->retry = generation->retry || source_commit(adding->maker->origin->source);
    if (absent->unfetched)
        return problems_add(&generation->problems, absent->path, absent->reason, true,
                            generation_top_names[TOP_PACKAGE]) < 0
                   ? no_memory(adding, error)
                   : 0;
    for (size_t i = 0; r == 0 && i < TOP_COUNT; i++) {
        if (entry_fail(adding->tops[i], absent->path, absent->reason) < 0)
            return no_memory(adding, error);
        r = add_problem(adding, absent->path, absent->reason, generation_top_names[i], error);
    }
    return r;
}

int generation_add_addons(const struct generation_maker *maker, const struct generation *last,
                          struct generation *generation, struct entry *tops[TOP_COUNT],
                          struct error *error)
{
    const struct recipe_matches *matches = &generation->matches;
    struct package_total total = {
        .limit = maker->entry_limit ? maker->entry_limit : PACKAGE_TOTAL_LIMIT,
    };
    int r = 0;

    generation->addons = calloc(matches->count + 1, sizeof(*generation->addons));
    if (!generation->addons)
        return error_errno(error, -ENOMEM, "%s", source_path(maker->origin->source));
    for (size_t i = 0; r == 0 && i < matches->count; i++) {
        const struct adding adding = {
            .maker = maker,
            .last = last,
            .generation = generation,
            .tops = tops,
            .match = &matches->items[i],
            .before = find_before(last, &matches->items[i]),
            .total = &total,
        };
        r = add_addon(&adding, error);
    }
    const struct adding whole = {.maker = maker, .generation = generation, .tops = tops};
    for (size_t i = 0; r == 0 && i < matches->absent_count; i++)
        r = tell_absent(&whole, &matches->absent[i], error);
    return r;
}
