#include "package_rules.h"
#include "package_zip.h"

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

void builder_clear(struct builder *builder)
{
    for (size_t i = 0; i < builder->zip_count; i++) {
        free(builder->zips[i].path);
        free(builder->zips[i].source);
        entry_unref(builder->zips[i].root);
    }
    free(builder->zips);
    names_clear(&builder->names);
}

/* --- Places -------------------------------------------------------------------------------------
 */

/* Split a destination: the folder it goes to, and its name there. */
static int split(const char *path, char **ret_parent, const char **ret_name)
{
    const char *slash = strrchr(path, '/');

    *ret_parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    *ret_name = slash ? slash + 1 : path;
    return *ret_parent ? 0 : -ENOMEM;
}

/*
 * On the way to `destination` something stands where a folder has to be: that name is what both
 * want. Unless it has failed: then what would be below it is as lost as it is.
 */
static int block(struct entry *root, const char *destination, const char *source)
{
    char name[NAME_MAX + 1];
    struct entry *folder = root;
    struct entry *found = NULL;

    for (const char *at = destination;; at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        snprintf(name, sizeof(name), "%.*s", (int)length, at);
        found = entry_child(folder, name);
        if (!found || found->kind != ENTRY_FOLDER || found->failure)
            break;
        folder = found;
        at += length;
    }
    if (!found || found->failure)
        return 0;
    struct entry *other = entry_new_folder(name, root->owner);
    if (!other || !(other->path = strdup(source))) {
        entry_unref(other);
        return -ENOMEM;
    }
    return entry_insert(folder, other);
}

/* Put an entry at its rule's destination. `entry` is taken over. */
static int place(struct entry *root, const char *destination, const char *source,
                 struct entry *entry_given, struct error *error)
{
    cleanup_entry struct entry *entry = entry_given;
    cleanup_free char *parent = NULL;
    const char *name = NULL;
    struct entry *folder = NULL;

    int r = split(destination, &parent, &name);
    if (r == 0)
        r = entry_make_folders(root, parent, root->owner, &folder);
    if (r == -ENOTDIR)
        return block(root, destination, source) < 0 ? error_errno(error, -ENOMEM, "%s", name) : 0;
    if (r == 0)
        r = entry_insert(folder, steal_pointer(&entry));
    return r < 0 ? error_errno(error, r, "%s", destination) : 0;
}

/* A rule whose texts are expanded. */
struct applied {
    const struct recipe_rule *rule;
    char *source;
    char *zip;
    char *destination;
    char *text;
    char *expected_with;
};

static void applied_clear(struct applied *applied)
{
    free(applied->source);
    free(applied->zip);
    free(applied->destination);
    free(applied->text);
    free(applied->expected_with);
}

/* 1: the rule applies; 0: a variable in it is not set. */
static int expand(struct builder *builder, const struct recipe_rule *rule, struct applied *applied,
                  struct error *error)
{
    const struct {
        const char *text;
        char **expanded;
    } texts[] = {
        {rule->source, &applied->source},
        {rule->zip, &applied->zip},
        {rule->destination, &applied->destination},
        {rule->text, &applied->text},
        {rule->expected_with, &applied->expected_with},
    };

    applied->rule = rule;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!texts[i].text)
            continue;
        int r = names_expand(&builder->names, texts[i].text, texts[i].expanded, error);
        if (r < 0)
            return r;
        if (!*texts[i].expanded)
            return 0;
    }
    return 1;
}

/* The zip at `path` in the package, begun if it is new. NULL without memory. */
static struct zipped *zip_at(struct builder *builder, const struct applied *applied)
{
    struct entry *last = NULL;

    for (size_t i = 0; i < builder->zip_count; i++) {
        if (strcmp(builder->zips[i].path, applied->zip) == 0)
            return &builder->zips[i];
    }
    struct zipped *zips =
        reallocarray(builder->zips, builder->zip_count + 1, sizeof(*builder->zips));
    if (!zips)
        return NULL;
    builder->zips = zips;
    struct zipped *zip = &zips[builder->zip_count++];
    if (!builder->last || entry_find(builder->last, applied->zip, &last) < 0 ||
        last->kind != ENTRY_ZIP || !last->tree)
        last = NULL;
    *zip = (struct zipped){
        .path = strdup(applied->zip),
        .source = strdup(applied->source ? applied->source : applied->zip),
        .root = entry_new_folder("", builder->walk.package->folder->owner),
        .last = last,
    };
    return zip->path && zip->source && zip->root ? zip : NULL;
}

