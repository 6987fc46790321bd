#include "package_rules.h"
#include "package_times.h"
#include "package_zip.h"

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

void package_free(struct package *package)
{
    if (!package)
        return;
    entry_unref(package->folder);
    problems_clear(&package->problems);
    free(package->addon);
    free(package->version);
    for (size_t i = 0; i < package->source_count; i++)
        free(package->sources[i]);
    free(package->sources);
    free(package->origin);
    free(package->version_path);
    free(package->client);
    free(package->failure_path);
    free(package->failure);
    free(package);
}

/*
 * With problems=skip a plain file that cannot be read is left out: that must be known beforehand.
 * `why` is room for the reasons, which must not be on the stack once for each folder.
 */
static int drop_unreadable(const struct origin *origin, struct package *package,
                           struct entry *folder, const char *affects, struct error *why,
                           struct error *error)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < folder->count; i++) {
        struct entry *child = folder->children[i];
        cleanup_free char *path = path_join(affects, child->name);
        uint64_t size;

        if (!path)
            r = -ENOMEM;
        if (r == 0 && child->kind == ENTRY_FOLDER && !child->failure)
            r = drop_unreadable(origin, package, child, path, why, error);
        int readable = 0;
        if (r == 0 && child->failure)
            readable = error_set(why, -EIO, "%s: %s", child->path, child->failure);
        else if (r == 0 && child->kind == ENTRY_FILE)
            readable = source_measure(child->file, origin->spool, &size, why);
        if (readable < 0 && error_is_transient(readable))
            r = readable;
        if (r == 0 && readable < 0) {
            const char *reason = error_reason(why->text, child->path);
            r = problems_add(&package->problems, child->path, reason, true, path);
            package->retry = package->retry || !child->failure;
            entry_unref(child);
            continue;
        }
        folder->children[kept++] = child;
    }
    folder->count = kept;
    return r < 0 ? error_errno(error, r, "%s", affects) : 0;
}

/* --- The whole ----------------------------------------------------------------------------------
 */

int package_fail(struct package *package, const char *path, const char *failure)
{
    char *failure_path = strdup(path);
    char *reason = strdup(error_reason(failure, path));

    free(package->failure_path);
    free(package->failure);
    package->failure_path = failure_path;
    package->failure = reason;
    free(package->version);
    package->version = NULL;
    entry_unref(package->folder);
    package->folder = NULL;
    return failure_path && reason ? 0 : -ENOMEM;
}

static int fail(struct package *package, const char *path, const char *why, struct error *error)
{
    return package_fail(package, path, why) < 0 ? error_errno(error, -ENOMEM, "%s", path) : 0;
}

/* Make the package's folder, whose version is known. */
static int fill(struct builder *builder, struct error *error)
{
    const struct origin *origin = builder->walk.origin;
    const struct source_owner ours = {0555, geteuid(), getegid()};
    struct package *package = builder->walk.package;

    package->folder = entry_new_folder(package->version, ours);
    if (!package->folder)
        return error_errno(error, -ENOMEM, "%s", package->addon);
    int r = builder_apply_rules(builder, error);
    if (r == 0 && origin->skip_problems) {
        cleanup_free char *affects = NULL;
        if (asprintf(&affects, "package/%s/%s", package->addon, package->version) < 0) {
            affects = NULL;
            return error_errno(error, -ENOMEM, "%s", package->addon);
        }
        r = drop_unreadable(origin, package, package->folder, affects, &builder->walk.why, error);
    }
    if (r == 0 && source_commit(origin->source) && !builder->options->no_times)
        r = package_set_times(origin, package->folder, package->addon, &package->problems,
                              &package->retry, error);
    return r;
}

/* Take a name that is known now. */
static int take(struct names *names, const char *variable, char **ret_text, struct error *error)
{
    const char *value = names_value(names, variable);

    free(*ret_text);
    *ret_text = strdup(value);
    return *ret_text ? 0 : error_errno(error, -ENOMEM, "%s", value);
}

static const char *origin_of(const struct names *names)
{
    if (names->match->folder)
        return names->match->folder;
    return names->version_path ? names->version_path : source_path(names->origin->source);
}

/* Find out what the addon is called; what cannot be had fails the package. 1: it is all known. */
static int name(struct builder *builder, struct error *error)
{
    const char *version = builder->options->version;
    struct package *package = builder->walk.package;
    struct names *names = &builder->names;
    struct error *why = &builder->walk.why;

    int r = names_read_addon(names, why);
    if (r == 0)
        r = take(names, "name", &package->addon, why);
    if (r == 0)
        r = names_read_variables(names, why);
    if (r == 0)
        r = names_read_version(names, why);
    if (r == 0 && names->version_path && !(package->version_path = strdup(names->version_path)))
        r = error_errno(why, -ENOMEM, "%s", names->version_path);
    if (r == 0 && !(package->origin = strdup(origin_of(names))))
        r = error_errno(why, -ENOMEM, "%s", package->addon);
    if (r == 0 && version)
        r = names_set_version(names, version, &builder->walk.edited, why);
    if (r == 0)
        r = take(names, "version", &package->version, why);
    if (r == 0)
        return 1;
    if (error_is_transient(r)) {
        if (error)
            *error = *why;
        return r;
    }
    return fail(package, names->failed, why->text, error);
}

