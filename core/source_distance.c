#include "source_distance.h"

#include "source_commits.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/*
 * Counting
 *
 * Two walks in one, the newest commit first: from `commit`, whose ancestors count, and from `base`,
 * whose ancestors do not, and which win. Commits between the two by first parents descend from
 * `base`, so they count for certain. What merges have brought in (the side) may have come from
 * before `base`; there the second walk has to go on until it is so far behind the oldest of the
 * side that it cannot reach it any more, were clocks wrong by CLOCK_SLACK. Without a side it does
 * not begin.
 *
 * Where history is cut off, a commit of the side may be an ancestor of `base` by a way that is not
 * there, unless it is seen to descend from it.
 */

/* What a later commit's clock may be behind its ancestor's: more costs more, by what it spans. */
#define CLOCK_SLACK ((uint64_t)30 * 24 * 60 * 60)

struct node {
    struct visit visit;
    bool excluded;     /* `base` is it, or descends from it */
    bool waits;        /* to be taken */
    bool first;        /* it is between the two by first parents */
    bool descends;     /* from `base`, as is known at the end */
    bool cut;          /* its parents were not fetched */
    struct node *next; /* the one that was taken before, and counted */
};

struct walk {
    struct reader *reader;
    const struct shallow *shallow;
    const char *what;
    struct error *error;
    struct commits commits; /* of struct node */
    struct node *counted;   /* taken and not excluded at that time: the last one first */
    size_t wanted;          /* that wait and are not excluded */
    bool has_side;
    int64_t oldest; /* of the side */
    bool is_cut;    /* an excluded one was cut off … */
    int64_t cut_at; /* … the newest of them has this time */
    struct node **stack;
    size_t depth;
    size_t capacity;
};

static void node_free(void *visit)
{
    visit_clear(visit);
    free(visit);
}

static struct node *find(const struct walk *walk, const git_oid *id)
{
    return (struct node *)(void *)commits_find(&walk->commits, id);
}

/* Put a commit in, which is taken over and waits from now on. */
static int add(struct walk *walk, struct commit *commit, bool excluded, bool first)
{
    cleanup_free struct commit *own = commit;
    struct node *node = calloc(1, sizeof(*node));
    bool is_root = commit->parent_count == 0;

    if (!node || commits_add(&walk->commits, &node->visit, &own) < 0) {
        free(node);
        return error_errno(walk->error, -ENOMEM, "%s", walk->what);
    }
    node->excluded = excluded;
    node->first = first;
    node->waits = true;
    node->cut = !is_root && shallow_cuts(walk->shallow, &node->visit.id);
    walk->wanted += !excluded;
    return 0;
}

static int push(struct walk *walk, struct node *node)
{
    if (walk->depth == walk->capacity) {
        size_t capacity = walk->capacity ? 2 * walk->capacity : 16;
        struct node **stack = reallocarray(walk->stack, capacity, sizeof(struct node *));
        if (!stack)
            return error_errno(walk->error, -ENOMEM, "%s", walk->what);
        walk->stack = stack;
        walk->capacity = capacity;
    }
    walk->stack[walk->depth++] = node;
    return 0;
}

/* It is an ancestor of `base`, and so are those of its ancestors that the walk has come by. */
static int exclude(struct walk *walk, struct node *node)
{
    int r = push(walk, node);

    while (r == 0 && walk->depth > 0) {
        node = walk->stack[--walk->depth];
        if (node->excluded)
            continue;
        node->excluded = true;
        if (node->waits) {
            walk->wanted--;
            continue;
        }
        size_t parents = node->visit.commit->parent_count;
        for (size_t i = 0; r == 0 && i < parents; i++) {
            struct node *parent = find(walk, &node->visit.commit->parents[i]);
            if (parent)
                r = push(walk, parent);
        }
    }
    return r;
}

