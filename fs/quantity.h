/*
 * quantity: numbers as people read them.
 */
#ifndef ADDONFS_QUANTITY_H
#define ADDONFS_QUANTITY_H

#include <stdint.h>

#define QUANTITY_SIZE 32

/* "28.1 MiB"; returns `text`. */
const char *quantity_bytes(uint64_t bytes, char text[static QUANTITY_SIZE]);

#endif
