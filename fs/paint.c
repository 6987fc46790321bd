#include "paint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool paint_is_wanted(FILE *stream)
{
    const char *refused = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    return isatty(fileno(stream)) && !(refused && *refused) && terminal && *terminal &&
           strcmp(terminal, "dumb") != 0;
}

/* ECMA-48, 8.3.117: select graphic rendition. */
void paint(FILE *stream, bool wanted, enum paint colour, const char *text, int width)
{
    static const char *const codes[] = {
        [PAINT_PLAIN] = "0",   [PAINT_RED] = "31",  [PAINT_GREEN] = "32",
        [PAINT_YELLOW] = "33", [PAINT_FAINT] = "2",
    };

    if (wanted && colour != PAINT_PLAIN)
        fprintf(stream, "\033[%sm%-*s\033[0m", codes[colour], width, text);
    else
        fprintf(stream, "%-*s", width, text);
}
