#include "filesystem.h"
#include "mount.h"
#include "mountinfo.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
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
    ANSWER_PATIENCE = 5000, /* ms: a daemon that does not say who it is by then hangs */
    END_PATIENCE = 60000,   /* ms: one that goes on for longer is still mounted somewhere */
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
 * A plain user's way: fusermount3 is set-uid root and checks that the mount is the user's. Its
 * words go into `words`.
 */
static int fusermount(const char *mountpoint, bool lazy, char *words, size_t size)
{
    cleanup_fd int output = memfd_create("fusermount3", MFD_CLOEXEC);
    int status = 0;

    pid_t child = fork();
    if (child == 0) {
        dup2(output, STDERR_FILENO);
        execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", mountpoint, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return -errno;
    ssize_t n = pread(output, words, size - 1, 0);
    words[n > 0 ? n : 0] = '\0';
    words[strcspn(words, "\n")] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(words, size, "is fusermount3 installed?");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return strstr(words, strerror(EBUSY)) ? -EBUSY : -EPERM;
}

static int unmount(const char *given, const char *path, bool lazy, struct error *error)
{
    char words[512] = "";
    int r;

    if (geteuid() == 0)
        r = umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0 ? -errno : 0;
    else
        r = fusermount(path, lazy, words, sizeof(words));
    if (r == -EBUSY)
        return error_set(error, r,
                         "%s: busy: a file is open below it, or a process works in it (see fuser "
                         "-vm '%s')",
                         given, given);
    return r == 0 ? 0
                  : error_set(error, r, "%s: cannot unmount: %s", given,
                              words[0] ? words : strerror(-r));
}

int mount_end(const char *mountpoint, struct error *error)
{
    cleanup_free char *path = NULL;
    cleanup_free char *elsewhere = NULL;
    cleanup_fd int daemon = -1;
    struct mountinfo mount;
    bool hangs;

    int r = mountinfo_resolve(mountpoint, &path);
    if (r < 0)
        return error_errno(error, r, "%s", mountpoint);
    r = mountinfo_find(path, &mount);
    if (r == -ENOENT || (r == 0 && !mount.is_addonfs))
        return error_set(error, -EINVAL, "%s: addonfs is not mounted here", mountpoint);
    if (r < 0)
        return error_errno(error, r, "/proc/self/mountinfo");
    /* Before it is gone: afterwards nobody can be asked. */
    pid_t pid = ask_apart(&mount, path, ask, &hangs);
    daemon = pid > 1 ? pidfd_open(pid, 0) : -1;
    /* Whoever is stuck in a mount that hangs keeps it busy: it goes without them. */
    r = unmount(mountpoint, path, hangs, error);
    if (r == -EBUSY) {
        (void)ask_apart(&mount, path, release, &hangs);
        r = unmount(mountpoint, path, hangs, error);
    }
    if (r < 0)
        return r;
    if (mountinfo_find_device(mount.device, &elsewhere) == 0)
        return error_set(error, -EBUSY,
                         "%s: unmounted here, but still mounted at %s: unmount that, too",
                         mountpoint, elsewhere);
    if (hangs)
        return error_set(error, -ETIMEDOUT,
                         "%s: unmounted, but its daemon did not answer and may still be there: see "
                         "pgrep -a addonfs",
                         mountpoint);
    struct pollfd event = {.fd = daemon, .events = POLLIN};
    do
        r = daemon < 0 ? 1 : poll(&event, 1, END_PATIENCE);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return error_set(error, -EBUSY,
                         "%s: unmounted here, but its daemon (process %ld) goes on: a container or "
                         "another mount namespace still holds it",
                         mountpoint, (long)pid);
    return 0;
}
