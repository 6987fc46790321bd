#include "source_modules.h"

#include "source_commit.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* --- .gitmodules --------------------------------------------------------------------------------
 */

CLEANUP(config, git_config *, git_config_free)
#define cleanup_config __attribute__((cleanup(cleanup_config_scope)))

struct parse {
    struct map *names;
    struct map paths; /* by name: a name has one */
    bool out_of_memory;
};

/* As Git has it, the last counts: of the paths of a name, and of the names of a path. */
static int put_name(struct parse *parse, const char *name, const char *path)
{
    cleanup_free char *before = map_remove(&parse->paths, name);
    const char *there = before ? map_find(parse->names, before) : NULL;
    cleanup_free char *own_name = strdup(name);
    cleanup_free char *own_path = strdup(path);

    if (there && strcmp(there, name) == 0)
        free(map_remove(parse->names, before));
    free(map_remove(parse->names, path));
    if (!own_name || !own_path || map_put(parse->names, path, own_name) < 0)
        return -ENOMEM;
    own_name = NULL;
    if (map_put(&parse->paths, name, own_path) < 0)
        return -ENOMEM;
    own_path = NULL;
    return 0;
}

static int take_value(const git_config_entry *entry, void *context)
{
    static const char before[] = "submodule.";
    static const char after[] = ".path";
    struct parse *parse = context;
    size_t length = strlen(entry->name);

    /* As Git has it, what looks like an option is no path. */
    if (length <= sizeof(before) - 1 + sizeof(after) - 1 || !entry->value ||
        entry->value[0] == '-' || strncmp(entry->name, before, sizeof(before) - 1) != 0 ||
        strcmp(entry->name + length - (sizeof(after) - 1), after) != 0)
        return 0;
    length -= sizeof(before) - 1 + sizeof(after) - 1;
    cleanup_free char *name = strndup(entry->name + sizeof(before) - 1, length);
    if (!name || put_name(parse, name, entry->value) < 0) {
        parse->out_of_memory = true;
        return GIT_EUSER;
    }
    return 0;
}

/*
 * libgit2 follows includes wherever it finds a section of that name, which is recognised by these
 * bytes (config_parse.c, parse_section_header). Git follows none here: they become another section.
 */
static void disarm_includes(char *text, size_t size)
{
    static const char include[] = "[include";

    for (size_t i = 0; i + sizeof(include) - 1 <= size; i++) {
        if (strncasecmp(text + i, include, sizeof(include) - 1) == 0)
            text[i + 1] = 'x';
    }
}

