/*
 * source_path_list: the paths that a walk through history asks about, and sets of them.
 *
 * There may be hundreds of thousands, so no step of a walk goes through all of them. They are
 * numbered so that what is below a folder follows upon the folder: "a", "a/b", "a-b". Thus whatever
 * an entry of a tree stands for is a range of numbers, which binary search finds; and a set of
 * paths is a bit for each number: 25 KB for 200,000, handed on and united in a microsecond.
 */
#ifndef ADDONFS_SOURCE_PATH_LIST_H
#define ADDONFS_SOURCE_PATH_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A path that is asked about, and where its answer goes. */
struct asked {
    const char *path;
    int64_t *time;
};

struct path_list {
    struct asked *items; /* in the order of their numbers */
    size_t count;
};

/* Numbers from `first` up to, not including, `end`: of paths that begin alike. */
struct run {
    size_t first;
    size_t end;
    size_t offset; /* in each path, of the component that is looked at */
};

/* A list of paths, each given once, which must outlive it. 0 or -ENOMEM. */
int path_list_make(struct path_list *list, const char *const *paths, size_t count, int64_t *times);

void path_list_clear(struct path_list *list);

/* Those of a run that end with the component `name`, or go on below it; `offset` as in `run`. */
struct run path_list_find(const struct path_list *list, const struct run *run, const char *name);

/* An empty set, which the caller frees; NULL without memory. */
uint64_t *path_set_new(const struct path_list *list);

/* The first number of the set in [from, end), or `end`. */
size_t path_set_next(const uint64_t *set, size_t from, size_t end);

bool path_set_is_empty(const struct path_list *list, const uint64_t *set);

void path_set_add(uint64_t *set, size_t number);
void path_set_remove(uint64_t *set, size_t number);

/* Add all of `other`. */
void path_set_unite(const struct path_list *list, uint64_t *set, const uint64_t *other);

#endif
