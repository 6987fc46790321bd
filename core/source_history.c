#include "source_history.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
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

enum {
    REMEMBERED =
        8, /* commits whose answers are kept in memory: HEAD, and what it is compared with */
};

struct answers {
    git_oid commit;
    size_t count;
    char **paths; /* sorted by bytes */
    int64_t *times;
    uint64_t used; /* 0: empty */
};

struct history {
    char *shallow_path;
    pthread_mutex_t lock; /* guards the rest; held for a whole walk */
    struct reader *reader;
    uint64_t uses;
    struct answers remembered[REMEMBERED];
    char *shallow; /* the text of Git's file: a commit id a line; or NULL */
    struct content_id shallow_id;
};

struct group {
    git_oid id;
    git_commit *commit;
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
    struct group **heap; /* the newest commit first */
    size_t count;
    size_t capacity;
    void *by_id;    /* tsearch(3) tree of the same groups */
    bool *is_same;  /* scratch, for each path */
    bool truncated; /* an object was missing: what was found is not for others */
    const git_oid *commit;
    int (*check)(const void *context); /* see history_times */
    const void *context;
    struct error *error;
};

CLEANUP(commit, git_commit *, git_commit_free)
CLEANUP(tree, git_tree *, git_tree_free)
#define cleanup_commit __attribute__((cleanup(cleanup_commit_scope)))
#define cleanup_tree __attribute__((cleanup(cleanup_tree_scope)))

/* --- What is known ------------------------------------------------------------------------------
 */

static void answers_clear(struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++)
        free(answers->paths[i]);
    free(answers->paths);
    free(answers->times);
    *answers = (struct answers){.used = 0};
}

