/*
 * source_conversion: `ident` and `eol=crlf` (gitattributes(5)) as Git's checkout does them, byte
 * for byte. libgit2's own filters expand only the first $Id$ of a file and none where they take it
 * for binary, do not know that of another version control system, and count other bytes as binary.
 *
 * Git has two ways to expand $Id$: one over the whole content, taken where the line ends or the
 * encoding depend on that, and a filter in a stream for everything else. They differ in what they
 * make of a dollar that is not the beginning of a keyword. Both are here.
 */
#ifndef ADDONFS_SOURCE_CONVERSION_H
#define ADDONFS_SOURCE_CONVERSION_H

#include <stdbool.h>
#include <stddef.h>

/* What goes into the content: `bytes`, the caller's or `own`, which is freed with free(). */
struct text {
    const char *bytes;
    size_t size;
    char *own;
};

struct conversion {
    bool ident;
    bool is_whole;  /* the first of the two ways */
    bool crlf;      /* lines end with CR LF … */
    bool only_text; /* … in what is all text, and has no CR yet (text=auto) */
};

/* Convert `text`, a blob whose id has the digits `id`. 0 or -ENOMEM. */
int conversion_apply(const struct conversion *conversion, const char *id, struct text *text);

#endif