/* The folder that stood at the rule's destination the last time, or NULL. */
static struct entry *last_tree(const struct builder *builder, const struct applied *applied,
                               const struct zipped *zip)
{
    struct entry *root = zip ? (zip->last ? zip->last->tree : NULL) : builder->last;
    struct entry *found = NULL;

    /* Entries that are served belong to their path; the trees of zips are not served. */
    if (!zip && root && strcmp(root->name, builder->walk.package->version) != 0)
        return NULL;
    if (!root || builder->walk.origin->skip_problems ||
        entry_find(root, applied->destination, &found) < 0)
        return NULL;
    return found->kind == ENTRY_FOLDER ? found : NULL;
}

/* --- Rules --------------------------------------------------------------------------------------
 */

/* Is there something at `path`? -ENOMEM, …, else a truth value; what cannot be looked at is there.
 */
static int is_there(struct builder *builder, const char *path, struct source_entry **ret_entry,
                    struct error *error)
{
    struct source_entry *found = NULL;
    struct error *why = &builder->walk.why;

    int r = source_find(builder->walk.origin->source, path, NULL, &found, why);
    if (ret_entry)
        *ret_entry = r == 0 ? found : NULL;
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = *why;
        return r;
    }
    return r != -ENOENT && r != -ENOTDIR;
}

/* An optional source that is not there. */
static int miss(struct builder *builder, const struct applied *applied, struct error *error)
{
    struct package *package = builder->walk.package;
    cleanup_free char *reason = NULL;

    int r = applied->expected_with ? is_there(builder, applied->expected_with, NULL, error) : 0;
    if (r <= 0)
        return r;
    if (asprintf(&reason, "is there, but %s is not: it has to be built", applied->source) < 0) {
        reason = NULL;
        return error_errno(error, -ENOMEM, "%s", applied->source);
    }
    return problems_add(&package->problems, applied->expected_with, reason, true,
                        builder->walk.affects) < 0
               ? error_errno(error, -ENOMEM, "%s", applied->source)
               : 0;
}

/* A file that is made up; NULL if the one that it replaces is not there. */
static int make_text(struct builder *builder, const struct applied *applied, const char *name,
                     struct entry **ret_entry, struct error *error)
{
    const struct names *names = &builder->names;
    struct source_entry *found = NULL;
    const struct file *base = names->versions;
    struct file *made;

    if (applied->source) {
        int r = is_there(builder, applied->source, &found, error);
        if (r <= 0)
            return r;
        /* What is wrong with it is told as of any file. */
        if (!found || found->kind != SOURCE_FILE)
            return walk_file(&builder->walk, applied->source, name, ret_entry, error);
        base = found->file;
    }
    if (!base) {
        *ret_entry = entry_new_failed(ENTRY_FILE, name, applied->destination,
                                      "a text needs a file to replace, or a version that is read "
                                      "from one");
    } else {
        char *text = strdup(applied->text);
        made = text ? file_new_text(base, names->version_path, text, strlen(text)) : NULL;
        if (made)
            made->owner.mode &= ~(mode_t)0111;
        *ret_entry = made ? entry_new_file(name, made) : NULL;
        file_unref(made);
    }
    if (!*ret_entry)
        return error_errno(error, -ENOMEM, "%s", applied->destination);
    (*ret_entry)->priority = applied->rule->priority;
    return 0;
}

/* What the rule puts at its destination; NULL: nothing. */
static int make(struct builder *builder, const struct applied *applied, const struct zipped *zip,
                struct entry **ret_entry, struct error *error)
{
    const char *slash = strrchr(applied->destination, '/');
    const char *name = slash ? slash + 1 : applied->destination;
    struct walk *walk = &builder->walk;

    if (applied->rule->kind == RECIPE_TEXT)
        return make_text(builder, applied, name, ret_entry, error);
    if (applied->rule->optional) {
        int r = is_there(builder, applied->source, NULL, error);
        if (r <= 0)
            return r < 0 ? r : miss(builder, applied, error);
    }
    return applied->rule->kind == RECIPE_FILE
               ? walk_file(walk, applied->source, name, ret_entry, error)
               : walk_folder(walk, applied->source, name, last_tree(builder, applied, zip),
                             ret_entry, error);
}

