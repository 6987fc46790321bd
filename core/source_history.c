#include "source_history.h"

#include "source_answers.h"
#include "source_commits.h"
#include "source_path_list.h"
#include "source_shallow.h"

#include <errno.h>
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
 *
 * A commit changes a few of many paths, and many paths pass by many commits: nothing must be done
 * for a path that a commit leaves as it is. So a group is a set (source_path_list.h) that goes on
 * as a whole once what differs was taken out of it; and two trees are compared as Git does it
 * (tree-diff.c), entry beside entry, of which only those that differ are looked at, and into.
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
    uint64_t *paths; /* a set */
};

struct walk {
    struct history *history;
    struct cache *cache;
    struct cache_reader *reader;
    struct path_list paths;
    struct commits commits; /* of struct group */
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

static bool group_is_empty(const struct walk *walk, const struct group *group)
{
    return path_set_is_empty(&walk->paths, group->paths);
}

static struct group *take_newest(struct walk *walk)
{
    struct visit *newest = commits_take(&walk->commits);

    commits_forget(&walk->commits, newest);
    return (struct group *)(void *)newest;
}

/*
 * Let paths wait at a commit. Their set is taken over, and the commit if nothing waited there.
 * 0 or -ENOMEM.
 */
static int group_join(struct walk *walk, struct commit **commit, uint64_t **paths)
{
    struct group *group = (struct group *)(void *)commits_find(&walk->commits, &(*commit)->id);

    if (group) {
        path_set_unite(&walk->paths, group->paths, *paths);
        return 0;
    }
    group = calloc(1, sizeof(*group));
    if (!group || commits_add(&walk->commits, &group->visit, commit) < 0) {
        free(group);
        return -ENOMEM;
    }
    group->paths = steal_pointer(paths);
    return 0;
}

/* --- Comparing ----------------------------------------------------------------------------------
 */

/* Two trees are compared at the paths of one set; those that differ go over to the other set. */
struct comparison {
    struct walk *walk;
    uint64_t *same;
    uint64_t *differ;
};

static void set_differs(const struct comparison *comparison, size_t number)
{
    if (path_set_next(comparison->same, number, number + 1) == number) {
        path_set_remove(comparison->same, number);
        path_set_add(comparison->differ, number);
    }
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

static int compare_trees(const struct comparison *comparison, const git_tree *a, const git_tree *b,
                         const struct run *run);

/* Two entries of one name that differ, of which one may be NULL: it is not there. */
static int compare_entries(const struct comparison *comparison, const git_tree_entry *a,
                           const git_tree_entry *b, const struct run *run)
{
    const char *name = git_tree_entry_name(a ? a : b);
    struct walk *walk = comparison->walk;
    struct run part = path_list_find(&walk->paths, run, name);
    cleanup_tree git_tree *below_a = NULL;
    cleanup_tree git_tree *below_b = NULL;

    part.offset += strlen(name);
    /* The path that ends here comes first. */
    if (part.first < part.end && walk->paths.items[part.first].path[part.offset] == '\0')
        set_differs(comparison, part.first++);
    part.offset++;
    /* What nobody asks about is not read: it may be missing. */
    if (path_set_next(comparison->same, part.first, part.end) == part.end)
        return 0;
    int r = tree_of(walk, a, &below_a);
    if (r == 0)
        r = tree_of(walk, b, &below_b);
    return r < 0 ? r : compare_trees(comparison, below_a, below_b, &part);
}

static const git_tree_entry *entry_at(const git_tree *tree, size_t at)
{
    return tree ? git_tree_entry_byindex(tree, at) : NULL;
}

static bool is_same(const git_tree_entry *a, const git_tree_entry *b)
{
    return git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b)) &&
           git_tree_entry_filemode_raw(a) == git_tree_entry_filemode_raw(b);
}

/*
 * Trees are in an order of their own, in which a folder's name sorts as if it ended with '/'. So a
 * file and a folder of one name do not meet here, but come by one after the other: the name
 * differs, and so does what is in the folder, which is right.
 */
static int compare_trees(const struct comparison *comparison, const git_tree *a, const git_tree *b,
                         const struct run *run)
{
    size_t at_a = 0;
    size_t at_b = 0;
    int r = 0;

    while (r == 0) {
        const git_tree_entry *in_a = entry_at(a, at_a);
        const git_tree_entry *in_b = entry_at(b, at_b);
        if (!in_a && !in_b)
            break;
        int order = !in_a ? 1 : !in_b ? -1 : git_tree_entry_cmp(in_a, in_b);
        at_a += order <= 0;
        at_b += order >= 0;
        if (order != 0 || !is_same(in_a, in_b))
            r = compare_entries(comparison, order <= 0 ? in_a : NULL, order >= 0 ? in_b : NULL,
                                run);
    }
    return r;
}

