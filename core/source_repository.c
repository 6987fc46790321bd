#include "source_repository.h"

#include "source_modules.h"
#include "source_regular.h"
#include "stamp.h"

#include <addonfs/path.h>
#include <errno.h>
#include <limits.h>
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

/*
 * Git before 1.0 made HEAD a symbolic link. libgit2 follows it as any other, and finds no file
 * where its branch is packed; Git takes it for what the ref says. True: that is it.
 */
static bool explain_head(const char *folder, struct error *error)
{
    cleanup_free char *head = path_join(folder, "HEAD");
    char target[PATH_MAX];
    ssize_t length = head ? readlink(head, target, sizeof(target) - 1) : -1;

    if (length < 0 || access(head, F_OK) == 0)
        return false;
    target[length] = '\0';
    error_set(error, -ENOTSUP,
              "%s: a symbolic link to what is no file, as to a packed branch: write it anew with: "
              "git symbolic-ref HEAD %s",
              head, target);
    return true;
}

/* A folder inside a clone: say which folder to give. */
static int explain_not_found(const char *path, const char *git_dir, struct error *error)
{
    __attribute__((cleanup(git_buf_dispose))) git_buf found = {0};
    cleanup_free char *dot_git = NULL;

    if (explain_head(git_dir, error) || explain_head(path, error))
        return -ENOTSUP;
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
        return explain_not_found(path, dot_git, error);
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
    repository->git_root.fd = repository->common_root.fd = -1;
    atomic_init(&repository->references, 1);
    pthread_mutex_init(&repository->lock, NULL);
    pthread_mutex_init(&repository->idle_lock, NULL);
    pthread_mutex_init(&repository->modules_lock, NULL);
    /* Once: it is read from a file. */
    repository->idle_limit = sysconf(_SC_NPROCESSORS_ONLN);
    return repository;
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
    repository->git_dir = realpath(git_repository_path(repository->handle), NULL);
    if (repository->git_dir)
        repository->common_dir = realpath(git_repository_commondir(repository->handle), NULL);
    if (!repository->git_dir || !repository->common_dir)
        return error_errno(error, -errno, "%s", path);
    r = repository_refs_open(repository, error);
    if (r == 0)
        r = open_objects(repository, error);
    if (r == 0)
        r = repository_refs_attach(repository, error);
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
    packed_refs_clear(&repository->refs.packed);
    modules_free(repository);
    history_free(repository->history);
    version_memory_free(repository->versions);
    attributes_table_free(repository->attributes);
    if (!repository->reader)
        git_repository_free(repository->handle);
    reader_free(repository->reader);
    objects_free(repository->objects);
    git_libgit2_shutdown();
    if (repository->git_root.fd >= 0)
        close(repository->git_root.fd);
    if (repository->common_root.fd >= 0)
        close(repository->common_root.fd);
    pthread_mutex_destroy(&repository->idle_lock);
    pthread_mutex_destroy(&repository->modules_lock);
    pthread_mutex_destroy(&repository->lock);
    free(repository->path);
    free(repository->git_dir);
    free(repository->common_dir);
    free(repository);
}
