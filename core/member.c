#include <addonfs/member.h>

#include <errno.h>
#include <search.h>
#include <stdatomic.h>
#include <string.h>

struct members {
    struct spool *spool;
    struct cache *cache;
    int level;
    pthread_mutex_t lock; /* around `by_id`, and around every fall of a reference count to 0 */
    void *by_id;          /* tsearch(3) tree of struct member, which it does not own */
    size_t count;

    /* For members_counters. */
    _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    _Atomic uint64_t compressed;
    _Atomic uint64_t read;
};

static int compare_ids(const void *a, const void *b)
{
    const struct member *left = a;
    const struct member *right = b;

    return memcmp(left->id.bytes, right->id.bytes, sizeof(left->id.bytes));
}

struct members *members_new(struct spool *spool, struct cache *cache, int level)
{
    struct members *members = calloc(1, sizeof(*members));

    if (!members)
        return NULL;
    members->spool = spool;
    members->cache = cache;
    members->level = level;
    pthread_mutex_init(&members->lock, NULL);
    return members;
}

void members_free(struct members *members)
{
    if (!members)
        return;
    pthread_mutex_destroy(&members->lock);
    free(members);
}

size_t members_count(struct members *members)
{
    cleanup_lock(&members->lock);

    return members->count;
}

void members_counters(struct members *members, struct members_counters *ret_counters)
{
    *ret_counters = (struct members_counters){
        .hits = atomic_load(&members->hits),
        .misses = atomic_load(&members->misses),
        .compressed = atomic_load(&members->compressed),
        .read = atomic_load(&members->read),
    };
}

void members_count_read(struct members *members)
{
    atomic_fetch_add(&members->read, 1);
}

static void member_free(struct member *member)
{
    if (!member)
        return;
    spool_release(member->members->spool, atomic_load(&member->extent));
    free(member);
}

CLEANUP(new_member, struct member *, member_free)
#define cleanup_new_member __attribute__((cleanup(cleanup_new_member_scope)))

struct member *member_ref(struct member *member)
{
    atomic_fetch_add(&member->references, 1);
    return member;
}

void member_unref(struct member *member)
{
    if (!member)
        return;
    struct members *members = member->members;
    {
        cleanup_lock(&members->lock);
        if (atomic_fetch_sub(&member->references, 1) > 1)
            return;
        if (!member->forgotten)
            tdelete(member, &members->by_id, compare_ids);
        members->count--;
    }
    member_free(member);
}

static struct member *find(struct members *members, const struct content_id *id)
{
    struct member wanted = {.id = *id};
    cleanup_lock(&members->lock);
    struct member *const *found = tfind(&wanted, &members->by_id, compare_ids);

    return found ? member_ref(*found) : NULL;
}

/* Make `member` known, or answer the one that another thread made known meanwhile. */
static struct member *add(struct members *members, struct member *member)
{
    cleanup_lock(&members->lock);
    struct member *const *known = tsearch(member, &members->by_id, compare_ids);

    if (!known)
        return NULL;
    if (*known == member) {
        members->count++;
        return member;
    }
    return member_ref(*known);
}

static struct member *member_new(struct members *members, const struct content_id *id,
                                 uint64_t size)
{
    struct member *member = calloc(1, sizeof(*member));

    if (!member)
        return NULL;
    atomic_init(&member->references, 1);
    atomic_init(&member->extent, SPOOL_NOWHERE);
    member->members = members;
    member->id = *id;
    member->size = size;
    return member;
}

bool members_find(struct members *members, struct cache_reader *reader, const struct content_id *id,
                  struct member **ret_member)
{
    struct cache_member cached;
    struct member *known = find(members, id);

    if (!known && cache_find_member(reader, id, &cached)) {
        cleanup_new_member struct member *member = member_new(members, id, cached.size);
        if (!member)
            return false;
        member->compressed_size = cached.compressed_size;
        member->crc32 = cached.crc32;
        member->deflated = cached.deflated;
        member->cached = cached.stream;
        known = add(members, member);
        if (known == member) {
            steal_pointer(&member);
            atomic_fetch_add(&members->hits, 1);
        }
    }
    *ret_member = known;
    return known != NULL;
}

bool member_is_secured(const struct member *member)
{
    return atomic_load(&member->extent) != SPOOL_NOWHERE;
}

