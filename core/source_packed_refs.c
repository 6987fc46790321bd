#include "source_packed_refs.h"

#include "source_regular.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char NAME[] = "packed-refs";

enum {
    ID_SIZE = GIT_OID_HEXSZ,
    LINE_LIMIT = ID_SIZE + 1 + PATH_MAX, /* no longer name is one of a file */
    PIECE = 1 << 20, /* what is read before its lines are looked at: not all of a file of none */
};

void packed_refs_clear(struct packed_refs *refs)
{
    free(refs->text);
    free(refs->lines);
    *refs = (struct packed_refs){.text = NULL};
}

void packed_refs_begin(struct packed_refs *refs)
{
    refs->is_current = false;
}

/* --- Reading ------------------------------------------------------------------------------------
 */

/* Whose line begins at `at`. It ends with a newline, which is less than any byte of a name. */
static const char *name_at(const struct packed_refs *refs, uint32_t at)
{
    return refs->text + at + ID_SIZE + 1;
}

static int compare_names(const char *a, const char *b)
{
    while (*a == *b && *a != '\n') {
        a++;
        b++;
    }
    return ((unsigned char)*a > (unsigned char)*b) - ((unsigned char)*a < (unsigned char)*b);
}

/* For qsort_r(3). Of those of one name the first in the file counts. */
static int compare_lines(const void *a, const void *b, void *context)
{
    const struct packed_refs *refs = context;
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    int order = compare_names(name_at(refs, left), name_at(refs, right));

    return order ? order : (left > right) - (left < right);
}

static bool is_id(const char *text)
{
    git_oid id;

    return git_oid_fromstrn(&id, text, ID_SIZE) == 0;
}

/* What is wrong with the line, or NULL. */
static const char *fault_of(const char *line, size_t length)
{
    if (length > LINE_LIMIT)
        return "is too long";
    /* The header; the object of the tag before. */
    if (*line == '#')
        return NULL;
    if (*line == '^')
        return length == ID_SIZE + 1 && is_id(line + 1) ? NULL : "is no ref";
    if (length < ID_SIZE + 2 || line[ID_SIZE] != ' ' || !is_id(line))
        return "is no ref";
    for (size_t i = ID_SIZE + 1; i < length; i++) {
        if ((unsigned char)line[i] <= ' ' || line[i] == 0x7f)
            return line[i] == '\r' ? "ends as in a text of Windows (CR)" : "is no ref";
    }
    return NULL;
}

static int add_line(struct packed_refs *refs, size_t at)
{
    if (refs->count == refs->room) {
        size_t room = refs->room ? 2 * refs->room : 64;
        uint32_t *lines = reallocarray(refs->lines, room, sizeof(*lines));
        if (!lines)
            return -ENOMEM;
        refs->lines = lines;
        refs->room = room;
    }
    refs->lines[refs->count++] = (uint32_t)at;
    return 0;
}

/* The lines from `*at` on that are whole; then that is behind them. -EIO: one is none. */
static int take_lines(struct packed_refs *refs, const char *path, size_t *at, bool *is_sorted,
                      struct error *error)
{
    for (;;) {
        const char *line = refs->text + *at;
        size_t left = refs->size - *at;
        const char *newline = memchr(line, '\n', left);
        if (!newline && left <= LINE_LIMIT)
            return 0;
        size_t length = newline ? (size_t)(newline - line) : left;
        const char *fault = length == 0 ? "is empty" : fault_of(line, length);
        if (fault)
            return error_set(error, -EIO, "%s: damaged: the line at byte %zu %s", path, *at, fault);
        bool is_ref = *line != '#' && *line != '^';
        if (is_ref && add_line(refs, *at) < 0)
            return error_errno(error, -ENOMEM, "%s", path);
        if (is_ref && refs->count > 1 &&
            compare_names(name_at(refs, refs->lines[refs->count - 2]), line + ID_SIZE + 1) >= 0)
            *is_sorted = false;
        *at += length + 1;
    }
}

