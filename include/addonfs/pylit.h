/*
 * pylit: string literals out of Python source, without running Python.
 *
 * Version files hold assignments such as
 *
 *     __version__ = "3.15.12"
 *     name: str = ("co" 're')
 *
 * `pylit_string` answers the value that a module-level name has at the end of the file, provided
 * that this can be known from literals alone. Everything else is an error that names file and line.
 *
 * Format: the Python Language Reference 3.12, chapters 2 (lexical analysis), 7.2 (assignment
 * statements); encodings by PEP 263.
 */
#ifndef ADDONFS_PYLIT_H
#define ADDONFS_PYLIT_H

#include <addonfs/error.h>
#include <stddef.h>

/*
 * Read the string that `variable` is bound to at module level. `source` is the file's `size` bytes
 * (they need not be NUL-terminated and may hold anything), `path` its name for messages.
 * On success `*ret_value` is UTF-8, NUL-terminated and the caller's to free.
 *
 * -ENOENT: the name is never bound ("PATH: no assignment to NAME").
 * -EINVAL: it is bound to something that is not a string literal, in a way that cannot be followed
 * (in a branch, by an import, += …), the value holds a NUL or a lone surrogate, or the file cannot
 * be read that far ("PATH:LINE: …"). -ENOMEM.
 */
int pylit_string(const void *source, size_t size, const char *path, const char *variable,
                 char **ret_value, struct error *error);

/*
 * The same of a name that may be left out: 0 and `*ret_value` = NULL if it is never bound, or bound
 * to None in the end.
 */
int pylit_optional_string(const void *source, size_t size, const char *path, const char *variable,
                          char **ret_value, struct error *error);

/*
 * The file with another value: `*ret_text`, of `*ret_size` bytes and a NUL behind them that does
 * not count, is the caller's to free. pylit_string of it answers `value`, which is written in
 * double quotes in place of the whole expression that pylit_string reads, its parentheses and what
 * stands between them included. Every other byte is as it was: byte order mark, line ends,
 * comments, other bindings of the name. In `a = b = "x"` both get the value, as there is one
 * expression.
 *
 * `value` holds only [0-9A-Za-z.+_-], or is empty; otherwise -EINVAL. Other errors as pylit_string.
 */
int pylit_replace_string(const void *source, size_t size, const char *path, const char *variable,
                         const char *value, char **ret_text, size_t *ret_size, struct error *error);

#endif
