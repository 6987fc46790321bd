#include "filesystem.h"
#include "fusermount.h"
#include "mount.h"
#include "mountinfo.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>

enum {
    /* ms: a daemon that does not say who it is by then hangs. More than it waits for waiters to
     * close, see RELEASE_PATIENCE. */
    ANSWER_PATIENCE = 2 * RELEASE_PATIENCE,
    END_PATIENCE = 60000, /* ms for what it still has to write */
    MOMENT = 1000,        /* ms in which most have ended */
};

static bool get_text(const char *mountpoint, const char *attribute, char *text, size_t size)
{
    ssize_t n = getxattr(mountpoint, attribute, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The daemon's process, 0 if it is one of another PID namespace, -1 without an answer. */
static pid_t ask(const char *mountpoint)
{
    char theirs[64];
    char ours[64];
    char text[32];

    if (!get_text(mountpoint, PID_ATTRIBUTE, text, sizeof(text)) ||
        !get_text(mountpoint, NAMESPACE_ATTRIBUTE, theirs, sizeof(theirs)))
        return -1;
    ssize_t n = readlink("/proc/self/ns/pid", ours, sizeof(ours) - 1);
    ours[n > 0 ? n : 0] = '\0';
    return strcmp(ours, theirs) == 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Let whoever waits for changes close its file (waiting.h). */
static pid_t release(const char *mountpoint)
{
    char nothing;

    (void)getxattr(mountpoint, RELEASE_ATTRIBUTE, &nothing, sizeof(nothing));
    return 0;
}

/* Whether nobody serves the mount any more. */
static pid_t is_dead(const char *mountpoint)
{
    char text[32];

    return getxattr(mountpoint, PID_ATTRIBUTE, text, sizeof(text)) < 0 && errno == ENOTCONN;
}

/*
 * Ask in a process of its own, because the mount may hang, and because FUSE answers only the user
 * who mounted, root or not. -1: there is none, or it may not be known; `*ret_hangs`: it does not
 * answer.
 */
static pid_t ask_apart(const struct mountinfo *mount, const char *mountpoint,
                       pid_t (*question)(const char *mountpoint), bool *ret_hangs)
{
    struct pollfd event = {.events = POLLIN};
    int channel[2];
    pid_t pid = -1;

    *ret_hangs = false;
    if (pipe2(channel, O_CLOEXEC) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        /* Whoever reads what we say does not wait for this one, which the mount may hold. */
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            close(fd);
        if (geteuid() != 0 || mount->user == 0 ||
            (setresgid(mount->group, mount->group, mount->group) == 0 &&
             setresuid(mount->user, mount->user, mount->user) == 0))
            pid = question(mountpoint);
        (void)!write(channel[1], &pid, sizeof(pid));
        _exit(0);
    }
    close(channel[1]);
    event.fd = channel[0];
    if (child > 0 && poll(&event, 1, ANSWER_PATIENCE) > 0) {
        if (read(channel[0], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
            pid = -1;
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    } else if (child > 0) {
        *ret_hangs = true;
        kill(child, SIGKILL); /* its end may have to wait for the mount's: nobody waits for it */
    }
    close(channel[0]);
    return pid;
}

/*
 * A mount that is to end. Its path may be swapped at any moment by whoever owns a folder on the
 * way; the folder above is held, and in it nobody can rename what is a mount point (rename(2)).
 */
struct target {
    const char *given;
    char *path; /* absolute, without links */
    int above;
    char at[NAME_MAX + 32]; /* the same place, by way of `above` */
    struct mountinfo mount;
};

static void target_clear(struct target *target)
{
    free(target->path);
    if (target->above >= 0)
        close(target->above);
}

#define cleanup_target __attribute__((cleanup(target_clear)))

static int find(const char *given, struct target *target, struct error *error)
{
    int id;

    target->given = given;
    int r = mountinfo_resolve(given, &target->path);
    if (r < 0)
        return error_errno(error, r, "%s", given);
    r = mountinfo_find(target->path, &target->mount);
    if (r == -ENOENT || (r == 0 && !target->mount.is_addonfs))
        return error_set(error, -EINVAL, "%s: addonfs is not mounted here", given);
    if (r < 0)
        return error_errno(error, r, "/proc/self/mountinfo");
    char *slash = strrchr(target->path, '/');
    *slash = '\0';
    target->above = open(*target->path ? target->path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int code = target->above < 0 ? -errno : 0;
    *slash = '/';
    if (code < 0)
        return error_errno(error, code, "%s: cannot open the folder above", given);
    snprintf(target->at, sizeof(target->at), "/proc/self/fd/%d%s", target->above, slash);
    cleanup_fd int top = open(target->at, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0 || mountinfo_id_of(top, &id) < 0 || id != target->mount.id)
        return error_set(error, -ESTALE, "%s: is being moved or covered: try again", given);
    return 0;
}

static int unmount(const struct target *target, bool lazy, struct error *error)
{
    const char *given = target->given;
    char words[512] = "";
    int r;

    if (geteuid() == 0)
        r = umount2(target->at, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0 ? -errno : 0;
    else
        r = fusermount_unmount(target->path, lazy, words, sizeof(words));
    if (r == -EBUSY)
        return error_set(error, r,
                         "%s: busy: a file is open below it, or a process works in it (see fuser "
                         "-vm '%s'; --lazy takes it away all the same)",
                         given, given);
    return r == 0 ? 0
                  : error_set(error, r, "%s: cannot unmount: %s", given,
                              words[0] ? words : strerror(-r));
}

/* Has it ended within so many milliseconds? */
static bool has_ended(int daemon, int milliseconds)
{
    struct pollfd event = {.fd = daemon, .events = POLLIN};
    int r;

    do
        r = poll(&event, 1, milliseconds);
    while (r < 0 && errno == EINTR);
    return r > 0;
}

/*
 * The kernel gives the number of a file system that has gone to the next one, perhaps at once: is
 * what has it at `path` still served by `pid`?
 */
static bool is_served_by(pid_t pid, const struct mountinfo *mount, const char *path)
{
    bool hangs;
    pid_t server = ask_apart(mount, path, ask, &hangs);

    if (pid <= 1 || server == pid)
        return true;
    /* A dead one is not: `pid` lives. One that does not say is taken for the one that we know. */
    return server < 0 && (hangs || ask_apart(mount, path, is_dead, &hangs) <= 0);
}

/* Is it still mounted at another place that we see? */
static int find_here(const struct target *target, pid_t pid, struct error *error)
{
    cleanup_free char *path = NULL;
    struct mountinfo mount;

    if (mountinfo_find_device(target->mount.device, &mount, &path) < 0 ||
        !is_served_by(pid, &mount, path))
        return 0;
    return error_set(error, -EBUSY,
                     "%s: unmounted here, but still mounted at %s: unmount that, too",
                     target->given, path);
}

/* Is it still mounted for processes that see other mounts than we do? */
static int find_elsewhere(const struct target *target, pid_t pid, struct error *error)
{
    cleanup_free char *path = NULL;
    cleanup_free char *from_here = NULL;
    struct mountinfo mount;
    pid_t process;

    if (mountinfo_find_process(target->mount.device, &process, &mount, &path) < 0)
        return 0;
    if (asprintf(&from_here, "/proc/%ld/root%s", (long)process, path) < 0) {
        from_here = NULL;
        return error_errno(error, -ENOMEM, "%s", target->given);
    }
    if (!is_served_by(pid, &mount, from_here))
        return 0;
    return error_set(
        error, -EBUSY,
        "%s: unmounted here, but process %ld has it at %s, in a mount namespace of its "
        "own: unmount it there, too, or end that process",
        target->given, (long)process, path);
}

static int moment_of(int patience)
{
    return patience < MOMENT ? patience : MOMENT;
}

/* One that has not ended within a moment. */
static int await_daemon(const struct target *target, pid_t pid, int daemon, int patience,
                        struct error *error)
{
    /* One that is mounted elsewhere does not end: no need to wait for long. */
    int r = find_elsewhere(target, pid, error);
    if (r < 0 || has_ended(daemon, patience - moment_of(patience)))
        return r;
    r = find_elsewhere(target, pid, error);
    return r < 0 ? r
                 : error_set(error, -EBUSY,
                             "%s: unmounted, but its daemon (process %ld) is still busy, and will "
                             "end when it has done what it is doing",
                             target->given, (long)pid);
}

int mount_clear(const char *mountpoint, struct error *error)
{
    cleanup_target struct target target = {.above = -1};
    struct error why;
    bool hangs;

    int r = find(mountpoint, &target, &why);
    if (r == -EINVAL || r == -ENOENT)
        return 0; /* nothing is there; or what will be told of whoever mounts */
    if (r < 0) {
        if (error)
            *error = why;
        return r;
    }
    if (ask_apart(&target.mount, target.at, is_dead, &hangs) > 0)
        return unmount(&target, true, error);
    return error_set(error, -EBUSY,
                     "%s: busy, a living addonfs is mounted here: --replace takes the place of a "
                     "dead one only, addonfs umount '%s' ends this one",
                     mountpoint, mountpoint);
}

int mount_end(const char *mountpoint, bool lazy, double timeout, struct error *error)
{
    cleanup_target struct target target = {.above = -1};
    cleanup_fd int daemon = -1;
    bool hangs;

    int r = find(mountpoint, &target, error);
    if (r < 0)
        return r;
    if (lazy)
        return unmount(&target, true, error);
    /* Before it is gone: afterwards nobody can be asked. */
    pid_t pid = ask_apart(&target.mount, target.at, ask, &hangs);
    daemon = pid > 1 ? pidfd_open(pid, 0) : -1;
    /* Whoever is stuck in a mount that hangs keeps it busy: it goes without them. */
    r = unmount(&target, hangs, error);
    if (r == -EBUSY) {
        (void)ask_apart(&target.mount, target.at, release, &hangs);
        r = unmount(&target, hangs, error);
    }
    if (r < 0)
        return r;
    int patience = timeout < 0                  ? END_PATIENCE
                   : timeout > INT_MAX / 1000.0 ? INT_MAX
                                                : (int)(timeout * 1000);
    /* Of one that is still mounted anywhere the daemon has not ended. */
    if (daemon >= 0 && has_ended(daemon, moment_of(patience)))
        return 0;
    r = find_here(&target, pid, error);
    if (r < 0)
        return r;
    if (hangs)
        return error_set(error, -ETIMEDOUT,
                         "%s: unmounted, but its daemon did not answer and may still be there: see "
                         "pgrep -a addonfs",
                         mountpoint);
    if (daemon < 0)
        return 0;
    return await_daemon(&target, pid, daemon, patience, error);
}
