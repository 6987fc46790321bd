/* What targets of the fuzzers have in common. */
#ifndef ADDONFS_FUZZ_H
#define ADDONFS_FUZZ_H

#include <addonfs/cleanup.h>
#include <ftw.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Called for each input. A target ends the process when something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* What must hold. */
#define CHECK(condition)      \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

/* The input as a string: up to its first NUL. The caller frees it. */
static inline char *fuzz_text(const uint8_t *input, size_t size)
{
    char *text = malloc(size + 1);

    CHECK(text);
    if (size > 0)
        memcpy(text, input, size);
    text[size] = '\0';
    return text;
}

static inline int fuzz_remove_one(const char *path, const struct stat *status, int type,
                                  struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

/* Remove a folder, with all that is in it. */
static inline void fuzz_remove(const char *folder)
{
    nftw(folder, fuzz_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
