#include "caching.h"
#include "output.h"
#include "quantity.h"

#include <addonfs/cache.h>
#include <addonfs/cache_upkeep.h>
#include <addonfs/cleanup.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void print_row(const char *name, uint64_t number, const char *more)
{
    printf("%-14s %8" PRIu64 "%s%s\n", name, number, *more ? "  " : "", more);
}

static void print(const char *folder, const struct cache_stats *stats)
{
    char content[QUANTITY_SIZE];
    char streams[QUANTITY_SIZE];
    char noted[QUANTITY_SIZE];
    char disk[QUANTITY_SIZE];
    char more[2 * QUANTITY_SIZE + 32];
    char oldest[32] = "";
    struct tm time;
    struct error line;

    error_set(&line, -EIO, "%s", folder);
    printf("%-14s %s\n", "cache", line.text);
    printf("%-14s %8s\n", "on the disk", quantity_bytes(stats->disk, disk));
    snprintf(more, sizeof(more), "%s, compressed %s", quantity_bytes(stats->content, content),
             quantity_bytes(stats->streams, streams));
    print_row("members", stats->members, stats->members > 0 ? more : "");
    print_row("used in a day", stats->used_day, "");
    print_row("used in a week", stats->used_week, "");
    print_row("known files", stats->aliases, "");
    print_row("notes", stats->notes, stats->notes > 0 ? quantity_bytes(stats->noted, noted) : "");
    if (stats->oldest > 0 && localtime_r(&(time_t){stats->oldest}, &time) &&
        strftime(oldest, sizeof(oldest), "%Y-%m-%d %H:%M", &time) > 0)
        printf("%-14s %s\n", "oldest use", oldest);
}

/* A path may hold anything; numbers cannot. */
static void print_json(const struct cache_stats *stats)
{
    printf("{\n\t\"exists\":\t%s,\n\t\"members\":\t%" PRIu64 ",\n\t\"content\":\t%" PRIu64
           ",\n\t\"streams\":\t%" PRIu64 ",\n\t\"aliases\":\t%" PRIu64 ",\n\t\"notes\":\t%" PRIu64
           ",\n\t\"noted\":\t%" PRIu64 ",\n\t\"disk\":\t%" PRIu64 ",\n\t\"used_day\":\t%" PRIu64
           ",\n\t\"used_week\":\t%" PRIu64 ",\n\t\"oldest\":\t%" PRId64 "\n}\n",
           stats->exists ? "true" : "false", stats->members, stats->content, stats->streams,
           stats->aliases, stats->notes, stats->noted, stats->disk, stats->used_day,
           stats->used_week, stats->oldest);
}

static void print_removed(const struct cache_removed *removed)
{
    printf("{\n\t\"members\":\t%" PRIu64 ",\n\t\"content\":\t%" PRIu64 ",\n\t\"streams\":\t%" PRIu64
           ",\n\t\"aliases\":\t%" PRIu64 ",\n\t\"notes\":\t%" PRIu64 ",\n\t\"noted\":\t%" PRIu64
           ",\n\t\"disk\":\t%" PRIu64 "\n}\n",
           removed->members, removed->content, removed->streams, removed->aliases, removed->notes,
           removed->noted, removed->disk);
}

static int show(const char *folder, bool json, struct error *error)
{
    struct cache_stats stats;

    int r = cache_stats(folder, &stats, error);
    if (r < 0)
        return r;
    if (json)
        print_json(&stats);
    else
        print(folder, &stats);
    return 0;
}

static int reduce(const char *folder, const char *action, uint64_t size, bool json,
                  struct error *error)
{
    struct cache_removed removed;

    int r = strcmp(action, "clear") == 0
                ? cache_clear(folder, &removed, error)
                : cache_prune(folder, size > 0 ? size : CACHE_SIZE_DEFAULT, &removed, error);
    if (r == 0 && json)
        print_removed(&removed);
    return r;
}

int caching_check(const char *action, const struct options *options, struct error *error)
{
    static const char *const actions[] = {"stats", "prune", "clear"};
    bool known = false;

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        known = known || strcmp(action, actions[i]) == 0;
    if (!known)
        return error_set(error, -EINVAL, "cache %s: there are stats, prune and clear", action);
    if (options->view.no_cache)
        return error_set(error, -EINVAL, "option cache=none: there is nothing to look after");
    return 0;
}

int caching_run(const char *action, const struct options *options, bool json, struct error *error)
{
    const struct view_options *view = &options->view;
    cleanup_free char *folder =
        view->cache_folder ? strdup(view->cache_folder) : cache_default_folder();

    if (!folder)
        return error_errno(error, -ENOMEM, "cache");
    int r = strcmp(action, "stats") == 0 ? show(folder, json, error)
                                         : reduce(folder, action, view->cache_size, json, error);
    if (r == 0)
        r = output_finish(error);
    return r;
}
