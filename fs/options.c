#include "options.h"

#include <addonfs/cleanup.h>
#include <addonfs/deflate.h>
#include <addonfs/path.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

const char options_help[] =
    "  rev=REV          show a branch, tag or commit instead of the worktree\n"
    "  layout=NAME      a, b, c or d; default: what the source shows\n"
    "  recipe=FILE      how to make the package, instead of a layout or addonfs.json\n"
    "  version=git|TEXT derive a version for every commit and edit, or give one\n"
    "  license=no       leave LICENSE out of package and client (layout d)\n"
    "  upload=prefixed  upload zips for servers before July 2023 (layouts a, b)\n"
    "  view=NAME        mount the content of package, upload or client as the root\n"
    "  lfs=pointer      show files of Git LFS as the pointers that are committed\n"
    "  problems=skip    leave out what cannot be read (otherwise it fails to open)\n"
    "  level=N          compression, 1 (fast) to 12 (small); default 6\n"
    "  cache=DIR|none   where compressed files are kept; default ~/.cache/addonfs\n"
    "  cache_size=SIZE  how much is kept, such as 500M or 4G; default 1G\n"
    "  watch=poll       compare all files at every look instead of watching them\n"
    "  allow_other      let other users read the mount\n"
    "  noexec           nothing in the mount may be executed\n"
    "  uid=N, gid=N     show N as the owner, the group\n"
    "  umask=OCTAL      take these permission bits away\n"
    "  ro, nosuid, nodev  always on, and may be said\n";

static int bad_value(const char *name, const char *value, const char *expected, struct error *error)
{
    return error_set(error, -EINVAL, "option %s=%s: %s", name, value, expected);
}

/* A number without sign or spaces; `*ret_end` is what follows it. */
static bool parse_number(const char *value, int base, uint64_t *ret_number, const char **ret_end)
{
    char *end = NULL;

    if (*value < '0' || *value > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(value, &end, base);
    *ret_end = end;
    return errno == 0;
}

static int parse_id(const char *name, const char *value, uint32_t *ret_id, bool *ret_has,
                    struct error *error)
{
    uint64_t number = 0;
    const char *end = NULL;

    if (!parse_number(value, 10, &number, &end) || *end != '\0' || number >= UINT32_MAX)
        return bad_value(name, value, "not a number up to 4294967294", error);
    *ret_id = (uint32_t)number;
    *ret_has = true;
    return 0;
}

static int set_text(const char **text, const char *value, struct error *error)
{
    char *copy = strdup(value);

    if (!copy)
        return error_errno(error, -ENOMEM, "option");
    free((char *)(uintptr_t)*text);
    *text = copy;
    return 0;
}

static int set_rev(struct options *options, const char *value, struct error *error)
{
    if (*value == '\0')
        return error_set(error, -EINVAL, "option rev: give a branch, tag or commit");
    return set_text(&options->view.source.revision, value, error);
}

int options_set_view(struct options *options, const char *value, struct error *error)
{
    static const char *const roots[] = {"package", "upload", "client"};

    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        if (strcmp(value, roots[i]) == 0) {
            options->root = roots[i];
            return 0;
        }
    }
    return bad_value("view", value, "not package, upload or client", error);
}

/* Each says how packages are made. */
static int refuse_both(const char *layout, const char *recipe, struct error *error)
{
    return error_set(error, -EINVAL, "option layout=%s beside recipe=%s: give one of them", layout,
                     recipe);
}

static int set_layout(struct options *options, const char *value, struct error *error)
{
    if (!recipe_layout_exists(value))
        return error_set(error, -EINVAL, "option layout=%s: there are %s", value,
                         recipe_layout_names());
    if (options->view.recipe_path)
        return refuse_both(value, options->view.recipe_path, error);
    return set_text(&options->view.shown.choice.layout, value, error);
}

static int set_license(struct options *options, const char *value, struct error *error)
{
    options->view.shown.no_license = strcmp(value, "no") == 0;
    if (!options->view.shown.no_license && strcmp(value, "yes") != 0)
        return bad_value("license", value, "not yes or no", error);
    return 0;
}

static int set_upload(struct options *options, const char *value, struct error *error)
{
    if (strcmp(value, "prefixed") != 0)
        return bad_value("upload", value, "only upload=prefixed is there", error);
    options->view.shown.prefixed_uploads = true;
    return 0;
}

static int set_version(struct options *options, const char *value, struct error *error)
{
    struct generation_options *shown = &options->view.shown;

    shown->derive_version = strcmp(value, "git") == 0;
    if (shown->derive_version || strcmp(value, "source") == 0) {
        free((char *)(uintptr_t)shown->version);
        shown->version = NULL;
        return 0;
    }
    if (!path_version_ok(value))
        return bad_value("version", value,
                         "not git, source or a version: letters, digits and . + - _ only, no "
                         "\"..\", at most 128 of them",
                         error);
    return set_text(&shown->version, value, error);
}

static int set_problems(struct options *options, const char *value, struct error *error)
{
    if (strcmp(value, "skip") != 0)
        return bad_value("problems", value, "only problems=skip is there", error);
    options->view.skip_problems = true;
    return 0;
}

static int set_lfs(struct options *options, const char *value, struct error *error)
{
    if (strcmp(value, "pointer") != 0)
        return bad_value("lfs", value, "only lfs=pointer is there", error);
    options->view.source.lfs_pointers = true;
    return 0;
}

