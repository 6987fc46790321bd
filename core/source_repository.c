#include "source_repository.h"

#include "source_commit.h"
#include "source_modules.h"
#include "source_regular.h"
#include "stamp.h"

#include <addonfs/path.h>
#include <errno.h>
#include <git2/sys/repository.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What libgit2 asks the owner of: the folder, its `.git`, and what that may refer to. */
static int explain_owner(const char *path, struct error *error)
{
    cleanup_free char *dot_git = NULL;
    struct stat status = {0};
    struct stat git;
    unsigned ours = (unsigned)geteuid();

    if (asprintf(&dot_git, "%s/.git", path) < 0) {
        dot_git = NULL;
        return error_errno(error, -ENOMEM, "%s", path);
    }
    (void)stat(path, &status);
    if (stat(dot_git, &git) < 0)
        git = status;
    if (git.st_uid != status.st_uid)
        return error_set(error, -EPERM,
                         "%s: belongs to uid %u, but its .git to uid %u: give both to one user "
                         "(chown -R), or let uid %u allow it with: git config --global --add "
                         "safe.directory '%s'",
                         path, (unsigned)status.st_uid, (unsigned)git.st_uid, ours, path);
    if (status.st_uid == ours)
        return error_set(error, -EPERM,
                         "%s: its .git leads to a folder of another user: give both to one user "
                         "(chown -R), or allow it with: git config --global --add safe.directory "
                         "'%s'",
                         path, path);
    return error_set(
        error, -EPERM,
        "%s: the repository belongs to another user (uid %u): run addonfs as that user "
        "or as root, or allow it with: git config --global --add safe.directory '%s'",
        path, (unsigned)status.st_uid, path);
}

/* A folder inside a clone: say which folder to give. */
static int explain_not_found(const char *path, struct error *error)
{
    __attribute__((cleanup(git_buf_dispose))) git_buf found = {0};
    cleanup_free char *dot_git = NULL;

    if (git_repository_discover(&found, path, 0, NULL) < 0)
        return error_set(error, -ENOTSUP,
                         "%s: not a Git repository: give the root of a clone or a bare repository",
                         path);
    size_t length = found.size;
    if (length > 6 && strcmp(found.ptr + length - 6, "/.git/") == 0)
        length -= 6;
    else if (length > 1 && found.ptr[length - 1] == '/')
        length--;
    /*
     * libgit2 says "not found" of another user's repository if there is no user configuration. It
     * is that one if it is here, or where our own `.git` leads to: not in a folder above.
     */
    found.ptr[length] = '\0';
    dot_git = path_join(path, ".git");
    if (strcmp(path, found.ptr) == 0 ||
        (dot_git && access(dot_git, F_OK) == 0 && !path_is_within(path, found.ptr)))
        return explain_owner(path, error);
    return error_set(error, -ENOTSUP,
                     "%s: a folder inside the Git repository %s: give the repository's root", path,
                     found.ptr);
}

/* Of HOME libgit2 says no more than which file it could not stat. */
static int explain_failure(const char *path, struct error *error)
{
    const char *home = getenv("HOME");
    const char *message = source_git_message();

    if (strstr(message, "refstorage"))
        return error_set(error, -ENOTSUP,
                         "%s: its refs are in a reftable, which is not supported: git refs migrate "
                         "--ref-format=files",
                         path);
    if (strstr(message, "objectformat"))
        return error_set(error, -ENOTSUP,
                         "%s: its objects have SHA-256 ids, which are not supported: give a "
                         "repository with SHA-1 ids (git init --object-format=sha1)",
                         path);
    if (home && access(home, X_OK) < 0 && errno == EACCES)
        return error_set(error, -ENOTSUP,
                         "%s: cannot open the Git repository: %s: HOME is %s, which this user may "
                         "not enter: set HOME",
                         path, source_git_message(), home);
    return error_set(error, -ENOTSUP, "%s: cannot open the Git repository: %s", path,
                     source_git_message());
}

/* The folder that a line in the file `name` leads to, seen from `folder`: `prefix` stands before
 * it. `*ret_path`, the caller's to free, is NULL where there is none. */
static int read_link_file(const char *folder, const char *name, const char *prefix, char **ret_path,
                          struct error *error)
{
    cleanup_free char *path = path_join(folder, name);
    cleanup_free char *line = NULL;
    size_t room = 0;
    FILE *file;

