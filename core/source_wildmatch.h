/*
 * source_wildmatch: the patterns of gitignore(5) and gitattributes(5).
 *
 *     *        any bytes but slashes             [a-z_]   one byte of these, no slash
 *     ?        any byte but a slash              [!a]     one byte that is none of these; [^a]
 *     \x       x itself                          [[:alpha:]]  one of a class; bytes of ASCII only
 *     **       between slashes, or a slash and an end: any folders
 *
 * Where Git answers otherwise than a reader of these pages would expect, so does this: a class that
 * does not end, or of an unknown name, and a backslash at the end match nothing. No pattern takes
 * longer than the product of both lengths. That can be millions of steps: `*work` grows by them, so
 * that who asks for many patterns can tell when it is enough.
 */
#ifndef ADDONFS_SOURCE_WILDMATCH_H
#define ADDONFS_SOURCE_WILDMATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does the pattern match the whole name, in which there is no slash? */
bool wildmatch_name(const char *pattern, size_t size, const char *name, size_t length,
                    uint64_t *work);

/* Does it match the whole path? */
bool wildmatch_path(const char *pattern, size_t size, const char *path, size_t length,
                    uint64_t *work);

/* How many bytes the pattern begins with that mean themselves. */
size_t wildmatch_literal(const char *pattern, size_t size);

#endif
