#include "source_ref.h"

#include "source_regular.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <git2/sys/refs.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static const size_t ID_SIZE = GIT_OID_HEXSZ;

static void close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

#define cleanup_file __attribute__((cleanup(close_file)))

static int give(git_reference *reference, const char *name, git_reference **ret_reference,
                struct error *error)
{
    if (!reference)
        return error_errno(error, -ENOMEM, "%s", name);
    *ret_reference = reference;
    return 0;
}

/* --- In a file of its own -----------------------------------------------------------------------
 */

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

static int look_loose(const char *folder, const char *name, git_reference **ret_reference,
                      struct error *error)
{
    cleanup_free char *path = path_join(folder, name);
    cleanup_file FILE *file = NULL;
    char text[PATH_MAX + 8];
    struct stat status;

    if (!path)
        return error_errno(error, -ENOMEM, "%s", name);
    /* Of a folder: names may begin with its name. */
    if (stat(path, &status) < 0 ? errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
                                : S_ISDIR(status.st_mode))
        return -ENOENT;
    int r = regular_open(path, &file, error);
    if (r < 0 || !file)
        return r < 0 ? r : -ENOENT;
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    if (ferror(file))
        return error_of_the_moment(error, -errno, "%s", path);
    text[size] = '\0';
    return parse(name, text, path, ret_reference, error);
}

/* --- In packed-refs -----------------------------------------------------------------------------
 */

void packed_refs_clear(struct packed_refs *refs)
{
    free(refs->text);
    *refs = (struct packed_refs){.text = NULL};
}

void packed_refs_begin(struct packed_refs *refs)
{
    refs->is_current = false;
}

static int read_packed(struct packed_refs *refs, const char *path, struct error *error)
{
    cleanup_file FILE *file = NULL;
    struct stat status;
    size_t room = 0;

    packed_refs_clear(refs);
    int r = regular_open(path, &file, error);
    if (r < 0)
        return r;
    if (!file) {
        refs->stamp = (struct stamp){0};
        refs->is_settled = true;
        return 0;
    }
    if (fstat(fileno(file), &status) < 0)
        return error_of_the_moment(error, -errno, "%s", path);
    bool is_settled = stamp_is_old(status.st_ctim);
    errno = 0;
    /* There is no NUL in it. */
    ssize_t size = getdelim(&refs->text, &room, '\0', file);
    if (size < 0 && !feof(file))
        return error_of_the_moment(error, errno ? -errno : -ENOMEM, "%s", path);
    refs->size = size > 0 ? (size_t)size : 0;
    refs->stamp = stamp_of(&status);
    refs->is_settled = is_settled;
    return 0;
}

/* Have it as it is now. */
static int renew(struct packed_refs *refs, const char *path, struct error *error)
{
    struct stat status;
    struct stamp now = {0};

    if (stat(path, &status) == 0)
        now = stamp_of(&status);
    else if (errno != ENOENT && errno != ENOTDIR)
        return error_of_the_moment(error, -errno, "%s", path);
    return refs->is_settled && stamp_is_same(&now, &refs->stamp) ? 0
                                                                 : read_packed(refs, path, error);
}

struct line {
    const char *begin;
    const char *end; /* its newline, or that of the text */
};

static struct line line_at(const char *begin, const char *end)
{
    const char *newline = memchr(begin, '\n', (size_t)(end - begin));

    return (struct line){begin, newline ? newline : end};
}

/* The commit of the tag before, or the header. */
static bool is_remark(const char *line)
{
    return *line == '^' || *line == '#';
}

/* How its name compares with `name`. False: it is no ref. */
static bool compare(struct line line, const char *name, int *ret_order)
{
    size_t length = strlen(name);
    git_oid id;

    if ((size_t)(line.end - line.begin) < ID_SIZE + 2 || line.begin[ID_SIZE] != ' ' ||
        git_oid_fromstrn(&id, line.begin, ID_SIZE) < 0)
        return false;
    size_t size = (size_t)(line.end - line.begin) - ID_SIZE - 1;
    int order = memcmp(line.begin + ID_SIZE + 1, name, size < length ? size : length);
    *ret_order = order ? order : (size > length) - (size < length);
    return true;
}

/* Where the line of a ref begins that `at` is in, or which a remark there is about. */
static const char *begin_of(const char *low, const char *at)
{
    for (;;) {
        const char *newline = memrchr(low, '\n', (size_t)(at - low));
        const char *begin = newline ? newline + 1 : low;
        if (begin == low || !is_remark(begin))
            return begin;
        at = newline;
    }
}

/* 1, and the line; 0: there is none; -EIO: one is no ref. */
static int search(const struct packed_refs *refs, const char *name, struct line *ret_line)
{
    static const char sorted[] = " sorted ";
    const char *low = refs->text;
    const char *high = refs->text + refs->size;
    struct line line = line_at(low, high);
    int order = 0;

    bool is_sorted = *low == '#' && memmem(line.begin, (size_t)(line.end - line.begin), sorted,
                                           sizeof(sorted) - 1);
    while (low < high) {
        line = line_at(is_sorted ? begin_of(low, low + (high - low) / 2) : low, high);
        const char *next = line.end < high ? line.end + 1 : high;
        if (is_remark(line.begin)) {
            low = next;
            continue;
        }
        if (!compare(line, name, &order))
            return -EIO;
        if (order == 0) {
            *ret_line = line;
            return 1;
        }
        if (is_sorted && order > 0)
            high = line.begin;
        else
            low = next;
    }
    return 0;
}

/* As `search`, of what may be of before this lookup: where it has no such name, the file is asked.
 */
static int search_file(struct packed_refs *refs, const char *path, const char *name,
                       struct line *ret_line, struct error *error)
{
    for (;;) {
        bool is_current = refs->is_current;
        int r = is_current ? 0 : renew(refs, path, error);
        if (r < 0)
            return r;
        refs->is_current = true;
        r = refs->size > 0 ? search(refs, name, ret_line) : 0;
        /* A name that is cut is another name, and one that is not there may have been behind it. */
        if (r < 0 || (r == 0 && refs->size > 0 && refs->text[refs->size - 1] != '\n') ||
            (r > 0 && ret_line->end == refs->text + refs->size))
            return error_set(error, -EIO, "%s: %s is damaged: a line is no ref", name, path);
        if (r > 0 || !is_current)
            return r;
        refs->is_current = false;
    }
}

static int look_packed(struct packed_refs *refs, const char *common_dir, const char *name,
                       git_reference **ret_reference, struct error *error)
{
    cleanup_free char *path = path_join(common_dir, "packed-refs");
    struct line line = {0};
    git_oid id;

    if (!path)
        return error_errno(error, -ENOMEM, "%s", name);
    int r = search_file(refs, path, name, &line, error);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    (void)git_oid_fromstrn(&id, line.begin, ID_SIZE);
    return give(git_reference__alloc(name, &id, NULL), name, ret_reference, error);
}

int ref_lookup(struct packed_refs *packed, const char *git_dir, const char *common_dir,
               const char *name, git_reference **ret_reference, struct error *error)
{
    int valid = 0;

    if (git_reference_name_is_valid(&valid, name) < 0 || !valid)
        return error_errno(error, -ENOENT, "%s", name);
    int r = look_loose(is_of_worktree(name) ? git_dir : common_dir, name, ret_reference, error);
    /* After that: what is packed is written there before its own file goes. */
    if (r == -ENOENT)
        r = look_packed(packed, common_dir, name, ret_reference, error);
    return r == -ENOENT ? error_errno(error, r, "%s", name) : r;
}
