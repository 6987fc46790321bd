#include "viewing.h"
#include "identity.h"
#include "signals.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

/* For struct signals. */
static bool interrupt(void *context, int number)
{
    struct viewing *viewing = context;
    cleanup_lock(&viewing->lock);

    viewing->signal = number;
    atomic_store(&viewing->interrupted, true);
    if (!viewing->view)
        signals_die(number);
    view_stop(viewing->view);
    return false;
}

/* Let an interruption stop `view`, or (NULL) end the process at once. */
static void set_view(struct viewing *viewing, struct view *view)
{
    cleanup_lock(&viewing->lock);

    viewing->view = view;
}

static int look(struct viewing *viewing, const char *source, const struct options *options,
                int (*action)(struct viewing *viewing, void *context, struct error *error),
                void *context, struct error *error)
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
    set_view(viewing, view);
    r = action(viewing, context, error);
    set_view(viewing, NULL);
    return r;
}

int viewing_run(const char *source, const struct options *options,
                int (*action)(struct viewing *viewing, void *context, struct error *error),
                void *context, struct error *error)
{
    struct viewing viewing = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct signals signals = {.come = interrupt, .context = &viewing};
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
    r = look(&viewing, path, options, action, context, error);
    signals_end(&signals);
    if (viewing.signal)
        signals_die(viewing.signal);
    return r;
}
