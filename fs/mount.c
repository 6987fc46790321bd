#include "mount.h"
#include "daemon.h"
#include "log.h"
#include "mountinfo.h"
#include "report.h"
#include "surroundings.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The rest of the daemon's life, detached from the terminal. */
static void be_daemon(const struct daemon *daemon, pid_t command)
{
    struct error error = {0};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    /* A command that was interrupted leaves nothing behind, not even what hangs (daemon.c). */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != command)
        exit(1);
    (void)!chdir("/");
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    daemon_close_others(daemon->report, daemon->place->folder);
    daemon->place->lock = -1; /* the command has it until the mount answers */
    log_to_syslog();
    int r = daemon_run(daemon, &error);
    if (r < 0)
        log_line(LOG_ERR, "%s", error.text);
    exit(r < 0 ? 1 : 0);
}

/* Does the mount answer, and where it was asked for? The daemon cannot know either. */
static int check_answer(const struct daemon *daemon, struct error *error)
{
    const char *path = daemon->place->path;
    struct mountinfo mount;
    struct stat status;

    /* Answered only after INIT; whoever mounts may ask. */
    if (stat(path, &status) < 0)
        return error_errno(error, -errno, "%s: mounted, but does not answer", path);
    if (mountinfo_find(path, &mount) < 0 || !mount.is_addonfs)
        return error_set(error, -ESTALE,
                         "%s: was moved or covered while it was being mounted: mount again", path);
    return 0;
}

static void await_exit(pid_t child)
{
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* What cannot be used is taken away again: a command that fails leaves no mount. */
static void take_back(const struct daemon *daemon, pid_t child)
{
    struct mountinfo mount;
    struct error ignored;

    kill(child, SIGQUIT); /* whoever has come to it already does not keep it */
    await_exit(child);
    /* One that has crashed could not do it itself. */
    if (mountinfo_find(daemon->place->path, &mount) == 0 && mount.is_addonfs)
        (void)mount_end(daemon->place->path, false, -1, &ignored);
}

/* Wait for the daemon's word, then for the mount's own answer. */
static int await(const struct daemon *daemon, int end, pid_t child, struct error *error)
{
    int nothing;
    int r;

    do
        r = report_receive(end, error, &nothing);
    while (r == -EINTR);
    if (r == REPORT_SERVING) {
        r = check_answer(daemon, error);
        if (r < 0)
            take_back(daemon, child);
        return r;
    }
    await_exit(child);
    if (r == REPORT_FAILED)
        return error->code;
    return error_set(error, -EIO, "%s: the daemon has ended unexpectedly: see the system's log",
                     daemon->place->path);
}

static int run_in_background(struct daemon *daemon, struct error *error)
{
    int ends[2];

    int r = report_pair(ends);
    if (r < 0)
        return error_errno(error, r, "%s", daemon->place->path);
    fflush(NULL);
    pid_t command = getpid();
    pid_t child = fork();
    if (child == 0) {
        daemon->report = ends[1];
        be_daemon(daemon, command);
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
    cleanup_place struct place place = PLACE_NONE;
    cleanup_free char *path = NULL;
    struct daemon daemon = {
        .place = &place, .options = options, .foreground = foreground, .report = -1};

    int r = identity_of(source, &daemon.identity, &path, error);
    if (r == 0)
        r = place_take(mountpoint, &place, error);
    if (r == 0)
        r = surroundings_check(&place, path, error);
    if (r < 0)
        return r;
    daemon.source = path;
    return foreground ? daemon_run(&daemon, error) : run_in_background(&daemon, error);
}
