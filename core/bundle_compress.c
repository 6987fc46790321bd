#include "bundle_compress.h"

#include <addonfs/bundle_ahead.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum {
    /* A thread costs less than compressing this many files, or loading as many. */
    SHARE = 16,
    THREAD_LIMIT = 64,
};

/* Larger files go first, so that no thread is left alone with one at the end. */
static const uint64_t LARGE = 1 << 20;

struct work {
    int (*step)(const struct origin *origin, struct bundle_tools *tools, struct file *file,
                struct error *error);
    const struct bundle_member *members;
    char **faults; /* or NULL: a fault ends the work */
    const struct origin *origin;
    size_t *pending;     /* indexes of members: from the front, and from the back the large ones */
    size_t room;         /* in `pending` */
    size_t small;        /* at its front */
    size_t large;        /* at its back */
    _Atomic size_t next; /* of these: the large ones come first */

    pthread_mutex_t lock; /* guards the rest */
    _Atomic int result;
    struct error *error;
};

void bundle_tools_clear(struct bundle_tools *tools)
{
    deflate_free(tools->deflate);
    cache_reader_end(tools->reader);
}

static struct cache_reader *reader_of(const struct origin *origin, struct bundle_tools *tools)
{
    if (!tools->asked_cache) {
        tools->reader = cache_reader_begin(origin->cache);
        tools->asked_cache = true;
    }
    return tools->reader;
}

/* Read the file and compress it. */
static int compress(const struct origin *origin, struct bundle_tools *tools, struct file *file,
                    struct member **ret_member, struct error *error)
{
    cleanup_content struct content *content = NULL;
    struct content_id key;

    if (!tools->deflate && !(tools->deflate = deflate_new(origin->level)))
        return error_errno(error, -ENOMEM, "cannot compress");
    /* Asked before the bytes are read. */
    bool has_key = file_has_settled(file) && file_key(file, &key);
    members_count_read(origin->members);
    int r = source_read(file, origin->spool, DEFLATE_WHOLE_LIMIT, &content, error);
    if (r < 0)
        return r;
    /* It may be known under its id: another file with these bytes, another stamp. */
    if (!members_find(origin->members, reader_of(origin, tools), &content->id, ret_member))
        r = members_compress(origin->members, tools->deflate, content, ret_member, error);
    if (r == 0 && has_key)
        cache_put_alias(origin->cache, &key, &content->id);
    return r;
}

int bundle_compress_file(const struct origin *origin, struct bundle_tools *tools, struct file *file,
                         struct error *error)
{
    struct cache_reader *reader = reader_of(origin, tools);
    struct member *member = NULL;
    struct member *none = NULL;
    struct content_id key;
    struct content_id id = file->lfs ? file->lfs->id : file->id;
    int r = 0;

    if (atomic_load(&file->member))
        return 0;
    bool knows_id =
        !file->failure && (file->id_known || file->lfs ||
                           (reader && file_key(file, &key) && cache_find_alias(reader, &key, &id)));
    if (!knows_id || !members_find(origin->members, reader, &id, &member))
        r = compress(origin, tools, file, &member, error);
    if (r < 0)
        return r;
    /* What the cache knows under this stamp are the bytes before; later mounts will ask for it. */
    if (file->identity.rewritten && file_key(file, &key))
        cache_correct_alias(origin->cache, &key, &member->id);
    /* Another bundle may have been here meanwhile: it is the same member then. */
    if (!atomic_compare_exchange_strong(&file->member, &none, member))
        member_unref(member);
    return 0;
}

/* See that the file's compressed form lies in the spool. */
static int secure(const struct origin *origin, struct bundle_tools *tools, struct file *file,
                  struct error *error)
{
    struct member *member = atomic_load(&file->member);
    cleanup_content struct content *content = NULL;
    cleanup_member struct member *again = NULL;

    if (member_is_secured(member))
        return 0;
    int r = member_secure(member, reader_of(origin, tools), error);
    if (r != -ENOENT)
        return r;
    if (!tools->deflate && !(tools->deflate = deflate_new(origin->level)))
        return error_errno(error, -ENOMEM, "cannot compress");
    members_count_read(origin->members);
    r = source_read(file, origin->spool, DEFLATE_WHOLE_LIMIT, &content, error);
    if (r == 0 && !content_id_equal(&content->id, &member->id))
        r = error_set(error, -ESTALE, "%s: has changed meanwhile", file->path);
    if (r == 0)
        r = members_compress(origin->members, tools->deflate, content, &again, error);
    if (r == 0 && again != member)
        file_replace_member(file, member, steal_pointer(&again));
    return r;
}

/* The same, unless the head start is at it: what two compressed would be read and counted twice. */
static int join_or_compress(const struct origin *origin, struct bundle_tools *tools,
                            struct file *file, struct error *error)
{
    int r = ahead_join(origin->ahead, file, origin);

