/*
 * body: what one inode of a regular file serves, now and for ever.
 *
 * Everything served is immutable; only names move. A body is one content under one inode number:
 * its size, bytes and times never change. When the source changes, its name leads to another body.
 * What cannot be read is a body too, an unreadable one: it shows the present moment as its time (so
 * that rsync's quick check cannot match it), and it cannot be opened.
 *
 * `body_open` secures all bytes before it succeeds, so that no `body_read` fails for want of them:
 *
 *     r = body_open(body, origin, &error);      -ESTALE: look the name up again
 *     n = body_read(body, offset, bytes, size);
 *     body_close(body);
 *
 * Thread-safe throughout.
 */
#ifndef ADDONFS_BODY_H
#define ADDONFS_BODY_H

#include <addonfs/bundle.h>
#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct body;

/*
 * The body of a file (of a zip). When the content cannot be read, it is an unreadable one that
 * keeps `failure`. `number` is its inode number. -ESTALE: the source has changed, look again;
 * -ENOMEM.
 */
int body_of_file(struct file *file, const struct origin *origin, uint64_t number,
                 struct body **ret_body, struct error *error);
int body_of_zip(struct bundle *bundle, const struct origin *origin, uint64_t number,
                struct body **ret_body, struct error *error);

/* One that is unreadable for a reason of its own. NULL without memory. */
struct body *body_unreadable(uint64_t number, const char *failure);

struct body *body_ref(struct body *body);
void body_unref(struct body *body);

/*
 * The time it is shown with. To be set once, before a second thread can see the body.
 */
void body_set_mtime(struct body *body, struct timespec mtime);
struct timespec body_mtime(const struct body *body);

/*
 * Another zip turned out to hold the same bytes as `body` does: its files serve as well, should
 * those of the body be gone. True: they do hold the same; both are readable then.
 */
bool body_renew(struct body *body, const struct body *other);

uint64_t body_number(const struct body *body);
uint64_t body_size(const struct body *body);

/* What tells its bytes from others, on every host. Only of an open body. -ENOMEM. */
int body_id(struct body *body, struct content_id *ret_id);

/* Why it cannot be read, or NULL. */
const char *body_failure(const struct body *body);

/* Is this the first time that it is asked? So that what is wrong with it is told once. */
bool body_is_news(struct body *body);

/*
 * Is it a zip that had to be laid out anew (see bundle_secure), in another size? It can never be
 * opened; another body takes its place.
 */
bool body_is_outdated(const struct body *body);

/*
 * Secure the bytes. -EIO: unreadable, or no longer readable; -ESTALE: the source has changed, or
 * the body is outdated, and the bytes cannot be had any more; -ENOSPC, -ENOMEM: no room. Opens
 * nest; each needs its body_close.
 */
int body_open(struct body *body, const struct origin *origin, struct error *error);
void body_close(struct body *body);

/* Up to `size` bytes at `offset` of an open body: the number read, short only at the end, or an
 * errno. */
ssize_t body_read(struct body *body, uint64_t offset, void *bytes, size_t size);

CLEANUP(body, struct body *, body_unref)
#define cleanup_body __attribute__((cleanup(cleanup_body_scope)))

#endif