/* The stream is in `extent`: say so, unless another thread has one as good. */
static void place(struct member *member, uint64_t extent, uint32_t stream_crc32)
{
    {
        cleanup_lock(&member->members->lock);
        if (!member_is_secured(member)) {
            member->stream_crc32 = stream_crc32;
            atomic_store(&member->extent, extent);
            return;
        }
    }
    spool_release(member->members->spool, extent);
}

/* A stream on its way from the cache into the spool. */
struct load {
    struct spool *spool;
    uint64_t extent;
    uint32_t crc32;
    struct error *error;
    int result;
};

static int load_piece(void *context, uint64_t offset, const void *bytes, size_t size)
{
    struct load *load = context;

    load->crc32 = deflate_crc32(load->crc32, bytes, size);
    load->result = spool_write(load->spool, load->extent, offset, bytes, size, load->error);
    return load->result;
}

int member_secure(struct member *member, struct cache_reader *reader, struct error *error)
{
    const struct cache_member cached = {
        .size = member->size,
        .compressed_size = member->compressed_size,
        .crc32 = member->crc32,
        .deflated = member->deflated,
        .stream = member->cached,
    };
    struct load load = {.spool = member->members->spool, .error = error};

    if (member_is_secured(member))
        return 0;
    int r = spool_reserve(load.spool, member->compressed_size, &load.extent);
    if (r < 0)
        return error_errno(error, r, "temporary file");
    if (cache_read_stream(reader, &member->id, &cached, load_piece, &load)) {
        place(member, load.extent, load.crc32);
        return 0;
    }
    spool_release(load.spool, load.extent);
    return load.result < 0 ? load.result
                           : error_set(error, -ENOENT, "the cache has lost a compressed file");
}

static int cached_read(void *context, uint64_t offset, void *bytes, size_t size)
{
    return member_read(NULL, context, offset, bytes, size);
}

static void cached_release(void *context)
{
    member_unref(context);
}

/* Hand a new member to the cache, which holds it until it is written. */
static void keep(struct member *member)
{
    const struct cache_put put = {
        .id = member->id,
        .member = {.size = member->size,
                   .compressed_size = member->compressed_size,
                   .crc32 = member->crc32,
                   .deflated = member->deflated},
        .read = cached_read,
        .release = cached_release,
        .context = member,
    };

    if (member->members->cache) {
        member_ref(member);
        cache_put_member(member->members->cache, &put);
    }
}

static int store(struct member *member, const void *bytes, uint64_t size, struct error *error)
{
    struct spool *spool = member->members->spool;
    uint64_t extent = SPOOL_NOWHERE;
    int r = spool_reserve(spool, size, &extent);

    if (r < 0)
        return error_errno(error, r, "temporary file");
    member->compressed_size = size;
    member->stream_crc32 = deflate_crc32(0, bytes, (size_t)size);
    atomic_store(&member->extent, extent);
    return spool_write(spool, extent, 0, bytes, (size_t)size, error);
}

static int compress_in_memory(struct deflate *deflate, const struct content *content,
                              struct member *member, struct error *error)
{
    size_t size = (size_t)content->size;
    cleanup_free void *copy = NULL;
    cleanup_free void *stream = malloc(size > 0 ? size : 1);
    const void *bytes = content->bytes;

    if (stream && !bytes) {
        bytes = copy = malloc(size);
        if (copy && content_read(content, 0, copy, size) < 0)
            return error_set(error, -EIO, "temporary file: cannot be read back");
    }
    if (!stream || !bytes)
        return error_errno(error, -ENOMEM, "cannot compress");
    member->crc32 = deflate_crc32(0, bytes, size);

    size_t compressed = deflate_whole(deflate, bytes, size, stream);
    member->deflated = compressed > 0;
    return member->deflated ? store(member, stream, compressed, error)
                            : store(member, bytes, size, error);
}

/* Content too large for memory: from the spool to the spool. */
struct transfer {
    const struct content *content;
    struct member *member;
    uint64_t written;
};

static int transfer_read(void *context, uint64_t offset, void *bytes, size_t size,
                         struct error *error)
{
    struct transfer *transfer = context;
    ssize_t n = content_read(transfer->content, offset, bytes, size);
    int r = spool_check_stop(transfer->member->members->spool, error);

    if (r < 0)
        return r;
    if (n < 0 || (size_t)n < size)
        return error_set(error, -EIO, "temporary file: cannot be read back");
    transfer->member->crc32 = deflate_crc32(transfer->member->crc32, bytes, size);
    return 0;
}

