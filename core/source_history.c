#include "source_history.h"

#include "source_answers.h"
#include "source_commits.h"
#include "source_shallow.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/*
 * The walk
 *
 * Every path that is not answered yet waits at some commit, in that commit's group. The group of
 * the newest commit is taken from a heap, and each of its paths goes on to the first parent that
 * has the same at that path, or is answered with this commit's time. Taking the newest first makes
 * paths that parted meet again, so a commit is hardly ever read twice; the answers do not hang on
 * the order.
 */

struct history {
    char *common_dir;
    pthread_mutex_t lock; /* guards the rest; held for a whole walk */
    struct reader *reader;
    struct shallow shallow;
    struct answered answered;
};

struct group {
    struct visit visit;
    size_t count;
    size_t capacity;
    size_t *paths; /* indexes, ascending */
};

struct walk {
    struct history *history;
    struct cache *cache;
    struct cache_reader *reader;
    const char *const *paths;
    int64_t *times;
    struct commits commits; /* of struct group */
    bool *is_same;          /* scratch, for each path */
    bool truncated;         /* an object was missing: what was found is not for others */
    bool is_new;            /* something was found that was not known */
    const git_oid *commit;
    char what[64];                     /* "history of 546187e…" */
    int (*check)(const void *context); /* see history_times */
    const void *context;
    struct error *error;
};

/* --- Groups -------------------------------------------------------------------------------------
 */

static void group_free(void *visit)
{
    struct group *group = visit;

    visit_clear(&group->visit);
    free(group->paths);
    free(group);
}

static struct group *take_newest(struct walk *walk)
{
    struct visit *newest = commits_take(&walk->commits);

    commits_forget(&walk->commits, newest);
    return (struct group *)(void *)newest;
}

/* The group of a commit, made if there is none: then that takes it over. NULL without memory. */
static struct group *group_of(struct walk *walk, const git_oid *id, struct commit **commit)
{
    struct visit *found = commits_find(&walk->commits, id);

    if (found)
        return (struct group *)(void *)found;
    struct group *group = calloc(1, sizeof(*group));
    if (group && commits_add(&walk->commits, &group->visit, commit) < 0) {
        free(group);
        return NULL;
    }
    return group;
}

/* Put a path in, in its order; paths mostly come in order. */
static int group_add(struct group *group, size_t path)
{
    if (group->count == group->capacity) {
        size_t capacity = group->capacity ? 2 * group->capacity : 8;
        size_t *paths = reallocarray(group->paths, capacity, sizeof(*paths));
        if (!paths)
            return -ENOMEM;
        group->paths = paths;
        group->capacity = capacity;
    }
    size_t at = group->count++;
    for (; at > 0 && group->paths[at - 1] > path; at--)
        group->paths[at] = group->paths[at - 1];
    group->paths[at] = path;
    return 0;
}

/* --- Comparing ----------------------------------------------------------------------------------
 */

/* Paths of a walk that begin alike: `paths[first]` up to, not including, `paths[end]`. */
struct run {
    const size_t *paths;
    size_t first;
    size_t end;
    size_t offset; /* of the component that is looked at */
};

static void set_same(struct walk *walk, const struct run *run, bool same)
{
    for (size_t i = run->first; i < run->end; i++)
        walk->is_same[run->paths[i]] = same;
}

static const git_tree_entry *entry_of(const git_tree *tree, const char *name)
{
    return tree ? git_tree_entry_byname(tree, name) : NULL;
}

static int fail(struct walk *walk, int code)
{
    return reader_failure(walk->history->reader, code, walk->what, walk->error);
}

/* The tree that an entry is; NULL if it is another, or is not there. */
static int tree_of(struct walk *walk, const git_tree_entry *entry, git_tree **ret_tree)
{
    if (!entry || git_tree_entry_type(entry) != GIT_OBJECT_TREE)
        return 0;
    int r = git_tree_lookup(ret_tree, walk->history->reader->git, git_tree_entry_id(entry));
    return r < 0 ? fail(walk, r) : 0;
}

