/*
 * fuzz_options: any text after -o.
 *
 * A list means what its options mean, taken one after the other; and what was understood, said
 * again in the plainest way, is understood as the same.
 */
#include "fuzz.h"

#include "../../fs/options.h"

#include <addonfs/path.h>
#include <addonfs/text.h>
#include <stdio.h>

static bool is_same(const struct options *a, const struct options *b)
{
    const struct view_options *one = &a->view;
    const struct view_options *other = &b->view;

    return text_equal(one->source.revision, other->source.revision) &&
           one->source.lfs_pointers == other->source.lfs_pointers &&
           one->source.poll == other->source.poll &&
           text_equal(one->shown.choice.layout, other->shown.choice.layout) &&
           text_equal(one->shown.version, other->shown.version) &&
           one->shown.derive_version == other->shown.derive_version &&
           one->shown.no_license == other->shown.no_license &&
           one->shown.prefixed_uploads == other->shown.prefixed_uploads &&
           text_equal(one->recipe_path, other->recipe_path) &&
           one->skip_problems == other->skip_problems && one->level == other->level &&
           one->no_cache == other->no_cache && text_equal(one->cache_folder, other->cache_folder) &&
           one->cache_size == other->cache_size && text_equal(a->root, b->root) &&
           a->allow_other == b->allow_other && a->noexec == b->noexec && a->has_uid == b->has_uid &&
           a->has_gid == b->has_gid && a->has_umask == b->has_umask && a->uid == b->uid &&
           a->gid == b->gid && a->umask == b->umask;
}

/* An option that takes any text: is that what was understood? */
static void check_text(const struct options *options, int result, const char *option)
{
    const char *value = options->view.source.revision;

    if (strncmp(option, "rev=", 4) != 0 || option[4] == '\0')
        return;
    CHECK(result == 0);
    for (const char *at = option + 4; *at; at++) {
        if (at[0] == '\\' && at[1] == ',')
            at++;
        CHECK(*value++ == *at);
    }
    CHECK(*value == '\0');
}

/* Parse `text` option by option: a comma behind a backslash ends none. */
static int parse_each(struct options *options, char *text, struct error *error)
{
    char *start = text;
    int r = 0;

    for (char *at = text; r == 0 && start; at++) {
        bool ends = *at == '\0' || (*at == ',' && (at == text || at[-1] != '\\'));
        bool is_last = *at == '\0';
        if (!ends)
            continue;
        *at = '\0';
        r = options_parse(options, start, error);
        check_text(options, r, start);
        *at = is_last ? '\0' : ',';
        start = is_last ? NULL : at + 1;
    }
    return r;
}

static void say(struct options *options, const char *name, const char *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream && value) {
        fprintf(stream, "%s=", name);
        for (const char *at = value; *at; at++)
            fprintf(stream, "%s%c", *at == ',' ? "\\" : "", *at);
    }
    CHECK(stream && fclose(stream) == 0);
    CHECK(options_parse(options, text, NULL) == 0);
    free(text);
}

static void say_number(struct options *options, const char *name, bool is_set, bool is_octal,
                       unsigned long long number)
{
    char text[32];

    snprintf(text, sizeof(text), is_octal ? "%llo" : "%llu", number);
    say(options, name, is_set ? text : NULL);
}

static void say_again(const struct options *options, struct options *again)
{
    const struct view_options *view = &options->view;

    say(again, "rev", view->source.revision);
    say(again, "layout", view->shown.choice.layout);
    say(again, "recipe", view->recipe_path);
    say(again, "version", view->shown.version);
    say(again, "version", view->shown.derive_version ? "git" : NULL);
    say(again, "license", view->shown.no_license ? "no" : NULL);
    say(again, "upload", view->shown.prefixed_uploads ? "prefixed" : NULL);
    say(again, "view", options->root);
    say(again, "lfs", view->source.lfs_pointers ? "pointer" : NULL);
    say(again, "problems", view->skip_problems ? "skip" : NULL);
    say(again, "cache", view->cache_folder);
    say(again, "cache", view->no_cache ? "none" : NULL);
    say(again, "watch", view->source.poll ? "poll" : NULL);
    say_number(again, "level", view->level > 0, false, (unsigned)view->level);
    say_number(again, "cache_size", view->cache_size > 0, false, view->cache_size);
    say_number(again, "uid", options->has_uid, false, options->uid);
    say_number(again, "gid", options->has_gid, false, options->gid);
    say_number(again, "umask", options->has_umask, true, options->umask);
    CHECK(options_parse(again, options->allow_other ? "allow_other" : "", NULL) == 0);
    CHECK(options_parse(again, options->noexec ? "noexec" : "ro", NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cleanup_free char *text = fuzz_text(input, size);
    struct options options = {.root = NULL};
    struct options each = {.root = NULL};
    struct options again = {.root = NULL};
    struct error error = {.text = ""};
    struct error other = {.text = ""};

    int r = options_parse(&options, text, &error);
    if (r < 0)
        CHECK(error.code == r && *error.text && !strchr(error.text, '\n'));
    CHECK(!options.view.shown.version || path_version_ok(options.view.shown.version));
    CHECK(options.view.level >= 0 && options.view.level <= 12);
    CHECK(!options.view.recipe_path || *options.view.recipe_path == '/');
    CHECK(!options.view.cache_folder || *options.view.cache_folder == '/');
    CHECK(parse_each(&each, text, &other) == r && strcmp(error.text, other.text) == 0);
    CHECK(is_same(&options, &each));
    say_again(&options, &again);
    CHECK(is_same(&options, &again));
    options_clear(&options);
    options_clear(&each);
    options_clear(&again);
    return 0;
}
