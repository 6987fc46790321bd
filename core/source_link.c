#include "source_link.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <stdlib.h>

static void link_free(void *pointer)
{
    struct link *link = pointer;

    free(link->real);
    free(link);
}

int link_follow(struct map *links, const struct resolve_root *root, const char *folder,
                const char *name, const struct link **ret_link, struct error *error)
{
    cleanup_free char *path = path_join(folder, name);
    struct link *link = path ? map_find(links, path) : NULL;

    if (!link) {
        link = path ? calloc(1, sizeof(*link)) : NULL;
        if (!link)
            return error_errno(error, -ENOMEM, "%s", name);
        link->code = resolve_link(root, folder, name, &link->real, &link->status, &link->reason);
        int r = error_is_transient(link->code) ? link->code : map_put(links, path, link);
        if (r < 0) {
            link_free(link);
            return error_errno(error, r, "%s", path);
        }
    }
    *ret_link = link;
    return 0;
}

void link_forget_all(struct map *links)
{
    map_clear(links, link_free);
}
