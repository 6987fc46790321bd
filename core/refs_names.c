#include "refs_names.h"

#include <addonfs/path.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * libgit2 lists names too, but leaves out, without a word, those of refs that it cannot read at the
 * moment, and of all after a folder that it cannot enter; it follows links in circles, and walks
 * all that there are to find one. So those that lie in files of their own, and those in the file
 * packed-refs (gitrepository-layout(5)), are listed here.
 */

/* Each folder takes a descriptor while it is looked into: one that is deeper is said to have files.
 */
enum { DEPTH_LIMIT = 40 };

struct listing {
    struct repository *repository;
    const char *prefix; /* "refs/tags/feature/" */
    struct ref_names names;
    size_t capacity;
    struct error *error;
};

static int fail(const struct listing *listing, int code)
{
    return error_of_the_moment(listing->error, code, "%s", listing->prefix);
}

/* Add the name, unless it is the one that was added last. */
static int add_name(struct listing *listing, const char *name, size_t length, bool folder)
{
    struct ref_names *names = &listing->names;
    const struct ref_name *last = names->count > 0 ? &names->items[names->count - 1] : NULL;

    if (last && last->is_folder == folder && strncmp(last->name, name, length) == 0 &&
        last->name[length] == '\0')
        return 0;
    if (names->count == listing->capacity) {
        size_t more = listing->capacity ? 2 * listing->capacity : 32;
        struct ref_name *items = reallocarray(names->items, more, sizeof(*items));
        if (!items)
            return fail(listing, -ENOMEM);
        names->items = items;
        listing->capacity = more;
    }
    names->items[names->count] = (struct ref_name){strndup(name, length), folder};
    return names->items[names->count++].name ? 0 : fail(listing, -ENOMEM);
}

/* May a file of that name be a ref? */
static bool is_name(const char *prefix, const char *name)
{
    size_t length = strlen(name);
    char whole[PATH_MAX];
    int valid = 0;

    if (length > 5 && strcmp(name + length - 5, ".lock") == 0)
        return false;
    return snprintf(whole, sizeof(whole), "%s%s", prefix, name) < (int)sizeof(whole) &&
           git_reference_name_is_valid(&valid, whole) == 0 && valid;
}

static bool is_folder_entry(int directory, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    return fstatat(directory, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

static int open_folder(int directory, const char *path, int flags, DIR **ret_stream)
{
    int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

    *ret_stream = fd < 0 ? NULL : fdopendir(fd);
    if (*ret_stream)
        return 0;
    int code = -errno;
    if (fd >= 0)
        close(fd);
    return code;
}

static int has_files(const struct listing *listing, DIR *stream, char prefix[static PATH_MAX],
                     int depth);

/*
 * The same of a folder in `directory`. A link may be followed into one, but none below that: they
 * may lead in circles.
 */
static int has_files_below(const struct listing *listing, int directory, const char *name,
                           char prefix[static PATH_MAX], int depth)
{
    size_t length = strlen(prefix);
    DIR *stream = NULL;

    if (depth > DEPTH_LIMIT)
        return 1;
    if (length + strlen(name) + 2 > PATH_MAX)
        return 0;
    int r = open_folder(directory, name, depth > 1 ? O_NOFOLLOW : 0, &stream);
    if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
        return 0;
    if (r < 0)
        return fail(listing, r);
    snprintf(prefix + length, PATH_MAX - length, "%s/", name);
    r = has_files(listing, stream, prefix, depth);
    prefix[length] = '\0';
    closedir(stream);
    return r;
}

/* Is any file in the folder, or further down? Git leaves empty folders behind. 1 or 0. */
static int has_files(const struct listing *listing, DIR *stream, char prefix[static PATH_MAX],
                     int depth)
{
    int r = 0;

    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            return errno != 0 ? fail(listing, -errno) : 0;
        if (entry->d_name[0] == '.')
            continue;
        r = is_folder_entry(dirfd(stream), entry)
                ? has_files_below(listing, dirfd(stream), entry->d_name, prefix, depth + 1)
                : is_name(prefix, entry->d_name);
    }
    return r;
}

/* The folder of the listing's prefix. -ENOENT: there is none. */
static int open_prefix(const struct listing *listing, DIR **ret_stream)
{
    int r = open_folder(listing->repository->refs.common_dir.fd, listing->prefix, 0, ret_stream);

    if (r == -ENOENT || r == -ENOTDIR)
        return -ENOENT;
    return r < 0 ? fail(listing, r) : 0;
}

static int list_loose(struct listing *listing)
{
    char prefix[PATH_MAX];
    DIR *stream = NULL;

    int r = open_prefix(listing, &stream);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    snprintf(prefix, sizeof(prefix), "%s", listing->prefix);
    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = errno != 0 ? fail(listing, -errno) : 0;
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        bool folder = is_folder_entry(dirfd(stream), entry);
        int shown = folder ? has_files_below(listing, dirfd(stream), entry->d_name, prefix, 1)
                           : is_name(prefix, entry->d_name);
        r = shown > 0 ? add_name(listing, entry->d_name, strlen(entry->d_name), folder) : shown;
    }
    closedir(stream);
    return r;
}