static int set_level(struct options *options, const char *value, struct error *error)
{
    uint64_t number = 0;
    const char *end = NULL;

    if (!parse_number(value, 10, &number, &end) || *end != '\0' || number < 1 ||
        number > DEFLATE_LEVEL_MAX)
        return bad_value("level", value, "not a number from 1 to 12", error);
    options->view.level = (int)number;
    return 0;
}

/* A path, made absolute: a daemon stands in the root. */
static int set_path(const char **text, const char *name, const char *value, struct error *error)
{
    cleanup_free char *absolute = NULL;
    cleanup_free char *here = NULL;

    if (*value != '/') {
        here = getcwd(NULL, 0);
        absolute = here ? path_join(here, value) : NULL;
        if (!absolute)
            return error_errno(error, -errno, "option %s=%s", name, value);
    }
    return set_text(text, absolute ? absolute : value, error);
}

static int set_recipe(struct options *options, const char *value, struct error *error)
{
    if (*value == '\0')
        return error_set(error, -EINVAL, "option recipe: give a file");
    if (options->view.shown.choice.layout)
        return refuse_both(options->view.shown.choice.layout, value, error);
    return set_path(&options->view.recipe_path, "recipe", value, error);
}

static int set_cache(struct options *options, const char *value, struct error *error)
{
    options->view.no_cache = strcmp(value, "none") == 0;
    if (options->view.no_cache)
        return 0;
    if (*value == '\0')
        return error_set(error, -EINVAL, "option cache: give a folder, or none");
    return set_path(&options->view.cache_folder, "cache", value, error);
}

static int set_cache_size(struct options *options, const char *value, struct error *error)
{
    static const char units[] = "KMGT";
    uint64_t number = 0;
    const char *end = NULL;
    unsigned shift = 0;

    bool good = parse_number(value, 10, &number, &end) && number > 0;
    if (good && *end != '\0') {
        const char *unit = strchr(units, *end);
        good = unit && end[1] == '\0';
        shift = good ? 10 * (unsigned)(unit - units + 1) : 0;
    }
    if (!good || number > (uint64_t)INT64_MAX >> shift)
        return bad_value("cache_size", value, "not a size in bytes, or with K, M, G or T", error);
    options->view.cache_size = number << shift;
    return 0;
}

static int set_watch(struct options *options, const char *value, struct error *error)
{
    if (strcmp(value, "poll") != 0)
        return bad_value("watch", value, "only watch=poll is there", error);
    options->view.source.poll = true;
    return 0;
}

static int set_uid(struct options *options, const char *value, struct error *error)
{
    return parse_id("uid", value, &options->uid, &options->has_uid, error);
}

static int set_gid(struct options *options, const char *value, struct error *error)
{
    return parse_id("gid", value, &options->gid, &options->has_gid, error);
}

static int set_umask(struct options *options, const char *value, struct error *error)
{
    uint64_t number = 0;
    const char *end = NULL;

    if (!parse_number(value, 8, &number, &end) || *end != '\0' || number > 0777)
        return bad_value("umask", value, "not an octal number up to 0777", error);
    options->umask = (mode_t)number;
    options->has_umask = true;
    return 0;
}

static const struct {
    const char *name;
    int (*set)(struct options *options, const char *value, struct error *error);
} values[] = {
    {"rev", set_rev},
    {"layout", set_layout},
    {"recipe", set_recipe},
    {"version", set_version},
    {"license", set_license},
    {"upload", set_upload},
    {"view", options_set_view},
    {"problems", set_problems},
    {"level", set_level},
    {"cache", set_cache},
    {"cache_size", set_cache_size},
    {"watch", set_watch},
    {"lfs", set_lfs},
    {"uid", set_uid},
    {"gid", set_gid},
    {"umask", set_umask},
};

static int set_value(struct options *options, const char *name, const char *value,
                     struct error *error)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (strcmp(name, values[i].name) == 0)
            return values[i].set(options, value, error);
    }
    return error_set(error, -EINVAL, "unknown option %s=: see addonfs --help", name);
}

static int set_flag(struct options *options, const char *name, struct error *error)
{
    static const char *const implied[] = {"ro", "nosuid", "nodev"};

    for (size_t i = 0; i < sizeof(implied) / sizeof(implied[0]); i++) {
        if (strcmp(name, implied[i]) == 0)
            return 0;
    }
    if (strcmp(name, "allow_other") == 0) {
        options->allow_other = true;
        return 0;
    }
    if (strcmp(name, "noexec") == 0) {
        options->noexec = true;
        return 0;
    }
    return error_set(error, -EINVAL, "unknown option %s: see addonfs --help", name);
}

int options_parse(struct options *options, const char *list, struct error *error)
{
    cleanup_free char *option = malloc(strlen(list) + 1);
    int r = 0;

    if (!option)
        return error_errno(error, -ENOMEM, "option");
    while (r == 0 && *list) {
        size_t length = 0;
        for (; *list && *list != ','; list++) {
            if (list[0] == '\\' && list[1] == ',')
                list++;
            option[length++] = *list;
        }
        option[length] = '\0';
        if (*list == ',')
            list++;
        char *equals = strchr(option, '=');
        if (equals)
            *equals = '\0';
        if (length > 0)
            r = equals ? set_value(options, option, equals + 1, error)
                       : set_flag(options, option, error);
    }
    return r;
}

void options_clear(struct options *options)
{
    const char **const texts[] = {
        &options->view.source.revision,     &options->view.cache_folder,
        &options->view.shown.choice.layout, &options->view.shown.version,
        &options->view.recipe_path,
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free((char *)(uintptr_t)*texts[i]);
        *texts[i] = NULL;
    }
}
