/* Reads a recipe from JSON. The README says what may stand in it. */
#include "json.h"
#include "recipe_json.h"

#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FORMAT = 1, PRIORITY_LIMIT = 100 };

static int read_signs(struct reader *reader, const struct where *where, const cJSON *object,
                      const char *const **ret_files, const char *const **ret_folders)
{
    static const char *const keys[] = {"files", "folders", NULL};
    const cJSON *signs = cJSON_GetObjectItemCaseSensitive(object, "signs");
    struct where there = json_below(where, ".signs");

    *ret_files = *ret_folders = NULL;
    if (!signs)
        return 0;
    int r = json_check_keys(reader, &there, signs, keys);
    if (r == 0)
        r = json_get_list(reader, &there, signs, "files", ret_files);
    if (r == 0)
        r = json_check_paths(reader, &there, "files", *ret_files);
    if (r == 0)
        r = json_get_list(reader, &there, signs, "folders", ret_folders);
    return r == 0 ? json_check_paths(reader, &there, "folders", *ret_folders) : r;
}

/* A text, or {"file": …, "variable": …}. */
static int read_value(struct reader *reader, const struct where *where, const cJSON *item,
                      struct recipe_value *value)
{
    static const char *const keys[] = {"file", "variable", NULL};

    if (cJSON_IsString(item)) {
        value->text = item->valuestring;
        return json_check_variables(reader, where, value->text);
    }
    if (!cJSON_IsObject(item))
        return json_wrong(
            reader, where,
            "a string is expected, or {\"file\": …, \"variable\": …} of a Python file");
    int r = json_check_keys(reader, where, item, keys);
    if (r == 0)
        r = json_get_path(reader, where, item, "file", true, &value->file);
    return r == 0 ? json_get_string(reader, where, item, "variable", true, &value->variable) : r;
}

static int get_value(struct reader *reader, const struct where *where, const cJSON *object,
                     const char *key, struct recipe_value *value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    struct where there = json_below(where, ".%s", key);

    return item ? read_value(reader, &there, item, value)
                : json_wrong(reader, &there, "is missing; every addon needs one");
}

static int read_variables(struct reader *reader, const struct where *where, const cJSON *object,
                          struct recipe_addon *addon)
{
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(object, "variables");
    struct where there = json_below(where, ".variables");
    const cJSON *item;

    if (!all)
        return 0;
    if (!cJSON_IsObject(all))
        return json_wrong(reader, &there, "an object is expected");
    struct recipe_variable *variables =
        recipe_allocate(reader->recipe, (size_t)cJSON_GetArraySize(all) * sizeof(*variables));
    if (!variables)
        return json_no_memory(reader);
    cJSON_ArrayForEach(item, all)
    {
        struct where here = json_below(&there, ".%.64s", item->string);
        size_t length = strlen(item->string);
        if (length == 0 || length != strspn(item->string, "abcdefghijklmnopqrstuvwxyz_"))
            return json_wrong(reader, &here, "a variable's name has small letters and _ only");
        if (json_is_variable(reader, item->string, length))
            return json_wrong(reader, &here, "there is such a variable already");
        int r = read_value(reader, &here, item, &variables[addon->variable_count].value);
        if (r < 0)
            return r;
        variables[addon->variable_count++].name = item->string;
        reader->variables = variables;
        reader->variable_count = addon->variable_count;
    }
    addon->variables = variables;
    return 0;
}

/* --- Filters ------------------------------------------------------------------------------------
 */

/* "walk", "walk folders", or {"files": […], "folders": […]}. */
static int get_filter(struct reader *reader, const struct where *where, const cJSON *object,
                      const char *key, struct match_filter *filter)
{
    static const char *const keys[] = {"files", "folders", NULL};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    struct where there = json_below(where, ".%s", key);

    if (!item)
        return 0;
    *filter = match_everything;
    if (cJSON_IsString(item) && strcmp(item->valuestring, "walk") == 0) {
        *filter = match_walk;
        return 0;
    }
    if (cJSON_IsString(item) && strcmp(item->valuestring, "walk folders") == 0) {
        filter->drop_folders = match_walk.drop_folders;
        return 0;
    }
    if (!cJSON_IsObject(item))
        return json_wrong(reader, &there,
                          "\"walk\", \"walk folders\" or {\"files\": […], \"folders\": […]} is "
                          "expected");
    const char *const *files = NULL;
    const char *const *folders = NULL;
    int r = json_check_keys(reader, &there, item, keys);
    if (r == 0)
        r = json_get_list(reader, &there, item, "files", &files);
    if (r == 0)
        r = json_get_list(reader, &there, item, "folders", &folders);
    if (r == 0 && files)
        filter->drop_files = files;
    if (r == 0 && folders)
        filter->drop_folders = folders;
    return r;
}

