#include "source_backend.h"

#include <addonfs/refs.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

CLEANUP(reference, git_reference *, git_reference_free)
CLEANUP(iterator, git_reference_iterator *, git_reference_iterator_free)
CLEANUP(object, git_object *, git_object_free)
#define cleanup_reference __attribute__((cleanup(cleanup_reference_scope)))
#define cleanup_iterator __attribute__((cleanup(cleanup_iterator_scope)))
#define cleanup_object __attribute__((cleanup(cleanup_object_scope)))

static const char *prefix_of(enum refs_kind kind)
{
    return kind == REFS_BRANCHES ? "refs/heads/" : "refs/tags/";
}

static int fail(const char *name, struct error *error)
{
    return error_set(error, -EIO, "%s: %s", name, source_git_message());
}

/* Fill `*ret_ref` from an object that leads to a commit. -ENOENT: it does not. */
static int take_commit(const git_object *object, const char *name, struct ref *ret_ref,
                       struct error *error)
{
    cleanup_object git_object *commit = NULL;

    int r = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
    if (r == GIT_EPEEL || r == GIT_EINVALIDSPEC)
        return error_set(error, -ENOENT, "%s: leads to no commit", name);
    if (r < 0)
        return fail(name, error);
    *ret_ref = (struct ref){.time = git_commit_time((const git_commit *)commit)};
    git_oid_tostr(ret_ref->commit, sizeof(ret_ref->commit), git_object_id(commit));
    return 0;
}

static int take_reference(const git_reference *reference, struct ref *ret_ref, struct error *error)
{
    cleanup_object git_object *object = NULL;

    /* Whatever it is: an annotated tag is peeled by take_commit. */
    if (git_reference_peel(&object, reference, GIT_OBJECT_ANY) < 0)
        return fail(git_reference_name(reference), error);
    return take_commit(object, git_reference_name(reference), ret_ref, error);
}

/* Names that begin with `prefix`; the caller frees the iterator. The repository is locked. */
static int iterate(git_repository *handle, const char *prefix, git_reference_iterator **ret,
                   struct error *error)
{
    char glob[PATH_MAX];
    size_t used = 0;

    /* What means something in a glob stands for itself in a name. */
    for (; *prefix; prefix++) {
        if (used + 3 >= sizeof(glob))
            return error_errno(error, -ENAMETOOLONG, "%s", prefix);
        if (strchr("*?[\\", *prefix))
            glob[used++] = '\\';
        glob[used++] = *prefix;
    }
    glob[used++] = '*';
    glob[used] = '\0';
    return git_reference_iterator_glob_new(ret, handle, glob) < 0 ? fail(glob, error) : 0;
}

static int is_folder(git_repository *handle, const char *name, struct error *error)
{
    cleanup_iterator git_reference_iterator *iterator = NULL;
    char prefix[PATH_MAX];
    const char *first = NULL;

    if (snprintf(prefix, sizeof(prefix), "%s/", name) >= (int)sizeof(prefix))
        return error_errno(error, -ENAMETOOLONG, "%s", name);
    int r = iterate(handle, prefix, &iterator, error);
    if (r < 0)
        return r;
    r = git_reference_next_name(&first, iterator);
    return r < 0 && r != GIT_ITEROVER ? fail(name, error) : r == 0;
}

