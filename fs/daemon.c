#include "daemon.h"
#include "filesystem.h"
#include "log.h"
#include "notify.h"
#include "operations.h"
#include "report.h"
#include "signals.h"
#include "surroundings.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

CLEANUP(filesystem, struct filesystem *, filesystem_free)
#define cleanup_filesystem __attribute__((cleanup(cleanup_filesystem_scope)))
CLEANUP(session, struct fuse_session *, fuse_session_destroy)
#define cleanup_session __attribute__((cleanup(cleanup_session_scope)))

void daemon_close_others(int one, int other)
{
    int from = STDERR_FILENO + 1;
    const int kept[2] = {one < other ? one : other, one < other ? other : one};

    closelog();
    for (size_t i = 0; i < 2; i++) {
        if (kept[i] > from)
            close_range((unsigned)from, (unsigned)kept[i] - 1, 0);
        if (kept[i] >= from)
            from = kept[i] + 1;
    }
    close_range((unsigned)from, ~0U, 0);
}

/* --- One process: open, mount, serve -----------------------------------------------------------
 */

/* `value` with what libfuse takes for a separator escaped; NULL without memory. */
static char *escaped(const char *value)
{
    char *text = malloc(2 * strlen(value) + 1);
    char *to = text;

    for (; text && *value; value++) {
        if (*value == ',' || *value == '\\')
            *to++ = '\\';
        *to++ = *value;
    }
    if (text)
        *to = '\0';
    return text;
}

static int open_filesystem(const struct daemon *daemon, struct filesystem **ret_filesystem,
                           struct error *error)
{
    struct view_options options = daemon->options->view;
    struct view *view = NULL;

    options.source.path = daemon->source;
    options.prepares = true;
    int r = view_open(&options, &view, error);
    if (r < 0)
        return r;
    r = surroundings_check_view(daemon->place, view, daemon->options, error);
    if (r < 0) {
        view_close(view);
        return r;
    }
    *ret_filesystem = filesystem_new(view, daemon->options, daemon->place->path);
    return *ret_filesystem ? 0 : error_errno(error, -ENOMEM, "%s", daemon->source);
}

static int new_session(const struct daemon *daemon, struct filesystem *filesystem,
                       struct fuse_session **ret_session, struct error *error)
{
    cleanup_free char *name = escaped(daemon->source);
    cleanup_free char *list = NULL;
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);

    if (!name ||
        asprintf(&list, "fsname=%s,subtype=addonfs,ro,nosuid,nodev,default_permissions%s%s", name,
                 daemon->options->allow_other ? ",allow_other" : "",
                 daemon->options->noexec ? ",noexec" : "") < 0) {
        list = NULL;
        return error_errno(error, -ENOMEM, "%s", daemon->place->path);
    }
    if (fuse_opt_add_arg(&arguments, "addonfs") == 0 && fuse_opt_add_arg(&arguments, "-o") == 0 &&
        fuse_opt_add_arg(&arguments, list) == 0)
        *ret_session = fuse_session_new(&arguments, &filesystem_operations,
                                        sizeof(filesystem_operations), filesystem);
    fuse_opt_free_args(&arguments);
    return *ret_session ? 0 : words_fail(daemon->place->path, "cannot start FUSE", error);
}

/* A session of what is mounted already; `*device` is the session's from then on. */
static int adopt_session(const struct daemon *daemon, struct fuse_session *session, int *device,
                         struct error *error)
{
    char name[32];

    /* libfuse's name for it (libfuse, fuse_session_mount). */
    snprintf(name, sizeof(name), "/dev/fd/%d", *device);
    if (fuse_session_mount(session, name) != 0)
        return words_fail(daemon->place->path, "cannot start FUSE", error);
    *device = -1;
    return 0;
}

/*
 * The way of those who are not root: libfuse starts fusermount3, which sees to it that the place is
 * theirs. It writes to stderr: what it says belongs into our one line.
 */
static int mount_with_help(const struct daemon *daemon, struct fuse_session *session,
                           struct error *error)
{
    cleanup_fd int output = memfd_create("fusermount3", MFD_CLOEXEC);
    cleanup_fd int stderr_copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

    if (output >= 0 && stderr_copy >= 0)
        dup2(output, STDERR_FILENO);
    int r = fuse_session_mount(session, daemon->place->path);
    if (output >= 0 && stderr_copy >= 0) {
        dup2(stderr_copy, STDERR_FILENO);
        words_take(output);
    }
    return r == 0 ? 0 : words_fail(daemon->place->path, "cannot mount", error);
}

/* Requests that wait for compression hold a thread each: no other may wait for one of them. */
enum { THREAD_LIMIT = 4096, IDLE_THREADS = 10 };

static int loop(struct fuse_session *session)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();

    if (!config)
        return -ENOMEM;
    fuse_loop_cfg_set_max_threads(config, THREAD_LIMIT);
    fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS);
    int r = fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
    return r;
}

/* A service manager knows the process that it started; one in the background has told its parent.
 */
static void tell_ready(const struct daemon *daemon)
{
    if (daemon->foreground && daemon->report < 0)
        notify("READY=1");
}