static int read_filters(struct reader *reader, const struct where *where, const cJSON *object,
                        struct recipe_rule *rule)
{
    const char *const *include;

    rule->below = match_everything;
    int r = get_filter(reader, where, object, "exclude", &rule->below);
    if (r < 0)
        return r;
    rule->top = rule->below;
    r = get_filter(reader, where, object, "exclude_top", &rule->top);
    if (r == 0)
        r = json_get_list(reader, where, object, "include", &include);
    if (r == 0)
        rule->top.keep_files = rule->below.keep_files = include;
    if (r == 0)
        r = json_get_list(reader, where, object, "without", &rule->without);
    for (size_t i = 0; r == 0 && rule->without && rule->without[i]; i++) {
        struct where there = json_below(where, ".without[%zu]", i);
        const char *at = rule->without[i];
        const char *name;
        size_t length;
        r = recipe_next_variable(&at, &name, &length)
                ? json_wrong(reader, &there, "no variable may stand here")
                : json_check_path(reader, &there, rule->without[i], false);
    }
    return r;
}

/* --- Rules --------------------------------------------------------------------------------------
 */

static int get_priority(struct reader *reader, const struct where *where, const cJSON *object,
                        int *ret_priority)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "priority");
    struct where there = json_below(where, ".priority");

    *ret_priority = 0;
    if (!item)
        return 0;
    if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) ||
        fabs(item->valuedouble) > PRIORITY_LIMIT)
        return json_wrong(reader, &there, "a whole number from -100 to 100 is expected");
    *ret_priority = (int)item->valuedouble;
    return 0;
}

/* Where a rule's source becomes something, whatever its kind. */
static int read_place(struct reader *reader, const struct where *where, const cJSON *object,
                      struct recipe_rule *rule)
{
    struct where there = json_below(where, ".destination");

    int r = json_get_string(reader, where, object, "destination", true, &rule->destination);
    if (r == 0)
        r = json_check_path(reader, &there, rule->destination, rule->kind == RECIPE_TREE);
    if (r == 0)
        r = json_get_path(reader, where, object, "zip", false, &rule->zip);
    if (r == 0)
        r = get_priority(reader, where, object, &rule->priority);
    return r == 0 ? json_get_bool(reader, where, object, "license", false, &rule->license) : r;
}

static int read_text_rule(struct reader *reader, const struct where *where, const cJSON *object,
                          struct recipe_rule *rule)
{
    static const char *const keys[] = {"text",     "replaces", "zip", "destination",
                                       "priority", "license",  NULL};
    struct where there = json_below(where, ".text");

    rule->kind = RECIPE_TEXT;
    int r = json_check_keys(reader, where, object, keys);
    if (r == 0)
        r = json_get_string(reader, where, object, "text", true, &rule->text);
    if (r == 0)
        r = json_check_variables(reader, &there, rule->text);
    if (r == 0)
        r = json_get_path(reader, where, object, "replaces", false, &rule->source);
    return r == 0 ? read_place(reader, where, object, rule) : r;
}

/* The source, which is a folder's content if it ends in '/'. */
static int get_source(struct reader *reader, const struct where *where, const cJSON *object,
                      struct recipe_rule *rule)
{
    struct where there = json_below(where, ".source");
    const char *source = NULL;

    int r = json_get_string(reader, where, object, "source", true, &source);
    if (r < 0)
        return r;
    size_t length = strlen(source);
    bool slash = length > 0 && source[length - 1] == '/';
    rule->kind = slash ? RECIPE_TREE : RECIPE_FILE;
    char *copy = recipe_allocate(reader->recipe, length + 1);
    if (!copy)
        return json_no_memory(reader);
    memcpy(copy, source, slash ? length - 1 : length);
    rule->source = copy;
    return json_check_path(reader, &there, copy, false);
}

static int read_rule(struct reader *reader, const struct where *where, const cJSON *object,
                     struct recipe_rule *rule)
{
    static const char *const keys[] = {
        "source",         "zip",     "destination",   "exclude",  "exclude_top",
        "include",        "without", "optional",      "priority", "empty_folders",
        "linked_folders", "license", "expected_with", NULL};

