#include "source_pack_files.h"

#include "source_pack.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

struct pack_files {
    _Atomic unsigned references;
    pthread_mutex_t lock; /* held for moments only */
    size_t limit;
    size_t count;         /* of those that are open */
    struct pack_file end; /* of the list of them: its `newer` is the oldest */
};

struct pack_files *pack_files_new(size_t limit)
{
    struct pack_files *files = calloc(1, sizeof(*files));

    if (!files)
        return NULL;
    atomic_init(&files->references, 1);
    pthread_mutex_init(&files->lock, NULL);
    files->limit = limit;
    files->end.older = files->end.newer = &files->end;
    return files;
}

struct pack_files *pack_files_ref(struct pack_files *files)
{
    atomic_fetch_add(&files->references, 1);
    return files;
}

void pack_files_unref(struct pack_files *files)
{
    if (!files || atomic_fetch_sub(&files->references, 1) > 1)
        return;
    pthread_mutex_destroy(&files->lock);
    free(files);
}

/* --- The list -----------------------------------------------------------------------------------
 */

/* The lock is held, for these three. */
static void unlink_file(struct pack_file *file)
{
    file->older->newer = file->newer;
    file->newer->older = file->older;
    file->files->count--;
}

static void link_newest(struct pack_file *file)
{
    struct pack_file *end = &file->files->end;

    file->newer = end;
    file->older = end->older;
    end->older->newer = file;
    end->older = file;
    file->files->count++;
}

static int take_descriptor(struct pack_file *file)
{
    int fd = *file->fd;

    unlink_file(file);
    *file->fd = -1;
    return fd;
}

/* If more are open than shall be: the descriptor of the oldest that nobody has; or -1. */
static int take_oldest(struct pack_files *files)
{
    cleanup_lock(&files->lock);
    struct pack_file *file = files->end.newer;

    if (files->count <= files->limit)
        return -1;
    while (file != &files->end && atomic_load(&file->users) > 0)
        file = file->newer;
    return file != &files->end ? take_descriptor(file) : -1;
}

static void close_oldest(struct pack_files *files)
{
    for (int fd; (fd = take_oldest(files)) >= 0;)
        close(fd);
}

/* --- Files --------------------------------------------------------------------------------------
 */

void pack_file_add(struct pack_files *files, struct pack_file *file, const char *path,
                   struct stamp stamp, int *fd)
{
    file->files = files;
    file->path = path;
    file->stamp = stamp;
    file->fd = fd;
    atomic_init(&file->users, 0);
    if (*fd < 0)
        return;
    pthread_mutex_lock(&files->lock);
    link_newest(file);
    pthread_mutex_unlock(&files->lock);
    close_oldest(files);
}

void pack_file_remove(struct pack_file *file)
{
    if (!file->files)
        return;
    pthread_mutex_lock(&file->files->lock);
    int fd = *file->fd >= 0 ? take_descriptor(file) : -1;
    pthread_mutex_unlock(&file->files->lock);
    if (fd >= 0)
        close(fd);
}

static int open_file(const struct pack_file *file, int *ret_fd, struct error *why)
{
    struct stat status;
    cleanup_fd int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_of_the_moment(why, -errno, "%s", file->path);
    struct stamp stamp = stamp_of(&status);
    if (!stamp_is_same(&stamp, &file->stamp))
        return PACK_DAMAGED;
    *ret_fd = steal_fd(&fd);
    return 0;
}

/* From now on nobody closes it. Is it open? */
static bool hold(struct pack_file *file)
{
    cleanup_lock(&file->files->lock);

    atomic_fetch_add(&file->users, 1);
    if (*file->fd < 0)
        return false;
    unlink_file(file);
    link_newest(file);
    return true;
}

/* It is open now, unless another thread was faster. */
static void keep(struct pack_file *file, int *fd)
{
    cleanup_lock(&file->files->lock);

    if (*file->fd >= 0)
        return;
    *file->fd = steal_fd(fd);
    link_newest(file);
}

int pack_file_take(struct pack_file *file, struct error *why)
{
    cleanup_fd int fd = -1;

    if (hold(file))
        return 0;
    int r = open_file(file, &fd, why);
    if (r != 0) {
        pack_file_give(file);
        return r;
    }
    keep(file, &fd);
    close_oldest(file->files);
    return 0;
}

void pack_file_give(struct pack_file *file)
{
    atomic_fetch_sub(&file->users, 1);
}
