/*
 * text: what <string.h> lacks.
 */
#ifndef ADDONFS_TEXT_H
#define ADDONFS_TEXT_H

#include <stdbool.h>
#include <string.h>

/* Are both the same text, or both NULL? */
static inline bool text_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

#endif
