#include "recipe_json.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct where json_below(const struct where *where, const char *format, ...)
{
    struct where there = *where;
    size_t length = strlen(there.text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(there.text + length, sizeof(there.text) - length, format, arguments);
    va_end(arguments);
    return there;
}

int json_wrong(struct reader *reader, const struct where *where, const char *allowed)
{
    return error_set(reader->error, -EINVAL, "%s: %s: %s", reader->path, where->text, allowed);
}

int json_no_memory(struct reader *reader)
{
    return error_errno(reader->error, -ENOMEM, "%s", reader->path);
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

int json_check_keys(struct reader *reader, const struct where *where, const cJSON *object,
                    const char *const *keys)
{
    char allowed[400] = "";

    if (!cJSON_IsObject(object))
        return json_wrong(reader, where, "an object is expected");
    for (size_t i = 0; keys[i]; i++) {
        size_t length = strlen(allowed);
        snprintf(allowed + length, sizeof(allowed) - length, "%s%s", i > 0 ? ", " : "", keys[i]);
    }
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], item->string) != 0)
            i++;
        struct where there = json_below(where, ".%.64s", item->string);
        if (!keys[i])
            return error_set(reader->error, -EINVAL, "%s: %s: is not known; allowed are %s",
                             reader->path, there.text, allowed);
        if (cJSON_GetObjectItemCaseSensitive(object, item->string) != item)
            return json_wrong(reader, &there, "stands there twice");
    }
    return 0;
}

int json_get_string(struct reader *reader, const struct where *where, const cJSON *object,
                    const char *key, bool required, const char **ret_string)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    struct where there = json_below(where, ".%s", key);

    *ret_string = NULL;
    if (!item)
        return required ? json_wrong(reader, &there, "is missing; a string is expected") : 0;
    if (!cJSON_IsString(item))
        return json_wrong(reader, &there, "a string is expected");
    *ret_string = item->valuestring;
    return 0;
}

int json_get_bool(struct reader *reader, const struct where *where, const cJSON *object,
                  const char *key, bool missing, bool *ret_bool)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    struct where there = json_below(where, ".%s", key);

    if (item && !cJSON_IsBool(item))
        return json_wrong(reader, &there, "true or false is expected");
    *ret_bool = item ? cJSON_IsTrue(item) : missing;
    return 0;
}

int json_get_list(struct reader *reader, const struct where *where, const cJSON *object,
                  const char *key, const char *const **ret_list)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, key);
    struct where there = json_below(where, ".%s", key);
    const cJSON *item;
    size_t count = 0;

    *ret_list = NULL;
    if (!array)
        return 0;
    if (!cJSON_IsArray(array))
        return json_wrong(reader, &there, "a list of strings is expected");
    const char **list =
        recipe_allocate(reader->recipe, ((size_t)cJSON_GetArraySize(array) + 1) * sizeof(char *));
    if (!list)
        return json_no_memory(reader);
    cJSON_ArrayForEach(item, array)
    {
        struct where here = json_below(&there, "[%zu]", count);
        if (!cJSON_IsString(item) || !*item->valuestring)
            return json_wrong(reader, &here, "a string is expected");
        list[count++] = item->valuestring;
    }
    *ret_list = list;
    return 0;
}

/* --- Paths and variables ------------------------------------------------------------------------
 */

bool json_is_variable(const struct reader *reader, const char *name, size_t length)
{
    cleanup_free char *key = strndup(name, length);
    bool found = key && recipe_knows_variable(key);

    for (size_t i = 0; key && !found && i < reader->variable_count; i++)
        found = strcmp(reader->variables[i].name, key) == 0;
    return found;
}

static bool is_known(const struct reader *reader, const char *name, size_t length)
{
    const struct {
        const char *name;
        bool known;
    } all[] = {
        {"folder", reader->known.folder},
        {"dir", reader->known.folder},
        {"name", reader->known.name},
        {"version", reader->known.version},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strlen(all[i].name) == length && strncmp(all[i].name, name, length) == 0)
            return all[i].known;
    }
    return json_is_variable(reader, name, length);
}

int json_check_variables(struct reader *reader, const struct where *where, const char *text)
{
    const char *name;
    size_t length;

    while (recipe_next_variable(&text, &name, &length)) {
        if (!is_known(reader, name, length))
            return error_set(reader->error, -EINVAL,
                             "%s: %s: {%.*s} is no variable here; there are %s%s%s", reader->path,
                             where->text, (int)length, name, reader->known.name ? "{name}, " : "",
                             reader->known.version ? "{version}, " : "",
                             reader->known.name
                                 ? "those in \"variables\", and with \"folders\" {folder} and {dir}"
                                 : "{folder} and {dir}, with \"folders\" alone");
    }
    return 0;
}

int json_check_path(struct reader *reader, const struct where *where, const char *path,
                    bool may_be_empty)
{
    cleanup_free char *sample = NULL;
    const char *at = path;
    const char *name;
    const char *open;
    size_t length;
    size_t size = strlen(path);

    int r = json_check_variables(reader, where, path);
    if (r < 0)
        return r;
    /* With each variable taken for a name. */
    sample = strdup(path);
    if (!sample)
        return json_no_memory(reader);
    while ((open = recipe_next_variable(&at, &name, &length)))
        memset(sample + (open - path), 'x', length + 2);
    if (size == 0)
        return may_be_empty ? 0 : json_wrong(reader, where, "is empty; a path is expected");
    if (!path_recipe_ok(sample))
        return json_wrong(reader, where,
                          "a path from the root is expected, without \"..\" and Git's own names");
    return 0;
}

int json_get_path(struct reader *reader, const struct where *where, const cJSON *object,
                  const char *key, bool required, const char **ret_path)
{
    struct where there = json_below(where, ".%s", key);
    int r = json_get_string(reader, where, object, key, required, ret_path);

    return r == 0 && *ret_path ? json_check_path(reader, &there, *ret_path, false) : r;
}

int json_check_paths(struct reader *reader, const struct where *where, const char *key,
                     const char *const *paths)
{
    int r = 0;

    for (size_t i = 0; r == 0 && paths && paths[i]; i++) {
        struct where there = json_below(where, ".%s[%zu]", key, i);
        r = json_check_path(reader, &there, paths[i], false);
    }
    return r;
}

void recipe_json_free(void *json)
{
    cJSON_Delete(json);
}
