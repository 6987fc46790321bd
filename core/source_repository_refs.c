/* Refs by name: where they are, and what they lead to. */
#include "source_repository.h"

#include "source_libgit2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int open_root(struct resolve_root *root, const char *path, struct ref_folder *ret_folder,
                     struct error *error)
{
    int r = resolve_begin(root, path);

    if (r < 0)
        return error_errno(error, r, "%s", path);
    *ret_folder = (struct ref_folder){root->fd, path};
    return 0;
}

static bool is_linked(const struct repository *repository)
{
    return strcmp(repository->git_dir, repository->common_dir) != 0;
}

int repository_refs_open(struct repository *repository, struct error *error)
{
    struct ref_store *refs = &repository->refs;
    int r = open_root(&repository->common_root, repository->common_dir, &refs->common_dir, error);

    refs->git_dir = refs->common_dir;
    return r < 0 || !is_linked(repository)
               ? r
               : open_root(&repository->git_root, repository->git_dir, &refs->git_dir, error);
}

static int renew_root(struct resolve_root *root, const char *path, struct error *error)
{
    struct stat status;

    int r = resolve_renew(root, path);
    if (r < 0 && r != -ENOENT && r != -EPERM)
        return error_of_the_moment(error, r, "%s", path);
    if (!root->is_away)
        return 0;
    int code = stat(path, &status) < 0 ? errno : 0;
    bool is_absent = code == ENOENT || code == ENOTDIR || code == ELOOP;
    if (code != 0 && !is_absent)
        return error_set(error, error_is_transient(-code) ? -code : -EIO, "%s: %s", path,
                         strerror(code));
    return error_set(error, -EIO, "%s: there is no repository%s", path,
                     code == 0 && S_ISDIR(status.st_mode)
                         ? " any more that may be shown, but another user's, one that a link leads "
                           "to, or one on another file system: mount it again"
                         : "");
}

int repository_refs_begin(struct repository *repository, struct error *error)
{
    git_error_clear();
    repository->refs_fault.code = 0;
    reader_renew(repository->reader);
    packed_refs_begin(&repository->refs.packed);
    int r = renew_root(&repository->common_root, repository->common_dir, error);
    if (r == 0 && is_linked(repository))
        r = renew_root(&repository->git_root, repository->git_dir, error);
    return r;
}

bool repository_is_there(const struct repository *repository, struct error *error)
{
    struct stat status;

    /* It may be a link to a branch that has no commit yet. */
    if (fstatat(repository->refs.git_dir.fd, "HEAD", &status, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    error_set(error, -EIO, "%s: %s", repository->git_dir,
              errno == ENOENT || errno == ENOTDIR ? "there is no repository" : strerror(errno));
    return false;
}

int repository_reference_lookup(struct repository *repository, const char *name,
                                git_reference **ret_reference, struct error *error)
{
    size_t index;

    return ref_lookup(&repository->refs, &name, 1, &index, ret_reference, error);
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

/* --- What a user calls it -----------------------------------------------------------------------
 */

/* gitrevisions(7), <refname> */
static const char *const places[][2] = {{"", ""},
                                        {"refs/", ""},
                                        {"refs/tags/", ""},
                                        {"refs/heads/", ""},
                                        {"refs/remotes/", ""},
                                        {"refs/remotes/", "/HEAD"}};
enum {
    PLACES = sizeof(places) / sizeof(places[0]),
    REMOTE_PLACES = 2, /* the last */
};

struct guesses {
    char *names[PLACES];
    size_t count;
};

static void guesses_clear(struct guesses *guesses)
{
    while (guesses->count > 0)
        free(guesses->names[--guesses->count]);
}

static int guess(const char *name, struct guesses *ret_guesses)
{
    /* What lies there beside refs/ is no ref, but for HEAD and its like. */
    bool is_beside = strchr(name, '/') && strncmp(name, "refs/", 5) != 0;

    for (size_t i = is_beside ? 1 : 0; i < PLACES; i++) {
        char **at = &ret_guesses->names[ret_guesses->count];
        if (asprintf(at, "%s%s%s", places[i][0], name, places[i][1]) < 0)
            return -ENOMEM;
        ret_guesses->count++;
    }
    return 0;
}

int repository_reference_guess(struct repository *repository, const char *name, git_oid *ret_object,
                               struct error *error)
{
    __attribute__((cleanup(guesses_clear))) struct guesses guesses = {.count = 0};
    int r = guess(name, &guesses);

    if (r < 0)
        return error_errno(error, r, "%s", name);
    size_t ours = guesses.count - REMOTE_PLACES;
    for (size_t at = 0, index = 0; at < guesses.count;) {
        cleanup_reference git_reference *reference = NULL;
        const char *const *names = (const char *const *)guesses.names + at;
        /* Most are ours: then the others need not be looked for, not even where all are packed. */
        size_t end = at < ours ? ours : guesses.count;
        r = ref_lookup(&repository->refs, names, end - at, &index, &reference, error);
        if (r == 0)
            r = repository_reference_follow(repository, &reference, ret_object, error);
        else
            index = end - at - 1;
        if (r != -ENOENT)
            return r;
        /* One that leads nowhere is none: on with those behind it. */
        at += index + 1;
    }
    return error_errno(error, -ENOENT, "%s", name);
}