static int transfer_write(void *context, const void *bytes, size_t size, struct error *error)
{
    struct transfer *transfer = context;
    struct member *member = transfer->member;
    int r =
        spool_write(member->members->spool, member->extent, transfer->written, bytes, size, error);

    if (r == 0)
        transfer->written += size;
    member->stream_crc32 = deflate_crc32(member->stream_crc32, bytes, size);
    return r;
}

static int compress_in_pieces(const struct content *content, struct member *member,
                              struct error *error)
{
    struct spool *spool = member->members->spool;
    struct transfer transfer = {.content = content, .member = member};
    struct deflate_pieces pieces = {transfer_read, transfer_write, &transfer};
    uint64_t compressed = 0;
    uint64_t extent = SPOOL_NOWHERE;
    int r = spool_reserve(spool, content->size, &extent);

    if (r < 0)
        return error_errno(error, r, "temporary file");
    atomic_store(&member->extent, extent);
    member->compressed_size = content->size;
    r = deflate_in_pieces(member->members->level, content->size, &pieces, &compressed, error);
    if (r < 0)
        return r;
    member->deflated = compressed > 0;
    if (member->deflated) {
        member->compressed_size = compressed;
        return 0;
    }
    /* Stored after all: the content over the stream that was begun. */
    char piece[1 << 16];
    transfer.written = 0;
    member->crc32 = 0;
    member->stream_crc32 = 0;
    while (r == 0 && transfer.written < content->size) {
        uint64_t rest = content->size - transfer.written;
        size_t n = rest < sizeof(piece) ? (size_t)rest : sizeof(piece);
        r = transfer_read(&transfer, transfer.written, piece, n, error);
        if (r == 0)
            r = transfer_write(&transfer, piece, n, error);
    }
    return r;
}

/* Let the id lead to another member from now on; those that hold this one keep it. */
static void forget(struct member *member)
{
    struct members *members = member->members;

    cache_drop_member(members->cache, &member->id, member->cached);
    cleanup_lock(&members->lock);
    if (!member->forgotten)
        tdelete(member, &members->by_id, compare_ids);
    member->forgotten = true;
}

/*
 * Make the new member known, or give its stream to the one that is known and has none in the spool.
 * That one may be of another size: the row said so that it came from, and the stream is gone, so
 * nobody will ever know what it was. Returns a reference for the caller; NULL without memory.
 */
static struct member *make_known(struct members *members, struct member **member_pointer)
{
    struct member *member = *member_pointer;

    for (;;) {
        struct member *known = add(members, member);
        if (known == member)
            return steal_pointer(member_pointer);
        if (!known || member_is_secured(known))
            return known;
        if (known->compressed_size == member->compressed_size && known->crc32 == member->crc32 &&
            known->size == member->size && known->deflated == member->deflated) {
            place(known, atomic_exchange(&member->extent, SPOOL_NOWHERE), member->stream_crc32);
            return known;
        }
        forget(known);
        member_unref(known);
    }
}

int members_compress(struct members *members, struct deflate *deflate, struct content *content,
                     struct member **ret_member, struct error *error)
{
    cleanup_member struct member *known = find(members, &content->id);

    if (known && member_is_secured(known)) {
        *ret_member = steal_pointer(&known);
        return 0;
    }
    cleanup_new_member struct member *member = member_new(members, &content->id, content->size);
    if (!member)
        return error_errno(error, -ENOMEM, "cannot compress");
    int r = content->size <= DEFLATE_WHOLE_LIMIT
                ? compress_in_memory(deflate, content, member, error)
                : compress_in_pieces(content, member, error);
    if (r < 0)
        return r;
    struct member *made = make_known(members, &member);
    if (!made)
        return error_errno(error, -ENOMEM, "cannot compress");
    /* Of two who compress one content at once one is in vain, and is not counted. */
    if (!member || !member_is_secured(member)) {
        atomic_fetch_add(&members->compressed, 1);
        if (members->cache)
            atomic_fetch_add(&members->misses, 1);
    }
    keep(made);
    *ret_member = made;
    return 0;
}

struct spool *member_spool(const struct member *member)
{
    return member->members->spool;
}

uint32_t member_stream_crc32(const void *stream)
{
    const struct member *member = stream;

    return member->stream_crc32;
}

int member_read(void *context, const void *stream, uint64_t offset, void *bytes, size_t size)
{
    const struct member *member = stream;

    (void)context;
    return spool_read(member->members->spool, atomic_load(&member->extent), offset, bytes, size);
}
