#include "mount.h"
#include "daemon.h"
#include "log.h"
#include "mountinfo.h"
#include "report.h"

#include <addonfs/cleanup.h>
#include <addonfs/path.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Is `path` `folder` itself, or below it? Both are absolute and without links. */
static bool is_within(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    if (strcmp(folder, "/") == 0)
        return true;
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

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

/* What lies below a mount point cannot be read: neither the source nor a Git folder may. */
static int check_surroundings(const char *given, const char *mountpoint, const char *source,
                              struct error *error)
{
    cleanup_free char *folder = strdup(mountpoint);

    if (!folder)
        return error_errno(error, -ENOMEM, "%s", given);
    if (is_within(source, mountpoint))
        return error_set(error, -EINVAL,
                         "%s: the mount would hide its own source, %s: choose another folder",
                         given, source);
    for (char *slash; (slash = strrchr(folder, '/')) && folder[0]; *slash = '\0') {
        if (is_git_folder(folder))
            return error_set(error, -EINVAL, "%s: inside the Git folder %s: choose another folder",
                             given, folder);
    }
    return 0;
}

static int check_free(const char *given, const char *mountpoint, struct error *error)
{
    struct mountinfo mount;

    int r = mountinfo_find(mountpoint, &mount);
    if (r == 0 && mount.is_addonfs)
        return error_set(error, -EBUSY,
                         "%s: busy, addonfs is mounted here: addonfs umount '%s' first", given,
                         given);
    return 0;
}

/*
 * Find the mount point, see that it can be one, and lock it against others that start there: two
 * mounts would stack. The lock is on the folder, and ends with the process.
 */
static int take_place(const char *given, char **ret_mountpoint, struct error *error)
{
    cleanup_free char *mountpoint = NULL;
    cleanup_fd int folder = -1;
    struct stat status;

    int r = mountinfo_resolve(given, &mountpoint);
    if (r == -ENOENT)
        return error_set(error, r, "%s: no such folder: make it first", given);
    if (r < 0)
        return error_errno(error, r, "%s", given);
    r = check_free(given, mountpoint, error);
    if (r < 0)
        return r;
    if (stat(mountpoint, &status) < 0)
        return error_errno(error, -errno, "%s", given);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, -ENOTDIR, "%s: not a folder: a mount point must be one", given);
    if (access("/dev/fuse", F_OK) < 0)
        return error_set(error, -ENODEV,
                         "/dev/fuse is not there: load the kernel module (modprobe fuse), or give "
                         "the container the device");
    folder = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && flock(folder, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return error_set(error, -EBUSY, "%s: busy, another addonfs is starting here", given);
    /* Again: the one that had the lock may have mounted in between. */
    r = check_free(given, mountpoint, error);
    if (r < 0)
        return r;
    (void)steal_fd(&folder);
    *ret_mountpoint = steal_pointer(&mountpoint);
    return 0;
}

/* The rest of the daemon's life, detached from the terminal. */
static void be_daemon(const struct daemon *daemon)
{
    struct error error = {0};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    (void)!chdir("/");
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    daemon_close_others(daemon->report);
    log_to_syslog();
    int r = daemon_run(daemon, &error);
    if (r < 0)
        log_line(LOG_ERR, "%s", error.text);
    exit(r < 0 ? 1 : 0);
}

/* Wait for the daemon's word, then for the mount's own answer. */
static int await(const struct daemon *daemon, int end, pid_t child, struct error *error)
{
    struct stat status;
    int nothing;
    int r;

    do
        r = report_receive(end, error, &nothing);
    while (r == -EINTR);
    if (r == REPORT_SERVING) {
        /* Answered only after INIT; whoever mounts may ask. */
        if (stat(daemon->mountpoint, &status) < 0)
            return error_errno(error, -errno, "%s: mounted, but does not answer",
                               daemon->mountpoint);
        return 0;
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (r == REPORT_FAILED)
        return error->code;
    return error_set(error, -EIO, "%s: the daemon has ended unexpectedly: see the system's log",
                     daemon->mountpoint);
}

static int run_in_background(struct daemon *daemon, struct error *error)
{
    int ends[2];

    int r = report_pair(ends);
    if (r < 0)
        return error_errno(error, r, "%s", daemon->mountpoint);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        daemon->report = ends[1];
        be_daemon(daemon);
    }
    close(ends[1]);
    r = child < 0 ? error_errno(error, -errno, "cannot start the daemon")
                  : await(daemon, ends[0], child, error);
    close(ends[0]);
    return r;
}

int mount_run(const char *source, const char *mountpoint, const struct options *options,
              bool foreground, struct error *error)
{
    cleanup_free char *real_source = NULL;
    cleanup_free char *real_mountpoint = NULL;
    struct daemon daemon = {.options = options, .foreground = foreground, .report = -1};

    int r = identity_of(source, &daemon.identity, error);
    if (r < 0)
        return r;
    r = take_place(mountpoint, &real_mountpoint, error);
    if (r < 0)
        return r;
    real_source = realpath(source, NULL);
    if (!real_source)
        return error_errno(error, -errno, "%s", source);
    r = check_surroundings(mountpoint, real_mountpoint, real_source, error);
    if (r < 0)
        return r;
    daemon.source = real_source;
    daemon.mountpoint = real_mountpoint;
    return foreground ? daemon_run(&daemon, error) : run_in_background(&daemon, error);
}