    *ret_path = NULL;
    if (!path)
        return error_errno(error, -ENOMEM, "%s/%s", folder, name);
    int r = regular_open(path, &file, error);
    if (r < 0 || !file)
        return r;
    ssize_t size = getline(&line, &room, file);
    fclose(file);
    if (size <= 0 || strncmp(line, prefix, strlen(prefix)) != 0)
        return 0; /* libgit2 says what is wrong with it */
    line[strcspn(line, "\r\n")] = '\0';
    const char *target = line + strlen(prefix);
    cleanup_free char *named = *target == '/' ? strdup(target) : path_join(folder, target);
    if (!named)
        return error_errno(error, -ENOMEM, "%s", path);
    *ret_path = realpath(named, NULL);
    return *ret_path || errno != ENOMEM ? 0 : error_errno(error, -ENOMEM, "%s", path);
}

/* What libgit2 reads when it opens a repository (gitrepository-layout(5)). */
static int check_files(const char *path, const char *dot_git, struct error *error)
{
    static const char *const names[] = {"config",    "config.worktree", "gitdir",
                                        "commondir", "shallow",         "info/grafts"};
    cleanup_free char *linked = NULL;
    cleanup_free char *common = NULL;
    struct stat status;
    int r = 0;

    const char *git_dir = stat(dot_git, &status) == 0 ? dot_git : path;
    if (git_dir == dot_git && S_ISREG(status.st_mode)) {
        r = read_link_file(path, ".git", "gitdir: ", &linked, error);
        git_dir = linked ? linked : path;
    }
    for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++)
        r = regular_check(git_dir, names[i], error);
    if (r == 0)
        r = read_link_file(git_dir, "commondir", "", &common, error);
    for (size_t i = 0; r == 0 && common && i < sizeof(names) / sizeof(names[0]); i++)
        r = regular_check(common, names[i], error);
    return r;
}

/* The handle, and whether there is a worktree. */
static int open_handle(struct repository *repository, struct error *error)
{
    const char *path = repository->path;
    cleanup_free char *dot_git = NULL;
    struct stat status;

    if (stat(path, &status) < 0)
        return error_errno(error, -errno, "%s", path);
    if (!S_ISDIR(status.st_mode))
        return error_errno(error, -ENOTDIR, "%s", path);
    dot_git = path_join(path, ".git");
    if (!dot_git)
        return error_errno(error, -ENOMEM, "%s", path);
    int r = check_files(path, dot_git, error);
    if (r < 0)
        return r;
    r = git_repository_open_ext(&repository->handle, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
    if (r == GIT_ENOTFOUND)
        return explain_not_found(path, error);
    if (r == GIT_EOWNER)
        return explain_owner(path, error);
    int code = r < 0 ? source_git_failure(r) : 0;
    if (error_is_transient(code) && code != -EAGAIN)
        return error_set(error, code, "%s: cannot open the Git repository: %s", path,
                         source_git_message());
    if (r < 0)
        return explain_failure(path, error);
    /* Not git_repository_is_bare: SOURCE is the root, whatever core.worktree and core.bare say. */
    repository->bare = lstat(dot_git, &status) < 0;
    return 0;
}

/*
 * Trees are what is read again and again: those of folders with many files are larger than what
 * libgit2 keeps by default (4 KiB), and all that it keeps (256 MiB) is more than we may have.
 */
static void set_up_libgit2(void)
{
    enum { TREE_LIMIT = 1 << 16, ALL_LIMIT = 8 << 20 };

    /* What changes nothing of what we read: `git clone --filter --sparse` sets the first two. */
    static const char *extensions[] = {"worktreeconfig", "partialclone", "preciousobjects",
                                       "relativeworktrees"};

    (void)git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions,
                           sizeof(extensions) / sizeof(extensions[0]));
    /* Ids are checked where objects come in: source_objects.c. */
    (void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
    (void)git_libgit2_opts(GIT_OPT_SET_CACHE_OBJECT_LIMIT, GIT_OBJECT_TREE, (size_t)TREE_LIMIT);
    (void)git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)ALL_LIMIT);
}

static int open_objects(struct repository *repository, struct error *error)
{
    int r = objects_open(repository->common_dir, &repository->objects, error);

    if (r == 0)
        r = reader_attach(repository->objects, &repository->handle, &repository->reader, error);
    if (r < 0)
        return r;
    repository->handle = repository->reader->git;
    return history_new(repository->objects, repository->common_dir, &repository->history, error);
}

static struct repository *new (void)
{
    struct repository *repository = calloc(1, sizeof(*repository));

