#include "package_names.h"

#include <addonfs/path.h>
#include <addonfs/pylit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void names_clear(struct names *names)
{
    map_clear(&names->bindings, free);
    free(names->script_path);
    free(names->script);
    free(names->version_path);
    file_unref(names->versions);
    free(names->failed);
}

static int no_memory(const struct names *names, struct error *error)
{
    return error_errno(error, -ENOMEM, "%s", source_path(names->origin->source));
}

/* `value` is taken over. */
static int bind(struct names *names, const char *variable, char *value, struct error *error)
{
    free(map_remove(&names->bindings, variable));
    if (value && map_put(&names->bindings, variable, value) == 0)
        return 0;
    free(value);
    return no_memory(names, error);
}

const char *names_value(const struct names *names, const char *variable)
{
    return map_find(&names->bindings, variable);
}

int names_expand(struct names *names, const char *text, char **ret_text, struct error *error)
{
    return recipe_expand(text, &names->bindings, ret_text) < 0 ? no_memory(names, error) : 0;
}

/* The next failure is about `path`. */
static int about(struct names *names, const char *path, struct error *error)
{
    free(names->failed);
    names->failed = strdup(path);
    return names->failed ? 0 : no_memory(names, error);
}

/* --- Python files -------------------------------------------------------------------------------
 */

static int find_script(struct names *names, const char *path, struct file **ret_file,
                       struct error *error)
{
    struct source_entry *found = NULL;

    int r = source_find(names->origin->source, path, NULL, &found, error);
    if (r < 0)
        return r;
    if (found->kind != SOURCE_FILE)
        return error_set(error, -EIO, "%s: %s", path,
                         found->reason ? found->reason : "is not a file");
    *ret_file = found->file;
    return 0;
}

/* Read a script, unless it is the one that was read last. */
static int read_script(struct names *names, const char *path, struct error *error)
{
    cleanup_content struct content *content = NULL;
    struct file *file = NULL;

    if (names->script_path && strcmp(names->script_path, path) == 0)
        return 0;
    int r = find_script(names, path, &file, error);
    if (r == 0)
        r = source_read(file, names->origin->spool, CONTENT_MEMORY_LIMIT, &content, error);
    if (r < 0)
        return r;
    if (content->size > CONTENT_MEMORY_LIMIT)
        return error_set(error, -EFBIG, "%s: too large to say a version", path);
    free(names->script_path);
    free(names->script);
    names->script_size = (size_t)content->size;
    names->script_path = strdup(path);
    names->script = malloc(names->script_size + 1);
    if (!names->script_path || !names->script) {
        free(names->script_path);
        names->script_path = NULL;
        return no_memory(names, error);
    }
    ssize_t n = content_read(content, 0, names->script, names->script_size);
    if (n < 0 || (size_t)n != names->script_size) {
        free(names->script_path);
        names->script_path = NULL;
        return n < 0 ? error_errno(error, (int)n, "%s", path)
                     : error_set(error, -ESTALE, "%s: has changed meanwhile", path);
    }
    return 0;
}

/*
 * What a recipe's value is; NULL if it may be absent and is. `*ret_path`: the Python file that says
 * it, or NULL.
 */
static int read_value(struct names *names, const struct recipe_value *value, bool may_be_absent,
                      char **ret_text, char **ret_path, struct error *error)
{
    cleanup_free char *path = NULL;

    *ret_path = NULL;
    if (value->text)
        return names_expand(names, value->text, ret_text, error);
    int r = names_expand(names, value->file, &path, error);
    if (r < 0)
        return r;
    if (!path)
        return error_set(error, -EINVAL, "%s: a variable in it is not set", value->file);
    r = about(names, path, error);
    if (r == 0)
        r = read_script(names, path, error);
    if (r < 0)
        return r;
    r = may_be_absent ? pylit_optional_string(names->script, names->script_size, path,
                                              value->variable, ret_text, error)
                      : pylit_string(names->script, names->script_size, path, value->variable,
                                     ret_text, error);
    if (r == 0)
        *ret_path = steal_pointer(&path);
    return r;
}

/* --- What is bound ------------------------------------------------------------------------------
 */

static int check_name(const char *what, const char *path, const char *name, struct error *error)
{
    if (path_addon_name_ok(name))
        return 0;
    return error_set(error, -EINVAL,
                     "%s: %s \"%s\" is not allowed: letters, digits and _ . - only, the last two "
                     "not at the ends, at most 128 of them",
                     path, what, name);
}

int names_read_addon(struct names *names, struct error *error)
{
    const char *folder = names->match->folder;
    cleanup_free char *name = NULL;
    cleanup_free char *path = NULL;
    int r = about(names, folder ? folder : source_path(names->origin->source), error);

    if (r == 0 && folder) {
        const char *slash = strrchr(folder, '/');
        r = bind(names, "folder", strdup(folder), error);
        if (r == 0)
            r = bind(names, "dir", strdup(slash ? slash + 1 : folder), error);
    }
    if (r == 0)
        r = read_value(names, &names->match->addon->name, false, &name, &path, error);
    if (r == 0 && !name)
        r = error_set(error, -EINVAL, "%s: a variable in the name is not set", names->failed);
    if (r == 0)
        r = check_name("name", names->failed, name, error);
    return r < 0 ? r : bind(names, "name", steal_pointer(&name), error);
}

int names_read_variables(struct names *names, struct error *error)
{
    const struct recipe_addon *addon = names->match->addon;
    int r = 0;

    for (size_t i = 0; r == 0 && i < addon->variable_count; i++) {
        const struct recipe_variable *variable = &addon->variables[i];
        cleanup_free char *value = NULL;
        cleanup_free char *path = NULL;
        r = read_value(names, &variable->value, true, &value, &path, error);
        if (r == 0 && value)
            r = check_name(variable->name, names->failed, value, error);
        if (r == 0 && value)
            r = bind(names, variable->name, steal_pointer(&value), error);
    }
    return r;
}

int names_read_version(struct names *names, struct error *error)
{
    cleanup_free char *version = NULL;
    struct file *file = NULL;

    free(names->version_path);
    names->version_path = NULL;
    int r = read_value(names, &names->match->addon->version, false, &version, &names->version_path,
                       error);
    if (r == 0 && names->version_path)
        r = find_script(names, names->version_path, &file, error);
    if (r < 0)
        return r;
    file_unref(names->versions);
    names->versions = names->version_path ? file_ref(file) : NULL;
    if (!version || !path_version_ok(version))
        return error_set(error, -EINVAL,
                         "%s: version \"%s\" is not allowed: letters, digits and . + - _ only, no "
                         "\"..\", at most 128 of them",
                         names->failed, version ? version : "");
    return bind(names, "version", steal_pointer(&version), error);
}

int names_set_version(struct names *names, const char *version, struct file **ret_edited,
                      struct error *error)
{
    char *text = NULL;
    size_t size = 0;

    *ret_edited = NULL;
    if (names->version_path) {
        int r = read_script(names, names->version_path, error);
        if (r == 0)
            r = pylit_replace_string(names->script, names->script_size, names->version_path,
                                     names->match->addon->version.variable, version, &text, &size,
                                     error);
        if (r < 0)
            return r;
        *ret_edited = file_new_text(names->versions, NULL, text, size);
        if (!*ret_edited)
            return no_memory(names, error);
    }
    return bind(names, "version", strdup(version), error);
}
