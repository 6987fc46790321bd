/*
 * paint: colours, where somebody looks.
 */
#ifndef ADDONFS_PAINT_H
#define ADDONFS_PAINT_H

#include <stdbool.h>
#include <stdio.h>

enum paint {
    PAINT_PLAIN,
    PAINT_RED,
    PAINT_GREEN,
    PAINT_YELLOW,
    PAINT_FAINT,
};

/*
 * Is the stream a terminal that shows colours? Not where NO_COLOR is set (https://no-color.org), or
 * TERM is "dumb" or not set.
 */
bool paint_is_wanted(FILE *stream);

/* Print `text` in that colour, filled up with blanks to `width`; plainly without `wanted`. */
void paint(FILE *stream, bool wanted, enum paint colour, const char *text, int width);

#endif
