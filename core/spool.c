#include <addonfs/spool.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/*
 * Extents
 *
 * An extent is a power of two of bytes, 4096 at least, and starts on a block boundary, so that a
 * hole frees every block of it. Its number is where it starts, with the exponent in the bits that
 * are 0 there: whoever gives it back need not know how much was set aside.
 *
 * Released ones wait in a list for each size and are neither split nor joined. So of each size
 * there are never more than lived at one time, which bounds the file's length by the number of
 * sizes (40) times twice the most that was ever needed; and only what lives uses disk. (Offsets
 * that only grow would meet the end of what ext4 addresses, 16 TiB, within months.)
 */
enum {
    ORDER_MIN = 12,
    ORDER_MAX = 62,
    ORDER_BITS = (1 << ORDER_MIN) - 1,
};

struct released {
    uint64_t *extents;
    size_t count;
    size_t capacity;
};

struct spool {
    char *folder;
    const _Atomic bool *stop; /* or NULL */
    pthread_mutex_t lock;     /* guards the next three; held for moments */
    uint64_t end;             /* no extent reaches beyond it */
    off_t length;             /* the file is at least so long */
    struct released released[ORDER_MAX + 1];
    pthread_mutex_t open_lock; /* around making the file; `fd` is read without it */
    _Atomic int fd;            /* -1 until the first write */
    _Atomic bool remembers;    /* what was released may still hold its bytes */
    _Atomic size_t in_memory;  /* see spool_take_memory */
};

const char *spool_default_folder(void)
{
    const char *folder = getenv("TMPDIR");

    return folder && folder[0] == '/' ? folder : "/var/tmp";
}

struct spool *spool_new(const char *folder)
{
    struct spool *spool = calloc(1, sizeof(*spool));

    if (!spool)
        return NULL;
    spool->folder = strdup(folder ? folder : spool_default_folder());
    if (!spool->folder) {
        free(spool);
        return NULL;
    }
    pthread_mutex_init(&spool->lock, NULL);
    pthread_mutex_init(&spool->open_lock, NULL);
    atomic_init(&spool->fd, -1);
    return spool;
}

void spool_free(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    for (int order = ORDER_MIN; order <= ORDER_MAX; order++)
        free(spool->released[order].extents);
    pthread_mutex_destroy(&spool->open_lock);
    pthread_mutex_destroy(&spool->lock);
    free(spool->folder);
    free(spool);
}

void spool_set_stop(struct spool *spool, const _Atomic bool *stop)
{
    spool->stop = stop;
}

int spool_check_stop(const struct spool *spool, struct error *error)
{
    return spool->stop && atomic_load(spool->stop) ? error_set(error, -ECANCELED, "is being ended")
                                                   : 0;
}

static int order_of(uint64_t extent)
{
    return (int)(extent & ORDER_BITS);
}

static uint64_t start_of(uint64_t extent)
{
    return extent & ~(uint64_t)ORDER_BITS;
}

int spool_reserve(struct spool *spool, uint64_t size, uint64_t *ret_extent)
{
    int order = ORDER_MIN;

    while (order <= ORDER_MAX && UINT64_C(1) << order < size)
        order++;
    if (order > ORDER_MAX)
        return -EFBIG;
    cleanup_lock(&spool->lock);
    struct released *released = &spool->released[order];
    if (released->count > 0) {
        *ret_extent = released->extents[--released->count];
        return 0;
    }
    uint64_t room = UINT64_C(1) << order;
    if (room > INT64_MAX - spool->end)
        return -EFBIG;
    *ret_extent = spool->end | (uint64_t)order;
    spool->end += room;
    return 0;
}

