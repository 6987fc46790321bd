#include <addonfs/spool.h>

#include <addonfs/checked.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Extents start on block boundaries, so that a hole frees every block of what it replaces. */
enum { EXTENT_ALIGNMENT = 4096 };

struct spool {
    char *folder;
    _Atomic uint64_t end;
    pthread_mutex_t open_lock; /* around making the file; `fd` is read without it */
    _Atomic int fd;            /* -1 until the first write */
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
    pthread_mutex_destroy(&spool->open_lock);
    free(spool->folder);
    free(spool);
}

int spool_reserve(struct spool *spool, uint64_t size, uint64_t *ret_offset)
{
    uint64_t start = atomic_load(&spool->end);
    uint64_t end;

    do {
        if (!checked_add(start, size, &end) || !checked_add(end, EXTENT_ALIGNMENT - 1, &end) ||
            end > INT64_MAX)
            return -EFBIG;
        end -= end % EXTENT_ALIGNMENT;
    } while (!atomic_compare_exchange_weak(&spool->end, &start, end));
    *ret_offset = start;
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

static int spool_open(struct spool *spool, struct error *error)
{
    cleanup_lock(&spool->open_lock);

    if (spool->fd < 0) {
        int fd = open_nameless(spool->folder);
        if (fd < 0)
            return error_errno(error, fd, "%s: cannot make a temporary file (set TMPDIR)",
                               spool->folder);
        spool->fd = fd;
    }
    return 0;
}

int spool_write(struct spool *spool, uint64_t offset, const void *bytes, size_t size,
                struct error *error)
{
    const char *from = bytes;

    if (spool->fd < 0) {
        int r = spool_open(spool, error);
        if (r < 0)
            return r;
    }
    while (size > 0) {
        ssize_t n = pwrite(spool->fd, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(error, -errno, "%s: cannot write a temporary file (set TMPDIR)",
                               spool->folder);
        from += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int spool_read(struct spool *spool, uint64_t offset, void *bytes, size_t size)
{
    char *to = bytes;

    while (size > 0) {
        ssize_t n = pread(spool->fd, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        to += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

void spool_release(struct spool *spool, uint64_t offset, uint64_t size)
{
    if (spool->fd < 0 || size == 0)
        return;
    /* Rounded up to the extent's end; a file system without holes keeps the blocks until we end. */
    size += EXTENT_ALIGNMENT - 1;
    size -= size % EXTENT_ALIGNMENT;
    (void)fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                    (off_t)size);
}