static int compare_trees(struct walk *walk, const git_tree *a, const git_tree *b,
                         const struct run *run);

/* All paths of `run` go on below `name`, or end there. */
static int compare_entries(struct walk *walk, const git_tree *a, const git_tree *b,
                           const char *name, struct run *run)
{
    const git_tree_entry *in_a = entry_of(a, name);
    const git_tree_entry *in_b = entry_of(b, name);
    cleanup_tree git_tree *below_a = NULL;
    cleanup_tree git_tree *below_b = NULL;

    bool same = in_a && in_b
                    ? git_oid_equal(git_tree_entry_id(in_a), git_tree_entry_id(in_b)) &&
                          git_tree_entry_filemode_raw(in_a) == git_tree_entry_filemode_raw(in_b)
                    : !in_a && !in_b;
    set_same(walk, run, same);
    run->offset += strlen(name);
    /* Sorted by bytes: the path that ends here comes first. */
    run->first += walk->paths[run->paths[run->first]][run->offset] == '\0';
    run->offset++;
    if (same || run->first == run->end)
        return 0;
    int r = tree_of(walk, in_a, &below_a);
    if (r == 0)
        r = tree_of(walk, in_b, &below_b);
    return r < 0 ? r : compare_trees(walk, below_a, below_b, run);
}

static int compare_trees(struct walk *walk, const git_tree *a, const git_tree *b,
                         const struct run *run)
{
    struct run part = *run;
    int r = 0;

    /* The root, which has no name; it comes first. Its trees are others, or this was not asked. */
    if (part.first < run->end && walk->paths[run->paths[part.first]][0] == '\0')
        walk->is_same[run->paths[part.first++]] = false;
    for (; r == 0 && part.first < run->end; part.first = part.end) {
        char name[NAME_MAX + 1];
        const char *path = walk->paths[run->paths[part.first]] + run->offset;
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, length);
        name[length] = '\0';
        part.end = part.first + 1;
        while (part.end < run->end) {
            const char *next = walk->paths[run->paths[part.end]] + run->offset;
            if (strncmp(next, path, length) != 0 || (next[length] != '/' && next[length] != '\0'))
                break;
            part.end++;
        }
        struct run below = part;
        r = compare_entries(walk, a, b, name, &below);
    }
    return r;
}

/* --- Walking ------------------------------------------------------------------------------------
 */

/* Send those of the group's paths on that are in `parent` as they are in `tree`. */
static int follow(struct walk *walk, struct group *group, const git_tree *tree,
                  struct commit **parent)
{
    cleanup_tree git_tree *before = NULL;
    struct run all = {group->paths, 0, group->count, 0};
    const git_oid id = (*parent)->id;
    size_t kept = 0;

    if (git_oid_equal(&(*parent)->tree, git_tree_id(tree))) {
        set_same(walk, &all, true);
    } else {
        int r = commit_tree(walk->history->reader, *parent, &before);
        r = r < 0 ? fail(walk, r) : compare_trees(walk, tree, before, &all);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < group->count; i++) {
        size_t path = group->paths[i];
        if (walk->is_same[path]) {
            struct group *next = group_of(walk, &id, parent);
            if (!next || group_add(next, path) < 0)
                return -ENOMEM;
        } else {
            group->paths[kept++] = path;
        }
    }
    group->count = kept;
    return 0;
}

/* Answer what is known of this commit. */
static void answer_known(struct walk *walk, struct group *group)
{
    const struct answers *known =
        answered_recall(&walk->history->answered, walk->reader, &group->visit.id);
    size_t kept = 0;

    for (size_t i = 0; known && i < group->count; i++) {
        size_t path = group->paths[i];
        if (!answers_find(known, walk->paths[path], &walk->times[path]))
            group->paths[kept++] = path;
    }
    if (known)
        group->count = kept;
}

