/*
 * match: which names a rule leaves out.
 *
 * A filter is two lists of patterns over base names: one for regular files (links to them
 * included), one for everything else, which is taken as a folder; and perhaps a third of files, of
 * which all others are left out. Patterns are fnmatch(3)'s without
 * flags, over bytes: `*` also matches a leading dot and bytes that are not UTF-8.
 */
#ifndef ADDONFS_MATCH_H
#define ADDONFS_MATCH_H

#include <stdbool.h>

struct match_filter {
    const char *const *drop_files;   /* NULL-terminated */
    const char *const *drop_folders; /* NULL-terminated */
    const char *const *keep_files;   /* NULL-terminated; or NULL: all */
};

/* Leaves nothing out. */
extern const struct match_filter match_everything;

/*
 * What the packaging scripts' walk keeps: no files `^\.` or `\.pyc$`, no folders `^\.` or
 * `^__pycache__$`. These are Python's regular expressions, where `$` also matches before a newline
 * that ends the name (Python Library Reference, re).
 */
extern const struct match_filter match_walk;

bool match_drops_file(const struct match_filter *filter, const char *name);
bool match_drops_folder(const struct match_filter *filter, const char *name);

#endif
