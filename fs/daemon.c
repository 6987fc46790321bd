#include "daemon.h"
#include "filesystem.h"
#include "fusermount.h"
#include "log.h"
#include "notify.h"
#include "operations.h"
#include "report.h"
#include "serving.h"
#include "signals.h"
#include "surroundings.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
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

/* For struct signals: nothing is mounted yet, and what is opened may hang. */
static bool die(void *context, int number)
{
    (void)context;
    signals_die(number);
}

/*
 * For struct view_options: what the first look has begun may hang in a file, as long as that does
 * not answer. Nothing is mounted yet; so tell, as whoever is told by daemon_run would, and end.
 */
static void fail_at_once(void *context, const struct error *error)
{
    const struct daemon *daemon = context;

    if (daemon->report >= 0)
        (void)report_send(daemon->report, REPORT_FAILED, error, -1);
    else
        fprintf(stderr, "addonfs: %s\n", error->text);
    if (!daemon->foreground && !daemon->identity.change)
        log_line(LOG_ERR, "%s", error->text);
    _exit(1);
}

static int open_filesystem(const struct daemon *daemon, struct filesystem **ret_filesystem,
                           struct error *error)
{
    struct view_options options = daemon->options->view;
    struct signals signals = {.come = die};
    struct view *view = NULL;

