/*
 * What libgit2 asks for refs is answered by us.
 *
 * Expressions that need a ref's log or its settings ("main@{1}", "@{upstream}") are libgit2's. Its
 * own reader of refs maps packed-refs, which ends the process if the file is cut in place
 * meanwhile, and opens whatever lies where a ref should (a FIFO). So it is given another, which
 * looks refs up as we do, reads logs through libgit2's own once it has been seen that they are
 * files, and does nothing else.
 */
#include "source_repository.h"

#include "source_libgit2.h"
#include "source_regular.h"

#include <errno.h>
#include <git2/refdb.h>
#include <git2/sys/refdb_backend.h>
#include <git2/sys/repository.h>
#include <stdio.h>
#include <string.h>

CLEANUP(refs, git_refdb *, git_refdb_free)

struct backend {
    git_refdb_backend base; /* its first member: libgit2 hands this one back */
    struct repository *repository;
    git_refdb_backend *files; /* libgit2's own, for logs */
};

static struct backend *backend_of(git_refdb_backend *base)
{
    return (struct backend *)base;
}

/* Keep what is wrong for whoever has asked libgit2, which would tell less of it. */
static int fail(const struct backend *backend, int code, const struct error *why)
{
    struct repository *repository = backend->repository;

    git_error_set_str(GIT_ERROR_REFERENCE, why->text);
    if (code == -ENOENT)
        return GIT_ENOTFOUND;
    if (repository->refs_fault.code == 0) {
        repository->refs_fault = *why;
        repository->refs_fault.code = code;
    }
    return GIT_ERROR;
}

static int lookup(git_reference **ret_reference, git_refdb_backend *base, const char *name)
{
    const struct backend *backend = backend_of(base);
    bool is_beside = strchr(name, '/') && strncmp(name, "refs/", 5) != 0;
    struct error why = {0};

    /* As in repository_reference_guess. */
    if (is_beside)
        error_errno(&why, -ENOENT, "%s", name);
    int r = is_beside ? -ENOENT
                      : repository_reference_lookup(backend->repository, name, ret_reference, &why);
    return r < 0 ? fail(backend, r, &why) : 0;
}

static int exists(int *ret_exists, git_refdb_backend *base, const char *name)
{
    cleanup_reference git_reference *reference = NULL;
    int r = lookup(&reference, base, name);

    *ret_exists = r == 0;
    return r == GIT_ENOTFOUND ? 0 : r;
}

/* Whoever opens a FIFO waits. And where there is no log, libgit2 makes an empty one to read it. */
static int check_log(const struct backend *backend, const char *name)
{
    const struct repository *repository = backend->repository;
    cleanup_free char *log = NULL;
    struct error why = {0};

    if (asprintf(&log, "logs/%s", name) < 0) {
        log = NULL;
        error_errno(&why, -ENOMEM, "%s", name);
        return fail(backend, -ENOMEM, &why);
    }
    int r = regular_check(repository->git_dir, log, &why);
    if (r == 0)
        r = regular_check(repository->common_dir, log, &why);
    if (r < 0)
        return fail(backend, r, &why);
    if (backend->files->has_log(backend->files, name))
        return 0;
    backend->repository->refs_fault.code =
        error_set(&backend->repository->refs_fault, -ENOENT, "%s has no log", name);
    return GIT_ENOTFOUND;
}

static int has_log(git_refdb_backend *base, const char *name)
{
    git_refdb_backend *files = backend_of(base)->files;

    return files->has_log(files, name);
}

static int read_log(git_reflog **ret_log, git_refdb_backend *base, const char *name)
{
    const struct backend *backend = backend_of(base);
    const char *log_of = backend->repository->log_of;
    const char *log = log_of ? log_of : name;
    int r = check_log(backend, log);

    return r < 0 ? r : backend->files->reflog_read(ret_log, backend->files, log);
}

static int refuse(void)
{
    git_error_set_str(GIT_ERROR_REFERENCE, "refs are only looked up here, one at a time");
    return GIT_ERROR;
}

static int iterate(git_reference_iterator **ret_iterator, git_refdb_backend *base, const char *glob)
{
    (void)ret_iterator;
    (void)base;
    (void)glob;
    return refuse();
}

static int write_ref(git_refdb_backend *base, const git_reference *reference, int force,
                     const git_signature *who, const char *message, const git_oid *old,
                     const char *old_target)
{
    (void)base;
    (void)reference;
    (void)force;
    (void)who;
    (void)message;
    (void)old;
    (void)old_target;
    return refuse();
}

static int rename_ref(git_reference **ret_reference, git_refdb_backend *base, const char *old_name,
                      const char *new_name, int force, const git_signature *who,
                      const char *message)
{
    (void)ret_reference;
    (void)base;
    (void)old_name;
    (void)new_name;
    (void)force;
    (void)who;
    (void)message;
    return refuse();
}

static int delete_ref(git_refdb_backend *base, const char *name, const git_oid *old,
                      const char *old_target)
{
    (void)base;
    (void)name;
    (void)old;
    (void)old_target;
    return refuse();
}

static int change_log(git_refdb_backend *base, const char *name)
{
    (void)base;
    (void)name;
    return refuse();
}

static int write_log(git_refdb_backend *base, git_reflog *log)
{
    (void)base;
    (void)log;
    return refuse();
}

static int rename_log(git_refdb_backend *base, const char *old_name, const char *new_name)
{
    (void)base;
    (void)old_name;
    (void)new_name;
    return refuse();
}

static void free_backend(git_refdb_backend *base)
{
    struct backend *backend = backend_of(base);

    if (backend->files)
        backend->files->free(backend->files);
    free(backend);
}

static const git_refdb_backend functions = {
    .version = GIT_REFDB_BACKEND_VERSION,
    .exists = exists,
    .lookup = lookup,
    .iterator = iterate,
    .write = write_ref,
    .rename = rename_ref,
    .del = delete_ref,
    .has_log = has_log,
    .ensure_log = change_log,
    .free = free_backend,
    .reflog_read = read_log,
    .reflog_write = write_log,
    .reflog_rename = rename_log,
    .reflog_delete = change_log,
};

/* `*backend` is the database's, and becomes NULL, if that succeeds. */
static int attach(struct repository *repository, struct backend **backend)
{
    __attribute__((cleanup(cleanup_refs_scope))) git_refdb *refs = NULL;

    int r = git_refdb_backend_fs(&(*backend)->files, repository->handle);
    if (r == 0)
        r = git_refdb_new(&refs, repository->handle);
    if (r == 0)
        r = git_refdb_set_backend(refs, &(*backend)->base);
    if (r < 0)
        return r;
    *backend = NULL;
    return git_repository_set_refdb(repository->handle, refs);
}

int repository_refs_attach(struct repository *repository, struct error *error)
{
    struct backend *backend = calloc(1, sizeof(*backend));

    if (!backend)
        return error_errno(error, -ENOMEM, "%s", repository->path);
    backend->base = functions;
    backend->repository = repository;
    int r = attach(repository, &backend);
    if (backend)
        free_backend(&backend->base);
    return r < 0 ? error_set(error, source_git_failure(r), "%s: %s", repository->path,
                             source_git_message())
                 : 0;
}
