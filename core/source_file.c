#include "source_file.h"

#include "source_acl.h"
#include "source_lfs.h"
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/*
 * Whether a file is what it was is told by its stamp (stamp.c) where that can be trusted. One whose
 * stamp is too young is hashed when it is looked at, and at every look until it is old enough; if
 * the hash is the same, it is the same file, and from then on its stamp is trusted.
 *
 * Stores through mmap(2) move the stamp only where the page was clean. When someone who had a file
 * open for writing has closed it, as inotify tells, its stamp does not count: the bytes are hashed.
 * If they are others than those that were shown, it is another file, under the same stamp, so that
 * nothing may be taken over from the one before by comparing stamps (`rewritten`). Not seen, as
 * documented: such stores before the file is unmapped and closed.
 */
enum {
    READ_PIECE = 1 << 17,
    /* A file that changes under every attempt to hash it is given up for this look … */
    HASH_ATTEMPTS = 100,
    /* … after so many bytes: one that is being written is not hashed over and over. */
    HASH_BYTES = 1 << 26,
};

struct source_owner file_owner_of(const struct stat *status, mode_t denied)
{
    return (struct source_owner){status->st_mode & 07777 & ~denied, status->st_uid, status->st_gid};
}

static bool is_same_owner(const struct file *file, const struct stat *status)
{
    return (file->owner.mode | file->identity.denied) == (status->st_mode & 07777) &&
           file->owner.uid == status->st_uid && file->owner.gid == status->st_gid;
}

static bool is_same_file(const struct file *file, const struct stat *status)
{
    return S_ISREG(status->st_mode) && file->identity.device == status->st_dev &&
           file->identity.inode == status->st_ino && file->size == (uint64_t)status->st_size &&
           stamp_times_are_same(file->mtime, status->st_mtim) &&
           stamp_times_are_same(file->identity.change, status->st_ctim) &&
           is_same_owner(file, status);
}

static int hash(int fd, uint64_t size, struct content_id *ret_id)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    cleanup_free char *piece = malloc(READ_PIECE);
    uint64_t offset = 0;

    if (!sha256 || !piece)
        return -ENOMEM;
    /* One byte more than there should be is enough to know: a file may grow as fast as it is read.
     */
    while (offset <= size) {
        ssize_t n = pread(fd, piece, READ_PIECE, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        sha256_update(sha256, piece, (size_t)n);
        offset += (uint64_t)n;
    }
    if (offset != size)
        return -ESTALE;
    sha256_final(sha256, ret_id);
    return 0;
}

/* Set the file's identity and, if its stamp does not tell its bytes, its hash. */
static int identify(struct file *file, int fd, const struct file *before)
{
    uint64_t hashed = 0;
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < HASH_ATTEMPTS && hashed < HASH_BYTES; i++) {
        struct stat status;

        if (fstat(fd, &status) < 0)
            return -errno;
        if (!S_ISREG(status.st_mode))
            return -ESTALE;
        file->identity.denied = acl_denied(fd, status.st_mode);
        file->owner = file_owner_of(&status, file->identity.denied);
        file->mtime = status.st_mtim;
        file->size = (uint64_t)status.st_size;
        file->identity.device = status.st_dev;
        file->identity.inode = status.st_ino;
        file->identity.several = status.st_nlink > 1;
        file->identity.change = status.st_ctim;
        file->identity.trusted = stamp_is_old(status.st_ctim);
        file->identity.rewritten = before && is_same_file(before, &status);
        file->id_known = !file->identity.trusted || file->identity.rewritten;
        hashed += file->size;
        r = file->id_known ? hash(fd, file->size, &file->id) : 0;
    }
    return r;
}

static int fail(struct file *file, int code, const char *reason)
{
    char text[128];

    file->failure = strdup(reason ? reason : strerror_r(-code, text, sizeof(text)));
    return file->failure ? 0 : -ENOMEM;
}

/* The file is a pointer of Git LFS, `file->size` bytes. */
static int point(struct file *file, const char *bytes)
{
    struct lfs_pointer pointer;

    if (!lfs_parse(bytes, (size_t)file->size, &pointer))
        return fail(file, 0, "a Git LFS pointer that makes no sense");
    int r = lfs_look(file->source->repository->common_dir, &pointer);
    if (r < 0)
        return error_is_transient(r) ? r : fail(file, 0, LFS_ABSENT);
    file->lfs = malloc(sizeof(*file->lfs));
    if (!file->lfs)
        return -ENOMEM;
    *file->lfs = pointer;
    return 0;
}