    options.source.path = daemon->source;
    options.prepares = true;
    options.failed = fail_at_once;
    options.failed_context = (void *)(uintptr_t)daemon;
    int r = signals_begin(&signals);
    if (r < 0)
        return error_errno(error, r, "%s", daemon->source);
    r = view_open(&options, &view, error);
    if (r == 0)
        r = surroundings_check_view(daemon->place, view, daemon->options, error);
    if (r < 0 && view)
        fail_at_once((void *)(uintptr_t)daemon, error);
    /* One that comes now waits until it can be seen to. */
    signals_end(&signals);
    if (r < 0)
        return r;
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

/* fusermount3 again; by name, so it must be ours that is there. For struct serving. */
static bool leave_with_help(const struct daemon *daemon)
{
    struct place *place = daemon->place;
    cleanup_free char *path = NULL;
    struct mountinfo mount;
    char words[512];

    /* Where it is by now: a folder above may have another name. */
    if (place_has(place) &&
        (mountinfo_path_of(place->folder, &path) < 0 || mountinfo_find(path, &mount) < 0 ||
         mount.id != place->mount.id || fusermount_unmount(path, true, words, sizeof(words)) < 0))
        return false;
    place_forget(place);
    return true;
}

static bool leave_as_root(const struct daemon *daemon)
{
    return place_unmount(daemon->place);
}

/* A service manager knows the process that it started; one in the background tells its parent. */
static int tell_ready(const struct daemon *daemon)
{
    if (daemon->report >= 0) {
        (void)prctl(PR_SET_PDEATHSIG, 0); /* the command ends when it has heard of this */
        return report_send(daemon->report, REPORT_SERVING, NULL, -1);
    }
    if (daemon->foreground) {
        notify("READY=1");
        log_line(LOG_NOTICE, "%s is mounted at %s", daemon->source, daemon->place->path);
    }
    return 0;
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

static struct serving serving_of(const struct daemon *daemon, struct filesystem *filesystem,
                                 struct fuse_session *session)
{
    return (struct serving){.path = daemon->place->path,
                            .filesystem = filesystem,
                            .session = session,
                            .ready = tell_ready,
                            .daemon = daemon};
}

static int run_as_root(const struct daemon *daemon, struct serving *serving, struct error *error)
{
    cleanup_fd int device = -1;

    int r = place_mount(daemon->place, daemon->source, daemon->options->allow_other,
                        daemon->options->noexec, &device, error);
    if (r == 0)
        r = adopt_session(daemon, serving->session, &device, error);
    serving->leave = leave_as_root;
    if (r == 0)
        r = serving_run(serving, error);
    if (serving->gone)
        place_forget(daemon->place);
    (void)place_unmount(daemon->place);
    return r;
}

static int run_with_help(const struct daemon *daemon, struct serving *serving, struct error *error)
{
    int r = mount_with_help(daemon, serving->session, error);

    if (r < 0)
        return r;
    r = place_adopt(daemon->place, error);
    if (r < 0) {
        fuse_session_unmount(serving->session);
        return r;
    }
    serving->leave = leave_with_help;
    r = serving_run(serving, error);
    if (!serving->gone)
        (void)leave_with_help(daemon);
    let_go(fuse_session_fd(serving->session));
    fuse_session_unmount(serving->session);
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
    struct serving serving = serving_of(daemon, filesystem, session);
    return geteuid() == 0 ? run_as_root(daemon, &serving, error)
                          : run_with_help(daemon, &serving, error);
}

/* --- Two processes: the server -----------------------------------------------------------------
 */

static int tell_keeper(const struct daemon *daemon)
{
    return report_send(daemon->report, REPORT_SERVING, NULL, -1);
}

/* Only the keeper can. Without one nobody will: false. For struct serving. */
static bool ask_to_leave(const struct daemon *daemon)
{
    struct error error;
    int nothing;
    int r;

    if (report_send(daemon->report, REPORT_LEAVE, NULL, -1) < 0)
        return false;
    do
        r = report_receive(daemon->report, &error, &nothing);
    while (r == -EINTR);
    return r == REPORT_LEFT;
}

static int serve_as_owner(const struct daemon *daemon, pid_t keeper, struct error *error)
{
    /* The filesystem, whose threads tell the session what has changed, goes first. */
    cleanup_session struct fuse_session *session = NULL;
    cleanup_filesystem struct filesystem *filesystem = NULL;
    cleanup_fd int device = -1;

    /* Nothing that root had open shall outlast root's rights. */
    daemon_close_others(daemon->report, -1);
    daemon->place->folder = daemon->place->lock = -1;
    int r = identity_become(&daemon->identity, error);
    if (r < 0)
        return r;
    /* The keeper must not be left waiting for us, nor we outlive it. Changing ids clears this. */
    (void)prctl(PR_SET_PDEATHSIG, SIGNALS_PASSED_ON);
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
    struct serving serving = serving_of(daemon, filesystem, session);
    serving.ready = tell_keeper;
    serving.leave = ask_to_leave;
    r = serving_run(&serving, error);
    if (serving.gone)
        (void)report_send(daemon->report, REPORT_GONE, NULL, -1);
    return r;
}

/* --- Two processes: the keeper -----------------------------------------------------------------
 */

struct keeper {
    const struct daemon *daemon;
    int server_end; /* messages of the server */
    int signals;    /* signalfd(2) */
    pid_t server;
    int told; /* the last signal, or 0 */
};

static void do_leave(const struct keeper *keeper)
{
    bool gone = place_unmount(keeper->daemon->place);

    (void)report_send(keeper->server_end, gone ? REPORT_LEFT : REPORT_STAYED, NULL, -1);
}

/*
 * The server's next message about how far it is. Meanwhile signals are passed on to it, and the
 * mount is taken away when it says so.
 */
static int next_message(struct keeper *keeper, struct error *error)
{
    struct pollfd events[2] = {{.fd = keeper->server_end, .events = POLLIN},
                               {.fd = keeper->signals, .events = POLLIN}};
    struct signalfd_siginfo signal;
    int nothing;
    int r;

    for (;;) {
        if (poll(events, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_errno(error, -errno, "%s", keeper->daemon->place->path);
        }
        if (events[1].revents && read(keeper->signals, &signal, sizeof(signal)) > 0) {
            keeper->told = (int)signal.ssi_signo;
            kill(keeper->server, keeper->told == SIGQUIT ? SIGQUIT : SIGNALS_PASSED_ON);
        }
        if (!events[0].revents)
            continue;
        r = report_receive(keeper->server_end, error, &nothing);
        if (r == REPORT_LEAVE)
            do_leave(keeper);
        else if (r == REPORT_GONE)
            place_forget(keeper->daemon->place);
        else
            return r;
    }
}

/* Mount when the server is ready, tell when it serves, and wait for its end. */
static int keep(struct keeper *keeper, bool *ret_serving, struct error *error)
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
        if (tell_ready(daemon) < 0)
            kill(keeper->server, SIGQUIT);
        r = next_message(keeper, error);
    }
    if (r < 0)
        kill(keeper->server, SIGQUIT);
    return r == REPORT_FAILED ? error->code : r < 0 ? r : 0;
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
        (void)place_unmount(daemon->place);
    if (keeper.told && !serving)
        signals_die(keeper.told);
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