static ssize_t read_piece(int fd, char *bytes, size_t size, off_t offset)
{
    ssize_t n;

    do
        n = pread(fd, bytes, size, offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* All of the `size` bytes, and where its lines are. */
static int read_text(struct packed_refs *refs, int fd, size_t size, const char *path,
                     struct error *error)
{
    bool is_sorted = true;
    size_t taken = 0;
    int r = 0;

    /* With an end to it, for what compares texts. */
    refs->text = calloc(1, size + 1);
    if (!refs->text)
        return error_errno(error, -ENOMEM, "%s", path);
    while (r == 0 && refs->size < size) {
        size_t left = size - refs->size;
        ssize_t n =
            read_piece(fd, refs->text + refs->size, left < PIECE ? left : PIECE, (off_t)refs->size);
        if (n < 0)
            return error_of_the_moment(error, (int)n, "%s", path);
        /* What is not there may have been behind it. */
        if (n == 0)
            return error_set(error, -EAGAIN, "%s: was cut while it was read", path);
        refs->size += (size_t)n;
        r = take_lines(refs, path, &taken, &is_sorted, error);
    }
    /* A name that is cut is another name. */
    if (r == 0 && taken < size)
        r = error_set(error, -EIO, "%s: damaged: its last line has no end", path);
    if (r == 0 && !is_sorted)
        qsort_r(refs->lines, refs->count, sizeof(*refs->lines), compare_lines, refs);
    return r;
}

static int read_file(struct packed_refs *refs, const struct ref_folder *folder, const char *path,
                     struct error *error)
{
    cleanup_fd int fd = -1;
    struct stat status;
    struct error why = {0};

    packed_refs_clear(refs);
    int r = regular_open_at(folder->fd, NAME, path, 0, &fd, &status, error);
    if (r == -ENOENT) {
        refs->is_settled = true;
        return 0;
    }
    if (r < 0)
        return r == -EISDIR || r == -ELOOP ? -EIO : r;
    bool is_settled = stamp_is_old(status.st_ctim);
    size_t size = (size_t)status.st_size;
    if (status.st_size > (off_t)PACKED_REFS_LIMIT)
        r = error_set(&why, -EIO, "%s: larger than %zu MiB, which is not read", path,
                      PACKED_REFS_LIMIT >> 20);
    else if (size > 0)
        r = read_text(refs, fd, size, path, &why);
    if (r < 0) {
        packed_refs_clear(refs);
        if (error)
            *error = why;
    }
    if (r < 0 && r != -EIO)
        return r;
    /* What is damaged is so until it is another. */
    if (r < 0) {
        refs->damage = why;
        refs->damage.code = r;
    }
    refs->stamp = stamp_of(&status);
    refs->is_settled = is_settled;
    return r;
}

/* Have it as it is now; within a question a stamp that is not trusted yet is taken for true. */
static int renew(struct packed_refs *refs, const struct ref_folder *folder, const char *path,
                 struct error *error)
{
    struct stat status;
    struct stamp now = {0};

    if (fstatat(folder->fd, NAME, &status, 0) == 0)
        now = stamp_of(&status);
    else if (errno != ENOENT && errno != ENOTDIR)
        return error_of_the_moment(error, -errno, "%s", path);
    if (!(refs->is_settled || refs->is_current) || !stamp_is_same(&now, &refs->stamp))
        return read_file(refs, folder, path, error);
    if (refs->damage.code < 0 && error)
        *error = refs->damage;
    return refs->damage.code;
}

/* The same; the question is about what is there from now on. */
static int make_current(struct packed_refs *refs, const struct ref_folder *folder,
                        struct error *error)
{
    char path[PATH_MAX + sizeof(NAME) + 1];

    snprintf(path, sizeof(path), "%s/%s", folder->path, NAME);
    int r = renew(refs, folder, path, error);
    refs->is_current = r == 0;
    return r;
}

/* --- Finding ------------------------------------------------------------------------------------
 */

/* How the name of a line compares with `name`. */
static int compare_with(const char *of_line, const char *name)
{
    while (*of_line == *name && *name != '\0') {
        of_line++;
        name++;
    }
    if (*name == '\0')
        return *of_line != '\n';
    return *of_line == '\n' || (unsigned char)*of_line < (unsigned char)*name ? -1 : 1;
}

/* Which is the first that is not less. */
static size_t lower_bound(const struct packed_refs *refs, const char *name)
{
    size_t low = 0;
    size_t high = refs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_with(name_at(refs, refs->lines[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool find(const struct packed_refs *refs, const char *name, git_oid *ret_id)
{
    size_t at = lower_bound(refs, name);

    return at < refs->count && compare_with(name_at(refs, refs->lines[at]), name) == 0 &&
           git_oid_fromstrn(ret_id, refs->text + refs->lines[at], ID_SIZE) == 0;
}

int packed_refs_find(struct packed_refs *refs, const struct ref_folder *folder,
                     const char *const *names, size_t count, size_t *ret_index, git_oid *ret_id,
                     struct error *error)
{
    for (;;) {
        /* What may be of before is asked again if it has none of them. */
        bool was_current = refs->is_current;
        int r = make_current(refs, folder, error);
        if (r < 0)
            return r;
        for (size_t i = 0; i < count; i++) {
            if (find(refs, names[i], ret_id)) {
                *ret_index = i;
                return 1;
            }
        }
        if (!was_current)
            return 0;
        refs->is_current = false;
    }
}

int packed_refs_each(struct packed_refs *refs, const struct ref_folder *folder, const char *prefix,
                     int (*take)(void *context, const char *name), void *context,
                     struct error *error)
{
    size_t length = strlen(prefix);

    refs->is_current = false;
    int r = make_current(refs, folder, error);

    for (size_t i = r == 0 ? lower_bound(refs, prefix) : 0; r == 0 && i < refs->count; i++) {
        const char *name = name_at(refs, refs->lines[i]);
        char copy[PATH_MAX + 1];
        if (strncmp(name, prefix, length) != 0)
            break;
        size_t size = (size_t)((const char *)rawmemchr(name, '\n') - name);
        memcpy(copy, name, size);
        copy[size] = '\0';
        r = take(context, copy);
    }
    return r;
}
