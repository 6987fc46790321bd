#include "source_repository.h"

#include "source_libgit2.h"
#include "source_regular.h"

#include <addonfs/path.h>
#include <errno.h>
#include <git2/sys/refdb_backend.h>
#include <git2/sys/repository.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

CLEANUP(refs, git_refdb *, git_refdb_free)

/*
 * Look at packed-refs as it is now. 1: libgit2 knows it. 0: it may have read it since, or before it
 * was written. -EIO: it is no file.
 */
static int look_at_packed(const struct repository *repository, struct stamp *ret_now,
                          struct error *error)
{
    cleanup_free char *path = path_join(repository->common_dir, "packed-refs");
    struct stat status = {0};

    if (!path)
        return error_errno(error, -ENOMEM, "%s", repository->common_dir);
    if (stat(path, &status) < 0) {
        if (errno != ENOENT)
            return 0;
    } else if (!S_ISREG(status.st_mode)) {
        return regular_check_mode(path, status.st_mode, error);
    }
    *ret_now = stamp_of(&status);
    return stamp_is_same(ret_now, &repository->packed) && stamp_is_old(status.st_ctim);
}

int repository_refs_begin(struct repository *repository, struct error *error)
{
    __attribute__((cleanup(cleanup_refs_scope))) git_refdb *refs = NULL;
    struct stamp packed = {0};

    git_error_clear();
    reader_renew(repository->reader);
    int r = look_at_packed(repository, &packed, error);
    if (r < 0 || (r > 0 && !repository->refs_failed))
        return r < 0 ? r : 0;
    r = git_refdb_open(&refs, repository->handle);
    if (r == 0)
        r = git_repository_set_refdb(repository->handle, refs);
    if (r < 0)
        return repository_refs_failure(repository, r, repository->path, error);
    repository->refs_failed = false;
    repository->packed = packed;
    return 0;
}

bool repository_is_there(const struct repository *repository, struct error *error)
{
    cleanup_free char *head = path_join(repository->git_dir, "HEAD");
    struct stat status;

    /* It may be a link to a branch that has no commit yet. */
    if (head && lstat(head, &status) == 0)
        return true;
    int code = head ? errno : ENOMEM;
    bool is_absent = code == ENOENT || code == ENOTDIR;
    error_set(error, -EIO, "%s: %s", repository->git_dir,
              is_absent ? "there is no repository" : strerror(code));
    return false;
}

int repository_refs_failure(struct repository *repository, int code, const char *name,
                            struct error *error)
{
    repository->refs_failed = true;
    return error_set(error, source_git_failure(code), "%s: %s", name, source_git_message());
}

int repository_reference_lookup(struct repository *repository, const char *name,
                                git_reference **ret_reference, struct error *error)
{
    int valid = 0;
    int r;

    /* Before it is a path: `..` in it would lead anywhere. */
    if (git_reference_name_is_valid(&valid, name) < 0 || !valid)
        return error_errno(error, -ENOENT, "%s", name);
    /* Some are each worktree's own, and libgit2 knows which. */
    r = regular_check(repository->common_dir, name, error);
    if (r == 0 && strcmp(repository->git_dir, repository->common_dir) != 0)
        r = regular_check(repository->git_dir, name, error);
    if (r < 0)
        return r;
    r = git_reference_lookup(ret_reference, repository->handle, name);
    if (r == GIT_EINVALIDSPEC || r == GIT_ENOTFOUND)
        return error_errno(error, -ENOENT, "%s", name);
    return r < 0 ? repository_refs_failure(repository, r, name, error) : 0;
}

int repository_reference_follow(struct repository *repository, git_reference **reference,
                                git_oid *ret_object, struct error *error)
{
    enum { STEPS = 10 }; /* as libgit2: MAX_NESTING_LEVEL */
    cleanup_free char *name = strdup(git_reference_name(*reference));
    int r = 0;

    for (int i = 0; name && i <= STEPS; i++) {
        git_reference *next = NULL;
        const git_oid *object = git_reference_target(*reference);
        if (object) {
            *ret_object = *object;
            return 0;
        }
        r = repository_reference_lookup(repository, git_reference_symbolic_target(*reference),
                                        &next, error);
        if (r < 0)
            break;
        git_reference_free(*reference);
        *reference = next;
    }
    if (!name)
        return error_errno(error, -ENOMEM, "%s", git_reference_name(*reference));
    return r < 0 && r != -ENOENT ? r : error_set(error, -ENOENT, "%s: leads nowhere", name);
}

int repository_reference_guess(struct repository *repository, const char *name, git_oid *ret_object,
                               struct error *error)
{
    /* gitrevisions(7), <refname> */
    static const char *const places[][2] = {{"", ""},
                                            {"refs/", ""},
                                            {"refs/tags/", ""},
                                            {"refs/heads/", ""},
                                            {"refs/remotes/", ""},
                                            {"refs/remotes/", "/HEAD"}};
    int r = -ENOENT;

    for (size_t i = 0; r == -ENOENT && i < sizeof(places) / sizeof(places[0]); i++) {
        cleanup_reference git_reference *reference = NULL;
        cleanup_free char *whole = NULL;
        if (asprintf(&whole, "%s%s%s", places[i][0], name, places[i][1]) < 0) {
            whole = NULL;
            return error_errno(error, -ENOMEM, "%s", name);
        }
        r = repository_reference_lookup(repository, whole, &reference, error);
        if (r == 0)
            r = repository_reference_follow(repository, &reference, ret_object, error);
    }
    return r;
}