int file_take(struct source *source, const struct resolve_root *root, const char *path,
              const char *real, uint64_t written, const struct file *before, struct file **ret_file,
              struct error *error)
{
    cleanup_file struct file *file = file_new(source, path, real, NULL);
    /* Non-blocking: what was a regular file when it was listed may be a FIFO by now. */
    cleanup_fd int fd = resolve_open(root, real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    char start[LFS_POINTER_LIMIT];
    int r = fd < 0 ? fd : 0;

    if (!file)
        return error_errno(error, -ENOMEM, "%s", path);
    atomic_init(&file->identity.written, written);
    if (fd < 0) {
        cleanup_fd int place = resolve_open(root, real, O_PATH | O_NOFOLLOW);
        /* O_PATH opens what may not be read, which is all that identify needs without a hash. */
        if (place >= 0 && identify(file, place, NULL) == -EBADF)
            file->id_known = false;
    } else {
        r = identify(file, fd, before);
    }
    if (error_is_transient(r) && r != -ESTALE)
        return error_errno(error, r, "%s", path);
    if (r == -ESTALE)
        r = fail(file, r, "changes while it is read");
    else if (r < 0)
        r = fail(file, r, NULL);
    else if (!source->lfs_pointers && file->size < sizeof(start) &&
             pread(fd, start, sizeof(start), 0) == (ssize_t)file->size &&
             lfs_is_pointer(start, file->size))
        r = point(file, start);
    if (r < 0)
        return error_errno(error, r, "%s", path);
    *ret_file = steal_pointer(&file);
    return 0;
}

bool file_is_unchanged(const struct resolve_root *root, struct file *file,
                       const struct stat *status, uint64_t written)
{
    struct content_id id;

    /* What failed is tried again: permissions may hang on more than the file itself. */
    if (file->failure || !is_same_file(file, status))
        return false;
    if (file->identity.trusted && file->identity.written == written)
        return true;

    bool trusted = stamp_is_old(status->st_ctim);
    cleanup_fd int fd = resolve_open(root, file->real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat opened;
    /* By now it may be anything, a device without end included. */
    if (fd < 0 || fstat(fd, &opened) < 0 || !is_same_file(file, &opened) ||
        hash(fd, file->size, &id) < 0 || !file_has_shown(file, &id) ||
        file->identity.denied != acl_denied(fd, status->st_mode))
        return false;
    file->identity.trusted = trusted;
    file->identity.written = written;
    return true;
}

static int read_all(int fd, const struct file *file, struct content_writer *writer,
                    struct error *error)
{
    cleanup_free char *piece = malloc(READ_PIECE);
    uint64_t offset = 0;

    if (!piece)
        return error_errno(error, -ENOMEM, "%s", file->path);
    for (;;) {
        ssize_t n = pread(fd, piece, READ_PIECE, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(error, -errno, "%s", file->path);
        if (n == 0)
            return 0;
        int r = content_append(writer, piece, (size_t)n, error);
        if (r < 0)
            return r;
        offset += (uint64_t)n;
    }
}

static int check_same(const struct file *file, int fd, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0 || !is_same_file(file, &status))
        return error_set(error, -ESTALE, "%s: has changed meanwhile", file->path);
    return 0;
}

int file_read(const struct resolve_root *root, const struct file *file, struct spool *spool,
              size_t memory_limit, struct content **ret_content, struct error *error)
{
    cleanup_content_writer struct content_writer *writer = NULL;
    cleanup_content struct content *content = NULL;
    cleanup_fd int fd = resolve_open(root, file->real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && error_is_transient(fd))
        return error_errno(error, fd, "%s", file->path);
    /* It could be opened at its look: whatever is in the way now came later. */
    if (fd < 0)
        return error_set(error, -ESTALE, "%s: has changed meanwhile", file->path);
    int r = check_same(file, fd, error);
    if (r < 0)
        return r;
    r = content_begin(spool, file->size, memory_limit, &writer);
    if (r < 0)
        return error_errno(error, r, "%s", file->path);
    r = read_all(fd, file, writer, error);
    if (r == 0)
        r = content_finish(&writer, &content, error);
    if (r == 0)
        r = check_same(file, fd, error);
    if (r < 0)
        return r;
    if (file->id_known && !content_id_equal(&file->id, &content->id))
        return error_set(error, -ESTALE, "%s: has changed meanwhile", file->path);
    *ret_content = steal_pointer(&content);
    return 0;
}