    if (!repository)
        return NULL;
    repository->attributes = attributes_table_new();
    if (!repository->attributes) {
        free(repository);
        return NULL;
    }
    git_libgit2_init();
    atomic_init(&repository->references, 1);
    pthread_mutex_init(&repository->lock, NULL);
    pthread_mutex_init(&repository->idle_lock, NULL);
    pthread_mutex_init(&repository->modules_lock, NULL);
    /* Once: it is read from a file. */
    repository->idle_limit = sysconf(_SC_NPROCESSORS_ONLN);
    return repository;
}

/* As libgit2 names it, but without the slash behind; the caller frees it. */
static char *folder_of(const char *path)
{
    size_t length = strlen(path);

    return strndup(path, length > 1 && path[length - 1] == '/' ? length - 1 : length);
}

int repository_open(const char *path, struct repository **ret_repository, struct error *error)
{
    cleanup_repository struct repository *repository = new ();

    if (!repository)
        return error_errno(error, -ENOMEM, "%s", path);
    set_up_libgit2();
    repository->versions = version_memory_new();
    if (!repository->versions)
        return error_errno(error, -ENOMEM, "%s", path);
    repository->path = realpath(path, NULL);
    if (!repository->path)
        return error_errno(error, -errno, "%s", path);
    int r = open_handle(repository, error);
    if (r < 0)
        return r;
    repository->git_dir = folder_of(git_repository_path(repository->handle));
    repository->common_dir = folder_of(git_repository_commondir(repository->handle));
    if (!repository->git_dir || !repository->common_dir)
        return error_errno(error, -ENOMEM, "%s", path);
    r = open_objects(repository, error);
    if (r < 0)
        return r;
    *ret_repository = steal_pointer(&repository);
    return 0;
}

int repository_open_objects(const struct repository *around, const char *git_dir,
                            struct repository **ret_repository, struct error *error)
{
    cleanup_repository struct repository *repository = new ();

    if (!repository || !(repository->path = strdup(git_dir)) ||
        !(repository->git_dir = strdup(git_dir)) || !(repository->common_dir = strdup(git_dir)))
        return error_errno(error, -ENOMEM, "%s", git_dir);
    repository->bare = true;
    int r = objects_open_within(around->objects, git_dir, &repository->objects, error);
    if (r < 0)
        return r;
    *ret_repository = steal_pointer(&repository);
    return 0;
}

struct repository *repository_ref(struct repository *repository)
{
    atomic_fetch_add(&repository->references, 1);
    return repository;
}

void repository_unref(struct repository *repository)
{
    if (!repository || atomic_fetch_sub(&repository->references, 1) > 1)
        return;
    while (repository->idle) {
        struct reader *reader = repository->idle;
        repository->idle = reader->next;
        reader_free(reader);
    }
    packed_refs_clear(&repository->packed);
    modules_free(repository);
    history_free(repository->history);
    version_memory_free(repository->versions);
    attributes_table_free(repository->attributes);
    if (!repository->reader)
        git_repository_free(repository->handle);
    reader_free(repository->reader);
    objects_free(repository->objects);
    git_libgit2_shutdown();
    pthread_mutex_destroy(&repository->idle_lock);
    pthread_mutex_destroy(&repository->modules_lock);
    pthread_mutex_destroy(&repository->lock);
    free(repository->path);
    free(repository->git_dir);
    free(repository->common_dir);
    free(repository);
}

/* --- Revisions ----------------------------------------------------------------------------------
 */

static const char hexadecimal[] = "0123456789abcdefABCDEF";

/* Does it end as `git describe` ends a name: -g and an object's abbreviated id? */
static bool is_described(const char *name)
{
    const char *g = strrchr(name, 'g'); /* no hexadecimal digit */

    return g && g > name && g[-1] == '-' && g[1] && g[1 + strspn(g + 1, hexadecimal)] == '\0';
}

static int find_commit(struct repository *repository, const char *name, const git_oid *id,
                       struct commit **ret_commit, struct error *error)
{
    int r = commit_peel(repository->reader, id, name, ret_commit, error);

    return r == -ENOENT ? error_set(error, -EINVAL, "%s: revision %s is not a commit",
                                    repository->path, name)
                        : r;
}

/*
 * libgit2 follows the refs of an expression by itself: those that it is going to open are looked at
 * before (source_regular.h). Which ones "@{-1}", "@{upstream}" and ":/text" lead to stands in logs,
 * the configuration and all commits: there it is all of them. Where nothing but the object at its
 * beginning counts ("main~2"), that is put in place of the ref: `*ret_plain`, which the caller
 * frees.
 */
