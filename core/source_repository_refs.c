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

static int check_packed(const struct repository *repository, struct error *error)
{
    cleanup_free char *path = path_join(repository->common_dir, "packed-refs");
    struct stat status;

    if (!path)
        return error_errno(error, -ENOMEM, "%s", repository->common_dir);
    return stat(path, &status) < 0 ? 0 : regular_check_mode(path, status.st_mode, error);
}

int repository_refs_begin(struct repository *repository, struct error *error)
{
    git_error_clear();
    reader_renew(repository->reader);
    packed_refs_begin(&repository->packed);
    return check_packed(repository, error);
}

int repository_refs_renew(struct repository *repository, struct error *error)
{
    __attribute__((cleanup(cleanup_refs_scope))) git_refdb *refs = NULL;

    int r = git_refdb_open(&refs, repository->handle);
    if (r == 0)
        r = git_repository_set_refdb(repository->handle, refs);
    return r < 0 ? repository_refs_failure(r, repository->path, error) : 0;
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

int repository_refs_failure(int code, const char *name, struct error *error)
{
    return error_set(error, source_git_failure(code), "%s: %s", name, source_git_message());
}

int repository_reference_lookup(struct repository *repository, const char *name,
                                git_reference **ret_reference, struct error *error)
{
    return ref_lookup(&repository->packed, repository->git_dir, repository->common_dir, name,
                      ret_reference, error);
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
        /* What lies there beside refs/ is no ref, but for HEAD and its like. */
        if (i == 0 && strchr(name, '/') && strncmp(name, "refs/", 5) != 0)
            continue;
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