struct serving {
    struct filesystem *filesystem;
    struct fuse_session *session;
    pthread_t loop; /* the thread that is in fuse_session_loop_mt */
    bool ends;
};

/* For struct signals: what has to be done while requests are still answered, and then no more. */
static bool end_serving(void *context, int number)
{
    struct serving *serving = context;

    (void)number;
    if (!serving->ends)
        filesystem_end(serving->filesystem);
    serving->ends = true;
    fuse_session_exit(serving->session);
    /* libfuse waits for a semaphore, which a signal interrupts; it may not have waited yet. */
    pthread_kill(serving->loop, SIGNALS_WAKE);
    return true;
}

/* What is mounted, until a signal or somebody's umount ends it. */
static int serve(const struct daemon *daemon, struct filesystem *filesystem,
                 struct fuse_session *session, struct error *error)
{
    struct serving serving = {filesystem, session, pthread_self(), false};
    struct signals signals = {.end = end_serving, .context = &serving};
    int r = signals_begin(&signals);

    if (r < 0)
        return error_errno(error, r, "%s: cannot begin to serve", daemon->place->path);
    /* Whoever started us may have been interrupted, and believes that nothing is mounted. */
    if (daemon->report >= 0)
        r = report_send(daemon->report, REPORT_SERVING, NULL, -1);
    if (r == 0) {
        tell_ready(daemon);
        if (daemon->foreground)
            log_line(LOG_NOTICE, "%s is mounted at %s", daemon->source, daemon->place->path);
        words_to_log();
        filesystem_begin(filesystem, session);
        r = loop(session);
    }
    signals_end(&signals);
    filesystem_end(filesystem);
    return r < 0 ? error_errno(error, r, "%s: serving has failed", daemon->place->path) : 0;
}

/* Is what is mounted there still `device`? Another one, or none, is not ours to take away. */
static bool is_there(const struct daemon *daemon, const struct mountinfo *ours)
{
    struct mountinfo mount;

    return mountinfo_find(daemon->place->path, &mount) == 0 &&
           strcmp(mount.device, ours->device) == 0;
}

/*
 * Close the FUSE device behind `fd`. A pipe that nobody reads takes its number: libfuse asks the
 * descriptor for POLLERR, which says that the mount has gone, and then does not unmount by name.
 */
static void let_go(int fd)
{
    int broken[2];

    if (pipe2(broken, O_CLOEXEC) < 0)
        return;
    dup3(broken[1], fd, O_CLOEXEC);
    close(broken[0]);
    close(broken[1]);
}

/* fusermount3 again. */
static void unmount_with_help(const struct daemon *daemon, const struct mountinfo *mount,
                              struct fuse_session *session)
{
    if (!is_there(daemon, mount))
        let_go(fuse_session_fd(session));
    fuse_session_unmount(session);
}

static int run_as_root(const struct daemon *daemon, struct filesystem *filesystem,
                       struct fuse_session *session, struct error *error)
{
    cleanup_fd int device = -1;

    int r = place_mount(daemon->place, daemon->source, daemon->options->allow_other,
                        daemon->options->noexec, &device, error);
    if (r == 0)
        r = adopt_session(daemon, session, &device, error);
    if (r == 0)
        r = serve(daemon, filesystem, session, error);
    place_unmount(daemon->place);
    return r;
}

static int run_with_help(const struct daemon *daemon, struct filesystem *filesystem,
                         struct fuse_session *session, struct error *error)
{
    struct mountinfo mount = {0};

    int r = mount_with_help(daemon, session, error);
    if (r < 0)
        return r;
    (void)mountinfo_find(daemon->place->path, &mount);
    r = serve(daemon, filesystem, session, error);
    unmount_with_help(daemon, &mount, session);
    return r;
}

static int run_alone(const struct daemon *daemon, struct error *error)
{
    /* The filesystem, whose threads tell the session what has changed, goes first. */
    cleanup_session struct fuse_session *session = NULL;
    cleanup_filesystem struct filesystem *filesystem = NULL;

    int r = identity_become(&daemon->identity, error);
    if (r == 0)
        r = open_filesystem(daemon, &filesystem, error);
    if (r < 0)
        return r;
    filesystem->pid = getpid();
    r = new_session(daemon, filesystem, &session, error);
    if (r < 0)
        return r;
    return geteuid() == 0 ? run_as_root(daemon, filesystem, session, error)
                          : run_with_help(daemon, filesystem, session, error);
}

/* --- Two processes: the server -----------------------------------------------------------------
 */

