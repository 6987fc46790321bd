#include <addonfs/member.h>

#include <errno.h>
#include <search.h>
#include <stdatomic.h>
#include <string.h>

struct members {
    struct spool *spool;
    int level;
    pthread_mutex_t lock; /* around `by_id`, and around every fall of a reference count to 0 */
    void *by_id;          /* tsearch(3) tree of struct member, which it does not own */
    size_t count;
};

static int compare_ids(const void *a, const void *b)
{
    const struct member *left = a;
    const struct member *right = b;

    return memcmp(left->id.bytes, right->id.bytes, sizeof(left->id.bytes));
}

struct members *members_new(struct spool *spool, int level)
{
    struct members *members = calloc(1, sizeof(*members));

    if (!members)
        return NULL;
    members->spool = spool;
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

static void member_free(struct member *member)
{
    if (!member)
        return;
    spool_release(member->members->spool, member->spool_offset, member->compressed_size);
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

static int store(struct member *member, const void *bytes, uint64_t size, struct error *error)
{
    struct spool *spool = member->members->spool;
    int r = spool_reserve(spool, size, &member->spool_offset);

    if (r < 0)
        return error_errno(error, r, "temporary file");
    member->compressed_size = size;
    return spool_write(spool, member->spool_offset, bytes, (size_t)size, error);
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

    if (n < 0 || (size_t)n < size)
        return error_set(error, -EIO, "temporary file: cannot be read back");
    transfer->member->crc32 = deflate_crc32(transfer->member->crc32, bytes, size);
    return 0;
}

static int transfer_write(void *context, const void *bytes, size_t size, struct error *error)
{
    struct transfer *transfer = context;
    struct member *member = transfer->member;
    int r = spool_write(member->members->spool, member->spool_offset + transfer->written, bytes,
                        size, error);

    if (r == 0)
        transfer->written += size;
    return r;
}

static int compress_in_pieces(const struct content *content, struct member *member,
                              struct error *error)
{
    struct spool *spool = member->members->spool;
    struct transfer transfer = {.content = content, .member = member};
    struct deflate_pieces pieces = {transfer_read, transfer_write, &transfer};
    uint64_t compressed = 0;
    int r = spool_reserve(spool, content->size, &member->spool_offset);

    if (r < 0)
        return error_errno(error, r, "temporary file");
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
    while (r == 0 && transfer.written < content->size) {
        uint64_t rest = content->size - transfer.written;
        size_t n = rest < sizeof(piece) ? (size_t)rest : sizeof(piece);
        r = transfer_read(&transfer, transfer.written, piece, n, error);
        if (r == 0)
            r = transfer_write(&transfer, piece, n, error);
    }
    return r;
}

int members_compress(struct members *members, struct deflate *deflate, struct content *content,
                     struct member **ret_member, struct error *error)
{
    struct member *known = find(members, &content->id);

    if (known) {
        *ret_member = known;
        return 0;
    }
    cleanup_new_member struct member *member = calloc(1, sizeof(*member));
    if (!member)
        return error_errno(error, -ENOMEM, "cannot compress");
    member->members = members;
    member->id = content->id;
    member->size = content->size;
    atomic_init(&member->references, 1);

    int r = content->size <= DEFLATE_WHOLE_LIMIT
                ? compress_in_memory(deflate, content, member, error)
                : compress_in_pieces(content, member, error);
    if (r < 0)
        return r;
    known = add(members, member);
    if (!known)
        return error_errno(error, -ENOMEM, "cannot compress");
    if (known == member)
        steal_pointer(&member);
    *ret_member = known;
    return 0;
}

int member_read(void *context, const void *stream, uint64_t offset, void *bytes, size_t size)
{
    const struct member *member = stream;

    (void)context;
    return spool_read(member->members->spool, member->spool_offset + offset, bytes, size);
}
