#include "exporting.h"
#include "identity.h"
#include "signals.h"

#include <addonfs/cleanup.h>
#include <addonfs/export.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

struct exporting {
    pthread_mutex_t lock; /* guards the next two */
    struct view *view;    /* set while something half-made may be there */
    int signal;           /* that has come; 0: none */
    _Atomic bool interrupted;
};

/* For struct signals. */
static bool interrupt(void *context, int number)
{
    struct exporting *exporting = context;
    cleanup_lock(&exporting->lock);

    exporting->signal = number;
    atomic_store(&exporting->interrupted, true);
    if (!exporting->view)
        signals_die(number);
    view_stop(exporting->view);
    return false;
}

/* Let an interruption stop `view`, or (NULL) end the process at once. */
static void set_view(struct exporting *exporting, struct view *view)
{
    cleanup_lock(&exporting->lock);

    exporting->view = view;
}

static int write_out(struct exporting *exporting, const char *source, const char *destination,
                     const struct options *options, struct error *error)
{
    cleanup_view struct view *view = NULL;
    struct view_options of_view = options->view;
    const char *warning;

    of_view.source.path = source;
    int r = view_open(&of_view, &view, error);
    if (r < 0)
        return r;
    for (size_t i = 0; (warning = view_warning(view, i)); i++)
        fprintf(stderr, "addonfs: %s\n", warning);
    set_view(exporting, view);
    r = export_write(view, destination, &exporting->interrupted, error);
    set_view(exporting, NULL);
    return r;
}

int exporting_run(const char *source, const char *destination, const struct options *options,
                  struct error *error)
{
    struct exporting exporting = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct signals signals = {.end = interrupt, .context = &exporting};
    cleanup_free char *path = NULL;
    struct identity identity;

    int r = identity_of(source, &identity, &path, error);
    if (r == 0)
        r = identity_become(&identity, error);
    if (r < 0)
        return r;
    signals_hold(false);
    r = signals_begin(&signals);
    if (r < 0)
        return error_errno(error, r, "%s", source);
    r = write_out(&exporting, path, destination, options, error);
    signals_end(&signals);
    if (exporting.signal)
        signals_die(exporting.signal);
    return r;
}