int refs_find(struct source *source, enum refs_kind kind, const char *path, struct ref *ret_ref,
              struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *reference = NULL;
    char name[PATH_MAX];
    cleanup_lock(&repository->lock);

    if (snprintf(name, sizeof(name), "%s%s", prefix_of(kind), path) >= (int)sizeof(name))
        return error_errno(error, -ENAMETOOLONG, "%s", path);
    int r = git_reference_lookup(&reference, repository->handle, name);
    if (r == 0)
        return take_reference(reference, ret_ref, error);
    if (r == GIT_EINVALIDSPEC)
        return error_errno(error, -ENOENT, "%s", name);
    if (r != GIT_ENOTFOUND)
        return fail(name, error);
    r = is_folder(repository->handle, name, error);
    if (r == 0)
        return error_errno(error, -ENOENT, "%s", name);
    *ret_ref = (struct ref){.is_folder = true};
    return r < 0 ? r : 0;
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

/* The component at `name`, unless it is the one that was added last. */
static int add_name(struct ref_names *names, size_t *capacity, const char *name)
{
    size_t length = strcspn(name, "/");
    bool folder = name[length] == '/';
    const struct ref_name *last = names->count > 0 ? &names->items[names->count - 1] : NULL;

    if (folder && last && last->is_folder && strncmp(last->name, name, length) == 0 &&
        last->name[length] == '\0')
        return 0;
    if (names->count == *capacity) {
        size_t more = *capacity ? 2 * *capacity : 32;
        struct ref_name *items = reallocarray(names->items, more, sizeof(*items));
        if (!items)
            return -ENOMEM;
        names->items = items;
        *capacity = more;
    }
    names->items[names->count] = (struct ref_name){strndup(name, length), folder};
    return names->items[names->count++].name ? 0 : -ENOMEM;
}

/* Is the name to be listed? A tag of something else than a commit is not there. */
static bool is_shown(const git_reference *reference, enum refs_kind kind)
{
    struct ref ref;

    return kind == REFS_BRANCHES || take_reference(reference, &ref, NULL) != -ENOENT;
}

static int list(git_repository *handle, enum refs_kind kind, const char *prefix,
                struct ref_names *names, struct error *error)
{
    cleanup_iterator git_reference_iterator *iterator = NULL;
    size_t capacity = 0;
    int r = iterate(handle, prefix, &iterator, error);

    while (r == 0) {
        cleanup_reference git_reference *reference = NULL;
        r = git_reference_next(&reference, iterator);
        if (r == GIT_ITEROVER)
            return 0;
        if (r < 0)
            return fail(prefix, error);
        const char *rest = git_reference_name(reference) + strlen(prefix);
        if ((strchr(rest, '/') || is_shown(reference, kind)) &&
            add_name(names, &capacity, rest) < 0)
            r = error_errno(error, -ENOMEM, "%s", prefix);
    }
    return r;
}

int refs_list(struct source *source, enum refs_kind kind, const char *folder,
              struct ref_names *ret_names, struct error *error)
{
    struct repository *repository = source->repository;
    struct ref_names names = {0};
    char prefix[PATH_MAX];
    cleanup_lock(&repository->lock);

    if (snprintf(prefix, sizeof(prefix), "%s%s%s", prefix_of(kind), folder, *folder ? "/" : "") >=
        (int)sizeof(prefix))
        return error_errno(error, -ENAMETOOLONG, "%s", folder);
    int r = list(repository->handle, kind, prefix, &names, error);
    if (r < 0) {
        ref_names_clear(&names);
        return r;
    }
    sort(&names);
    *ret_names = names;
    return 0;
}

int refs_head(struct source *source, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_reference git_reference *head = NULL;
    cleanup_lock(&repository->lock);

    int r = git_repository_head(&head, repository->handle);
    if (r == GIT_EUNBORNBRANCH || r == GIT_ENOTFOUND)
        return error_set(error, -ENOENT, "HEAD: there is no commit yet");
    return r < 0 ? fail("HEAD", error) : take_reference(head, ret_ref, error);
}

int refs_commit(struct source *source, const char *text, struct ref *ret_ref, struct error *error)
{
    struct repository *repository = source->repository;
    cleanup_object git_object *object = NULL;
    size_t length = strlen(text);
    git_oid id;
    cleanup_lock(&repository->lock);

    if (length < GIT_OID_MINPREFIXLEN || length > GIT_OID_HEXSZ ||
        git_oid_fromstrn(&id, text, length) < 0)
        return error_errno(error, -ENOENT, "%s", text);
    int r = git_object_lookup_prefix(&object, repository->handle, &id, length, GIT_OBJECT_ANY);
    if (r == GIT_ENOTFOUND || r == GIT_EAMBIGUOUS)
        return error_errno(error, -ENOENT, "%s", text);
    return r < 0 ? fail(text, error) : take_commit(object, text, ret_ref, error);
}
