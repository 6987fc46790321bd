#include "source_path_list.h"

#include <errno.h>
#include <stdlib.h>

enum { WORD_BITS = 64 };

/* --- Numbers ------------------------------------------------------------------------------------
 */

/* The end of a path sorts first, then '/': what is below a folder follows upon the folder. */
static int rank(char c)
{
    return c == '\0' ? 0 : c == '/' ? 1 : 1 + (unsigned char)c;
}

static int compare_paths(const void *a, const void *b)
{
    const char *left = ((const struct asked *)a)->path;
    const char *right = ((const struct asked *)b)->path;

    for (; *left && *left == *right; left++, right++)
        continue;
    return rank(*left) - rank(*right);
}

/* How `name` stands, in the same order, to the component that `path` begins with. */
static int compare_component(const char *name, const char *path)
{
    for (; *name && *name == *path; name++, path++)
        continue;
    return *name == '\0' && (*path == '\0' || *path == '/') ? 0 : rank(*name) - rank(*path);
}

int path_list_make(struct path_list *list, const char *const *paths, size_t count, int64_t *times)
{
    list->items = calloc(count + 1, sizeof(*list->items));
    if (!list->items)
        return -ENOMEM;
    list->count = count;
    for (size_t i = 0; i < count; i++)
        list->items[i] = (struct asked){paths[i], &times[i]};
    qsort(list->items, count, sizeof(*list->items), compare_paths);
    return 0;
}

void path_list_clear(struct path_list *list)
{
    free(list->items);
    *list = (struct path_list){.count = 0};
}

/* The first number in the run whose component is `name` or follows it; or, if `behind`, follows. */
static size_t find_bound(const struct path_list *list, const struct run *run, const char *name,
                         bool behind)
{
    size_t low = run->first;
    size_t high = run->end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_component(name, list->items[middle].path + run->offset);
        if (order > 0 || (behind && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct run path_list_find(const struct path_list *list, const struct run *run, const char *name)
{
    struct run part = {find_bound(list, run, name, false), run->end, run->offset};

    part.end = find_bound(list, &part, name, true);
    return part;
}

/* --- Sets ---------------------------------------------------------------------------------------
 */

static size_t word_count(const struct path_list *list)
{
    return list->count / WORD_BITS + 1;
}

uint64_t *path_set_new(const struct path_list *list)
{
    return calloc(word_count(list), sizeof(uint64_t));
}

size_t path_set_next(const uint64_t *set, size_t from, size_t end)
{
    for (size_t at = from; at < end; at = (at / WORD_BITS + 1) * WORD_BITS) {
        uint64_t rest = set[at / WORD_BITS] >> (at % WORD_BITS);
        if (rest) {
            size_t found = at + (size_t)__builtin_ctzll(rest);
            return found < end ? found : end;
        }
    }
    return end;
}

bool path_set_is_empty(const struct path_list *list, const uint64_t *set)
{
    return path_set_next(set, 0, list->count) == list->count;
}

void path_set_add(uint64_t *set, size_t number)
{
    set[number / WORD_BITS] |= UINT64_C(1) << (number % WORD_BITS);
}

void path_set_remove(uint64_t *set, size_t number)
{
    set[number / WORD_BITS] &= ~(UINT64_C(1) << (number % WORD_BITS));
}

void path_set_unite(const struct path_list *list, uint64_t *set, const uint64_t *other)
{
    for (size_t i = 0; i < word_count(list); i++)
        set[i] |= other[i];
}
