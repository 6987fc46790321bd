#include "exporting.h"
#include "viewing.h"

#include <addonfs/export.h>

static int write_out(struct viewing *viewing, void *context, struct error *error)
{
    return export_write(viewing->view, context, &viewing->interrupted, error);
}

int exporting_run(const char *source, const char *destination, const struct options *options,
                  struct error *error)
{
    return viewing_run(source, options, write_out, (void *)(uintptr_t)destination, error);
}
