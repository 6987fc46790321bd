/*
 * error: one failure, described once, where it is known.
 *
 * Functions that can fail return 0 or a negative errno and describe the failure in the `struct
 * error` that the caller passes:
 *
 *     struct error error = {0};
 *     if (source_open(&options, &source, &error) < 0)
 *         fprintf(stderr, "addonfs: %s\n", error.text);
 *
 * A message is one line. It names the path, the cause and, where there is one, what to do. Bytes
 * that would break the line or the terminal (control characters, bytes that are not UTF-8) are
 * written as \n, \t or \xNN, so a hostile file name stays inside its message.
 */
#ifndef ADDONFS_ERROR_H
#define ADDONFS_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/* Room for a path of PATH_MAX bytes with a sentence around it. */
#define ERROR_TEXT_SIZE 4608

struct error {
    int code;                   /* negative errno, 0 while nothing has failed */
    char text[ERROR_TEXT_SIZE]; /* one line without its end, NUL-terminated */
};

/*
 * Describe a failure. Returns `code` (a negative errno), so that a function can end with
 * `return error_set(error, -EINVAL, "…", …)`. `error` may be NULL: then nothing is written.
 */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, ending in ": " and what strerror says of `code`. */
int error_errno(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The same of a failure that says nothing of the content, whatever it is (a file that may not be
 * read, a disk that fails): the text keeps the true reason, and what is returned is `code` if that
 * is transient, otherwise -EAGAIN.
 */
int error_of_the_moment(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Write `size` bytes of `bytes` as one printable line of valid UTF-8 into `text`, which holds
 * `room` bytes and is NUL-terminated always; what does not fit is cut at a character. A backslash
 * stays as it is. Returns the length of the whole line, as snprintf does.
 */
size_t error_printable(const void *bytes, size_t size, char *text, size_t room);

/* Is it well-formed UTF-8 (RFC 3629)? */
bool error_is_utf8(const void *bytes, size_t size);

/* How many of the first bytes are. */
size_t error_utf8_prefix(const void *bytes, size_t size);

/*
 * What `text` says without the path that it starts with: the rest of "path: reason". A text that
 * starts otherwise ("path:3: reason") is answered whole.
 */
const char *error_reason(const char *text, const char *path);

/* Does `text` say which path it is about: does it start with "path:"? With no path ("") it does. */
bool error_names(const char *text, const char *path);

/*
 * Is this a failure of the moment (memory, descriptors, disk space, an interrupted or outdated
 * look) and not a property of the content? Such a failure is never remembered.
 */
bool error_is_transient(int code);

/*
 * Does this end what was being done, and tell nothing of what it was about: nobody wants the answer
 * any more (-EINTR, -ECANCELED), or the look is outdated (-ESTALE)? Such a failure is transient.
 */
bool error_tells_nothing(int code);

#endif