static int check_expression(struct repository *repository, const char *name, char **ret_plain,
                            struct error *error)
{
    const char *const folders[] = {repository->git_dir, repository->common_dir};
    const char *at = strstr(name, "@{");
    size_t length = strcspn(name, "^~:");
    git_oid object;
    int r;

    if (at && at < name + length)
        length = (size_t)(at - name);
    cleanup_free char *base = strndup(name, length);
    if (!base)
        return error_errno(error, -ENOMEM, "%s", name);
    bool is_head = *base == '\0' || strcmp(base, "@") == 0;
    r = repository_reference_guess(repository, is_head ? "HEAD" : base, &object, error);
    const char *rest = name + length;
    if (r == 0 && *base && (*rest == '^' || *rest == '~') &&
        asprintf(ret_plain, "%s%s", git_oid_tostr_s(&object), rest) < 0) {
        *ret_plain = NULL;
        return error_errno(error, -ENOMEM, "%s", name);
    }
    r = r == -ENOENT ? 0 : r;
    for (size_t i = 0; r == 0 && (at || *name == ':') && i < 2; i++) {
        r = regular_check_below(folders[i], "refs", error);
        if (r == 0)
            r = regular_check_below(folders[i], "logs", error);
    }
    return r;
}

static int resolve_expression(struct repository *repository, const char *name,
                              struct commit **ret_commit, struct error *error)
{
    cleanup_object git_object *object = NULL;

    cleanup_free char *plain = NULL;
    int r = check_expression(repository, name, &plain, error);
    if (r == 0)
        r = repository_refs_renew(repository, error);
    if (r < 0)
        return r;
    r = git_revparse_single(&object, repository->handle, plain ? plain : name);
    if (r == 0)
        return find_commit(repository, name, git_object_id(object), ret_commit, error);
    /* What is wrong with an object, or with the moment, is not wrong with the name. */
    if (repository->reader->fault.code != 0)
        return reader_failure(repository->reader, r, name, error);
    if (r == GIT_ERROR || error_is_transient(source_git_failure(r)))
        return repository_refs_failure(r, name, error);
    return error_set(error, r == GIT_ENOTFOUND ? -ENOENT : -EINVAL, "%s: no revision %s: %s",
                     repository->path, name, source_git_message());
}

/*
 * As gitrevisions(7) has it. git_revparse_single is not asked for a plain name that may be missing:
 * its last try, a name of `git describe`, leaks 20 KB when the name is none (libgit2 1.5,
 * git_regexp_match).
 */
static int resolve(struct repository *repository, const char *name, struct commit **ret_commit,
                   struct error *error)
{
    struct reader *reader = repository->reader;
    size_t length = strlen(name);
    bool is_id = strspn(name, hexadecimal) == length && length <= GIT_OID_HEXSZ;
    git_oid id;

    if (is_id && length == GIT_OID_HEXSZ && git_oid_fromstr(&id, name) == 0) {
        int r = find_commit(repository, name, &id, ret_commit, error);
        /* No such object: that is all there is to know of it. */
        if (reader->fault.code != -ENOENT || !git_oid_equal(&reader->fault.object, &id))
            return r;
        reader_begin(reader);
    }
    if (strpbrk(name, "^~:") || strstr(name, "@{") || strcmp(name, "@") == 0 || is_described(name))
        return resolve_expression(repository, name, ret_commit, error);
    int r = repository_reference_guess(repository, name, &id, error);
    if (r == 0)
        return find_commit(repository, name, &id, ret_commit, error);
    if (r != -ENOENT)
        return r;
    if (!is_id || length < GIT_OID_MINPREFIXLEN || length == GIT_OID_HEXSZ ||
        git_oid_fromstrn(&id, name, length) < 0)
        return error_set(error, r, "%s: no revision %s", repository->path, name);
    r = commit_find(reader, &id, length, name, ret_commit, error);
    return r == -ENOENT
               ? error_set(error, r, "%s: no revision %s, or more than one", repository->path, name)
               : r;
}

int repository_resolve(struct repository *repository, const char *revision, git_oid *ret_commit,
                       struct error *error)
{
    cleanup_lock(&repository->lock);
    cleanup_free struct commit *commit = NULL;

    int r = repository_refs_begin(repository, error);
    if (r < 0)
        return r;
    reader_begin(repository->reader);
    r = resolve(repository, revision, &commit, error);
    if (r == 0)
        *ret_commit = commit->id;
    return r;
}
