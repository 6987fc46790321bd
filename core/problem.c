#include <addonfs/problem.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct problem *find(const struct problems *problems, const char *path, const char *reason,
                            bool warning)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct problem *known = &problems->items[i];
        if (known->warning == warning && strcmp(known->path, path) == 0 &&
            strcmp(known->reason, reason) == 0)
            return known;
    }
    return NULL;
}

static struct problem *append(struct problems *problems, const char *path, const char *reason,
                              bool warning)
{
    struct problem *items =
        reallocarray(problems->items, problems->count + 1, sizeof(*problems->items));

    if (!items)
        return NULL;
    problems->items = items;
    struct problem *added = &items[problems->count];
    *added = (struct problem){.path = strdup(path), .reason = strdup(reason), .warning = warning};
    if (!added->path || !added->reason) {
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
    struct problem *problem = find(problems, path, reason, warning);

    if (!problem)
        problem = append(problems, path, reason, warning);
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
    free(problems->items);
    problems->items = NULL;
    problems->count = 0;
}