    return r < 0 ? error_set(error, r, "is being ended")
                 : bundle_compress_file(origin, tools, file, error);
}

static void fail(struct work *work, int result, const struct error *why)
{
    cleanup_lock(&work->lock);

    if (atomic_load(&work->result) < 0)
        return;
    atomic_store(&work->result, result);
    if (work->error)
        *work->error = *why;
}

static void do_member(struct work *work, struct bundle_tools *tools, size_t at)
{
    const struct bundle_member *member = &work->members[at];
    struct error why = {0};

    int r = work->step(work->origin, tools, member->file, &why);
    if (r == 0)
        return;
    if (work->faults && !error_tells_nothing(r)) {
        work->faults[at] = strdup(error_reason(why.text, member->file->path));
        if (!work->faults[at])
            r = error_errno(&why, -ENOMEM, "%s", member->file->path);
    }
    if (!work->faults || error_is_transient(r))
        fail(work, r, &why);
}

static size_t pending_at(const struct work *work, size_t turn)
{
    return work->pending[turn < work->large ? work->room - 1 - turn : turn - work->large];
}

static void *do_members(void *argument)
{
    struct work *work = argument;
    struct bundle_tools tools = {0};
    struct error stopped;
    size_t turn;

    while (atomic_load(&work->result) == 0 &&
           (turn = atomic_fetch_add(&work->next, 1)) < work->small + work->large) {
        int ended = origin_check(work->origin);
        if (ended < 0)
            fail(work, error_set(&stopped, ended, "is being ended"), &stopped);
        else
            do_member(work, &tools, pending_at(work, turn));
    }
    bundle_tools_clear(&tools);
    return NULL;
}

size_t bundle_cores(void)
{
    cpu_set_t cores;

    return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? (size_t)CPU_COUNT(&cores) : 1;
}

/* How many threads there is work for, this one included. */
static size_t thread_count(size_t pending)
{
    size_t threads = bundle_cores();

    if (threads > THREAD_LIMIT)
        threads = THREAD_LIMIT;
    return pending / SHARE + 1 < threads ? pending / SHARE + 1 : threads;
}

bool bundle_is_large(const struct file *file)
{
    return file->size != UINT64_MAX && file->size >= LARGE;
}

/*
 * List the members that need the step, in one pass: to ask a file costs a miss of the cache, and
 * after an edit one of very many needs it. Other bundles share files, so that they may get fewer.
 */
static int list_pending(struct work *work, size_t count, bool (*needs)(const struct file *file))
{
    for (size_t i = 0; i < count; i++) {
        const struct file *file = work->members[i].file;
        if (!file || !needs(file))
            continue;
        if (!work->pending) {
            work->room = count - i;
            work->pending = calloc(work->room, sizeof(*work->pending));
            if (!work->pending)
                return error_errno(work->error, -ENOMEM, "cannot compress");
        }
        if (bundle_is_large(file))
            work->pending[work->room - ++work->large] = i;
        else
            work->pending[work->small++] = i;
    }
    return 0;
}

/* Take the step for each member that still needs it. */
static int do_all(struct work *work, size_t count, bool (*needs)(const struct file *file))
{
    pthread_t threads[THREAD_LIMIT];
    size_t started = 0;

    int r = list_pending(work, count, needs);
    if (r < 0 || !work->pending)
        return r;
    pthread_mutex_init(&work->lock, NULL);
    size_t helpers = thread_count(work->small + work->large) - 1;
    while (started < helpers && pthread_create(&threads[started], NULL, do_members, work) == 0)
        started++;
    do_members(work);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    pthread_mutex_destroy(&work->lock);
    free(work->pending);
    return atomic_load(&work->result);
}

static bool is_not_compressed(const struct file *file)
{
    return !atomic_load(&file->member);
}

static bool is_not_secured(const struct file *file)
{
    const struct member *member = atomic_load(&file->member);

    /* None where problems are skipped and this is one. */
    return member && !member_is_secured(member);
}

int bundle_compress_all(const struct bundle_member *members, char **faults, size_t count,
                        const struct origin *origin, struct error *error)
{
    struct work work = {join_or_compress, members, faults, origin, .error = error};

    /* All cores work from here on; and who joins must know that nobody begins with the file. */
    ahead_stop(origin->ahead);

    for (size_t i = 0; i < count; i++) {
        free(faults[i]);
        faults[i] = NULL;
    }
    return do_all(&work, count, is_not_compressed);
}

int bundle_secure_all(const struct bundle_member *members, size_t count,
                      const struct origin *origin, struct error *error)
{
    struct work work = {secure, members, NULL, origin, .error = error};

    return do_all(&work, count, is_not_secured);
}
