#include "source_backend.h"
#include "source_commit.h"
#include "source_regular.h"

#include <addonfs/path.h>
#include <addonfs/refs.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *prefix_of(enum refs_kind kind)
{
    return kind == REFS_BRANCHES ? "refs/heads/" : "refs/tags/";
}

static void fill(const struct commit *commit, struct ref *ret_ref)
{
    *ret_ref = (struct ref){.time = commit->time};
    git_oid_tostr(ret_ref->commit, sizeof(ret_ref->commit), &commit->id);
}

/* The commit that a ref's object is, or a tag of. -ENOENT: none. */
static int take_object(struct repository *repository, const git_oid *object, const char *name,
                       struct ref *ret_ref, struct error *error)
{
    cleanup_free struct commit *commit = NULL;

    reader_begin(repository->reader);
    int r = commit_peel(repository->reader, object, name, &commit, error);
    if (r == 0)
        fill(commit, ret_ref);
    return r;
}

/* The commit that a ref leads to. -ENOENT: none, as that of a symbolic one that leads nowhere. */
static int take_reference(struct repository *repository, const char *name,
                          git_reference **reference, struct ref *ret_ref, struct error *error)
{
    git_oid object;
    int r = repository_reference_follow(repository, reference, &object, error);

    return r < 0 ? r : take_object(repository, &object, name, ret_ref, error);
}

/* Look a ref up by its whole name. -ENOENT: there is none. */
static int find_reference(struct repository *repository, const char *name,
                          git_reference **ret_reference, struct error *error)
{
    int r = repository_refs_begin(repository, error);

    return r < 0 ? r : repository_reference_lookup(repository, name, ret_reference, error);
}

/* The whole name of what is asked for: "refs/heads/feature/x", and `end`. */
static int whole_name(enum refs_kind kind, const char *path, const char *end,
                      char ret_name[static PATH_MAX], struct error *error)
{
    /* No component of a name begins with a dot (git-check-ref-format(1)). */
    for (const char *at = path; *path && at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        if (*at == '.' || *at == '/' || *at == '\0')
            return error_errno(error, -ENOENT, "%s", path);
    }
    int length = snprintf(ret_name, PATH_MAX, "%s%s%s", prefix_of(kind), path, *path ? end : "");
    return length < PATH_MAX ? 0 : error_errno(error, -ENAMETOOLONG, "%s", path);
}

/* --- Names --------------------------------------------------------------------------------------
 *
 * libgit2 lists names too, but leaves out, without a word, those of refs that it cannot read at the
 * moment, and of all after a folder that it cannot enter; it follows links in circles, and walks
 * all that there are to find one. So those that lie in files of their own, and those in the file
 * packed-refs (gitrepository-layout(5)), are listed here.
 */

/* No ref lies deeper: each folder takes a descriptor while it is looked into. */
enum { DEPTH_LIMIT = 40 };

static const size_t ID_SIZE = GIT_OID_HEXSZ;

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

    if (depth > DEPTH_LIMIT || length + strlen(name) + 2 > PATH_MAX)
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
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", listing->repository->common_dir, listing->prefix) >=
        (int)sizeof(path))
        return error_errno(listing->error, -ENAMETOOLONG, "%s", listing->prefix);
    int r = open_folder(AT_FDCWD, path, 0, ret_stream);
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

/*
 * Hand on each name in packed-refs that begins with the listing's prefix, until `take` answers
 * something else than 0. The file is read anew for every question: that takes a millisecond for
 * 20,000 refs, and nothing can be outdated.
 */