static int serve_as_owner(const struct daemon *daemon, pid_t keeper, struct error *error)
{
    /* The filesystem, whose threads tell the session what has changed, goes first. */
    cleanup_session struct fuse_session *session = NULL;
    cleanup_filesystem struct filesystem *filesystem = NULL;
    cleanup_fd int device = -1;

    /* Nothing that root had open shall outlast root's rights. */
    daemon_close_others(daemon->report, -1);
    int r = identity_become(&daemon->identity, error);
    if (r < 0)
        return r;
    /* The keeper must not be left waiting for us, nor we outlive it. Changing ids clears this. */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != keeper)
        return error_set(error, -EIO, "%s: the mounting process has ended", daemon->place->path);
    r = open_filesystem(daemon, &filesystem, error);
    if (r < 0)
        return r;
    filesystem->pid = keeper;
    r = new_session(daemon, filesystem, &session, error);
    if (r == 0)
        r = report_send(daemon->report, REPORT_OPENED, NULL, -1);
    if (r < 0)
        return r;
    do
        r = report_receive(daemon->report, error, &device);
    while (r == -EINTR);
    if (r != REPORT_MOUNTED)
        return error_set(error, -EIO, "%s: not mounted", daemon->place->path);
    r = adopt_session(daemon, session, &device, error);
    if (r < 0)
        return r;
    return serve(daemon, filesystem, session, error);
}

/* --- Two processes: the keeper -----------------------------------------------------------------
 */

struct keeper {
    const struct daemon *daemon;
    int server_end; /* messages of the server */
    int signals;    /* signalfd(2) */
    pid_t server;
};

/* The server's next message. Signals are passed on to it meanwhile. */
static int next_message(const struct keeper *keeper, struct error *error)
{
    struct pollfd events[2] = {{.fd = keeper->server_end, .events = POLLIN},
                               {.fd = keeper->signals, .events = POLLIN}};
    struct signalfd_siginfo signal;
    int nothing;

    for (;;) {
        if (poll(events, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (events[1].revents && read(keeper->signals, &signal, sizeof(signal)) > 0)
            kill(keeper->server, SIGTERM);
        if (events[0].revents)
            return report_receive(keeper->server_end, error, &nothing);
    }
}

/* Mount when the server is ready, tell when it serves, and wait for its end. */
static int keep(const struct keeper *keeper, bool *ret_serving, struct error *error)
{
    const struct daemon *daemon = keeper->daemon;
    cleanup_fd int device = -1;

    int r = next_message(keeper, error);
    if (r == REPORT_OPENED) {
        r = place_mount(daemon->place, daemon->source, daemon->options->allow_other,
                        daemon->options->noexec, &device, error);
        if (r < 0)
            return r;
        (void)report_send(keeper->server_end, REPORT_MOUNTED, NULL, device);
        close(steal_fd(&device));
        r = next_message(keeper, error);
    }
    if (r == REPORT_SERVING) {
        *ret_serving = true;
        tell_ready(daemon);
        if (daemon->report >= 0 && report_send(daemon->report, REPORT_SERVING, NULL, -1) < 0)
            kill(keeper->server, SIGTERM);
        r = next_message(keeper, error);
    }
    return r == REPORT_FAILED ? error->code : 0;
}

static int run_in_halves(const struct daemon *daemon, struct error *error)
{
    struct keeper keeper = {.daemon = daemon, .server_end = -1, .signals = -1};
    bool serving = false;
    int ends[2];
    int status = 0;
    pid_t self = getpid();

    int r = report_pair(ends);
    if (r < 0)
        return error_errno(error, r, "%s", daemon->place->path);
    keeper.server_end = ends[0];
    keeper.signals = signals_open();
    fflush(NULL);
    keeper.server = fork();
    if (keeper.server == 0) {
        struct daemon server = *daemon;
        server.report = ends[1];
        r = serve_as_owner(&server, self, error);
        if (r < 0)
            (void)report_send(server.report, REPORT_FAILED, error, -1);
        exit(r < 0 ? 1 : 0);
    }
    close(ends[1]);
    r = keeper.server < 0 ? error_errno(error, -errno, "%s", daemon->place->path)
                          : keep(&keeper, &serving, error);
    /* Without its other end the server does not go on. */
    close(keeper.server_end);
    if (keeper.signals >= 0)
        close(keeper.signals);
    while (keeper.server > 0 && waitpid(keeper.server, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        r = error_set(error, -EIO, "%s: the serving process was killed by signal %d",
                      daemon->place->path, WTERMSIG(status));
    else if (r == 0 && !serving)
        r = error_set(error, -EIO, "%s: the serving process has ended before it served",
                      daemon->place->path);
    /* A crash leaves the mount dead, for all to see; an end or a failed start takes it away. */
    if (!WIFSIGNALED(status) || !serving)
        place_unmount(daemon->place);
    return r;
}

/*
 * What glibc keeps of freed memory. By itself it takes up to 8 arenas a core, and leaves buffers of
 * up to 32 MiB in them once one such was freed (mallopt(3)): we come and go with threads and large
 * buffers, and stay for weeks.
 */
static void keep_little_memory(void)
{
    enum { ARENAS = 2, LARGE = 1 << 20 };

    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE);
    (void)mallopt(M_TRIM_THRESHOLD, LARGE);
}

int daemon_run(const struct daemon *daemon, struct error *error)
{
    keep_little_memory();
    words_keep();
    signals_hold(!daemon->foreground);
    int r = daemon->identity.change ? run_in_halves(daemon, error) : run_alone(daemon, error);
    if (r < 0 && daemon->report >= 0)
        (void)report_send(daemon->report, REPORT_FAILED, error, -1);
    return r;
}
