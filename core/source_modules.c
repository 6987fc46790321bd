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
    bool out_of_memory;
};

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
    char *name = strndup(entry->name + sizeof(before) - 1, length);
    free(map_remove(parse->names, entry->value));
    if (name && map_put(parse->names, entry->value, name) == 0)
        return 0;
    free(name);
    parse->out_of_memory = true;
    return GIT_EUSER;
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

int modules_parse(const char *text, size_t size, struct map *names, struct error *why)
{
    cleanup_config git_config *config = NULL;
    struct parse parse = {names, false};
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
    if (r == 0)
        return 0;
    const git_error *last = git_error_last();
    if (!parse.out_of_memory && last && last->klass == GIT_ERROR_CONFIG)
        return error_set(why, -EINVAL, "%s", last->message);
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

/*
 * What was asked for is remembered as long as the repository is open, because files point to the
 * repositories; and what was not there, so that it is known when it has come.
 */
struct module {
    struct module *next;
    char *folder;                            /* as it is named */
    char *top;                               /* the folder "modules" that it has to lie in */
    _Atomic(struct repository *) repository; /* NULL: it is not there */
    _Atomic bool was_absent;                 /* it was looked for, and not to be had */
};

/* How many may be remembered: names come out of commits. Those beyond are not looked for. */
enum { MODULE_LIMIT = 4096 };

/* That nothing is there is one thing; that nobody knows, another. */
static int explain_absence(int code, const char *path, struct error *why)
{
    if (code == -ENOENT || code == -ENOTDIR || code == -ENAMETOOLONG)
        return -ENOENT;
    (void)error_errno(why, code, "%s", path);
    if (error_is_transient(code))
        return code;
    if (why)
        why->code = -EIO;
    return -EIO;
}

/* Where it lies, without links. -ENOENT: nowhere, or not where it should. */
static int locate(const struct module *module, char **ret_real, struct error *why)
{
    cleanup_free char *objects = path_join(module->folder, "objects");
    cleanup_free char *real = NULL;
    cleanup_free char *top = NULL;
    struct stat status;

    if (!objects)
        return error_errno(why, -ENOMEM, "%s", module->folder);
    if (stat(objects, &status) < 0)
        return explain_absence(-errno, objects, why);
    if (!S_ISDIR(status.st_mode))
        return -ENOENT;
    real = realpath(module->folder, NULL);
    top = real ? realpath(module->top, NULL) : NULL;
    if (!top)
        return explain_absence(-errno, real ? module->top : module->folder, why);
    if (!path_is_within(real, top) || strcmp(real, top) == 0)
        return -ENOENT;
    *ret_real = steal_pointer(&real);
    return 0;
}

/*
 * Answers as modules_find. Whoever finds first that one has come tells it: what a commit lacked may
 * be whole now, be it looked at or not.
 */
static int open_module(struct repository *repository, struct module *module,
                       struct repository **ret_repository, struct error *why)
{
    cleanup_free char *real = NULL;
    struct repository *opened = atomic_load(&module->repository);
    struct repository *none = NULL;

    *ret_repository = opened;
    if (opened)
        return 0;
    int r = locate(module, &real, why);
    if (r < 0) {
        atomic_store(&module->was_absent, true);
        return r;
    }
    r = repository_open_objects(real, &opened, why);
    if (r < 0)
        return r;
    if (atomic_compare_exchange_strong(&module->repository, &none, opened)) {
        if (atomic_load(&module->was_absent))
            atomic_fetch_add(&repository->modules_came, 1);
        *ret_repository = opened;
    } else {
        repository_unref(opened);
        *ret_repository = none;
    }
    return 0;
}

static void module_free(struct module *module)
{
    if (!module)
        return;
    repository_unref(atomic_load(&module->repository));
    free(module->folder);
    free(module->top);
    free(module);
}

CLEANUP(module, struct module *, module_free)

/* The record of the folder, new or known. */
static int record(struct repository *repository, const char *git_dir, const char *name,
                  struct module **ret_module, struct error *why)
{
    __attribute__((cleanup(cleanup_module_scope))) struct module *module =
        calloc(1, sizeof(*module));
    size_t count = 0;

    if (!module || !(module->top = path_join(git_dir, "modules")) ||
        !(module->folder = path_join(module->top, name)))
        return error_errno(why, -ENOMEM, "%s", git_dir);
    cleanup_lock(&repository->modules_lock);
    struct module *first = atomic_load(&repository->modules);
    for (struct module *known = first; known; known = known->next) {
        if (strcmp(known->folder, module->folder) == 0) {
            *ret_module = known;
            return 0;
        }
        count++;
    }
    if (count >= MODULE_LIMIT)
        return -ENOENT;
    module->next = first;
    *ret_module = module;
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
        struct repository *found = NULL;
        struct module *module = NULL;
        int r = record(repository, places[i], name, &module, why);
        if (r == 0)
            r = open_module(repository, module, &found, why);
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

    for (struct module *module = atomic_load(&repository->modules); module; module = module->next) {
        struct repository *found = NULL;
        if (open_module(repository, module, &found, NULL) == 0)
            healing += modules_healing(found);
    }
    return healing + atomic_load(&repository->modules_came);
}

void modules_free(struct repository *repository)
{
    struct module *next;

    for (struct module *module = atomic_load(&repository->modules); module; module = next) {
        next = module->next;
        module_free(module);
    }
}