/* The zip that client/ unpacks. */
static int find_client(struct builder *builder, struct error *error)
{
    const char *client = builder->names.match->addon->client;
    struct package *package = builder->walk.package;

    return client ? names_expand(&builder->names, client, &package->client, error) : 0;
}

int package_build(const struct origin *origin, const struct package_options *options,
                  const struct recipe_match *match, struct entry *last,
                  struct package **ret_package, struct error *error)
{
    cleanup_package struct package *package = calloc(1, sizeof(*package));
    struct builder builder = {
        .walk = {.origin = origin, .package = package, .total = options->total},
        .names = {.origin = origin, .match = match},
        .options = options,
        .last = last,
    };
    struct error why = {0};

    if (!package)
        return error_errno(error, -ENOMEM, "%s", source_path(origin->source));
    int r = name(&builder, error);
    if (r > 0) {
        r = fill(&builder, &why);
        if (r == 0)
            r = find_client(&builder, &why);
        if (r < 0 && builder.walk.excess) {
            r = fail(package, builder.walk.excess, why.text, error);
        } else if (r < 0 && error) {
            *error = why;
        }
    }
    file_unref(builder.walk.edited);
    builder_clear(&builder);
    if (r == 0)
        *ret_package = steal_pointer(&package);
    return r;
}

/* --- Upload -------------------------------------------------------------------------------------
 */

/* The file that says which addon the zip holds. */
static struct entry *make_manifest(const struct package *package, const struct file *base)
{
    cleanup_entry struct entry *manifest = NULL;
    char *text = NULL;

    /* As Python's json.dump writes it; neither name needs an escape (path.h). */
    int size = asprintf(&text, "{\"addon_name\": \"%s\", \"addon_version\": \"%s\"}",
                        package->addon, package->version);
    if (size < 0)
        return NULL;
    struct file *file = file_new_text(base, NULL, text, (size_t)size);
    if (file) {
        file->owner.mode &= ~(mode_t)0111;
        manifest = entry_new_file("manifest.json", file);
    }
    file_unref(file);
    return steal_pointer(&manifest);
}

/* The tree whose files are the zip's members. */
static int make_upload_tree(const struct package *package, enum recipe_upload kind,
                            struct entry **ret_tree)
{
    cleanup_entry struct entry *tree = entry_new_folder("", package->folder->owner);
    const struct file *base = entry_any_file(package->folder);
    cleanup_free char *above = NULL;
    struct entry *folder = NULL;

    if (!tree || !(tree->path = strdup("")))
        return -ENOMEM;
    int size =
        kind == RECIPE_UPLOAD_ROOT
            ? asprintf(&above, "%s", "")
            : asprintf(&above, "%s%s%s", kind == RECIPE_UPLOAD_PREFIXED ? package->addon : "addon",
                       kind == RECIPE_UPLOAD_PREFIXED ? "/" : "",
                       kind == RECIPE_UPLOAD_PREFIXED ? package->version : "");
    if (size < 0) {
        above = NULL;
        return -ENOMEM;
    }
    int r = entry_make_folders(tree, above, package->folder->owner, &folder);
    for (size_t i = 0; r == 0 && i < package->folder->count; i++)
        r = entry_insert(folder, entry_ref(package->folder->children[i]));
    if (r == 0 && package->folder->path && !folder->path &&
        !(folder->path = strdup(package->folder->path)))
        r = -ENOMEM;
    if (r == 0 && kind == RECIPE_UPLOAD_MANIFEST && base) {
        struct entry *manifest = make_manifest(package, base);
        r = manifest ? entry_insert(tree, manifest) : -ENOMEM;
    }
    if (r == 0 && package->folder->failure && !(tree->failure = strdup(package->folder->failure)))
        r = -ENOMEM;
    if (r == 0)
        *ret_tree = steal_pointer(&tree);
    return r;
}

int package_upload(const struct origin *origin, struct package *package, enum recipe_upload kind,
                   struct entry **ret_upload, struct error *error)
{
    cleanup_entry struct entry *tree = NULL;
    cleanup_entry struct entry *zip = NULL;
    cleanup_free char *name = NULL;

    int r = asprintf(&name, "%s-%s.zip", package->addon, package->version);
    if (r < 0)
        name = NULL;
    else
        r = make_upload_tree(package, kind, &tree);
    if (r == 0)
        r = package_zip(origin, tree, name, NULL, &zip);
    if (r < 0 || (!zip->path && !(zip->path = strdup(package->origin))))
        return error_errno(error, -ENOMEM, "%s", package->addon);
    if (source_commit(origin->source))
        r = package_set_times(origin, zip, package->addon, &package->problems, &package->retry,
                              error);
    if (r < 0)
        return r;
    *ret_upload = steal_pointer(&zip);
    return 0;
}