/* libgit2 reads configurations from files only: this one is in memory. */
static int make_file(const char *text, size_t size, struct error *why)
{
    cleanup_free char *copy = malloc(size + 1);
    cleanup_fd int fd = memfd_create("gitmodules", MFD_CLOEXEC);

    if (!copy)
        return error_errno(why, -ENOMEM, ".gitmodules");
    if (fd < 0)
        return error_of_the_moment(why, -errno, ".gitmodules");
    memcpy(copy, text, size);
    disarm_includes(copy, size);
    for (size_t written = 0; written < size;) {
        ssize_t n = write(fd, copy + written, size - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_of_the_moment(why, -errno, ".gitmodules");
        written += (size_t)n;
    }
    return steal_fd(&fd);
}

/* The end of what libgit2 says before it names the file. */
static const char *find_end(const char *message)
{
    const char *end = strstr(message, " (in /proc/");

    return end ? end : message + strlen(message);
}

int modules_parse(const char *text, size_t size, struct map *names, struct error *why)
{
    cleanup_config git_config *config = NULL;
    struct parse parse = {.names = names};
    char path[64];

    if (size > MODULES_SIZE_LIMIT)
        return error_set(why, -EINVAL, "it is too large");
    cleanup_fd int fd = make_file(text, size, why);
    if (fd < 0)
        return fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    /* To libgit2 a file that cannot be reached is an empty one. */
    if (access(path, R_OK) < 0)
        return error_of_the_moment(why, -errno, "%s", path);
    int r = git_config_new(&config);
    if (r == 0)
        r = git_config_add_file_ondisk(config, path, GIT_CONFIG_LEVEL_APP, NULL, 0);
    if (r == 0)
        r = git_config_foreach(config, take_value, &parse);
    map_clear(&parse.paths, free);
    if (r == 0)
        return 0;
    const git_error *last = git_error_last();
    /* At the end stands which file it is: ours is none that anybody knows. */
    if (!parse.out_of_memory && last && last->klass == GIT_ERROR_CONFIG)
        return error_set(why, -EINVAL, "%.*s", (int)(find_end(last->message) - last->message),
                         last->message);
    return parse.out_of_memory ? error_errno(why, -ENOMEM, ".gitmodules")
                               : error_of_the_moment(why, source_git_failure(r), ".gitmodules");
}

bool modules_name_ok(const char *name)
{
    if (*name == '\0' || *name == '/' || *name == '\\')
        return false;
    /* Git, submodule-config.c, check_submodule_name: both separators, on every system. */
    for (const char *at = name; *at;) {
        size_t length = strcspn(at, "/\\");
        if (length == 2 && strncmp(at, "..", 2) == 0)
            return false;
        at += length + (at[length] != '\0');
    }
    return true;
}

/* --- Repositories -------------------------------------------------------------------------------
 */

/* Open as long as the repository around it is, because files point to it. */
struct module {
    struct module *next;
    struct repository *repository; /* its path is without links: many names may lead there */
};

/* What a path led to. */
struct sight {
    int code; /* of stat(2) */
    struct stamp stamp;
    bool settled; /* what changes from then on changes the stamp */
};

static struct sight look_at(const char *path, struct stat *ret_status)
{
    if (stat(path, ret_status) < 0)
        return (struct sight){.code = -errno, .settled = true};
    return (struct sight){.stamp = stamp_of(ret_status),
                          .settled = stamp_is_old(ret_status->st_ctim)};
}

/*
 * Of what is not there we watch the folder in which the way to it ends: that changes when the next
 * component comes. So the number of names, which come out of commits, does not count; folders there
 * are as many as somebody made. Only behind a link, or what cannot be read, each is watched itself.
 * Beyond the limit all begins anew.
 */
enum { WATCH_LIMIT = 4096, FEW = 64 };

static void look_again(struct repository *repository)
{
    map_clear(&repository->modules_absent, free);
    repository->modules_few = 0;
    atomic_fetch_add(&repository->modules_came, 1);
}

/* `sight` was taken before it was seen that what is wanted is not there. */
static int watch(struct repository *repository, const char *path, const struct sight *sight)
{
    struct sight *copy = malloc(sizeof(*copy));
    cleanup_lock(&repository->modules_lock);

    if (!copy || map_find(&repository->modules_absent, path)) {
        free(copy);
        return copy ? 0 : -ENOMEM;
    }
    if (repository->modules_absent.count >= WATCH_LIMIT)
        look_again(repository);
    *copy = *sight;
    int r = map_put(&repository->modules_absent, path, copy);
    if (r < 0)
        free(copy);
    return r;
}

/* `path`, which lies in `top`, could not be had, and was seen like this before. */
static int watch_for(struct repository *repository, const char *top, const char *path,
                     const struct sight *seen)
{
    cleanup_free char *folder = strdup(top);
    cleanup_free char *names = strdup(path + strlen(top));
    struct stat status;
    struct sight sight = look_at(top, &status);
    char *rest = NULL;

    if (!folder || !names)
        return -ENOMEM;
    if (sight.code == -ENOENT)
        return watch(repository, top, &sight);
    for (char *name = strtok_r(names, "/", &rest); name && sight.code == 0;
         name = strtok_r(NULL, "/", &rest)) {
        if (strcmp(name, ".") == 0)
            continue;
        char *next = path_join(folder, name);
        if (!next)
            return -ENOMEM;
        int code = lstat(next, &status) < 0 ? -errno : 0;
        bool is_absent = code == -ENOENT;
        if (is_absent || (code == 0 && !S_ISDIR(status.st_mode) && !S_ISLNK(status.st_mode))) {
            cleanup_free char *missing = next;
            /* Few are watched by name while the folder's stamp is too young to tell anything. */
            if (is_absent && !sight.settled && repository->modules_few++ < FEW)
                return watch(repository, missing,
                             &(struct sight){.code = -ENOENT, .settled = true});
            return watch(repository, folder, &sight);
        }
        free(folder);
        folder = next;
        if (code == -ENAMETOOLONG)
            return 0; /* It cannot come. */
        if (code < 0 || S_ISLNK(status.st_mode))
            break;
        sight = (struct sight){.stamp = stamp_of(&status), .settled = stamp_is_old(status.st_ctim)};
    }
    return watch(repository, path, seen);
}

struct watched {
    char *path;
    struct sight sight;
};

struct all_watched {
    struct watched *items;
    size_t count;
};

static int copy_watched(void *context, const char *path, void *value)
{
    struct all_watched *all = context;
    const struct sight *sight = value;

    all->items[all->count] = (struct watched){strdup(path), *sight};
    return all->items[all->count++].path ? 0 : -ENOMEM;
}

/* May something have come? Without memory, it may. */
static bool has_come(struct repository *repository)
{
    struct all_watched all = {NULL, 0};
    bool may = false;
    {
        cleanup_lock(&repository->modules_lock);
        if (repository->modules_absent.count == 0)
            return false;
        all.items = calloc(repository->modules_absent.count, sizeof(*all.items));
        may = !all.items || map_each(&repository->modules_absent, copy_watched, &all) < 0;
    }
    for (size_t i = 0; i < all.count; i++) {
        const struct sight *before = &all.items[i].sight;
        struct stat status;
        if (!may) {
            struct sight now = look_at(all.items[i].path, &status);
            may = !before->settled || now.code != before->code ||
                  !stamp_is_same(&now.stamp, &before->stamp);
        }
        free(all.items[i].path);
    }
    free(all.items);
    return may;
}

/* That nothing is there is one thing; that nobody knows, another. */
static int explain_absence(int code, const char *path, struct error *why)
{
    if (code == 0 || code == -ENOENT || code == -ENOTDIR || code == -ENAMETOOLONG)
        return -ENOENT;
    (void)error_errno(why, code, "%s", path);
    if (error_is_transient(code))
        return code;
    if (why)
        why->code = -EIO;
    return -EIO;
}

/* Where it lies, without links. -ENOENT: nowhere, or not where it should. */
static int locate(struct repository *repository, const char *git_dir, const char *name,
                  char **ret_real, struct error *why)
{
    cleanup_free char *top = path_join(git_dir, "modules");
    cleanup_free char *folder = top ? path_join(top, name) : NULL;
    cleanup_free char *objects = folder ? path_join(folder, "objects") : NULL;
    struct stat status;

    if (!objects)
        return error_errno(why, -ENOMEM, "%s", git_dir);
    struct sight sight = look_at(objects, &status);
    if (sight.code == 0 && S_ISDIR(status.st_mode)) {
        cleanup_free char *real = realpath(folder, NULL);
        cleanup_free char *real_top = real ? realpath(top, NULL) : NULL;
        if (!real_top)
            return error_of_the_moment(why, -errno, "%s", folder);
        if (path_is_within(real, real_top) && strcmp(real, real_top) != 0) {
            *ret_real = steal_pointer(&real);
            return 0;
        }
    }
    int r = watch_for(repository, top, objects, &sight);
    return r < 0 ? error_errno(why, r, "%s", folder) : explain_absence(sight.code, objects, why);
}

static struct repository *find_open(struct repository *repository, const char *real)
{
    for (struct module *module = atomic_load(&repository->modules); module; module = module->next) {
        if (strcmp(module->repository->path, real) == 0)
            return module->repository;
    }
    return NULL;
}

/* The repository at `real`, new or known. */
static int open_module(struct repository *repository, const char *real,
                       struct repository **ret_repository, struct error *why)
{
    cleanup_repository struct repository *opened = NULL;
    struct repository *known = find_open(repository, real);

    *ret_repository = known;
    if (known)
        return 0;
    int r = repository_open_objects(repository, real, &opened, why);
    if (r < 0)
        return r;
    cleanup_free struct module *module = calloc(1, sizeof(*module));
    if (!module)
        return error_errno(why, -ENOMEM, "%s", real);
    cleanup_lock(&repository->modules_lock);
    *ret_repository = known = find_open(repository, real);
    if (known)
        return 0;
    module->next = atomic_load(&repository->modules);
    *ret_repository = module->repository = steal_pointer(&opened);
    atomic_store(&repository->modules, steal_pointer(&module));
    return 0;
}

/* Has it the commit? One that is damaged is there: what is wrong will be told by who reads it. */
static int has_commit(struct repository *module, const git_oid *id, struct error *why)
{
    cleanup_free struct commit *commit = NULL;
    struct reader *reader = NULL;

    int r = repository_borrow(module, &reader, why);
    if (r < 0)
        return r;
    reader_begin(reader);
    r = commit_read(reader, id, module->path, &commit, why);
    if (reader->fault.code == -ENOENT)
        r = -ENOENT;
    else if (r < 0 && !error_is_transient(r))
        r = 0;
    repository_give_back(module, reader);
    return r;
}

int modules_find(struct repository *repository, const char *name, const git_oid *commit,
                 struct repository **ret_module, bool *ret_fetched, struct error *why)
{
    /* Each worktree that `git worktree` has made has submodules of its own. */
    const char *const places[] = {repository->git_dir, repository->common_dir};
    size_t count = strcmp(places[0], places[1]) == 0 ? 1 : 2;

    *ret_fetched = false;
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *real = NULL;
        struct repository *found = NULL;
        int r = locate(repository, places[i], name, &real, why);
        if (r == 0)
            r = open_module(repository, real, &found, why);
        *ret_fetched = *ret_fetched || r == 0;
        if (r == 0)
            r = has_commit(found, commit, why);
        if (r == 0)
            *ret_module = found;
        if (r != -ENOENT)
            return r;
    }
    return -ENOENT;
}

uint64_t modules_healing(struct repository *repository)
{
    uint64_t healing = objects_healing(repository->objects);

    if (has_come(repository)) {
        cleanup_lock(&repository->modules_lock);
        look_again(repository);
    }
    for (struct module *module = atomic_load(&repository->modules); module; module = module->next)
        healing += modules_healing(module->repository);
    return healing + atomic_load(&repository->modules_came);
}

void modules_free(struct repository *repository)
{
    struct module *next;

    map_clear(&repository->modules_absent, free);
    for (struct module *module = atomic_load(&repository->modules); module; module = next) {
        next = module->next;
        repository_unref(module->repository);
        free(module);
    }
}