static int each_packed(struct listing *listing, int (*take)(struct listing *, const char *rest))
{
    cleanup_free char *path = path_join(listing->repository->common_dir, "packed-refs");
    cleanup_free char *line = NULL;
    size_t prefix = strlen(listing->prefix);
    size_t room = 0;
    ssize_t size;
    git_oid id;
    FILE *file;

    if (!path)
        return fail(listing, -ENOMEM);
    int r = regular_open(path, &file, listing->error);
    if (r < 0 || !file)
        return r;
    errno = 0;
    while (r == 0 && (size = getline(&line, &room, file)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        /* The header; the commit of the tag before. */
        if (*line == '#' || *line == '^')
            continue;
        if (size < GIT_OID_HEXSZ + 2 || line[ID_SIZE] != ' ' ||
            git_oid_fromstrn(&id, line, GIT_OID_HEXSZ) < 0) {
            r = error_set(listing->error, -EIO, "%s: damaged: a line is no ref", path);
            break;
        }
        const char *name = line + ID_SIZE + 1;
        int valid = 0;
        if (strncmp(name, listing->prefix, prefix) == 0 &&
            git_reference_name_is_valid(&valid, name) == 0 && valid)
            r = take(listing, name + prefix);
        errno = 0;
    }
    if (r == 0 && !feof(file))
        r = error_of_the_moment(listing->error, errno ? -errno : -ENOMEM, "%s", path);
    fclose(file);
    return r;
}

static int add_packed(struct listing *listing, const char *rest)
{
    size_t length = strcspn(rest, "/");

    return add_name(listing, rest, length, rest[length] == '/');
}

static int answer_one(struct listing *listing, const char *rest)
{
    (void)listing;
    (void)rest;
    return 1;
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

/* Everything that begins with the listing's prefix. */
static int list_all(struct listing *listing)
{
    int r = list_loose(listing);

    if (r == 0)
        r = each_packed(listing, add_packed);
    if (r == 0)
        sort(&listing->names);
    return r;
}

/* Is there a ref of that name which leads to a commit, or cannot be read? 1 or 0. */
static int leads_to_commit(const struct listing *listing, const char *name)
{
    cleanup_reference git_reference *reference = NULL;
    char whole[PATH_MAX];
    struct ref ref;

    if (snprintf(whole, sizeof(whole), "%s%s", listing->prefix, name) >= (int)sizeof(whole))
        return 0;
    int r = find_reference(listing->repository, whole, &reference, listing->error);
    if (r == 0)
        r = take_reference(listing->repository, whole, &reference, &ref, listing->error);
    return r == -ENOENT ? 0 : error_is_transient(r) ? r : 1;
}

/* A tag of something else than a commit is not there. */
static int drop_others(struct listing *listing)
{
    struct ref_names *names = &listing->names;
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < names->count; i++) {
        struct ref_name item = names->items[i];
        int shown = r < 0 || item.is_folder ? 1 : leads_to_commit(listing, item.name);
        r = shown < 0 ? shown : r;
        if (shown == 0)
            free(item.name);
        else
            names->items[kept++] = item;
    }
    names->count = kept;
    return r;
}

/* --- Questions ----------------------------------------------------------------------------------
 */

int refs_list(struct source *source, enum refs_kind kind, const char *folder,
              struct ref_names *ret_names, struct error *error)
{
    char prefix[PATH_MAX];
    struct listing listing = {.repository = source->repository, .prefix = prefix, .error = error};
    cleanup_lock(&source->repository->lock);

    int r = whole_name(kind, folder, "/", prefix, error);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = list_all(&listing);
    if (r == 0 && kind == REFS_TAGS)
        r = drop_others(&listing);
    if (r == 0 && listing.names.count == 0 && !repository_is_there(source->repository, error))
        r = -EIO;
    if (r < 0)
        ref_names_clear(&listing.names);
    else
        *ret_names = listing.names;
    return r;
}

/* Does any name begin with `name` and a slash? 1 or 0. */
static int is_folder(struct repository *repository, const char *name, struct error *error)
{
    char prefix[PATH_MAX];
    struct listing listing = {.repository = repository, .prefix = prefix, .error = error};
    DIR *stream = NULL;

    if (snprintf(prefix, sizeof(prefix), "%s/", name) >= (int)sizeof(prefix))
        return error_errno(error, -ENAMETOOLONG, "%s", name);
    int r = open_prefix(&listing, &stream);
    if (r == 0) {
        r = has_files(&listing, stream, prefix, 1);
        closedir(stream);
    }
    return r == 0 || r == -ENOENT ? each_packed(&listing, answer_one) : r;
}

int refs_find(struct source *source, enum refs_kind kind, const char *path, struct ref *ret_ref,
              struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *reference = NULL;
    char name[PATH_MAX];
    cleanup_lock(&repository->lock);

    int r = whole_name(kind, path, "", name, error);
    if (r < 0)
        return r;
    r = find_reference(repository, name, &reference, error);
    if (r == 0)
        return take_reference(repository, name, &reference, ret_ref, error);
    if (r != -ENOENT)
        return r;
    int folder = is_folder(repository, name, error);
    if (folder <= 0)
        return folder < 0 ? folder : repository_is_there(repository, error) ? r : -EIO;
    *ret_ref = (struct ref){.is_folder = true};
    return 0;
}

int refs_head(struct source *source, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *head = NULL;
    git_oid object;
    cleanup_lock(&repository->lock);

    int r = find_reference(repository, "HEAD", &head, error);
    if (r == 0)
        r = repository_reference_follow(repository, &head, &object, error);
    if (r == 0)
        return take_object(repository, &object, "HEAD", ret_ref, error);
    if (r != -ENOENT)
        return r;
    return repository_is_there(repository, error)
               ? error_set(error, -ENOENT, "HEAD: there is no commit yet")
               : -EIO;
}

int refs_commit(struct source *source, const char *id, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    struct reader *reader = repository->reader;
    cleanup_free struct commit *commit = NULL;
    size_t length = strlen(id);
    git_oid oid;
    cleanup_lock(&repository->lock);

    if (length < GIT_OID_MINPREFIXLEN || length > GIT_OID_HEXSZ ||
        git_oid_fromstrn(&oid, id, length) < 0)
        return error_errno(error, -ENOENT, "%s", id);
    reader_begin(reader);
    reader_renew(reader);
    /* Whoever may look into the mount may ask for any. */
    reader->is_guessing = true;
    int r = length == GIT_OID_HEXSZ ? commit_peel(reader, &oid, id, &commit, error)
                                    : commit_find(reader, &oid, length, id, &commit, error);
    reader->is_guessing = false;
    if (r < 0 && reader->fault.code == -ENOENT && git_oid_equal(&reader->fault.object, &oid))
        return error_errno(error, -ENOENT, "%s", id);
    if (r == 0)
        fill(commit, ret_ref);
    return r;
}

bool refs_has_commit(struct source *source, const char *id)
{
    struct repository *repository = source->repository;
    git_oid oid;
    git_oid found;
    size_t count;
    cleanup_lock(&repository->lock);

    return git_oid_fromstr(&oid, id) == 0 &&
           reader_find(repository->reader, &oid, GIT_OID_HEXSZ, &found, 1, &count, NULL) != -ENOENT;
}