/* Send the group's paths on to the parents that have the same. */
static int follow_parents(struct walk *walk, struct group *group, const git_tree *tree)
{
    struct history *history = walk->history;
    const struct commit *commit = group->visit.commit;
    size_t parents = shallow_cuts(&history->shallow, &commit->id) ? 0 : commit->parent_count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < parents && group->count > 0; i++) {
        cleanup_free struct commit *parent = NULL;
        r = commit_read(history->reader, &commit->parents[i], walk->what, &parent, walk->error);
        if (r == 0) {
            r = follow(walk, group, tree, &parent);
        } else if (history->reader->fault.code == -ENOENT) { /* fetched without its history */
            reader_begin(history->reader);
            walk->truncated = true;
            r = 0;
        }
    }
    return r;
}

static int step(struct walk *walk, struct group *group)
{
    cleanup_tree git_tree *tree = NULL;

    answer_known(walk, group);
    if (group->count == 0)
        return 0;
    walk->is_new = true;
    int r = commit_tree(walk->history->reader, group->visit.commit, &tree);
    if (r < 0)
        return fail(walk, r);
    r = follow_parents(walk, group, tree);
    for (size_t i = 0; r == 0 && i < group->count; i++)
        walk->times[group->paths[i]] = group->visit.commit->time;
    return r;
}

static int walk_all(struct walk *walk, size_t count)
{
    cleanup_free struct commit *start = NULL;

    reader_begin(walk->history->reader);
    int r = commit_read(walk->history->reader, walk->commit, walk->what, &start, walk->error);
    if (r < 0)
        return r;
    struct group *first = group_of(walk, walk->commit, &start);
    if (!first)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++)
        r = group_add(first, i);
    while (r == 0 && walk->commits.count > 0) {
        struct group *group = take_newest(walk);
        r = walk->check ? walk->check(walk->context) : 0;
        if (r == 0)
            r = step(walk, group);
        group_free(group);
    }
    return r;
}

int history_times(struct history *history, struct cache *cache, const git_oid *commit,
                  const char *const *paths, size_t count, int64_t *ret_times,
                  int (*check)(const void *context), const void *context, struct error *error)
{
    cleanup_lock(&history->lock);
    struct walk walk = {
        .history = history,
        .cache = cache,
        .paths = paths,
        .times = ret_times,
        .commit = commit,
        .check = check,
        .context = context,
        .error = error,
    };

    if (count == 0)
        return 0;
    snprintf(walk.what, sizeof(walk.what), "history of %.12s", git_oid_tostr_s(commit));
    reader_renew(history->reader);
    int r = shallow_read(history->common_dir, &history->shallow, error);
    if (r < 0)
        return r;
    answered_begin(&history->answered, &history->shallow.id);
    walk.is_same = calloc(count, sizeof(*walk.is_same));
    walk.reader = cache_reader_begin(cache);
    r = walk.is_same ? walk_all(&walk, count) : -ENOMEM;
    /* What was all known is not written again. */
    if (r == 0 && walk.is_new && !walk.truncated)
        r = answered_remember(&history->answered, cache, walk.reader, commit, paths, ret_times,
                              count);
    cache_reader_end(walk.reader);
    commits_clear(&walk.commits, group_free);
    free(walk.is_same);
    return r == -ENOMEM || r == -ENAMETOOLONG || r == -EINTR || r == -ECANCELED
               ? error_errno(error, r, "the history of commit %s", git_oid_tostr_s(commit))
               : r;
}

int history_new(struct objects *objects, const char *common_dir, struct history **ret_history,
                struct error *error)
{
    struct history *history = calloc(1, sizeof(*history));

    if (!history)
        return error_errno(error, -ENOMEM, "%s", common_dir);
    pthread_mutex_init(&history->lock, NULL);
    history->common_dir = strdup(common_dir);
    int r = history->common_dir ? reader_new(objects, &history->reader, error)
                                : error_errno(error, -ENOMEM, "%s", common_dir);
    if (r < 0)
        history_free(history);
    else
        *ret_history = history;
    return r;
}

void history_free(struct history *history)
{
    if (!history)
        return;
    answered_clear(&history->answered);
    reader_free(history->reader);
    pthread_mutex_destroy(&history->lock);
    shallow_clear(&history->shallow);
    free(history->common_dir);
    free(history);
}