    if (cJSON_HasObjectItem(object, "text"))
        return read_text_rule(reader, where, object, rule);
    int r = json_check_keys(reader, where, object, keys);
    if (r == 0)
        r = get_source(reader, where, object, rule);
    if (r == 0)
        r = read_place(reader, where, object, rule);
    if (r == 0)
        r = read_filters(reader, where, object, rule);
    if (r == 0)
        r = json_get_bool(reader, where, object, "optional", false, &rule->optional);
    if (r == 0)
        r = json_get_bool(reader, where, object, "empty_folders", false, &rule->empty_folders);
    if (r == 0)
        r = json_get_bool(reader, where, object, "linked_folders", true, &rule->linked_folders);
    return r == 0
               ? json_get_path(reader, where, object, "expected_with", false, &rule->expected_with)
               : r;
}

static int read_rules(struct reader *reader, const struct where *where, const cJSON *object,
                      struct recipe_addon *addon)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, "rules");
    struct where there = json_below(where, ".rules");
    const cJSON *item;

    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) == 0)
        return json_wrong(reader, &there, "a list of rules is expected");
    struct recipe_rule *rules =
        recipe_allocate(reader->recipe, (size_t)cJSON_GetArraySize(array) * sizeof(*rules));
    if (!rules)
        return json_no_memory(reader);
    cJSON_ArrayForEach(item, array)
    {
        struct where here = json_below(&there, "[%zu]", addon->rule_count);
        int r = read_rule(reader, &here, item, &rules[addon->rule_count++]);
        if (r < 0)
            return r;
    }
    addon->rules = rules;
    return 0;
}

/* --- Addons -------------------------------------------------------------------------------------
 */

/* "parent/<star>": each folder there. */
static int get_parent(struct reader *reader, const struct where *where, const cJSON *object,
                      struct recipe_addon *addon)
{
    struct where there = json_below(where, ".folders");
    const char *pattern;

    int r = json_get_string(reader, where, object, "folders", false, &pattern);
    if (r < 0 || !pattern)
        return r;
    size_t length = strlen(pattern);
    if (length < 3 || strcmp(pattern + length - 2, "/*") != 0)
        return json_wrong(reader, &there, "a path that ends in \"/*\" is expected");
    char *parent = recipe_allocate(reader->recipe, length);
    if (!parent)
        return json_no_memory(reader);
    memcpy(parent, pattern, length - 2);
    addon->parent = parent;
    return path_recipe_ok(parent)
               ? 0
               : json_wrong(reader, &there, "a path from the root and \"/*\" are expected");
}

static int get_upload(struct reader *reader, const struct where *where, const cJSON *object,
                      enum recipe_upload *ret_upload)
{
    struct where there = json_below(where, ".upload");
    const char *text;

    int r = json_get_string(reader, where, object, "upload", false, &text);
    if (r < 0)
        return r;
    if (text && strcmp(text, "root") != 0 && strcmp(text, "manifest") != 0)
        return json_wrong(reader, &there, "\"root\" or \"manifest\" is expected");
    *ret_upload = text && strcmp(text, "root") == 0 ? RECIPE_UPLOAD_ROOT : RECIPE_UPLOAD_MANIFEST;
    return 0;
}

static int read_addon(struct reader *reader, const struct where *where, const cJSON *object,
                      struct recipe_addon *addon)
{
    static const char *const keys[] = {"folders",   "ignore", "signs",  "name",  "version",
                                       "variables", "client", "upload", "rules", NULL};

    reader->variables = NULL;
    reader->variable_count = 0;
    int r = json_check_keys(reader, where, object, keys);
    if (r == 0)
        r = get_parent(reader, where, object, addon);
    reader->known.folder = r == 0 && addon->parent;
    reader->known.name = reader->known.version = false;
    if (r == 0)
        r = json_get_list(reader, where, object, "ignore", &addon->ignored);
    if (r == 0)
        r = read_signs(reader, where, object, &addon->files, &addon->folders);
    if (r == 0)
        r = get_value(reader, where, object, "name", &addon->name);
    reader->known.name = true;
    if (r == 0)
        r = read_variables(reader, where, object, addon);
    if (r == 0)
        r = get_value(reader, where, object, "version", &addon->version);
    reader->known.version = true;
    if (r == 0)
        r = json_get_path(reader, where, object, "client", false, &addon->client);
    if (r == 0)
        r = get_upload(reader, where, object, &addon->upload);
    return r == 0 ? read_rules(reader, where, object, addon) : r;
}

