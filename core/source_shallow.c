#include "source_shallow.h"

#include "source_regular.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return git_oid_cmp(a, b);
}

static int add(struct shallow *shallow, const git_oid *commit)
{
    /* It grows whenever there are as many as a power of two. */
    if ((shallow->count & (shallow->count - 1)) == 0) {
        size_t room = shallow->count ? 2 * shallow->count : 1;
        git_oid *commits = reallocarray(shallow->commits, room, sizeof(*commits));
        if (!commits)
            return -ENOMEM;
        shallow->commits = commits;
    }
    shallow->commits[shallow->count++] = *commit;
    return 0;
}

/* What lasts, such as a file that may not be read, is a problem, with which the rest can be had. */
static int fail(int code, const char *path, struct error *error)
{
    char text[128];

    return error_is_transient(code)
               ? error_errno(error, code, "%s", path)
               : error_set(error, -EIO, "%s: %s", path, strerror_r(-code, text, sizeof(text)));
}

static int read_list(const char *path, struct shallow *shallow, struct sha256 *sha256,
                     struct error *error)
{
    cleanup_free char *line = NULL;
    size_t room = 0;
    ssize_t size;
    git_oid commit;
    struct error why = {0};
    FILE *file;

    int r = regular_open(path, &file, &why);
    if (r < 0)
        return error_set(error, r == -EAGAIN ? -EIO : r, "%s", why.text);
    if (!file)
        return 0;
    errno = 0;
    while (r == 0 && (size = getline(&line, &room, file)) > 0) {
        sha256_update(sha256, line, (size_t)size);
        line[strcspn(line, "\r\n")] = '\0';
        if (strlen(line) != GIT_OID_HEXSZ || git_oid_fromstr(&commit, line) < 0)
            r = error_set(error, -EIO, "%s: damaged: a line is no commit's id", path);
        else if (add(shallow, &commit) < 0)
            r = error_errno(error, -ENOMEM, "%s", path);
        errno = 0;
    }
    /* Without memory getline ends too, and the stream has neither failed nor ended. */
    if (r == 0 && !feof(file))
        r = fail(errno ? -errno : -ENOMEM, path, error);
    fclose(file);
    return r;
}

int shallow_read(const char *common_dir, struct shallow *ret_shallow, struct error *error)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    cleanup_free char *path = path_join(common_dir, "shallow");
    struct shallow shallow = {.count = 0};

    int r = path && sha256 ? read_list(path, &shallow, sha256, error)
                           : error_errno(error, -ENOMEM, "%s/shallow", common_dir);
    if (r < 0) {
        shallow_clear(&shallow);
        return r;
    }
    if (shallow.count > 0)
        qsort(shallow.commits, shallow.count, sizeof(git_oid), compare);
    sha256_final(sha256, &shallow.id);
    shallow_clear(ret_shallow);
    *ret_shallow = shallow;
    return 0;
}

void shallow_clear(struct shallow *shallow)
{
    free(shallow->commits);
    shallow->commits = NULL;
    shallow->count = 0;
}

bool shallow_cuts(const struct shallow *shallow, const git_oid *commit)
{
    return shallow->count > 0 &&
           bsearch(commit, shallow->commits, shallow->count, sizeof(git_oid), compare);
}