static bool answers_find(const struct answers *answers, const char *path, int64_t *ret_time)
{
    size_t low = 0;
    size_t high = answers->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(answers->paths[middle], path);
        if (order == 0) {
            *ret_time = answers->times[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static int answers_add(struct answers *answers, const char *path, int64_t time)
{
    answers->paths[answers->count] = strdup(path);
    answers->times[answers->count] = time;
    return answers->paths[answers->count++] ? 0 : -ENOMEM;
}

static int answers_reserve(struct answers *answers, size_t count)
{
    answers->paths = calloc(count + 1, sizeof(*answers->paths));
    answers->times = calloc(count + 1, sizeof(*answers->times));
    return answers->paths && answers->times ? 0 : -ENOMEM;
}

/* What a commit's answers are known by: the history that is cut off elsewhere has others. */
static int make_key(const struct history *history, const git_oid *commit,
                    struct content_id *ret_key)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();

    if (!sha256)
        return -ENOMEM;
    sha256_update(sha256, "history", sizeof("history"));
    sha256_update(sha256, commit->id, sizeof(commit->id));
    sha256_update(sha256, history->shallow_id.bytes, sizeof(history->shallow_id.bytes));
    sha256_final(sha256, ret_key);
    return 0;
}

/* A note is a time in eight bytes, little-endian, and a path with its NUL, again and again. */
static int parse_note(const char *bytes, size_t size, struct answers *answers)
{
    size_t count = 0;

    for (size_t at = 0; at + sizeof(int64_t) < size; count++) {
        at += sizeof(int64_t);
        at += strnlen(bytes + at, size - at) + 1;
        if (at > size)
            return -EINVAL;
    }
    if (answers_reserve(answers, count) < 0)
        return -ENOMEM;
    for (size_t at = 0; answers->count < count;) {
        uint64_t time;
        memcpy(&time, bytes + at, sizeof(time));
        at += sizeof(time);
        if (answers_add(answers, bytes + at, (int64_t)le64toh(time)) < 0)
            return -ENOMEM;
        at += strlen(bytes + at) + 1;
    }
    return 0;
}

/* A place for another commit's answers: the one that was not used for longest. */
static struct answers *make_place(struct history *history)
{
    struct answers *oldest = &history->remembered[0];

    for (size_t i = 1; i < REMEMBERED; i++) {
        if (history->remembered[i].used < oldest->used)
            oldest = &history->remembered[i];
    }
    answers_clear(oldest);
    return oldest;
}

/* What is known of `commit`, or NULL. */
static struct answers *recall(struct history *history, struct cache_reader *reader,
                              const git_oid *commit)
{
    cleanup_free char *bytes = NULL;
    struct content_id key;
    size_t size = 0;

    for (size_t i = 0; i < REMEMBERED; i++) {
        struct answers *answers = &history->remembered[i];
        if (answers->used && git_oid_equal(&answers->commit, commit)) {
            answers->used = ++history->uses;
            return answers;
        }
    }
    if (!reader || make_key(history, commit, &key) < 0 ||
        !cache_find_note(reader, &key, (void **)&bytes, &size))
        return NULL;
    struct answers *answers = make_place(history);
    if (parse_note(bytes, size, answers) < 0) {
        answers_clear(answers);
        return NULL;
    }
    answers->commit = *commit;
    answers->used = ++history->uses;
    return answers;
}

static void write_note(const struct walk *walk, const struct answers *answers)
{
    struct content_id key;
    cleanup_free char *bytes = NULL;
    size_t size = 0;
    FILE *stream = walk->cache ? open_memstream(&bytes, &size) : NULL;

    if (!stream)
        return;
    for (size_t i = 0; i < answers->count; i++) {
        uint64_t time = htole64((uint64_t)answers->times[i]);
        fwrite(&time, sizeof(time), 1, stream);
        fwrite(answers->paths[i], strlen(answers->paths[i]) + 1, 1, stream);
    }
    if (fclose(stream) == 0 && make_key(walk->history, &answers->commit, &key) == 0)
        cache_put_note(walk->cache, &key, bytes, size);
}

/* Remember the answers of a walk from `commit`, with those that were known of it. */
static int remember(struct walk *walk, const git_oid *commit, size_t count)
{
    struct history *history = walk->history;
    struct answers *known = recall(history, walk->reader, commit);
    struct answers all = {.commit = *commit, .used = ++history->uses};
    size_t old = 0;
    size_t i = 0;
    int r = answers_reserve(&all, count + (known ? known->count : 0));

    while (r == 0 && (i < count || (known && old < known->count))) {
        int order = i == count                      ? 1
                    : !known || old == known->count ? -1
                                                    : strcmp(walk->paths[i], known->paths[old]);
        r = order <= 0 ? answers_add(&all, walk->paths[i], walk->times[i])
                       : answers_add(&all, known->paths[old], known->times[old]);
        i += order <= 0;
        old += order >= 0;
    }
    if (r < 0) {
        answers_clear(&all);
        return r;
    }
    if (known)
        answers_clear(known);
    else
        known = make_place(history);
    *known = all;
    write_note(walk, known);
    return 0;
}

/* --- Groups -------------------------------------------------------------------------------------
 */

static int compare_ids(const void *a, const void *b)
{
    const struct group *left = a;
    const struct group *right = b;

    return git_oid_cmp(&left->id, &right->id);
}

static bool is_newer(const struct group *a, const struct group *b)
{
    return git_commit_time(a->commit) > git_commit_time(b->commit);
}

static void group_free(struct group *group)
{
    git_commit_free(group->commit);
    free(group->paths);
    free(group);
}

static void sift_up(struct walk *walk, size_t at)
{
    while (at > 0 && is_newer(walk->heap[at], walk->heap[(at - 1) / 2])) {
        struct group *parent = walk->heap[(at - 1) / 2];
        walk->heap[(at - 1) / 2] = walk->heap[at];
        walk->heap[at] = parent;
        at = (at - 1) / 2;
    }
}

static void sift_down(struct walk *walk, size_t at)
{
    for (;;) {
        size_t newest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < walk->count; child++) {
            if (is_newer(walk->heap[child], walk->heap[newest]))
                newest = child;
        }
        if (newest == at)
            return;
        struct group *group = walk->heap[at];
        walk->heap[at] = walk->heap[newest];
        walk->heap[newest] = group;
        at = newest;
    }
}

static struct group *take_newest(struct walk *walk)
{
    struct group *group = walk->heap[0];

    walk->heap[0] = walk->heap[--walk->count];
    sift_down(walk, 0);
    tdelete(group, &walk->by_id, compare_ids);
    return group;
}

/* The group of `commit`, made if there is none. NULL without memory. */
static struct group *group_of(struct walk *walk, git_commit *commit)
{
    struct group wanted = {.id = *git_commit_id(commit)};
    struct group *const *found = tfind(&wanted, &walk->by_id, compare_ids);

    if (found)
        return *found;
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity ? 2 * walk->capacity : 16;
        struct group **heap = reallocarray(walk->heap, capacity, sizeof(struct group *));
        if (!heap)
            return NULL;
        walk->heap = heap;
        walk->capacity = capacity;
    }
    struct group *group = calloc(1, sizeof(*group));
    if (!group)
        return NULL;
    group->id = wanted.id;
    if (git_commit_dup(&group->commit, commit) < 0 || !tsearch(group, &walk->by_id, compare_ids)) {
        group_free(group);
        return NULL;
    }
    walk->heap[walk->count] = group;
    sift_up(walk, walk->count++);
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

/* libgit2 has failed: say why. */
static int fail(struct walk *walk, int code)
{
    char id[GIT_OID_HEXSZ + 1];
    char what[64];

    git_oid_tostr(id, sizeof(id), walk->commit);
    snprintf(what, sizeof(what), "history of %.12s", id);
    return reader_failure(walk->history->reader, code, what, walk->error);
}

/* The tree that an entry is; NULL if it is another, or is not there. */
static int tree_of(struct walk *walk, const git_tree_entry *entry, git_tree **ret_tree)
{
    if (!entry || git_tree_entry_type(entry) != GIT_OBJECT_TREE)
        return 0;
    int r = git_tree_lookup(ret_tree, walk->history->reader->plain, git_tree_entry_id(entry));
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

static bool is_cut_off(const struct history *history, const git_oid *commit)
{
    return history->shallow && strstr(history->shallow, git_oid_tostr_s(commit));
}

/* Send those of the group's paths on that are in `parent` as they are in `tree`. */
static int follow(struct walk *walk, struct group *group, const git_tree *tree, git_commit *parent)
{
    cleanup_tree git_tree *before = NULL;
    struct run all = {group->paths, 0, group->count, 0};
    size_t kept = 0;

    if (git_oid_equal(git_commit_tree_id(parent), git_tree_id(tree))) {
        set_same(walk, &all, true);
    } else {
        int r = git_commit_tree(&before, parent);
        r = r < 0 ? fail(walk, r) : compare_trees(walk, tree, before, &all);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < group->count; i++) {
        size_t path = group->paths[i];
        if (walk->is_same[path]) {
            struct group *next = group_of(walk, parent);
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
    const struct answers *known = recall(walk->history, walk->reader, &group->id);
    size_t kept = 0;

    for (size_t i = 0; known && i < group->count; i++) {
        size_t path = group->paths[i];
        if (!answers_find(known, walk->paths[path], &walk->times[path]))
            group->paths[kept++] = path;
    }
    if (known)
        group->count = kept;
}

static int step(struct walk *walk, struct group *group)
{
    cleanup_tree git_tree *tree = NULL;
    int r = 0;

    answer_known(walk, group);
    if (group->count == 0)
        return 0;
    r = git_commit_tree(&tree, group->commit);
    if (r < 0)
        return fail(walk, r);
    unsigned parents =
        is_cut_off(walk->history, &group->id) ? 0 : git_commit_parentcount(group->commit);
    for (unsigned i = 0; r == 0 && i < parents && group->count > 0; i++) {
        cleanup_commit git_commit *parent = NULL;
        r = git_commit_parent(&parent, group->commit, i);
        if (r == 0) {
            r = follow(walk, group, tree, parent);
        } else if (walk->history->reader->fault.code == -ENOENT) { /* fetched without its history */
            reader_begin(walk->history->reader);
            walk->truncated = true;
            r = 0;
        } else {
            return fail(walk, r);
        }
    }
    for (size_t i = 0; r == 0 && i < group->count; i++)
        walk->times[group->paths[i]] = git_commit_time(group->commit);
    return r;
}

static int walk_all(struct walk *walk, size_t count)
{
    cleanup_commit git_commit *start = NULL;

    reader_begin(walk->history->reader);
    int r = git_commit_lookup(&start, walk->history->reader->plain, walk->commit);
    if (r < 0)
        return fail(walk, r);
    struct group *first = group_of(walk, start);
    if (!first)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++)
        r = group_add(first, i);
    while (r == 0 && walk->count > 0) {
        struct group *group = take_newest(walk);
        r = walk->check ? walk->check(walk->context) : 0;
        if (r == 0)
            r = step(walk, group);
        group_free(group);
    }
    return r;
}

/* Git's list of commits whose parents were not fetched. It is small, and changes with a fetch. */
static int read_shallow(struct history *history)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    cleanup_free char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(history->shallow_path, "re");

    if (!file && errno != ENOENT)
        return error_is_transient(-errno) ? -errno : -EIO;
    if (file) {
        ssize_t n = getdelim(&text, &size, '\0', file);
        bool failed = ferror(file) != 0;
        fclose(file);
        if (failed)
            return -EIO;
        if (n < 0) {
            free(text);
            text = NULL;
        }
    }
    if (!sha256)
        return -ENOMEM;
    free(history->shallow);
    history->shallow = steal_pointer(&text);
    if (history->shallow)
        sha256_update(sha256, history->shallow, strlen(history->shallow));
    sha256_final(sha256, &history->shallow_id);
    return 0;
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
    struct content_id before = history->shallow_id;

    if (count == 0)
        return 0;
    int r = read_shallow(history);
    if (r < 0)
        return error_errno(error, r, "%s", history->shallow_path);
    for (size_t i = 0; i < REMEMBERED && !content_id_equal(&before, &history->shallow_id); i++)
        answers_clear(&history->remembered[i]);
    walk.is_same = calloc(count, sizeof(*walk.is_same));
    walk.reader = cache_reader_begin(cache);
    r = walk.is_same ? walk_all(&walk, count) : -ENOMEM;
    if (r == 0 && !walk.truncated)
        r = remember(&walk, commit, count);
    cache_reader_end(walk.reader);
    while (walk.count > 0)
        group_free(take_newest(&walk));
    free(walk.heap);
    free(walk.is_same);
    return r == -ENOMEM || r == -ENAMETOOLONG || r == -EINTR || r == -ECANCELED
               ? error_errno(error, r, "the history of commit %s", git_oid_tostr_s(commit))
               : r;
}

int history_new(struct objects *objects, const char *common_dir, struct history **ret_history)
{
    struct history *history = calloc(1, sizeof(*history));

    if (!history)
        return -ENOMEM;
    pthread_mutex_init(&history->lock, NULL);
    if (asprintf(&history->shallow_path, "%s/shallow", common_dir) < 0)
        history->shallow_path = NULL;
    int r = history->shallow_path ? reader_new(objects, &history->reader) : -ENOMEM;
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
    for (size_t i = 0; i < REMEMBERED; i++)
        answers_clear(&history->remembered[i]);
    reader_free(history->reader);
    pthread_mutex_destroy(&history->lock);
    free(history->shallow_path);
    free(history->shallow);
    free(history);
}
