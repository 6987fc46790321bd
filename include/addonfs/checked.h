/*
 * checked: sums and products of sizes and offsets that cannot wrap.
 *
 * Every size here may come from a hostile file. The functions return false on overflow and leave
 * `*sum` alone, so that a caller must look:
 *
 *     if (!checked_add(offset, size, &end))
 *         return error_set(error, -EFBIG, …);
 */
#ifndef ADDONFS_CHECKED_H
#define ADDONFS_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    uint64_t result;
    if (__builtin_add_overflow(a, b, &result))
        return false;
    *sum = result;
    return true;
}

static inline bool checked_multiply(size_t a, size_t b, size_t *product)
{
    size_t result;
    if (__builtin_mul_overflow(a, b, &result))
        return false;
    *product = result;
    return true;
}

#endif
