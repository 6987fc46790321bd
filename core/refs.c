#include "source_backend.h"

#include <addonfs/refs.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

CLEANUP(iterator, git_reference_iterator *, git_reference_iterator_free)
#define cleanup_iterator __attribute__((cleanup(cleanup_iterator_scope)))

static const char *prefix_of(enum refs_kind kind)
{
    return kind == REFS_BRANCHES ? "refs/heads/" : "refs/tags/";
}

/* Fill `*ret_ref` from an object that leads to a commit. -ENOENT: it does not. */
static int take_commit(struct reader *reader, const git_object *object, const char *name,
                       struct ref *ret_ref, struct error *error)
{
    cleanup_object git_object *commit = NULL;

    int r = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
    if (r == GIT_EPEEL || r == GIT_EINVALIDSPEC)
        return error_set(error, -ENOENT, "%s: leads to no commit", name);
    if (r < 0)
        return reader_failure(reader, r, name, error);
    *ret_ref = (struct ref){.time = git_commit_time((const git_commit *)commit)};
    git_oid_tostr(ret_ref->commit, sizeof(ret_ref->commit), git_object_id(commit));
    return 0;
}

static int take_reference(struct reader *reader, const git_reference *reference,
                          struct ref *ret_ref, struct error *error)
{
    cleanup_object git_object *object = NULL;

    reader_begin(reader);
    /* Whatever it is: an annotated tag is peeled by take_commit. */
    int r = git_reference_peel(&object, reference, GIT_OBJECT_ANY);
    if (r < 0)
        return reader_failure(reader, r, git_reference_name(reference), error);
    return take_commit(reader, object, git_reference_name(reference), ret_ref, error);
}

/* Look a ref up by its whole name. -ENOENT: there is none. */
static int find_reference(struct repository *repository, const char *name,
                          git_reference **ret_reference, struct error *error)
{
    int r = repository_refs_begin(repository, error);

    if (r < 0)
        return r;
    r = git_reference_lookup(ret_reference, repository->handle, name);
    if (r == GIT_EINVALIDSPEC || r == GIT_ENOTFOUND)
        return error_errno(error, -ENOENT, "%s", name);
    return r < 0 ? repository_refs_failure(repository, r, name, error) : 0;
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
 * moment, and of all after a folder that it cannot enter. So those that lie in files of their own
 * (gitrepository-layout(5)) are listed here; the packed ones are libgit2's to tell.
 */

struct listing {
    struct repository *repository;
    const char *prefix; /* "refs/tags/feature/" */
    struct ref_names names;
    size_t capacity;
    struct error *error;
};

static int fail(const struct listing *listing, int code)
{
    return error_errno(listing->error, error_is_transient(code) ? code : -EAGAIN, "%s",
                       listing->prefix);
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

static int open_folder(int directory, const char *path, DIR **ret_stream)
{
    int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *ret_stream = fd < 0 ? NULL : fdopendir(fd);
    if (*ret_stream)
        return 0;
    int code = -errno;
    if (fd >= 0)
        close(fd);
    return code;
}

/* Is any file in the folder, or further down? Git leaves empty folders behind. 1 or 0. */
static int has_files(const struct listing *listing, int directory, const char *path,
                     const char *prefix)
{
    char below[PATH_MAX];
    DIR *stream;
    int r = open_folder(directory, path, &stream);

    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return fail(listing, r);
    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = errno != 0 ? fail(listing, -errno) : 0;
            break;
        }
        if (entry->d_name[0] == '.')
            continue;
        if (!is_folder_entry(dirfd(stream), entry))
            r = is_name(prefix, entry->d_name);
        else if (snprintf(below, sizeof(below), "%s%s/", prefix, entry->d_name) <
                 (int)sizeof(below))
            r = has_files(listing, dirfd(stream), entry->d_name, below);
    }
    closedir(stream);
    return r;
}

/* Those in files of their own. */
static int list_loose(struct listing *listing)
{
    char path[PATH_MAX];
    char below[PATH_MAX];
    DIR *stream;

    if (snprintf(path, sizeof(path), "%s/%s", listing->repository->common_dir, listing->prefix) >=
        (int)sizeof(path))
        return error_errno(listing->error, -ENAMETOOLONG, "%s", listing->prefix);
    int r = open_folder(AT_FDCWD, path, &stream);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return fail(listing, r);
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
        int shown = folder ? 0 : is_name(listing->prefix, entry->d_name);
        if (folder && snprintf(below, sizeof(below), "%s%s/", listing->prefix, entry->d_name) <
                          (int)sizeof(below))
            shown = has_files(listing, dirfd(stream), entry->d_name, below);
        r = shown > 0 ? add_name(listing, entry->d_name, strlen(entry->d_name), folder) : shown;
    }
    closedir(stream);
    return r;
}

