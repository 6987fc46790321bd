#include <addonfs/problem.h>

#include <addonfs/cleanup.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What tells a problem from others; the caller frees it. NULL without memory. */
static char *key_of(const char *path, const char *reason, bool warning)
{
    char *key = NULL;

    /* Control characters stand in no reason (error.h). */
    return asprintf(&key, "%c%s\1%s", warning ? 'w' : 'e', reason, path) < 0 ? NULL : key;
}

/* The index holds places, counted from 1. */
static struct problem *find(const struct problems *problems, const char *key)
{
    uintptr_t place = (uintptr_t)map_find(&problems->index, key);

    return place ? &problems->items[place - 1] : NULL;
}

static struct problem *append(struct problems *problems, const char *key, const char *path,
                              const char *reason, bool warning)
{
    struct problem *items =
        reallocarray(problems->items, problems->count + 1, sizeof(*problems->items));

    if (!items)
        return NULL;
    problems->items = items;
    struct problem *added = &items[problems->count];
    *added = (struct problem){.path = strdup(path), .reason = strdup(reason), .warning = warning};
    void *place = (void *)(uintptr_t)(problems->count + 1); // NOLINT(performance-no-int-to-ptr)
    if (!added->path || !added->reason || map_put(&problems->index, key, place) < 0) {
        free(added->path);
        free(added->reason);
        return NULL;
    }
    problems->count++;
    return added;
}

static int affect(struct problem *problem, const char *affects)
{
    for (size_t i = 0; i < problem->affects_count; i++) {
        if (strcmp(problem->affects[i], affects) == 0)
            return 0;
    }
    char **longer =
        reallocarray(problem->affects, problem->affects_count + 1, sizeof(*problem->affects));
    if (!longer)
        return -ENOMEM;
    problem->affects = longer;
    longer[problem->affects_count] = strdup(affects);
    if (!longer[problem->affects_count])
        return -ENOMEM;
    problem->affects_count++;
    return 0;
}

int problems_add(struct problems *problems, const char *path, const char *reason, bool warning,
                 const char *affects)
{
    cleanup_free char *key = key_of(path, reason, warning);
    struct problem *problem = key ? find(problems, key) : NULL;

    if (key && !problem)
        problem = append(problems, key, path, reason, warning);
    if (!problem)
        return -ENOMEM;
    return affects ? affect(problem, affects) : 0;
}

int problems_add_all(struct problems *problems, const struct problems *more)
{
    int r = 0;

    for (size_t i = 0; i < more->count && r == 0; i++) {
        const struct problem *problem = &more->items[i];
        if (problem->affects_count == 0)
            r = problems_add(problems, problem->path, problem->reason, problem->warning, NULL);
        for (size_t j = 0; j < problem->affects_count && r == 0; j++)
            r = problems_add(problems, problem->path, problem->reason, problem->warning,
                             problem->affects[j]);
    }
    return r;
}

void problems_clear(struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct problem *problem = &problems->items[i];
        for (size_t j = 0; j < problem->affects_count; j++)
            free(problem->affects[j]);
        free(problem->affects);
        free(problem->path);
        free(problem->reason);
    }
    map_clear(&problems->index, NULL);
    free(problems->items);
    problems->items = NULL;
    problems->count = 0;
}
