#include <addonfs/map.h>

#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct node {
    char *key;
    void *value;
};

static int compare(const void *a, const void *b)
{
    const struct node *left = a;
    const struct node *right = b;

    return strcmp(left->key, right->key);
}

static struct node *find(const struct map *map, const char *key)
{
    struct node wanted = {.key = (char *)(uintptr_t)key};
    struct node *const *found = tfind(&wanted, &map->tree, compare);

    return found ? *found : NULL;
}

void *map_find(const struct map *map, const char *key)
{
    const struct node *node = find(map, key);

    return node ? node->value : NULL;
}

int map_put(struct map *map, const char *key, void *value)
{
    struct node *node = find(map, key);

    if (node) {
        node->value = value;
        return 0;
    }
    node = malloc(sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->value = value;
    node->key = strdup(key);
    if (!node->key || !tsearch(node, &map->tree, compare)) {
        free(node->key);
        free(node);
        return -ENOMEM;
    }
    map->count++;
    return 0;
}

void *map_remove(struct map *map, const char *key)
{
    struct node *node = find(map, key);

    if (!node)
        return NULL;
    void *value = node->value;
    tdelete(node, &map->tree, compare);
    map->count--;
    free(node->key);
    free(node);
    return value;
}

struct each {
    int (*visit)(void *context, const char *key, void *value);
    void *context;
    int result;
};

static void visit_node(const void *pointer, VISIT order, void *context)
{
    const struct node *node = *(const struct node *const *)pointer;
    struct each *each = context;

    if ((order == postorder || order == leaf) && each->result == 0)
        each->result = each->visit(each->context, node->key, node->value);
}

int map_each(const struct map *map, int (*visit)(void *context, const char *key, void *value),
             void *context)
{
    struct each each = {visit, context, 0};

    twalk_r(map->tree, visit_node, &each);
    return each.result;
}

void map_clear(struct map *map, void (*release)(void *value))
{
    while (map->tree) {
        struct node *node = *(struct node **)map->tree;
        void *value = node->value;
        tdelete(node, &map->tree, compare);
        free(node->key);
        free(node);
        if (release)
            release(value);
    }
    map->count = 0;
}