/* Those that libgit2 knows, the packed ones among them. */
static int list_known(struct listing *listing)
{
    cleanup_iterator git_reference_iterator *iterator = NULL;
    char glob[PATH_MAX];
    size_t used = 0;
    const char *name = NULL;

    /* What means something in a glob stands for itself in a name. */
    for (const char *at = listing->prefix; *at; at++) {
        if (used + 3 >= sizeof(glob))
            return error_errno(listing->error, -ENAMETOOLONG, "%s", listing->prefix);
        if (strchr("*?[\\", *at))
            glob[used++] = '\\';
        glob[used++] = *at;
    }
    glob[used++] = '*';
    glob[used] = '\0';
    int r = repository_refs_begin(listing->repository, listing->error);
    if (r < 0)
        return r;
    r = git_reference_iterator_glob_new(&iterator, listing->repository->handle, glob);
    while (r == 0 && (r = git_reference_next_name(&name, iterator)) == 0) {
        const char *rest = name + strlen(listing->prefix);
        size_t length = strcspn(rest, "/");
        if (add_name(listing, rest, length, rest[length] == '/') < 0)
            return -ENOMEM;
    }
    return r == GIT_ITEROVER
               ? 0
               : repository_refs_failure(listing->repository, r, listing->prefix, listing->error);
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
        r = list_known(listing);
    if (r == 0)
        sort(&listing->names);
    return r;
}

/* Is there a ref of that name which leads to a commit, or cannot be read? 1 or 0. */
static int leads_to_commit(const struct listing *listing, const char *name)
{
    cleanup_reference git_reference *reference = NULL;
    struct reader *reader = listing->repository->reader;
    char whole[PATH_MAX];
    struct ref ref;

    if (snprintf(whole, sizeof(whole), "%s%s", listing->prefix, name) >= (int)sizeof(whole))
        return 0;
    int r = find_reference(listing->repository, whole, &reference, listing->error);
    if (r == 0)
        r = take_reference(reader, reference, &ref, listing->error);
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

    if (snprintf(prefix, sizeof(prefix), "%s/", name) >= (int)sizeof(prefix))
        return error_errno(error, -ENAMETOOLONG, "%s", name);
    int r = list_all(&listing);
    size_t count = listing.names.count;
    ref_names_clear(&listing.names);
    return r < 0 ? r : count > 0;
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
        return take_reference(repository->reader, reference, ret_ref, error);
    if (r != -ENOENT)
        return r;
    int folder = is_folder(repository, name, error);
    if (folder <= 0)
        return folder < 0 ? folder : r;
    *ret_ref = (struct ref){.is_folder = true};
    return 0;
}

int refs_head(struct source *source, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *head = NULL;
    cleanup_lock(&repository->lock);

    int r = repository_refs_begin(repository, error);
    if (r < 0)
        return r;
    r = git_repository_head(&head, repository->handle);
    if (r == GIT_EUNBORNBRANCH || r == GIT_ENOTFOUND)
        return error_set(error, -ENOENT, "HEAD: there is no commit yet");
    return r < 0 ? repository_refs_failure(repository, r, "HEAD", error)
                 : take_reference(repository->reader, head, ret_ref, error);
}

int refs_commit(struct source *source, const char *id, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_object git_object *object = NULL;
    size_t length = strlen(id);
    git_oid oid;
    cleanup_lock(&repository->lock);

    if (length < GIT_OID_MINPREFIXLEN || length > GIT_OID_HEXSZ ||
        git_oid_fromstrn(&oid, id, length) < 0)
        return error_errno(error, -ENOENT, "%s", id);
    reader_begin(repository->reader);
    int r = git_object_lookup_prefix(&object, repository->handle, &oid, length, GIT_OBJECT_ANY);
    if (r == GIT_ENOTFOUND || r == GIT_EAMBIGUOUS)
        return error_errno(error, -ENOENT, "%s", id);
    return r < 0 ? reader_failure(repository->reader, r, id, error)
                 : take_commit(repository->reader, object, id, ret_ref, error);
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