/* Each name in packed-refs that begins with the listing's prefix, and which Git could have made. */
static int each_packed(struct listing *listing, int (*take)(void *context, const char *name))
{
    struct ref_store *refs = &listing->repository->refs;

    return packed_refs_each(&refs->packed, &refs->common_dir, listing->prefix, take, listing,
                            listing->error);
}

static bool is_whole_name(const char *name)
{
    int valid = 0;

    return git_reference_name_is_valid(&valid, name) == 0 && valid;
}

static int add_packed(void *context, const char *name)
{
    struct listing *listing = context;
    const char *rest = name + strlen(listing->prefix);
    size_t length = strcspn(rest, "/");

    return is_whole_name(name) ? add_name(listing, rest, length, rest[length] == '/') : 0;
}

static int answer_one(void *context, const char *name)
{
    (void)context;
    return is_whole_name(name);
}

static int compare_names(const void *a, const void *b)
{
    const struct ref_name *left = a;
    const struct ref_name *right = b;

    return strcmp(left->name, right->name);
}

/* Each once; what is both a folder and a name (which Git does not allow) is a folder. */
static void sort(struct ref_names *names)
{
    size_t kept = 0;

    if (names->count > 0)
        qsort(names->items, names->count, sizeof(*names->items), compare_names);
    for (size_t i = 0; i < names->count; i++) {
        if (kept > 0 && strcmp(names->items[kept - 1].name, names->items[i].name) == 0) {
            names->items[kept - 1].is_folder |= names->items[i].is_folder;
            free(names->items[i].name);
        } else {
            names->items[kept++] = names->items[i];
        }
    }
    names->count = kept;
}

void ref_names_clear(struct ref_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i].name);
    free(names->items);
    *names = (struct ref_names){0};
}

int refs_names_list(struct repository *repository, const char *prefix, struct ref_names *ret_names,
                    struct error *error)
{
    struct listing listing = {.repository = repository, .prefix = prefix, .error = error};
    int r = list_loose(&listing);

    /* After that: what is packed is written there before its own file goes. */
    if (r == 0)
        r = each_packed(&listing, add_packed);
    if (r == 0)
        sort(&listing.names);
    if (r < 0)
        ref_names_clear(&listing.names);
    else
        *ret_names = listing.names;
    return r;
}

int refs_names_exist(struct repository *repository, const char *prefix, struct error *error)
{
    struct listing listing = {.repository = repository, .prefix = prefix, .error = error};
    char path[PATH_MAX];
    DIR *stream = NULL;

    int r = open_prefix(&listing, &stream);
    if (r == 0) {
        snprintf(path, sizeof(path), "%s", prefix);
        r = has_files(&listing, stream, path, 1);
        closedir(stream);
    }
    return r == 0 || r == -ENOENT ? each_packed(&listing, answer_one) : r;
}
