/*
 * source_delta: an object as its difference from another (gitformat-pack(5), "Deltified
 * representation").
 *
 * A delta is the sizes of both, then a list of instructions: copy a range of the base, or add bytes
 * that follow. It comes from a file and may say anything.
 */
#ifndef ADDONFS_SOURCE_DELTA_H
#define ADDONFS_SOURCE_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct delta {
    const unsigned char *bytes;
    size_t size;
    const unsigned char *base;
    size_t base_size;
};

/* What the beginning of a delta says, in at most so many bytes. False: it says nothing. */
#define DELTA_SIZES 20
bool delta_sizes(const unsigned char *bytes, size_t size, uint64_t *ret_base, uint64_t *ret_result);

/*
 * The size of what it makes of its base. False: it is of no base of this size, an instruction
 * leads out of the base, or all together make something of another size than it says.
 */
bool delta_check(const struct delta *delta, size_t *ret_size);

/* Make it, of a delta that was checked, with room for that size. */
void delta_apply(const struct delta *delta, unsigned char *ret_bytes);

#endif