static int read_recipe(struct reader *reader)
{
    static const char *const keys[] = {"addonfs_recipe", "signs", "addons", NULL};
    const struct where top = {"$"};
    struct where there = json_below(&top, ".addonfs_recipe");
    const cJSON *json = reader->recipe->json;
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(json, "addonfs_recipe");
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, "addons");
    const cJSON *item;

    if (!cJSON_IsObject(json))
        return json_wrong(reader, &top, "an object is expected");
    /* Before anything that another version may know. */
    if (!cJSON_IsNumber(format) || format->valuedouble != FORMAT)
        return json_wrong(reader, &there, "the version of this format is expected, which is 1");
    int r = json_check_keys(reader, &top, json, keys);
    if (r == 0)
        r = read_signs(reader, &top, json, &reader->recipe->files, &reader->recipe->folders);
    if (r < 0)
        return r;
    there = json_below(&top, ".addons");
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) == 0)
        return json_wrong(reader, &there, "a list of addons is expected");
    reader->recipe->addons = recipe_allocate(reader->recipe, (size_t)cJSON_GetArraySize(array) *
                                                                 sizeof(*reader->recipe->addons));
    if (!reader->recipe->addons)
        return json_no_memory(reader);
    cJSON_ArrayForEach(item, array)
    {
        struct where here = json_below(&there, "[%zu]", reader->recipe->addon_count);
        r = read_addon(reader, &here, item, &reader->recipe->addons[reader->recipe->addon_count++]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* JSON is UTF-8 (RFC 8259, 8.1), and no name or text has a NUL in it. What is wrong, or NULL. */
static const char *check_bytes(const char *text, size_t size, const char **ret_at)
{
    size_t good = error_utf8_prefix(text, size);

    *ret_at = text + good;
    if (good < size)
        return "is not UTF-8";
    for (size_t i = 0; i < size; i++) {
        *ret_at = text + i;
        if (text[i] == '\0' || (size - i > 5 && memcmp(text + i, "\\u0000", 6) == 0))
            return "holds a NUL";
        i += text[i] == '\\'; /* what it escapes, another '\' perhaps */
    }
    return NULL;
}

static size_t line_of(const char *text, size_t at)
{
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

int recipe_parse(const char *text, size_t size, const char *path, struct recipe **ret_recipe,
                 struct error *error)
{
    cleanup_recipe struct recipe *recipe = calloc(1, sizeof(*recipe));
    const char *end = NULL;

    if (!recipe)
        return error_errno(error, -ENOMEM, "%s", path);
    atomic_init(&recipe->references, 1);
    recipe->layout = "recipe";
    const char *wrong = check_bytes(text, size, &end);
    if (wrong)
        return error_set(error, -EINVAL, "%s:%zu: %s", path, line_of(text, (size_t)(end - text)),
                         wrong);
    cJSON *json = NULL;
    if (json_parse(text, size, &end, &json) == -ENOMEM)
        return error_errno(error, -ENOMEM, "%s", path);
    recipe->json = json;
    size_t at = end ? (size_t)(end - text) : 0;
    while (recipe->json && at < size && text[at] && strchr(" \t\r\n", text[at]))
        at++;
    if (!recipe->json || at < size)
        return error_set(error, -EINVAL, "%s:%zu: is not JSON", path, line_of(text, at));
    struct reader reader = {.path = path, .recipe = recipe, .error = error};
    int r = read_recipe(&reader);
    if (r == 0)
        *ret_recipe = steal_pointer(&recipe);
    return r;
}

int recipe_read(const char *path, struct recipe **ret_recipe, struct error *error)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(error, -errno, "%s: cannot read the recipe", path);
    if (!S_ISREG(status.st_mode))
        return error_set(error, -EINVAL, "%s: is not a file that can hold a recipe", path);
    if ((uint64_t)status.st_size > RECIPE_SIZE_LIMIT)
        return error_set(error, -EFBIG, "%s: too large for a recipe", path);
    cleanup_free char *text = calloc(1, (size_t)status.st_size + 1);
    if (!text)
        return error_errno(error, -ENOMEM, "%s", path);
    size_t size = 0;
    ssize_t n;
    while (size < (size_t)status.st_size &&
           (n = read(fd, text + size, (size_t)status.st_size - size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(error, -errno, "%s: cannot read the recipe", path);
        size += (size_t)n;
    }
    return recipe_parse(text, size, path, ret_recipe, error);
}