/* Let the children of `entry` be children of `root`, which is as failed as it is. */
static int pour(struct entry *root, struct entry *entry, const char *source, struct error *error)
{
    int r = 0;

    if (!root->path && !(root->path = strdup(entry->path ? entry->path : source)))
        r = -ENOMEM;
    if (r == 0 && entry->failure && !root->failure && !(root->failure = strdup(entry->failure)))
        r = -ENOMEM;
    for (size_t i = 0; i < entry->count && r == 0; i++)
        r = entry_insert(root, entry_ref(entry->children[i]));
    return r < 0 ? error_errno(error, r, "%s", source) : 0;
}

/* 1, or -ENOMEM. */
static int note_source(struct package *package, const char *path, struct error *error)
{
    char **sources =
        reallocarray(package->sources, package->source_count + 1, sizeof(*package->sources));

    if (sources)
        package->sources = sources;
    if (!sources || !(sources[package->source_count] = strdup(path)))
        return error_errno(error, -ENOMEM, "%s", path);
    package->source_count++;
    return 1;
}

static int apply_rule(struct builder *builder, const struct recipe_rule *rule, struct error *error)
{
    __attribute__((cleanup(applied_clear))) struct applied applied = {0};
    cleanup_entry struct entry *entry = NULL;
    cleanup_free char *affects = NULL;
    struct package *package = builder->walk.package;
    struct zipped *zip = NULL;

    int r = expand(builder, rule, &applied, error);
    if (r > 0 && applied.source)
        r = note_source(package, applied.source, error);
    if (r <= 0)
        return r;
    if (applied.zip && !(zip = zip_at(builder, &applied)))
        return error_errno(error, -ENOMEM, "%s", applied.zip);
    const char *place_shown = applied.zip ? applied.zip : applied.destination;
    if (asprintf(&affects, "package/%s/%s%s%s", package->addon, package->version,
                 *place_shown ? "/" : "", place_shown) < 0) {
        affects = NULL;
        return error_errno(error, -ENOMEM, "%s", rule->destination);
    }
    builder->walk.affects = affects;
    builder->walk.rule = rule;
    r = make(builder, &applied, zip, &entry, error);
    if (r < 0 || !entry)
        return r;
    /* An empty folder is an empty zip; what is optional and not there is none. */
    if (zip)
        zip->used = true;
    struct entry *root = zip ? zip->root : package->folder;
    const char *source = applied.source ? applied.source : applied.destination;
    if (*applied.destination == '\0')
        return pour(root, entry, source, error);
    if (entry->kind == ENTRY_FOLDER && entry->count == 0 && !entry->failure && !rule->empty_folders)
        return 0;
    return place(root, applied.destination, source, steal_pointer(&entry), error);
}

/* Put a zip that rules have filled where it belongs. */
static int place_zip(struct builder *builder, struct zipped *zipped, struct error *error)
{
    const struct origin *origin = builder->walk.origin;
    const char *slash = strrchr(zipped->path, '/');
    const char *name = slash ? slash + 1 : zipped->path;
    struct entry *last = origin->skip_problems ? NULL : zipped->last;
    struct entry *zip = NULL;

    if (!zipped->used)
        return 0;
    /* The same children are the same tree. */
    if (last && entry_same_children(last->tree, zipped->root)) {
        entry_unref(zipped->root);
        zipped->root = entry_ref(last->tree);
    }
    if (package_zip(origin, zipped->root, name, last, &zip) < 0)
        return error_errno(error, -ENOMEM, "%s", zipped->path);
    if (!zip->path && !(zip->path = strdup(zipped->source))) {
        entry_unref(zip);
        return error_errno(error, -ENOMEM, "%s", zipped->path);
    }
    return place(builder->walk.package->folder, zipped->path, zipped->source, zip, error);
}

int builder_apply_rules(struct builder *builder, struct error *error)
{
    const struct recipe_addon *addon = builder->names.match->addon;
    int r = 0;

    for (size_t i = 0; r == 0 && i < addon->rule_count; i++) {
        if (!addon->rules[i].license || !builder->options->no_license)
            r = apply_rule(builder, &addon->rules[i], error);
    }
    for (size_t i = 0; r == 0 && i < builder->zip_count; i++)
        r = place_zip(builder, &builder->zips[i], error);
    return r;
}
