#include "bundle_compress.h"

#include <addonfs/text.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct bundle {
    _Atomic unsigned references;
    size_t count;
    struct bundle_member *members; /* sorted by name; immutable */
    char *names;                   /* the pool */
    pthread_mutex_t lock;          /* held while composing; guards the rest */
    char **faults;                 /* for each member: why it could not be read, or NULL … */
    bool tried;                    /* … when all were read … */
    uint64_t healing;              /* … at this number of source_healing */
    bool heals;                    /* a member can be read that `zip` was laid out without */
    _Atomic(struct zip *) zip;     /* read without the lock; set once, perhaps again by `settle` */
    struct zip *before;            /* the one that was replaced then: others may look at it */
    bool nests;                    /* there are zips among the members */
    bool settling;                 /* all streams of those are at hand */
    bool identified;               /* `id` is known */
    struct content_id id;
    _Atomic bool secured; /* every member's stream is in the spool */
};

void bundle_members_free(struct bundle_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(members[i].path);
        free(members[i].failure);
        file_unref(members[i].file);
        bundle_unref(members[i].bundle);
    }
    free(members);
}

static int compare_members(const void *a, const void *b)
{
    const struct bundle_member *left = a;
    const struct bundle_member *right = b;

    return strcmp(left->name, right->name);
}

/* What a member comes from in the source. */
static const char *path_of(const struct bundle_member *member)
{
    return member->file ? member->file->path : member->path;
}

/* Returns whether two of them may have one name. */
static bool sort(struct bundle_member *members, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (compare_members(&members[i - 1], &members[i]) >= 0) {
            qsort(members, count, sizeof(*members), compare_members);
            return true;
        }
    }
    return false;
}

/* Give members that no archive can hold a failure. */
static int check_names(struct bundle_member *members, size_t count, bool may_repeat)
{
    for (size_t i = 0; i < count; i++) {
        const char *reason = NULL;
        if (may_repeat && i > 0 && strcmp(members[i].name, members[i - 1].name) == 0)
            reason = "two files have this member's name";
        else if (zip_name_ok(members[i].name, &reason))
            continue;
        if (members[i].failure)
            continue;
        members[i].failure = strdup(reason);
        members[i].path = strdup(members[i].file ? members[i].file->path : members[i].name);
        if (!members[i].failure || !members[i].path)
            return -ENOMEM;
        file_unref(members[i].file);
        members[i].file = NULL;
        bundle_unref(members[i].bundle);
        members[i].bundle = NULL;
    }
    return 0;
}

struct bundle *bundle_new(struct bundle_member *members, size_t count, char *names)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));

    bool may_repeat = sort(members, count);
    if (bundle)
        bundle->faults = calloc(count > 0 ? count : 1, sizeof(*bundle->faults));
    if (!bundle || !bundle->faults || check_names(members, count, may_repeat) < 0) {
        if (bundle)
            free(bundle->faults);
        free(bundle);
        bundle_members_free(members, count);
        free(names);
        return NULL;
    }
    atomic_init(&bundle->references, 1);
    bundle->members = members;
    bundle->count = count;
    bundle->names = names;
    for (size_t i = 0; i < count; i++)
        bundle->nests = bundle->nests || members[i].bundle;
    pthread_mutex_init(&bundle->lock, NULL);
    return bundle;
}

struct bundle *bundle_ref(struct bundle *bundle)
{
    atomic_fetch_add(&bundle->references, 1);
    return bundle;
}

void bundle_unref(struct bundle *bundle)
{
    if (!bundle || atomic_fetch_sub(&bundle->references, 1) > 1)
        return;
    zip_free(atomic_load(&bundle->zip));
    zip_free(bundle->before);
    for (size_t i = 0; i < bundle->count; i++)
        free(bundle->faults[i]);
    free(bundle->faults);
    bundle_members_free(bundle->members, bundle->count);
    free(bundle->names);
    pthread_mutex_destroy(&bundle->lock);
    free(bundle);
}

size_t bundle_count(const struct bundle *bundle)
{
    return bundle->count;
}

size_t bundle_ready(const struct bundle *bundle)
{
    size_t ready = 0;

    for (size_t i = 0; i < bundle->count; i++) {
        const struct file *file = bundle->members[i].file;
        ready += !file || atomic_load(&file->member) != NULL;
    }
    return ready;
}

const struct bundle_member *bundle_members(const struct bundle *bundle, size_t *ret_count)
{
    *ret_count = bundle->count;
    return bundle->members;
}

bool bundle_equal(const struct bundle *a, const struct bundle *b)
{
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct bundle_member *left = &a->members[i];
        const struct bundle_member *right = &b->members[i];
        if (!file_equal(left->file, right->file) || left->executable != right->executable ||
            strcmp(left->name, right->name) != 0 || !text_equal(left->failure, right->failure))
            return false;
        if (left->bundle != right->bundle &&
            (!left->bundle || !right->bundle || !bundle_equal(left->bundle, right->bundle)))
            return false;
    }
    return true;
}

