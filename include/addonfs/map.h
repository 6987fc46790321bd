/*
 * map: from strings to pointers, in the order of the strings' bytes.
 *
 *     struct map map = {0};
 *     r = map_put(&map, "name", value);
 *     value = map_find(&map, "name");
 *     map_clear(&map, free);
 *
 * A tsearch(3) tree that owns its keys. (search.h itself cannot be included beside entry.h: both
 * have a `struct entry`.) Not locked: its owner does that.
 */
#ifndef ADDONFS_MAP_H
#define ADDONFS_MAP_H

#include <stddef.h>

struct map {
    void *tree;
    size_t count;
};

/* The value of `key`, or NULL. */
void *map_find(const struct map *map, const char *key);

/* Give `key` (copied) this value, which is not NULL, in place of the one that it has. 0 or -ENOMEM.
 */
int map_put(struct map *map, const char *key, void *value);

/* Take a key out. Returns its value, or NULL. */
void *map_remove(struct map *map, const char *key);

/* Call `visit` for each, in order, until it answers something else than 0, which is returned. */
int map_each(const struct map *map, int (*visit)(void *context, const char *key, void *value),
             void *context);

/* Take all out; `release` (or NULL) is called for each value. */
void map_clear(struct map *map, void (*release)(void *value));

#endif
