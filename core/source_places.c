#include "source_backend.h"

#include <addonfs/map.h>
#include <addonfs/path.h>
#include <errno.h>
#include <string.h>

struct search {
    struct map seen; /* by path */
    int (*take)(void *context, const char *folder);
    void *context;
};

/* Hand a folder on, once. 1: it was new; else what `take` has answered, or -ENOMEM. */
static int hand_on(struct search *search, const char *folder)
{
    if (map_find(&search->seen, folder))
        return 0;
    int r = map_put(&search->seen, folder, search);
    if (r == 0)
        r = search->take(search->context, folder);
    return r == 0 ? 1 : r;
}

/* `name` below `folder`, whether it is there or not. */
static int hand_on_below(struct search *search, const char *folder, const char *name)
{
    cleanup_free char *path = path_join(folder, name);
    int r = path ? hand_on(search, path) : -ENOMEM;

    return r < 0 ? r : 0;
}

/* Folders of objects, as they are named; what is in them may be a link of its own. */
static int hand_on_stores(struct search *search, const char *objects, struct error *error)
{
    cleanup_stores struct stores *stores = NULL;

    int r = stores_open(objects, &stores, error);
    for (size_t i = 0; r == 0 && i < stores->named_count; i++) {
        const char *named = stores->named[i];
        r = hand_on(search, named);
        if (r >= 0)
            r = hand_on_below(search, named, "pack");
        if (r == 0)
            r = hand_on_below(search, named, "info");
    }
    return r;
}

int source_git_folders(const struct source *source, int (*take)(void *context, const char *folder),
                       void *context, struct error *error)
{
    struct search search = {.take = take, .context = context};
    const char *common_dir = source->repository->common_dir;
    cleanup_free char *objects = path_join(common_dir, "objects");

    int r = objects ? hand_on(&search, source->repository->git_dir) : -ENOMEM;
    if (r >= 0)
        r = hand_on(&search, common_dir);
    if (r >= 0)
        r = hand_on_below(&search, common_dir, "refs");
    if (r >= 0)
        r = hand_on_stores(&search, objects, error);
    map_clear(&search.seen, NULL);
    return r == -ENOMEM ? error_errno(error, r, "%s", source->repository->path) : r;
}
