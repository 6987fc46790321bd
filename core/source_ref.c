#include "source_ref.h"

#include "source_regular.h"

#include "source_git.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <git2/sys/refs.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t ID_SIZE = GIT_OID_HEXSZ;

static int give(git_reference *reference, const char *name, git_reference **ret_reference,
                struct error *error)
{
    if (!reference)
        return error_errno(error, -ENOMEM, "%s", name);
    *ret_reference = reference;
    return 0;
}

static bool begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* Which of them each worktree has for itself (git-worktree(1), "Refs"). */
static bool is_of_worktree(const char *name)
{
    return !begins_with(name, "refs/") || begins_with(name, "refs/bisect/") ||
           begins_with(name, "refs/worktree/") || begins_with(name, "refs/rewritten/");
}

static bool is_valid(const char *name)
{
    int valid = 0;

    return git_reference_name_is_valid(&valid, name) == 0 && valid;
}

/* --- In a file of its own -----------------------------------------------------------------------
 */

static bool is_space(char letter)
{
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

/* As Git reads it (refs/files-backend.c, parse_loose_ref_contents). */
static int parse(const char *name, char *text, const char *path, git_reference **ret_reference,
                 struct error *error)
{
    git_oid id;

    if (begins_with(text, "ref:")) {
        char *target = text + strlen("ref:");
        while (is_space(*target))
            target++;
        size_t length = strlen(target);
        while (length > 0 && is_space(target[length - 1]))
            target[--length] = '\0';
        return give(git_reference__alloc_symbolic(name, target), name, ret_reference, error);
    }
    if (strlen(text) < ID_SIZE || git_oid_fromstrn(&id, text, ID_SIZE) < 0 ||
        (text[ID_SIZE] && !is_space(text[ID_SIZE])))
        return error_set(error, -EIO, "%s: damaged: neither an id nor the name of a ref", path);
    return give(git_reference__alloc(name, &id, NULL), name, ret_reference, error);
}

/* Up to `room` bytes; how many there are, or a negative errno. */
static ssize_t read_bytes(int fd, char *bytes, size_t room)
{
    size_t size = 0;

    while (size < room) {
        ssize_t n = pread(fd, bytes + size, room - size, (off_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t)n;
    }
    return (ssize_t)size;
}

/* Git before 1.0 made HEAD a symbolic link to "refs/heads/master", and Git still takes a link to
 * what may be a ref for a symbolic one: it may be packed. 0: it leads elsewhere. */
static int read_link(int folder, const char *name, git_reference **ret_reference,
                     struct error *error)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(folder, name, target, sizeof(target));

    if (length < 0 && errno != EINVAL && errno != ENOENT)
        return error_of_the_moment(error, -errno, "%s", name);
    if (length < 0 || (size_t)length == sizeof(target))
        return 0;
    target[length] = '\0';
    if (!begins_with(target, "refs/") || !is_valid(target))
        return 0;
    int r = give(git_reference__alloc_symbolic(name, target), name, ret_reference, error);
    return r < 0 ? r : 1;
}

static int look_loose(const struct ref_folder *folder, const char *name,
                      git_reference **ret_reference, struct error *error)
{
    char path[2 * PATH_MAX];
    char text[PATH_MAX + 8];
    cleanup_fd int fd = -1;
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    int r = regular_open_at(folder->fd, name, path, O_NOFOLLOW, &fd, &status, error);
    if (r == -ELOOP) {
        r = read_link(folder->fd, name, ret_reference, error);
        if (r != 0)
            return r < 0 ? r : 0;
        r = regular_open_at(folder->fd, name, path, 0, &fd, &status, error);
    }
    /* Names may begin with a folder's name. */
    if (r == -EISDIR || r == -ENAMETOOLONG)
        return -ENOENT;
    if (r < 0)
        return r == -ELOOP ? -EIO : r;
    ssize_t size = read_bytes(fd, text, sizeof(text) - 1);
    if (size < 0)
        return error_of_the_moment(error, (int)size, "%s", path);
    text[size] = '\0';
    return parse(name, text, path, ret_reference, error);
}

/* --- Anywhere -----------------------------------------------------------------------------------
 */

static int look_packed(struct ref_store *store, const char *const *names, size_t count,
                       size_t *ret_index, git_reference **ret_reference, struct error *error)
{
    struct error why;
    git_oid id;

    int r =
        packed_refs_find(&store->packed, &store->common_dir, names, count, ret_index, &id, &why);
    if (r < 0)
        return error_set(error, r, "%s: %s", names[count - 1], why.text);
    if (r == 0)
        return -ENOENT;
    const char *name = names[*ret_index];
    return give(git_reference__alloc(name, &id, NULL), name, ret_reference, error);
}

/*
 * packed-refs is asked when all the files have been found missing: what is packed is written there
 * before its own file goes. So once is enough, also for a name that comes before one that has a
 * file.
 */
int ref_lookup(struct ref_store *store, const char *const *names, size_t count, size_t *ret_index,
               git_reference **ret_reference, struct error *error)
{
    cleanup_reference git_reference *loose = NULL;
    struct error why = {0};
    size_t missing = 0;
    int of_loose = -ENOENT;

    for (; missing < count; missing++) {
        const char *name = names[missing];
        const struct ref_folder *folder =
            is_of_worktree(name) ? &store->git_dir : &store->common_dir;
        of_loose = is_valid(name) ? look_loose(folder, name, &loose, &why) : -ENOENT;
        if (of_loose != -ENOENT)
            break;
    }
    int r =
        missing > 0 ? look_packed(store, names, missing, ret_index, ret_reference, error) : -ENOENT;
    if (r != -ENOENT)
        return r;
    if (of_loose == -ENOENT)
        return error_errno(error, -ENOENT, "%s", names[0]);
    if (of_loose < 0) {
        if (error)
            *error = why;
        return of_loose;
    }
    *ret_index = missing;
    *ret_reference = steal_pointer(&loose);
    return 0;
}
