#include "quantity.h"

#include <stdio.h>

const char *quantity_bytes(uint64_t bytes, char text[static QUANTITY_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1024) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(text, QUANTITY_SIZE, "%llu B", (unsigned long long)bytes);
    else
        snprintf(text, QUANTITY_SIZE, "%.1f %s", value, units[unit]);
    return text;
}
