#include "mount.h"
#include "mountinfo.h"
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static pid_t ask(const char *mountpoint)
{
    char text[32];
    ssize_t n = getxattr(mountpoint, PID_ATTRIBUTE, text, sizeof(text) - 1);

    if (n <= 0)
        return -1;
    text[n] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

/* FUSE answers only the user who mounted, root or not: ask as that user, in a process of its own.
 */
static pid_t ask_as(const struct mountinfo *mount, const char *mountpoint)
{
    int channel[2];
    pid_t pid = -1;

    if (pipe2(channel, O_CLOEXEC) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        if (setresgid(mount->group, mount->group, mount->group) == 0 &&
            setresuid(mount->user, mount->user, mount->user) == 0)
            pid = ask(mountpoint);
        (void)!write(channel[1], &pid, sizeof(pid));
        _exit(0);
    }
    close(channel[1]);
    if (child < 0 || read(channel[0], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
        pid = -1;
    close(channel[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return pid;
}

/* A descriptor that becomes readable when the daemon ends; -1 if there is none. */
static int watch_daemon(const struct mountinfo *mount, const char *mountpoint)
{
    bool other = geteuid() == 0 && mount->user != 0;
    pid_t pid = other ? ask_as(mount, mountpoint) : ask(mountpoint);

    return pid > 1 ? pidfd_open(pid, 0) : -1;
}

/* A plain user's way: fusermount3 is set-uid root and checks that the mount is the user's. */
static int fusermount(const char *mountpoint)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDERR_FILENO);
        execlp("fusermount3", "fusermount3", "-u", "-q", "--", mountpoint, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        return -errno;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return -ENOENT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mount_end(const char *mountpoint, struct error *error)
{
    cleanup_free char *path = NULL;
    cleanup_fd int daemon = -1;
    struct mountinfo mount;

    int r = mountinfo_resolve(mountpoint, &path);
    if (r < 0)
        return error_errno(error, r, "%s", mountpoint);
    r = mountinfo_find(path, &mount);
    if (r == -ENOENT || (r == 0 && !mount.is_addonfs))
        return error_set(error, -EINVAL, "%s: addonfs is not mounted here", mountpoint);
    if (r < 0)
        return error_errno(error, r, "/proc/self/mountinfo");
    daemon = watch_daemon(&mount, path);
    if (geteuid() == 0)
        r = umount2(path, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
    else
        r = fusermount(path);
    if (r == -EBUSY)
        return error_set(error, r,
                         "%s: busy: a file is open below it, or a process works in it (see fuser "
                         "-vm '%s')",
                         mountpoint, mountpoint);
    if (r < 0)
        return error_errno(error, r, "%s: cannot unmount%s", mountpoint,
                           r == -ENOENT ? " (is fusermount3 installed?)" : "");
    struct pollfd event = {.fd = daemon, .events = POLLIN};
    while (daemon >= 0 && poll(&event, 1, -1) < 0 && errno == EINTR)
        ;
    return 0;
}
