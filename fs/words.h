/*
 * words: what libfuse says, and the programs that it starts.
 *
 * libfuse logs through one function of the process. Until a mount serves, its last line is kept,
 * because it says why something has failed; from then on every line goes to the log. Thread-safe.
 */
#ifndef ADDONFS_WORDS_H
#define ADDONFS_WORDS_H

#include <addonfs/error.h>

/* Begin to listen. */
void words_keep(void);

/* From now on: to the log. */
void words_to_log(void);

/* Keep what is in the file `fd`, such as the standard error of a program: its first line. */
void words_take(int fd);

/* "path: what: the last words, and what can be done". Returns -EIO. */
int words_fail(const char *path, const char *what, struct error *error);

#endif
