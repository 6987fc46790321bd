#include "exporting.h"
#include "progress.h"
#include "quantity.h"
#include "viewing.h"

#include <addonfs/export.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct exporting {
    struct export_options options;
    struct export_progress progress;
    struct view *view;
};

/* For struct progress. */
static void ask(void *context, uint64_t *ret_done, uint64_t *ret_total, char *text, size_t size)
{
    struct exporting *exporting = context;
    char done[QUANTITY_SIZE];
    char of[QUANTITY_SIZE];

    *ret_done = atomic_load(&exporting->progress.bytes);
    *ret_total = atomic_load(&exporting->progress.of);
    if (*ret_done > 0)
        snprintf(text, size, "writing %s of %s", quantity_bytes(*ret_done, done),
                 quantity_bytes(*ret_total, of));
    else if (view_progress(exporting->view, ret_done, ret_total))
        snprintf(text, size, "compressing %" PRIu64 " of %" PRIu64 " files", *ret_done, *ret_total);
    else
        snprintf(text, size, "looking");
}

/*
 * What was written, and yet is not as one might expect (a submodule that is not there, a file left
 * out on demand). Those without a path viewing_run has told. It is written: that the source cannot
 * be asked once more changes nothing.
 */
static void tell_warnings(struct viewing *viewing)
{
    cleanup_generation struct generation *generation = NULL;
    cleanup_problems struct problems problems = {0};

    if (view_problems(viewing->view, &viewing->interrupted, &generation, &problems, NULL) < 0)
        return;
    for (size_t i = 0; i < problems.count; i++) {
        const struct problem *problem = &problems.items[i];
        struct error line;
        if (!problem->warning || !*problem->path)
            continue;
        error_set(&line, -EIO, "warning: %s: %s", problem->path, problem->reason);
        fprintf(stderr, "addonfs: %s\n", line.text);
    }
}

static int write_out(struct viewing *viewing, void *context, struct error *error)
{
    struct exporting *exporting = context;
    struct progress bar = {.ask = ask, .context = exporting};

    exporting->view = viewing->view;
    exporting->options.interrupted = &viewing->interrupted;
    exporting->options.progress = &exporting->progress;
    progress_begin(&bar);
    int r = export_write(viewing->view, &exporting->options, error);
    progress_end(&bar);
    if (r == 0)
        tell_warnings(viewing);
    return r;
}

static struct export_options options_of(const char *destination, const char *format,
                                        const struct options *options)
{
    bool to_output = strcmp(destination, "-") == 0;

    return (struct export_options){
        .destination = to_output ? "standard output" : destination,
        .root = options->root,
        .format = format,
        .fd = to_output ? STDOUT_FILENO : -1,
    };
}

int exporting_check(const char *destination, const char *format, const struct options *options,
                    struct error *error)
{
    struct export_options given = options_of(destination, format, options);

    return export_check(&given, error);
}

int exporting_run(const char *source, const char *destination, const char *format,
                  const struct options *options, struct error *error)
{
    struct exporting exporting = {.options = options_of(destination, format, options)};

    if (exporting.options.fd >= 0 && isatty(exporting.options.fd))
        return error_set(error, -EINVAL,
                         "standard output: is a terminal: send it to a file or a program");
    return viewing_run(source, options, write_out, &exporting, error);
}
