#include "diffing.h"
#include "output.h"
#include "paint.h"
#include "viewing.h"

#include <addonfs/diff.h>
#include <errno.h>
#include <stdio.h>

struct diffing {
    const char *package;
    bool json;
    bool differ;
};

static enum paint colour_of(enum difference_kind kind)
{
    return kind == DIFFERENCE_EXTRA                              ? PAINT_GREEN
           : kind == DIFFERENCE_BYTES || kind == DIFFERENCE_MODE ? PAINT_YELLOW
                                                                 : PAINT_RED;
}

static void print(const struct difference *difference, bool colours)
{
    struct error line; /* for what it does with names that would break a line */

    paint(stdout, colours, colour_of(difference->kind), difference_kind_name(difference->kind), 8);
    error_set(&line, -EIO, "%s%s%s", *difference->path ? difference->path : ".",
              difference->text ? ": " : "", difference->text ? difference->text : "");
    printf(" %s\n", line.text);
}

static int compare(struct viewing *viewing, void *context, struct error *error)
{
    cleanup_diff struct diff diff = {.count = 0};
    cleanup_free char *text = NULL;
    struct diffing *given = context;

    int r = diff_make(viewing->view, given->package, &viewing->interrupted, &diff, error);
    if (r == 0 && given->json)
        r = diff_json(viewing->view, &diff, &text, error);
    if (r < 0)
        return r;
    given->differ = diff.count > 0;
    if (given->json)
        fputs(text, stdout);
    bool colours = paint_is_wanted(stdout);
    for (size_t i = 0; !given->json && i < diff.count; i++)
        print(&diff.items[i], colours);
    return 0;
}

int diffing_run(const char *source, const char *package, const struct options *options, bool json,
                struct error *error)
{
    struct diffing given = {.package = package, .json = json};

    int r = viewing_run(source, options, compare, &given, error);
    if (r == 0)
        r = output_finish(error);
    return r < 0 ? r : given.differ;
}
