#include "source_revision.h"

#include <errno.h>
#include <string.h>

/*
 * The history that counts is that of the source's repository: what lies in a submodule is as old as
 * its gitlink. So those paths are asked for as that of the gitlink, all of them once.
 */

struct asked {
    size_t count;
    char **paths; /* sorted, each once */
    int64_t *times;
};

static void asked_clear(struct asked *asked)
{
    for (size_t i = 0; asked->paths && i < asked->count; i++)
        free(asked->paths[i]);
    free(asked->paths);
    free(asked->times);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Which commit is asked about: in a live source another look may move on to the next. */
static bool take_commit(struct source *source, git_oid *ret_commit, bool *ret_has_submodules)
{
    struct revision *revision = source->state;

    if (!source->revision)
        return false;
    cleanup_lock(&revision->lock);
    *ret_has_submodules = revision->submodules != NULL;
    return git_oid_fromstr(ret_commit, source->commit) == 0;
}

/* Take the paths over as the history knows them. */
static int translate(struct revision *revision, const char *const *paths, size_t count,
                     struct asked *asked)
{
    asked->paths = calloc(count + 1, sizeof(*asked->paths));
    asked->times = calloc(count + 1, sizeof(*asked->times));
    if (!asked->paths || !asked->times)
        return -ENOMEM;
    for (; asked->count < count; asked->count++) {
        const char *path = paths[asked->count];
        char *known = strndup(path, revision_history_path(revision, path));
        if (!known)
            return -ENOMEM;
        asked->paths[asked->count] = known;
    }
    if (count > 0)
        qsort(asked->paths, count, sizeof(*asked->paths), compare);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && strcmp(asked->paths[i], asked->paths[kept - 1]) == 0)
            free(asked->paths[i]);
        else
            asked->paths[kept++] = asked->paths[i];
    }
    asked->count = kept;
    return 0;
}

/* Hand the times on. */
static int answer(struct revision *revision, const struct asked *asked, const char *const *paths,
                  size_t count, int64_t *ret_times)
{
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *known = strndup(paths[i], revision_history_path(revision, paths[i]));
        if (!known)
            return -ENOMEM;
        char *const *found = bsearch(&known, asked->paths, asked->count, sizeof(known), compare);
        /* The source has moved on to a commit with other submodules. */
        if (!found)
            return -ESTALE;
        ret_times[i] = asked->times[found - asked->paths];
    }
    return 0;
}

int source_times(struct source *source, struct cache *cache, const char *const *paths, size_t count,
                 int64_t *ret_times, int (*check)(const void *context), const void *context,
                 struct error *error)
{
    __attribute__((cleanup(asked_clear))) struct asked asked = {0};
    struct history *history = source->repository->history;
    struct revision *revision = source->state;
    bool has_submodules;
    git_oid commit;

    if (!take_commit(source, &commit, &has_submodules))
        return error_set(error, -EIO, "%s: a worktree has no history", source_path(source));
    if (!has_submodules)
        return history_times(history, cache, &commit, paths, count, ret_times, check, context,
                             error);
    int r = translate(revision, paths, count, &asked);
    if (r == 0) {
        const char *const *known = (const char *const *)asked.paths;
        r = history_times(history, cache, &commit, known, asked.count, asked.times, check, context,
                          error);
        if (r < 0)
            return r;
        r = answer(revision, &asked, paths, count, ret_times);
    }
    return r < 0 ? error_errno(error, r, "%s", source_path(source)) : 0;
}
