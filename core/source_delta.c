#include "source_delta.h"

#include <string.h>

enum {
    IS_COPY = 0x80,         /* the first byte of an instruction … */
    OFFSET_BYTES = 4,       /* … whose lowest bits say which of these bytes follow … */
    SIZE_BYTES = 3,         /* … and the next ones, which of these; others are 0 */
    COPY_OF_NONE = 0x10000, /* a size of 0 means that */
};

struct reading {
    const unsigned char *at;
    const unsigned char *end;
};

static bool take_number(struct reading *reading, uint64_t *ret_number)
{
    uint64_t number = 0;

    for (unsigned shift = 0; reading->at < reading->end && shift < 63; shift += 7) {
        unsigned char byte = *reading->at++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

/* The bytes of a number that `bits` has, the lowest first. */
static bool take_bytes(struct reading *reading, unsigned bits, unsigned count, size_t *ret_number)
{
    size_t number = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!(bits >> i & 1))
            continue;
        if (reading->at == reading->end)
            return false;
        number |= (size_t)*reading->at++ << (8 * i);
    }
    *ret_number = number;
    return true;
}

/* One instruction: from where how many bytes come. False: it is none. */
static bool take_instruction(struct reading *reading, const struct delta *delta,
                             const unsigned char **ret_from, size_t *ret_size)
{
    unsigned first = *reading->at++;
    size_t offset;
    size_t size = first;

    if (first & IS_COPY) {
        if (!take_bytes(reading, first, OFFSET_BYTES, &offset) ||
            !take_bytes(reading, first >> OFFSET_BYTES, SIZE_BYTES, &size))
            return false;
        size = size ? size : COPY_OF_NONE;
        if (size > delta->base_size || offset > delta->base_size - size)
            return false;
        *ret_from = delta->base + offset;
        *ret_size = size;
        return true;
    }
    *ret_from = reading->at;
    *ret_size = size;
    if (size == 0 || size > (size_t)(reading->end - reading->at)) /* 0 is reserved */
        return false;
    reading->at += size;
    return true;
}

static bool begin(const unsigned char *bytes, size_t size, struct reading *ret_reading,
                  uint64_t *ret_base, uint64_t *ret_result)
{
    *ret_reading = (struct reading){bytes, bytes + size};
    return take_number(ret_reading, ret_base) && take_number(ret_reading, ret_result);
}

bool delta_sizes(const unsigned char *bytes, size_t size, uint64_t *ret_base, uint64_t *ret_result)
{
    struct reading reading;

    return begin(bytes, size, &reading, ret_base, ret_result);
}

bool delta_check(const struct delta *delta, size_t *ret_size)
{
    struct reading reading;
    const unsigned char *from;
    uint64_t base;
    uint64_t result;
    size_t total = 0;
    size_t size;

    if (!begin(delta->bytes, delta->size, &reading, &base, &result) || base != delta->base_size)
        return false;
    while (reading.at < reading.end) {
        if (!take_instruction(&reading, delta, &from, &size) || size > result - total)
            return false;
        total += size;
    }
    *ret_size = total;
    return total == result;
}

void delta_apply(const struct delta *delta, unsigned char *ret_bytes)
{
    struct reading reading;
    const unsigned char *from;
    uint64_t base;
    uint64_t result;
    size_t size;

    if (!begin(delta->bytes, delta->size, &reading, &base, &result))
        return;
    while (reading.at < reading.end && take_instruction(&reading, delta, &from, &size)) {
        memcpy(ret_bytes, from, size);
        ret_bytes += size;
    }
}
