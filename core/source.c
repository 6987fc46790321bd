#include "source_file.h"
#include "source_lfs.h"
#include "source_modules.h"

#include <addonfs/path.h>
#include <errno.h>
#include <git2.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* `repository` is taken over, even on failure; `revision` is NULL for the worktree. */
static int open_on(struct repository *repository, const char *revision, bool poll,
                   bool lfs_pointers, struct source **ret_source, struct error *error)
{
    cleanup_source struct source *source = calloc(1, sizeof(*source));
    const char *path = repository->path;

    if (!source) {
        int r = error_errno(error, -ENOMEM, "%s", path);
        repository_unref(repository);
        return r;
    }
    atomic_init(&source->references, 1);
    pthread_mutex_init(&source->suspects_lock, NULL);
    source->repository = repository;
    source->revision = revision ? strdup(revision) : NULL;
    if (revision && !source->revision)
        return error_errno(error, -ENOMEM, "%s", path);
    source->poll = poll;
    source->lfs_pointers = lfs_pointers;
    source->backend = revision ? &source_revision_backend : &source_worktree;
    int r = revision ? source_revision_open(source, error) : source_worktree_open(source, error);
    if (r < 0)
        return r;
    *ret_source = steal_pointer(&source);
    return 0;
}

int source_open(const struct source_options *options, struct source **ret_source,
                struct error *error)
{
    struct repository *repository = NULL;
    const char *revision = options->revision;

    int r = repository_open(options->path, &repository, error);
    if (r < 0)
        return r;
    if (!revision && repository->bare)
        revision = "HEAD";
    return open_on(repository, revision, options->poll, options->lfs_pointers, ret_source, error);
}

int source_open_revision(const struct source *of, const char *revision, struct source **ret_source,
                         struct error *error)
{
    return open_on(repository_ref(of->repository), revision, false, of->lfs_pointers, ret_source,
                   error);
}

struct source *source_ref(struct source *source)
{
    atomic_fetch_add(&source->references, 1);
    return source;
}

void source_unref(struct source *source)
{
    if (!source || atomic_fetch_sub(&source->references, 1) > 1)
        return;
    if (source->backend)
        source->backend->close(source);
    repository_unref(source->repository);
    map_clear(&source->suspects, NULL);
    pthread_mutex_destroy(&source->suspects_lock);
    free(source->revision);
    free(source);
}

void source_close(struct source *source)
{
    if (!source)
        return;
    /* They hold files, which hold the source. */
    tdestroy(source->folders, folder_free);
    source->folders = NULL;
    source_forget_modules(source);
    source_unref(source);
}

const char *source_path(const struct source *source)
{
    return source->repository->path;
}

const char *source_revision(const struct source *source)
{
    return source->revision;
}

const char *source_warning(const struct source *source)
{
    return atomic_load(&source->warning);
}

const char *source_library_version(void)
{
    return LIBGIT2_VERSION;
}

const char *source_commit(const struct source *source)
{
    return source->commit[0] ? source->commit : NULL;
}

int source_wait_open(struct source *source, struct source_wait *ret_wait, struct error *error)
{
    struct source_wait wait = {-1, -1};

    int r = source->backend->wait(source, &wait);
    if (r < 0) {
        source_wait_close(&wait);
        return error_errno(error, r, "%s: cannot wait for changes", source_path(source));
    }
    *ret_wait = wait;
    return 0;
}

void source_wait_close(struct source_wait *wait)
{
    if (wait->fd >= 0)
        close(wait->fd);
    if (wait->inner >= 0)
        close(wait->inner);
    wait->fd = wait->inner = -1;
}

bool source_tells_all(const struct source *source)
{
    return source->backend->tells_all(source);
}

int source_watch_refs(const struct source *source)
{
    return repository_watch_refs(source->repository);
}

/* Remember that something about the file has changed of which nothing was told. */
static void suspect(const struct file *file)
{
    struct source *source = file->source;
    const char *slash = strrchr(file->path, '/');
    cleanup_free char *folder = strndup(file->path, slash ? (size_t)(slash - file->path) : 0);
    cleanup_lock(&source->suspects_lock);

    if (folder)
        (void)map_put(&source->suspects, folder, source);
}

