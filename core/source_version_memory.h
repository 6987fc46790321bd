/*
 * source_version_memory: the last answers of source_version_base. None of them can become wrong: an
 * id stands for a commit and all that is before it.
 */
#ifndef ADDONFS_SOURCE_VERSION_MEMORY_H
#define ADDONFS_SOURCE_VERSION_MEMORY_H

#include <addonfs/source_version.h>
#include <stdbool.h>

struct version_memory;

/* NULL without memory. */
struct version_memory *version_memory_new(void);

/* NULL is allowed. */
void version_memory_free(struct version_memory *memory);

/* Thread-safe. */
bool version_memory_find(struct version_memory *memory, const char *commit, const char *path,
                         const char *variable, struct version_base *ret_base);

/* Without memory (of the other kind) nothing is remembered. Thread-safe. */
void version_memory_put(struct version_memory *memory, const char *commit, const char *path,
                        const char *variable, const struct version_base *base);

#endif
