#include "list.h"
#include "output.h"
#include "quantity.h"
#include "viewing.h"

#include <addonfs/listing.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_addon(const struct listing_addon *addon, int width, int version_width)
{
    char size[QUANTITY_SIZE];
    char zipped[QUANTITY_SIZE];

    if (!addon->version) {
        printf("%-*s  %-*s\n", width, addon->name ? addon->name : "?", version_width, "?");
        return;
    }
    printf("%-*s  %-*s  %6llu  %9s", width, addon->name, version_width, addon->version,
           (unsigned long long)addon->files, quantity_bytes(addon->size, size));
    if (addon->members > 0)
        printf("  %llu in %s", (unsigned long long)addon->members,
               quantity_bytes(addon->zipped, zipped));
    putchar('\n');
}

static int widest(const char *title, const struct listing *listing, bool version)
{
    size_t width = strlen(title);

    for (size_t i = 0; i < listing->count; i++) {
        const char *text = version ? listing->addons[i].version : listing->addons[i].name;
        if (text && strlen(text) > width)
            width = strlen(text);
    }
    return (int)width;
}

static void print(const struct listing *listing)
{
    int width = widest("ADDON", listing, false);
    int version_width = widest("VERSION", listing, true);

    printf("layout %s\n", listing->generation->layout ? listing->generation->layout : "unknown");
    if (listing->generation->commit)
        printf("commit %s\n", listing->generation->commit);
    printf("%-*s  %-*s  %6s  %9s  %s\n", width, "ADDON", version_width, "VERSION", "FILES", "SIZE",
           "CLIENT");
    for (size_t i = 0; i < listing->count; i++)
        print_addon(&listing->addons[i], width, version_width);
    for (size_t i = 0; i < listing->problems.count; i++) {
        const struct problem *problem = &listing->problems.items[i];
        struct error line;
        error_set(&line, -EIO, "%s: %s%s%s", problem->warning ? "warning" : "error", problem->path,
                  *problem->path ? ": " : "", error_reason(problem->reason, problem->path));
        puts(line.text);
    }
}

struct list {
    bool json;
    bool has_errors;
};

static int list(struct viewing *viewing, void *context, struct error *error)
{
    cleanup_listing struct listing listing = {.generation = NULL};
    cleanup_free char *text = NULL;
    struct list *given = context;

    int r = listing_make(viewing->view, &viewing->interrupted, &listing, error);
    if (r == 0 && given->json)
        r = listing_json(viewing->view, &listing, &text, error);
    if (r < 0)
        return r;
    if (given->json)
        fputs(text, stdout);
    else
        print(&listing);
    for (size_t i = 0; i < listing.problems.count; i++)
        given->has_errors = given->has_errors || !listing.problems.items[i].warning;
    return 0;
}

int list_run(const char *source, const struct options *options, bool json, struct error *error)
{
    struct list given = {.json = json};

    int r = viewing_run(source, options, list, &given, error);
    if (r == 0)
        r = output_finish(error);
    return r < 0 ? r : given.has_errors;
}
