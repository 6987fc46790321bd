/* Opening the repository, for both backends; the only place that reads its configuration. */
#include "source_backend.h"

#include <errno.h>
#include <git2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *source_git_message(void)
{
    const git_error *last = git_error_last();

    return last && last->message ? last->message : "unknown error of libgit2";
}

static int explain_owner(const struct source *source, struct error *error)
{
    struct stat status = {0};

    (void)stat(source->path, &status);
    return error_set(
        error, -EPERM,
        "%s: the repository belongs to another user (uid %u): run addonfs as that user "
        "or as root, or allow it with: git config --global --add safe.directory '%s'",
        source->path, (unsigned)status.st_uid, source->path);
}

/* A folder inside a clone: say which folder to give. */
static int explain_not_found(const struct source *source, struct error *error)
{
    __attribute__((cleanup(git_buf_dispose))) git_buf found = {0};

    if (git_repository_discover(&found, source->path, 0, NULL) < 0)
        return error_set(error, -ENOTSUP,
                         "%s: not a Git repository: give the root of a clone or a bare repository",
                         source->path);
    size_t length = found.size;
    if (length > 6 && strcmp(found.ptr + length - 6, "/.git/") == 0)
        length -= 6;
    else if (length > 1 && found.ptr[length - 1] == '/')
        length--;
    /* libgit2 says "not found" of another user's repository if there is no user configuration. */
    if (strlen(source->path) == length && memcmp(source->path, found.ptr, length) == 0)
        return explain_owner(source, error);
    return error_set(error, -ENOTSUP,
                     "%s: a folder inside the Git repository %.*s: give the repository's root",
                     source->path, (int)length, found.ptr);
}

int source_repository_open(struct source *source, bool *ret_bare, struct error *error)
{
    cleanup_free char *dot_git = NULL;
    struct stat status;

    if (stat(source->path, &status) < 0)
        return error_errno(error, -errno, "%s", source->path);
    if (!S_ISDIR(status.st_mode))
        return error_errno(error, -ENOTDIR, "%s", source->path);
    int r = git_repository_open_ext(&source->repository, source->path,
                                    GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
    if (r == GIT_ENOTFOUND)
        return explain_not_found(source, error);
    if (r == GIT_EOWNER)
        return explain_owner(source, error);
    if (r < 0)
        return error_set(error, -ENOTSUP, "%s: cannot open the Git repository: %s", source->path,
                         source_git_message());
    if (asprintf(&dot_git, "%s/.git", source->path) < 0) {
        dot_git = NULL;
        return error_errno(error, -ENOMEM, "%s", source->path);
    }
    /* Not git_repository_is_bare: SOURCE is the root, whatever core.worktree and core.bare say. */
    *ret_bare = lstat(dot_git, &status) < 0;
    return 0;
}
