#include "surroundings.h"

#include <addonfs/cache.h>
#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <addonfs/spool.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Links that are followed, as many as the kernel does (path_resolution(7)). */
enum { LINK_LIMIT = 40 };

static bool is_place(int fd, const struct place *place)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_dev == place->device &&
           status.st_ino == place->inode;
}

/* What is left to be looked up when a link is met: "target/rest". NULL: it is none, or no memory.
 */
static char *follow(int link, const char *rest)
{
    char target[PATH_MAX];
    char *path = NULL;

    ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    return asprintf(&path, "%s/%s", target, rest) < 0 ? NULL : path;
}

/*
 * Does the way to `path` (absolute) lead through the place? One that ends before, because something
 * is missing or may not be entered, does not.
 */
static bool leads_through(const char *path, const struct place *place)
{
    cleanup_fd int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_free char *rest = strdup(path);
    char *left = rest;
    int links = 0;

    while (at >= 0 && left && !is_place(at, place)) {
        const char *name = left + strspn(left, "/");
        if (*name == '\0')
            return false;
        left = strchrnul(name, '/');
        if (*left)
            *left++ = '\0';
        cleanup_fd int next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        char *longer = next < 0 ? NULL : follow(next, left);
        if (longer) {
            free(rest);
            left = rest = longer;
            if (++links > LINK_LIMIT)
                return false;
            if (*rest != '/')
                continue;
            close(next);
            next = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        close(at);
        at = steal_fd(&next);
    }
    return at >= 0 && left;
}

/* --- Before the source is opened ----------------------------------------------------------------
 */

static bool has(const char *folder, const char *name)
{
    cleanup_free char *path = path_join(folder, name);

    return path && access(path, F_OK) == 0;
}

/* Git's own rule for a folder that is a repository (gitrepository-layout(5)). */
static bool is_git_folder(const char *path)
{
    return has(path, "HEAD") && has(path, "objects") && has(path, "refs");
}

int surroundings_check(const struct place *place, const char *source, struct error *error)
{
    cleanup_free char *folder = strdup(place->path);

    if (!folder)
        return error_errno(error, -ENOMEM, "%s", place->path);
    if (leads_through(source, place))
        return error_set(error, -EINVAL,
                         "%s: the mount would hide its own source, %s: choose another folder",
                         place->path, source);
    for (char *slash; (slash = strrchr(folder, '/')) && folder[0]; *slash = '\0') {
        if (is_git_folder(folder))
            return error_set(error, -EINVAL, "%s: inside the Git folder %s: choose another folder",
                             place->path, folder);
    }
    return 0;
}

/* --- With the source open -----------------------------------------------------------------------
 */

struct check {
    const struct place *place;
    struct error *error;
};

/* `what` says what the folder is for, and what else could be done about it. */
static int check(const struct check *check, const char *folder, const char *what)
{
    if (!leads_through(folder, check->place))
        return 0;
    return error_set(check->error, -EINVAL, "%s: the mount would hide %s, %s", check->place->path,
                     folder, what);
}

static int check_git_folder(void *context, const char *folder)
{
    return check(context, folder, "where Git's data is read from: choose another folder");
}

static int check_recipe_path(const struct check *given, const char *source, const char *path)
{
    cleanup_free char *absolute = path_join(source, path);

    return absolute ? check(given, absolute, "which the package is made of: choose another folder")
                    : error_errno(given->error, -ENOMEM, "%s", path);
}

static int check_addon(const struct check *given, const char *source,
                       const struct generation_addon *addon)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < addon->source_count; i++)
        r = check_recipe_path(given, source, addon->sources[i]);
    return r;
}

/*
 * What the package is made of now: a revision is not read from there. A mount point further down is
 * not refused: its folder fails, or is left out, and the rest can be had.
 */
static int check_recipe(const struct check *given, struct view *view)
{
    cleanup_generation struct generation *generation = NULL;

    int r = view_look(view, &generation, given->error);
    for (size_t i = 0; r == 0 && i < generation->addon_count; i++)
        r = check_addon(given, source_path(view_source(view)), &generation->addons[i]);
    return r;
}

static int check_cache(const struct check *given, const struct view_options *options)
{
    cleanup_free char *folder =
        options->cache_folder ? strdup(options->cache_folder) : cache_default_folder();

    if (!folder)
        return error_errno(given->error, -ENOMEM, "%s", given->place->path);
    return check(given, folder,
                 "where compressed files are kept: choose another folder, or another cache=DIR");
}

int surroundings_check_view(const struct place *place, struct view *view,
                            const struct options *options, struct error *error)
{
    struct check given = {place, error};

    int r = source_git_folders(view_source(view), check_git_folder, &given, error);
    if (r == 0 && !source_revision(view_source(view)))
        r = check_recipe(&given, view);
    if (r == 0 && !options->view.no_cache)
        r = check_cache(&given, &options->view);
    if (r == 0)
        r = check(&given, spool_default_folder(),
                  "where large files are kept while they are open: choose another folder, or set "
                  "TMPDIR");
    return r;
}
