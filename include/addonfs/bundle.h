/*
 * bundle: a ZIP that is to be.
 *
 * A bundle is the list of files that a zip is made of. `bundle_compose` compresses those that are
 * not compressed yet and lays the archive out; a bundle that nobody looks at costs nothing.
 * Whatever is composed and secured once stays so: a bundle is one state of the source for ever.
 *
 * Fail closed: one member that cannot be read makes the bundle unreadable (-EIO), unless the origin
 * says to skip such members. They are tried again when they may be readable: source_healing.
 */
#ifndef ADDONFS_BUNDLE_H
#define ADDONFS_BUNDLE_H

#include <addonfs/cache.h>
#include <addonfs/cleanup.h>
#include <addonfs/error.h>
#include <addonfs/member.h>
#include <addonfs/problem.h>
#include <addonfs/source.h>
#include <addonfs/spool.h>
#include <addonfs/zip.h>
#include <time.h>

/* Where bytes come from, and where they go. Borrowed by everything below; outlives it. */
struct origin {
    struct source *source;
    struct spool *spool;
    struct members *members;
    struct cache *cache;             /* or NULL */
    int level;                       /* of compression */
    bool skip_problems;              /* leave out what cannot be read, knowingly */
    const _Atomic bool *stop;        /* long work ends early when this becomes true; or NULL */
    const _Atomic bool *interrupted; /* the same for one who has asked for it; or NULL */
    struct ahead *ahead;             /* compresses what is found; or NULL */
};

/* Is long work to end? -ECANCELED, -EINTR, or 0. */
int origin_check(const struct origin *origin);

/* When one who waits is to ask origin_check again: a time of CLOCK_MONOTONIC. */
struct timespec origin_patience(void);

/* Take a lock that is held during long work, unless that is to end (errors as origin_check). */
int origin_lock(const struct origin *origin, pthread_mutex_t *lock);

struct bundle_member {
    const char *name;      /* in the archive; in the bundle's pool of names */
    struct file *file;     /* or NULL, then … */
    struct bundle *bundle; /* … a zip, which is stored; or NULL, then … */
    char *path;            /* … this is what is at fault in the source, … */
    char *failure;         /* … and why */
    bool executable;
};

struct bundle;

/*
 * A bundle of these members, which it takes over (both arrays as well, even on failure) and sorts
 * by name bytes, quickly if they are sorted. `names` is where all names are. NULL without memory.
 * Names that no archive can hold become failures.
 */
struct bundle *bundle_new(struct bundle_member *members, size_t count, char *names);

struct bundle *bundle_ref(struct bundle *bundle);
void bundle_unref(struct bundle *bundle);

void bundle_members_free(struct bundle_member *members, size_t count);

size_t bundle_count(const struct bundle *bundle);

/* How many of its members are compressed, or need not be. Waits for nobody. */
size_t bundle_ready(const struct bundle *bundle);

/* Its members, which live as long as it does. */
const struct bundle_member *bundle_members(const struct bundle *bundle, size_t *ret_count);

/* The same names, files (file_equal), modes and failures. */
bool bundle_equal(const struct bundle *a, const struct bundle *b);

/*
 * Compose it, or wait for the thread that does. 0: bundle_size and bundle_read answer. -EIO:
 * members cannot be read, bundle_problems names them. -ESTALE: a file has changed since it was
 * looked at, look anew. -ENOSPC, -ENOMEM, …: not now. Thread-safe.
 */
int bundle_compose(struct bundle *bundle, const struct origin *origin, struct error *error);

/*
 * See that no read can fail: every stream lies in the spool. Only after bundle_compose. A stream
 * that the cache has lost, and that comes out in another size when it is made again, changes the
 * layout: then bundle_size says something else than before. -ESTALE: one must be made again, and
 * its file has changed; -ENOSPC, -EIO, …
 */
int bundle_secure(struct bundle *bundle, const struct origin *origin, struct error *error);

/* What tells its members' names, modes and bytes from others. Only after bundle_compose. -ENOMEM.
 */
int bundle_id(struct bundle *bundle, struct content_id *ret_id);

/* Bytes of the archive. Only after bundle_compose has answered 0; for good after bundle_secure. */
uint64_t bundle_size(const struct bundle *bundle);

/* Read a range of the archive, as zip_read does. Only after bundle_secure. */
ssize_t bundle_read(const struct bundle *bundle, uint64_t offset, void *bytes, size_t size);

/*
 * Can a member be read now that was left out when the bundle was composed? Then it is no longer
 * what it ought to be. Only where the origin skips problems.
 */
bool bundle_heals(struct bundle *bundle, const struct origin *origin);

/*
 * Add what is wrong with its members, as far as is known, to `problems`: as warnings where the
 * origin skips them, but for what only could not be read at the moment. 0 or -ENOMEM.
 */
int bundle_problems(struct bundle *bundle, const struct origin *origin, const char *affects,
                    struct problems *problems);

CLEANUP(bundle, struct bundle *, bundle_unref)
#define cleanup_bundle __attribute__((cleanup(cleanup_bundle_scope)))

#endif