/* Put in the commits from `commit` down to `base`. */
static int begin(struct walk *walk, const git_oid *commit, const git_oid *base)
{
    git_oid at = *commit;

    for (;;) {
        cleanup_free struct commit *current = NULL;
        bool is_base = git_oid_equal(&at, base);
        int r = commit_read(walk->reader, &at, walk->what, &current, walk->error);
        if (r < 0)
            return r;
        if (!is_base && current->parent_count == 0)
            return error_set(walk->error, -EIO, "%s: does not lead to %s", walk->what,
                             git_oid_tostr_s(base));
        if (!is_base)
            at = current->parents[0];
        r = add(walk, steal_pointer(&current), is_base, true);
        if (r < 0 || is_base)
            return r;
    }
}

static int follow(struct walk *walk, const struct node *node)
{
    size_t parents = node->visit.commit->parent_count;
    int r = 0;

    for (size_t i = 0; r == 0 && i < parents; i++) {
        struct commit *parent = NULL;
        struct node *known = find(walk, &node->visit.commit->parents[i]);
        if (known) {
            r = node->excluded ? exclude(walk, known) : 0;
            continue;
        }
        r = commit_read(walk->reader, &node->visit.commit->parents[i], walk->what, &parent,
                        walk->error);
        if (r == 0)
            r = add(walk, parent, node->excluded, false);
    }
    return r;
}

/* Can nothing that is counted turn out to be an ancestor of `base` any more? */
static bool is_over(const struct walk *walk)
{
    if (walk->wanted > 0)
        return false;
    if (walk->commits.count == 0 || !walk->has_side)
        return true;
    int64_t newest = walk->commits.heap[0]->commit->time;
    return newest < walk->oldest && (uint64_t)walk->oldest - (uint64_t)newest > CLOCK_SLACK;
}

/* Take one. 1: it counts, and nobody knows what else does. */
static int step(struct walk *walk)
{
    struct node *node = (struct node *)(void *)commits_take(&walk->commits);
    int64_t time = node->visit.commit->time;

    node->waits = false;
    if (!node->excluded) {
        walk->wanted--;
        node->next = walk->counted;
        walk->counted = node;
        if (node->cut)
            return 1;
        if (!node->first && (!walk->has_side || time < walk->oldest)) {
            walk->has_side = true;
            walk->oldest = time;
        }
    } else if (node->cut) {
        if (!walk->is_cut || time > walk->cut_at)
            walk->cut_at = time;
        walk->is_cut = true;
        return 0;
    }
    return follow(walk, node);
}

/* Find out which of those that count descend from `base`. The oldest come first, mostly. */
static void find_descendants(struct walk *walk)
{
    bool again = true;

    while (again) {
        again = false;
        for (struct node *node = walk->counted; node; node = node->next) {
            size_t parents = node->visit.commit->parent_count;
            bool descends = node->first;
            for (size_t i = 0; i < parents && !descends; i++) {
                const struct node *parent = find(walk, &node->visit.commit->parents[i]);
                descends = parent && (parent->descends || (parent->first && parent->excluded));
            }
            again = again || descends != node->descends;
            node->descends = descends;
        }
    }
}

/* Is there one that counts, and might not if nothing were cut off? */
static bool is_in_doubt(struct walk *walk)
{
    if (!walk->is_cut)
        return false;
    find_descendants(walk);
    for (const struct node *node = walk->counted; node; node = node->next) {
        int64_t time = node->visit.commit->time;
        bool younger = time > walk->cut_at && (uint64_t)time - (uint64_t)walk->cut_at > CLOCK_SLACK;
        if (!node->excluded && !node->descends && !younger)
            return true;
    }
    return false;
}

int distance_count(struct reader *reader, const struct shallow *shallow, const git_oid *commit,
                   const git_oid *base, const char *what, uint64_t *ret_count, struct error *error)
{
    struct walk walk = {.reader = reader, .shallow = shallow, .what = what, .error = error};
    uint64_t count = 0;
    int r = begin(&walk, commit, base);

    while (r == 0 && !is_over(&walk))
        r = step(&walk);
    if (r == 0)
        r = is_in_doubt(&walk);
    for (const struct node *node = walk.counted; node; node = node->next)
        count += !node->excluded;
    commits_clear(&walk.commits, node_free);
    free(walk.stack);
    if (r == 0)
        *ret_count = count;
    return r;
}
