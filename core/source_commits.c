#include "source_commits.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>

static int compare_ids(const void *a, const void *b)
{
    const struct visit *left = a;
    const struct visit *right = b;

    return git_oid_cmp(&left->id, &right->id);
}

static bool is_newer(const struct visit *a, const struct visit *b)
{
    return a->commit->time > b->commit->time;
}

static void sift_up(struct commits *commits, size_t at)
{
    struct visit **heap = commits->heap;

    while (at > 0 && is_newer(heap[at], heap[(at - 1) / 2])) {
        struct visit *parent = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = heap[at];
        heap[at] = parent;
        at = (at - 1) / 2;
    }
}

static void sift_down(struct commits *commits, size_t at)
{
    struct visit **heap = commits->heap;

    for (;;) {
        size_t newest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < commits->count; child++) {
            if (is_newer(heap[child], heap[newest]))
                newest = child;
        }
        if (newest == at)
            return;
        struct visit *visit = heap[at];
        heap[at] = heap[newest];
        heap[newest] = visit;
        at = newest;
    }
}

struct visit *commits_find(const struct commits *commits, const git_oid *id)
{
    struct visit wanted = {.id = *id};
    struct visit *const *found = tfind(&wanted, &commits->by_id, compare_ids);

    return found ? *found : NULL;
}

int commits_add(struct commits *commits, struct visit *visit, struct commit **commit)
{
    if (commits->count == commits->capacity) {
        size_t capacity = commits->capacity ? 2 * commits->capacity : 16;
        struct visit **heap = reallocarray(commits->heap, capacity, sizeof(struct visit *));
        if (!heap)
            return -ENOMEM;
        commits->heap = heap;
        commits->capacity = capacity;
    }
    visit->id = (*commit)->id;
    if (!tsearch(visit, &commits->by_id, compare_ids))
        return -ENOMEM;
    visit->commit = *commit;
    *commit = NULL;
    commits->heap[commits->count] = visit;
    sift_up(commits, commits->count++);
    return 0;
}

struct visit *commits_take(struct commits *commits)
{
    struct visit *visit = commits->heap[0];

    commits->heap[0] = commits->heap[--commits->count];
    sift_down(commits, 0);
    return visit;
}

void commits_forget(struct commits *commits, struct visit *visit)
{
    tdelete(visit, &commits->by_id, compare_ids);
}

void visit_clear(struct visit *visit)
{
    free(visit->commit);
    visit->commit = NULL;
}

void commits_clear(struct commits *commits, void (*release)(void *visit))
{
    tdestroy(commits->by_id, release);
    free(commits->heap);
    *commits = (struct commits){.count = 0};
}