/* --- Walking ------------------------------------------------------------------------------------
 */

/* Send those of the group's paths on that are in `parent` as they are in `tree`. */
static int follow(struct walk *walk, struct group *group, const git_tree *tree,
                  struct commit **parent)
{
    cleanup_free uint64_t *differ = path_set_new(&walk->paths);
    cleanup_tree git_tree *before = NULL;

    if (!differ)
        return -ENOMEM;
    if (!git_oid_equal(&(*parent)->tree, git_tree_id(tree))) {
        const struct comparison comparison = {walk, group->paths, differ};
        const struct run all = {0, walk->paths.count, 0};
        int r = commit_tree(walk->history->reader, *parent, &before);
        if (r < 0)
            return fail(walk, r);
        /* The root, which has no name, comes first. */
        if (walk->paths.items[0].path[0] == '\0')
            set_differs(&comparison, 0);
        r = compare_trees(&comparison, tree, before, &all);
        if (r < 0)
            return r;
    }
    if (!group_is_empty(walk, group) && group_join(walk, parent, &group->paths) < 0)
        return -ENOMEM;
    free(group->paths);
    group->paths = steal_pointer(&differ);
    return 0;
}

/* The commit of a group is its paths' answer. */
static void answer(const struct walk *walk, const struct group *group)
{
    size_t end = walk->paths.count;

    for (size_t i = path_set_next(group->paths, 0, end); i < end;
         i = path_set_next(group->paths, i + 1, end))
        *walk->paths.items[i].time = group->visit.commit->time;
}

/* Answer what is known of this commit. */
static void answer_known(struct walk *walk, struct group *group)
{
    const struct answers *known =
        answered_recall(&walk->history->answered, walk->reader, &group->visit.id);

    size_t end = known ? walk->paths.count : 0;

    for (size_t i = path_set_next(group->paths, 0, end); i < end;
         i = path_set_next(group->paths, i + 1, end)) {
        if (answers_find(known, walk->paths.items[i].path, walk->paths.items[i].time))
            path_set_remove(group->paths, i);
    }
}

/* Send the group's paths on to the parents that have the same. */
static int follow_parents(struct walk *walk, struct group *group, const git_tree *tree)
{
    struct history *history = walk->history;
    const struct commit *commit = group->visit.commit;
    size_t parents = shallow_cuts(&history->shallow, &commit->id) ? 0 : commit->parent_count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < parents && !group_is_empty(walk, group); i++) {
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
    if (group_is_empty(walk, group))
        return 0;
    walk->is_new = true;
    int r = commit_tree(walk->history->reader, group->visit.commit, &tree);
    if (r < 0)
        return fail(walk, r);
    r = follow_parents(walk, group, tree);
    if (r == 0)
        answer(walk, group);
    return r;
}

/* Number the paths, and let all of them wait at the first commit. */
static int walk_begin(struct walk *walk, const char *const *paths, size_t count, int64_t *times)
{
    cleanup_free struct commit *start = NULL;
    cleanup_free uint64_t *all = NULL;

    reader_begin(walk->history->reader);
    int r = commit_read(walk->history->reader, walk->commit, walk->what, &start, walk->error);
    if (r < 0)
        return r;
    r = path_list_make(&walk->paths, paths, count, times);
    if (r < 0)
        return r;
    all = path_set_new(&walk->paths);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        path_set_add(all, i);
    return group_join(walk, &start, &all);
}

static int walk_all(struct walk *walk)
{
    int r = 0;

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
    walk.reader = cache_reader_begin(cache);
    r = walk_begin(&walk, paths, count, ret_times);
    if (r == 0)
        r = walk_all(&walk);
    /* What was all known is not written again. */
    if (r == 0 && walk.is_new && !walk.truncated)
        r = answered_remember(&history->answered, cache, walk.reader, commit, paths, ret_times,
                              count);
    cache_reader_end(walk.reader);
    commits_clear(&walk.commits, group_free);
    path_list_clear(&walk.paths);
    return r == -ENOMEM || r == -EINTR || r == -ECANCELED
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
