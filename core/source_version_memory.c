#include "source_version_memory.h"

#include <stdio.h>
#include <string.h>

enum {
    KEPT = 32, /* a few addons, each at the commits that are looked at in turn */
};

struct version_memory {
    pthread_mutex_t lock; /* guards the rest */
    size_t next;          /* the oldest, which is overwritten next */
    struct {
        char *question;
        struct version_base base;
    } kept[KEPT];
};

/* NULL without memory. */
static char *question(const char *commit, const char *path, const char *variable)
{
    char *text = NULL;

    return asprintf(&text, "%s %s\n%s", commit, variable, path) < 0 ? NULL : text;
}

struct version_memory *version_memory_new(void)
{
    struct version_memory *memory = calloc(1, sizeof(*memory));

    if (memory)
        pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

void version_memory_free(struct version_memory *memory)
{
    if (!memory)
        return;
    for (size_t i = 0; i < KEPT; i++)
        free(memory->kept[i].question);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

bool version_memory_find(struct version_memory *memory, const char *commit, const char *path,
                         const char *variable, struct version_base *ret_base)
{
    cleanup_free char *asked = question(commit, path, variable);
    cleanup_lock(&memory->lock);

    for (size_t i = 0; asked && i < KEPT && memory->kept[i].question; i++) {
        if (strcmp(memory->kept[i].question, asked) == 0) {
            *ret_base = memory->kept[i].base;
            return true;
        }
    }
    return false;
}

void version_memory_put(struct version_memory *memory, const char *commit, const char *path,
                        const char *variable, const struct version_base *base)
{
    char *asked = question(commit, path, variable);
    cleanup_lock(&memory->lock);

    if (!asked)
        return;
    free(memory->kept[memory->next].question);
    memory->kept[memory->next].question = asked;
    memory->kept[memory->next].base = *base;
    memory->next = (memory->next + 1) % KEPT;
}