/* The bytes of a file that is made up. */
static int read_text(const struct file *file, struct spool *spool, size_t memory_limit,
                     struct content **ret_content, struct error *error)
{
    cleanup_content_writer struct content_writer *writer = NULL;
    int r = content_begin(spool, file->size, memory_limit, &writer);

    if (r < 0)
        return error_errno(error, r, "%s", file->path);
    r = content_append(writer, file->text, (size_t)file->size, error);
    return r < 0 ? r : content_finish(&writer, ret_content, error);
}

/* In place of a pointer of Git LFS take what it points to. */
static int replace_pointer(const struct file *file, struct spool *spool, size_t memory_limit,
                           struct content **content, struct error *error)
{
    char bytes[LFS_POINTER_LIMIT];
    const struct source *source = file->source;
    struct lfs_pointer pointer;
    struct content *object = NULL;

    if (source->lfs_pointers || (*content)->size >= sizeof(bytes))
        return 0;
    ssize_t n = content_read(*content, 0, bytes, sizeof(bytes));
    if (n < 0)
        return error_errno(error, (int)n, "%s", file->path);
    if (!lfs_is_pointer(bytes, (uint64_t)n))
        return 0;
    if (!lfs_parse(bytes, (size_t)n, &pointer))
        return error_set(error, -EIO, "%s: a Git LFS pointer that makes no sense", file->path);
    const struct repository *repository =
        file->identity.repository ? file->identity.repository : source->repository;
    int r =
        lfs_read(repository->common_dir, &pointer, file->path, spool, memory_limit, &object, error);
    if (r == -EIO)
        atomic_store(&source->repository->lfs_absent, true);
    if (r < 0)
        return r;
    content_unref(*content);
    *content = object;
    return 0;
}

int source_read(struct file *file, struct spool *spool, size_t memory_limit,
                struct content **ret_content, struct error *error)
{
    cleanup_content struct content *content = NULL;
    struct source *source = file->source;

    if (file->failure)
        return error_set(error, -EIO, "%s: %s", file->path, file->failure);
    if (file->text)
        return read_text(file, spool, memory_limit, ret_content, error);
    if (file->lfs)
        return lfs_read(source->repository->common_dir, file->lfs, file->path, spool, memory_limit,
                        ret_content, error);
    int r = source->backend->read(source, file, spool, memory_limit, &content, error);
    if (r == -ESTALE) {
        /* Its stamp may be the same as ever: the bytes are to be compared. */
        if (file->id_known)
            atomic_store(&file->identity.trusted, false);
        suspect(file);
    }
    if (r == 0)
        r = replace_pointer(file, spool, memory_limit, &content, error);
    if (r < 0)
        return r;
    if (!file->id_known)
        file_note_read(file, &content->id);
    *ret_content = steal_pointer(&content);
    return 0;
}

int source_measure(struct file *file, struct spool *spool, uint64_t *ret_size, struct error *error)
{
    cleanup_content struct content *content = NULL;
    uint64_t size = file->size;

    if (file->failure)
        return error_set(error, -EIO, "%s: %s", file->path, file->failure);
    if (file->lfs)
        size = file->lfs->size;
    if (size == UINT64_MAX)
        size = atomic_load(&file->measured);
    if (size == UINT64_MAX) {
        int r = source_read(file, spool, CONTENT_MEMORY_LIMIT, &content, error);
        if (r < 0)
            return r;
        size = content->size;
        atomic_store(&file->measured, size);
    }
    *ret_size = size;
    return 0;
}

static uint64_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec;
}

uint64_t source_healing(struct source *source)
{
    return source->revision ? source_objects_healing(source) : seconds();
}

uint64_t source_objects_healing(const struct source *source)
{
    /* Nothing tells when an object of Git LFS comes: it is tried once a second. */
    return source_trees_healing(source) +
           (atomic_load(&source->repository->lfs_absent) ? seconds() : 0);
}

uint64_t source_trees_healing(const struct source *source)
{
    return modules_healing(source->repository);
}