/* A zip among the members. Its CRC-32 is known when every stream of it is at hand. */
static struct zip_member stored(const struct bundle *bundle, const struct bundle_member *member)
{
    const struct zip *archive = atomic_load(&member->bundle->zip);

    return (struct zip_member){
        .name = member->name,
        .archive = archive,
        .size = zip_size(archive),
        .compressed_size = zip_size(archive),
        .crc32 = bundle->settling ? zip_crc32(archive, member_stream_crc32) : 0,
        .method = ZIP_STORED,
        .mode = 0100644,
    };
}

static int lay_out(struct bundle *bundle, struct zip **ret_zip, struct error *error)
{
    cleanup_free struct zip_member *laid = calloc(bundle->count + 1, sizeof(*laid));
    size_t count = 0;

    if (!laid)
        return error_errno(error, -ENOMEM, "cannot compose a zip");
    for (size_t i = 0; i < bundle->count; i++) {
        const struct bundle_member *member = &bundle->members[i];
        if (member->failure || bundle->faults[i])
            continue;
        if (member->bundle) {
            laid[count++] = stored(bundle, member);
            continue;
        }
        const struct member *stream = atomic_load(&member->file->member);
        laid[count++] = (struct zip_member){
            .name = member->name,
            .stream = stream,
            .size = stream->size,
            .compressed_size = stream->compressed_size,
            .crc32 = stream->crc32,
            .method = stream->deflated ? ZIP_DEFLATED : ZIP_STORED,
            .mode = member->executable ? 0100755 : 0100644,
        };
    }
    return zip_new(laid, count, ret_zip, error);
}

/* The first member that cannot be read, or `count`. */
static size_t first_fault(const struct bundle *bundle)
{
    size_t i = 0;

    while (i < bundle->count && !bundle->members[i].failure && !bundle->faults[i])
        i++;
    return i;
}

int origin_check(const struct origin *origin)
{
    if (origin->stop && atomic_load(origin->stop))
        return -ECANCELED;
    return origin->interrupted && atomic_load(origin->interrupted) ? -EINTR : 0;
}

struct timespec origin_patience(void)
{
    enum { PATIENCE = 50000000 }; /* ns */
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += PATIENCE;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    return end;
}

int origin_lock(const struct origin *origin, pthread_mutex_t *lock)
{
    for (;;) {
        int r = origin_check(origin);
        if (r < 0)
            return r;
        const struct timespec end = origin_patience();
        r = pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &end);
        if (r != ETIMEDOUT)
            return -r;
    }
}

/* The number to compare with later, taken before anything is read. */
static uint64_t healing_of(const struct bundle *bundle)
{
    for (size_t i = 0; i < bundle->count; i++) {
        uint64_t healing = 0;
        if (bundle->members[i].file)
            return source_healing(bundle->members[i].file->source);
        if (bundle->members[i].bundle && (healing = healing_of(bundle->members[i].bundle)) > 0)
            return healing;
    }
    return 0;
}

/* See that all members are compressed, or that it is known why not. */
static int compress(struct bundle *bundle, const struct origin *origin, struct error *error)
{
    uint64_t healing = healing_of(bundle);

    if (bundle->tried && healing == bundle->healing)
        return 0;
    bundle->tried = false;
    int r = bundle_compress_all(bundle->members, bundle->faults, bundle->count, origin, error);
    bundle->tried = r == 0;
    bundle->healing = healing;
    return r;
}

static int compose(struct bundle *bundle, const struct origin *origin, struct error *error)
{
    struct zip *zip = NULL;

    if (atomic_load(&bundle->zip))
        return 0;
    int r = compress(bundle, origin, error);
    if (r < 0)
        return r;
    size_t fault = first_fault(bundle);
    if (fault < bundle->count && !origin->skip_problems) {
        const struct bundle_member *member = &bundle->members[fault];
        return error_set(error, -EIO, "%s: %s", path_of(member),
                         member->failure ? member->failure : bundle->faults[fault]);
    }
    for (size_t i = 0; r == 0 && bundle->nests && i < bundle->count; i++) {
        if (bundle->members[i].bundle)
            r = bundle_compose(bundle->members[i].bundle, origin, error);
    }
    if (r == 0)
        r = lay_out(bundle, &zip, error);
    if (r == 0)
        atomic_store(&bundle->zip, zip);
    return r;
}

int bundle_compose(struct bundle *bundle, const struct origin *origin, struct error *error)
{
    if (atomic_load(&bundle->zip))
        return 0;
    int r = origin_lock(origin, &bundle->lock);
    if (r < 0)
        return error_errno(error, r, "cannot compose a zip");
    r = compose(bundle, origin, error);
    pthread_mutex_unlock(&bundle->lock);
    return r;
}

