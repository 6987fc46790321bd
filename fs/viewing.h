/*
 * viewing: a source that a command looks at once, without a mount.
 */
#ifndef ADDONFS_VIEWING_H
#define ADDONFS_VIEWING_H

#include "options.h"

#include <addonfs/error.h>
#include <addonfs/view.h>

struct viewing {
    pthread_mutex_t lock; /* guards the next two */
    struct view *view;    /* while `action` runs */
    int signal;           /* that has come; 0: none */
    _Atomic bool interrupted;
};

/*
 * Become the owner of `source`, open a view of it, tell its warnings on stderr and call `action`,
 * whose result is the answer. A signal that would end the process does so, but only when `action`
 * has returned, which `interrupted` asks it to do soon: nothing half-made is left. Errors as
 * view_open.
 */
int viewing_run(const char *source, const struct options *options,
                int (*action)(struct viewing *viewing, void *context, struct error *error),
                void *context, struct error *error);

#endif
