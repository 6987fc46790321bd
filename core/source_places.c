#include "source_backend.h"

#include <addonfs/map.h>
#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Git reads alternates of alternates so deep (Git, odb.c; libgit2, odb.c, load_alternates). */
enum { DEPTH_LIMIT = 5 };

CLEANUP(list, FILE *, fclose)
#define cleanup_list __attribute__((cleanup(cleanup_list_scope)))

struct search {
    struct map seen; /* by path: alternates may lead in circles */
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

static int search_objects(struct search *search, const char *objects, int depth);

/* One line of info/alternates in `objects` (gitrepository-layout(5)). */
static int search_line(struct search *search, const char *objects, char *line, int depth)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return 0;
    if (line[0] == '/')
        return search_objects(search, line, depth);
    cleanup_free char *path = path_join(objects, line);
    return path ? search_objects(search, path, depth) : -ENOMEM;
}

static int search_objects(struct search *search, const char *objects, int depth)
{
    cleanup_free char *name = path_join(objects, "info/alternates");
    cleanup_free char *line = NULL;
    size_t size = 0;

    int r = hand_on(search, objects);
    if (r <= 0)
        return r;
    /* Either may be a link of its own. */
    r = hand_on_below(search, objects, "pack");
    if (r == 0)
        r = hand_on_below(search, objects, "info");
    if (r < 0 || depth > DEPTH_LIMIT)
        return r;
    if (!name)
        return -ENOMEM;
    cleanup_list FILE *list = fopen(name, "re");
    while (r == 0 && list && getline(&line, &size, list) > 0)
        r = search_line(search, objects, line, depth + 1);
    return r;
}

/* libgit2 ends the path of a folder with a slash. */
static char *without_slash(const char *path)
{
    size_t length = strlen(path);

    return strndup(path, length > 1 && path[length - 1] == '/' ? length - 1 : length);
}

int source_git_folders(const struct source *source, int (*take)(void *context, const char *folder),
                       void *context)
{
    struct search search = {.take = take, .context = context};
    cleanup_free char *git_dir = without_slash(source->repository->git_dir);
    cleanup_free char *common_dir = without_slash(source->repository->common_dir);
    cleanup_free char *objects = common_dir ? path_join(common_dir, "objects") : NULL;

    int r = git_dir && objects ? hand_on(&search, git_dir) : -ENOMEM;
    if (r >= 0)
        r = hand_on(&search, common_dir);
    if (r >= 0)
        r = hand_on_below(&search, common_dir, "refs");
    if (r >= 0)
        r = search_objects(&search, objects, 0);
    map_clear(&search.seen, NULL);
    return r;
}