/* Has a file another compressed form than (perhaps) when the zip was laid out? */
static bool is_outdated(const struct bundle *bundle)
{
    for (size_t i = 0; i < bundle->count; i++) {
        const struct file *file = bundle->members[i].file;
        if (file && atomic_load(&file->before))
            return true;
    }
    return false;
}

/*
 * Every form is in the spool, so that none is replaced any more. If one was, the zip is laid out
 * with those that the files have now: nobody has read of the old one. The lock is held.
 */
static int settle(struct bundle *bundle, struct error *error)
{
    struct zip *zip = NULL;
    int r = 0;

    if (atomic_load(&bundle->secured))
        return 0;
    bundle->settling = true;
    if (bundle->nests || is_outdated(bundle))
        r = lay_out(bundle, &zip, error);
    if (r == 0 && zip)
        bundle->before = atomic_exchange(&bundle->zip, zip);
    if (r == 0)
        atomic_store(&bundle->secured, true);
    return r;
}

int bundle_secure(struct bundle *bundle, const struct origin *origin, struct error *error)
{
    int r = 0;

    if (atomic_load(&bundle->secured))
        return 0;
    for (size_t i = 0; r == 0 && bundle->nests && i < bundle->count; i++) {
        if (bundle->members[i].bundle)
            r = bundle_secure(bundle->members[i].bundle, origin, error);
    }
    if (r == 0)
        r = bundle_secure_all(bundle->members, bundle->count, origin, error);
    if (r < 0)
        return r;
    r = origin_lock(origin, &bundle->lock);
    if (r < 0)
        return error_errno(error, r, "cannot compose a zip");
    r = settle(bundle, error);
    pthread_mutex_unlock(&bundle->lock);
    return r;
}

bool bundle_heals(struct bundle *bundle, const struct origin *origin)
{
    int r = 0;

    if (!origin->skip_problems || !atomic_load(&bundle->zip))
        return false;
    for (size_t i = 0; bundle->nests && i < bundle->count; i++) {
        if (bundle->members[i].bundle && bundle_heals(bundle->members[i].bundle, origin))
            return true;
    }
    cleanup_lock(&bundle->lock);
    uint64_t healing = healing_of(bundle);
    if (bundle->heals || healing == bundle->healing)
        return bundle->heals;
    for (size_t i = 0; i < bundle->count && !bundle->heals && r == 0; i++) {
        char *fault = NULL;
        if (!bundle->faults[i])
            continue;
        r = bundle_compress_all(&bundle->members[i], &fault, 1, origin, NULL);
        bundle->heals = r == 0 && !fault;
        free(fault);
    }
    if (r == 0)
        bundle->healing = healing;
    return bundle->heals;
}

static int identify(struct bundle *bundle)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();

    if (!sha256)
        return -ENOMEM;
    for (size_t i = 0; i < bundle->count; i++) {
        const struct bundle_member *member = &bundle->members[i];
        if (member->failure || bundle->faults[i])
            continue;
        sha256_update(sha256, member->name, strlen(member->name) + 1);
        sha256_update(sha256, member->executable ? "x" : member->bundle ? "z" : "-", 1);
        if (member->bundle) {
            struct content_id id;
            if (bundle_id(member->bundle, &id) < 0)
                return -ENOMEM;
            sha256_update(sha256, id.bytes, sizeof(id.bytes));
            continue;
        }
        const struct member *stream = atomic_load(&member->file->member);
        sha256_update(sha256, stream->id.bytes, sizeof(stream->id.bytes));
    }
    sha256_final(sha256, &bundle->id);
    bundle->identified = true;
    return 0;
}

int bundle_id(struct bundle *bundle, struct content_id *ret_id)
{
    cleanup_lock(&bundle->lock);

    /* Only now: most archives are never asked. */
    int r = bundle->identified ? 0 : identify(bundle);
    if (r == 0)
        *ret_id = bundle->id;
    return r;
}

uint64_t bundle_size(const struct bundle *bundle)
{
    return zip_size(atomic_load(&bundle->zip));
}

ssize_t bundle_read(const struct bundle *bundle, uint64_t offset, void *bytes, size_t size)
{
    return zip_read(atomic_load(&bundle->zip), offset, bytes, size, member_read, NULL);
}

int bundle_problems(struct bundle *bundle, const struct origin *origin, const char *affects,
                    struct problems *problems)
{
    cleanup_lock(&bundle->lock);

    for (size_t i = 0; i < bundle->count; i++) {
        const struct bundle_member *member = &bundle->members[i];
        const char *reason = member->failure ? member->failure : bundle->faults[i];
        /* What only cannot be read at the moment is not left out. */
        bool is_skipped = origin->skip_problems && (member->failure || bundle->tried);
        if (member->bundle && bundle_problems(member->bundle, origin, affects, problems) < 0)
            return -ENOMEM;
        if (reason && problems_add(problems, path_of(member), reason, is_skipped, affects) < 0)
            return -ENOMEM;
    }
    return 0;
}