static int open_nameless(const char *folder)
{
    cleanup_free char *name = NULL;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    /* Not every file system has O_TMPFILE. */
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd < 0 ? -errno : fd;
    if (asprintf(&name, "%s/addonfs.XXXXXX", folder) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(name);
    return fd;
}

int spool_nameless_file(const char *folder, struct error *error)
{
    int fd = open_nameless(folder);

    return fd < 0 ? error_errno(error, fd, "%s: cannot make a temporary file (set TMPDIR)", folder)
                  : fd;
}

static int spool_open(struct spool *spool, struct error *error)
{
    cleanup_lock(&spool->open_lock);

    if (spool->fd < 0) {
        int fd = spool_nameless_file(spool->folder, error);
        if (fd < 0)
            return fd;
        spool->fd = fd;
    }
    return 0;
}

/* Where `size` bytes at `offset` in the extent are; they cannot reach into another one. */
static int locate(uint64_t extent, uint64_t offset, size_t size, off_t *ret_at)
{
    uint64_t room = UINT64_C(1) << order_of(extent);

    if (offset > room || size > room - offset)
        return -EFBIG;
    *ret_at = (off_t)(start_of(extent) + offset);
    return 0;
}

static void note_length(struct spool *spool, off_t end)
{
    cleanup_lock(&spool->lock);

    if (spool->length < end)
        spool->length = end;
}

int spool_write(struct spool *spool, uint64_t extent, uint64_t offset, const void *bytes,
                size_t size, struct error *error)
{
    const char *from = bytes;
    off_t at = 0;
    int r = locate(extent, offset, size, &at);

    if (r == 0 && spool->fd < 0)
        r = spool_open(spool, error);
    else if (r < 0)
        (void)error_set(error, r, "temporary file: more than was set aside");
    if (r < 0)
        return r;
    while (size > 0) {
        ssize_t n = pwrite(spool->fd, from, size, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(error, -errno, "%s: cannot write a temporary file (set TMPDIR)",
                               spool->folder);
        from += n;
        at += n;
        size -= (size_t)n;
    }
    note_length(spool, at);
    return 0;
}

int spool_leave(struct spool *spool, uint64_t extent, uint64_t offset, size_t size,
                struct error *error)
{
    off_t last = (off_t)(start_of(extent) + (UINT64_C(1) << order_of(extent)) - 1);
    off_t at = 0;
    int r = locate(extent, offset, size, &at);

    if (r < 0)
        return error_set(error, r, "temporary file: more than was set aside");
    if (spool->fd < 0)
        r = spool_open(spool, error);
    if (r < 0)
        return r;
    if (spool->remembers)
        return 1;
    /* A fresh extent was never written to, and one that was given back has become a hole. */
    cleanup_lock(&spool->lock);
    if (spool->length >= at + (off_t)size)
        return 0;
    /* But behind its end a file has no zeros. This byte lies there, so nobody has written it. */
    if (pwrite(spool->fd, "", 1, last) != 1)
        return error_errno(error, errno ? -errno : -EIO,
                           "%s: cannot write a temporary file (set TMPDIR)", spool->folder);
    spool->length = last + 1;
    return 0;
}

int spool_read(struct spool *spool, uint64_t extent, uint64_t offset, void *bytes, size_t size)
{
    char *to = bytes;
    off_t at = 0;

    if (locate(extent, offset, size, &at) < 0)
        return -EIO;
    while (size > 0) {
        ssize_t n = pread(spool->fd, to, size, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        to += n;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

void spool_release(struct spool *spool, uint64_t extent)
{
    if (extent == SPOOL_NOWHERE)
        return;
    int order = order_of(extent);
    /* Before another thread can have it. A file system without holes keeps the blocks. Not at the
     * end, when the file goes as a whole: a hole costs a busy ext4 2.5 ms, and a large package has
     * 200,000 members. */
    if (spool->fd >= 0 && (spool_check_stop(spool, NULL) < 0 ||
                           fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     (off_t)start_of(extent), (off_t)(UINT64_C(1) << order)) < 0))
        spool->remembers = true;
    cleanup_lock(&spool->lock);
    struct released *released = &spool->released[order];
    if (released->count == released->capacity) {
        size_t capacity = released->capacity ? 2 * released->capacity : 16;
        uint64_t *extents = reallocarray(released->extents, capacity, sizeof(*extents));
        /* Without memory it is not used again, which costs no disk. */
        if (!extents)
            return;
        released->extents = extents;
        released->capacity = capacity;
    }
    released->extents[released->count++] = extent;
}

bool spool_take_memory(struct spool *spool, size_t size)
{
    size_t used = atomic_load(&spool->in_memory);

    do {
        if (size > SPOOL_MEMORY_LIMIT || used > SPOOL_MEMORY_LIMIT - size)
            return false;
    } while (!atomic_compare_exchange_weak(&spool->in_memory, &used, used + size));
    return true;
}

void spool_give_memory(struct spool *spool, size_t size)
{
    atomic_fetch_sub(&spool->in_memory, size);
}
