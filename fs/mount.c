#include "mount.h"
#include "identity.h"
#include "log.h"
#include "mountinfo.h"
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What the daemon tells the command that started it: one of these, and for a failure the message.
 */
enum report {
    REPORT_SERVING = 'R',
    REPORT_FAILED = 'E',
};

struct daemon {
    const char *source;
    char *mountpoint; /* absolute */
    const struct options *options;
    struct identity identity;
    bool foreground;
    int report; /* the pipe to the command, or -1 */
    struct fuse_session *session;
    char device[32]; /* of our mount, "major:minor" */
};

CLEANUP(filesystem, struct filesystem *, filesystem_free)

/* libfuse's own words about what failed: the last line is kept for our message. */
static char fuse_words[512];

static void keep_words(enum fuse_log_level level, const char *format, va_list arguments)
{
    char line[sizeof(fuse_words)];

    if (level > FUSE_LOG_WARNING)
        return;
    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    if (line[0])
        memcpy(fuse_words, line, sizeof(line));
}

static int tell(const struct daemon *daemon, enum report report, const struct error *error)
{
    char message[1 + ERROR_TEXT_SIZE];
    size_t size = 1;

    if (daemon->report < 0)
        return 0;
    message[0] = (char)report;
    if (error) {
        size_t length = strlen(error->text);
        memcpy(message + 1, error->text, length);
        size += length;
    }
    return write(daemon->report, message, size) == (ssize_t)size ? 0 : -errno;
}

static int check_place(const char *given, char **ret_mountpoint, struct error *error)
{
    cleanup_free char *mountpoint = NULL;
    struct mountinfo mount;
    struct stat status;

    int r = mountinfo_resolve(given, &mountpoint);
    if (r == -ENOENT)
        return error_set(error, r, "%s: no such folder: make it first", given);
    if (r < 0)
        return error_errno(error, r, "%s", given);
    r = mountinfo_find(mountpoint, &mount);
    if (r == 0 && mount.is_addonfs)
        return error_set(error, -EBUSY,
                         "%s: busy, addonfs is mounted here: addonfs umount '%s' first", given,
                         given);
    if (stat(mountpoint, &status) < 0)
        return error_errno(error, -errno, "%s", given);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, -ENOTDIR, "%s: not a folder: a mount point must be one", given);
    if (access("/dev/fuse", F_OK) < 0)
        return error_set(error, -ENODEV,
                         "/dev/fuse is not there: load the kernel module (modprobe fuse), or give "
                         "the container the device");
    *ret_mountpoint = steal_pointer(&mountpoint);
    return 0;
}

/* Append `value` with what libfuse takes for a separator escaped. */
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

static int new_session(struct daemon *daemon, struct filesystem *filesystem, struct error *error)
{
    cleanup_free char *name = escaped(daemon->source);
    cleanup_free char *list = NULL;
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);

    if (!name || asprintf(&list, "fsname=%s,subtype=addonfs,ro,nosuid,nodev,default_permissions%s",
                          name, daemon->options->allow_other ? ",allow_other" : "") < 0) {
        list = NULL;
        return error_errno(error, -ENOMEM, "%s", daemon->mountpoint);
    }
    if (fuse_opt_add_arg(&arguments, "addonfs") == 0 && fuse_opt_add_arg(&arguments, "-o") == 0 &&
        fuse_opt_add_arg(&arguments, list) == 0)
        daemon->session = fuse_session_new(&arguments, &filesystem_operations,
                                           sizeof(filesystem_operations), filesystem);
    fuse_opt_free_args(&arguments);
    return daemon->session ? 0
                           : error_set(error, -EIO, "%s: cannot start FUSE: %s", daemon->mountpoint,
                                       fuse_words);
}

/* fusermount3 writes to stderr: what it says belongs into our one line. */
static int mount_session(struct daemon *daemon, struct error *error)
{
    cleanup_fd int words = memfd_create("fusermount3", MFD_CLOEXEC);
    cleanup_fd int stderr_copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    struct mountinfo mount;

    if (words >= 0 && stderr_copy >= 0)
        dup2(words, STDERR_FILENO);
    int r = fuse_session_mount(daemon->session, daemon->mountpoint);
    if (words >= 0 && stderr_copy >= 0) {
        dup2(stderr_copy, STDERR_FILENO);
        ssize_t n = pread(words, fuse_words, sizeof(fuse_words) - 1, 0);
        if (n > 0) {
            fuse_words[n] = '\0';
            fuse_words[strcspn(fuse_words, "\n")] = '\0';
        }
    }
    if (r != 0)
        return error_set(error, -EIO, "%s: cannot mount: %s", daemon->mountpoint,
                         fuse_words[0] ? fuse_words : "unknown reason");
    if (mountinfo_find(daemon->mountpoint, &mount) == 0)
        memcpy(daemon->device, mount.device, sizeof(daemon->device));
    return 0;
}

/* Requests that wait for compression hold a thread each: no other may wait for one of them. */
enum { THREAD_LIMIT = 512, IDLE_THREADS = 10 };

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

static int serve(struct daemon *daemon, struct filesystem *filesystem)
{

    if (fuse_set_signal_handlers(daemon->session) != 0)
        return -EIO;
    (void)tell(daemon, REPORT_SERVING, NULL);
    if (daemon->foreground)
        log_line(LOG_NOTICE, "%s is mounted at %s", daemon->source, daemon->mountpoint);
    filesystem_begin(filesystem);
    /* Above 0 it is the signal that ended it, which is a clean end. */
    int r = loop(daemon->session);
    fuse_remove_signal_handlers(daemon->session);
    return r < 0 ? r : 0;
}

static int open_filesystem(const struct daemon *daemon, struct filesystem **ret_filesystem,
                           struct error *error)
{
    struct view_options options = daemon->options->view;
    struct view *view = NULL;

    options.source.path = daemon->source;
    int r = view_open(&options, &view, error);
    if (r < 0)
        return r;
    *ret_filesystem = filesystem_new(view, daemon->options, daemon->mountpoint);
    return *ret_filesystem ? 0 : error_errno(error, -ENOMEM, "%s", daemon->source);
}

/* Our own repository: look first, and mount what is known to be good. */
static int run_alone(struct daemon *daemon, struct error *error)
{
    __attribute__((cleanup(cleanup_filesystem_scope))) struct filesystem *filesystem = NULL;

    int r = open_filesystem(daemon, &filesystem, error);
    if (r < 0)
        return r;
    filesystem->pid = getpid();
    r = new_session(daemon, filesystem, error);
    if (r < 0)
        return r;
    r = mount_session(daemon, error);
    if (r == 0) {
        r = serve(daemon, filesystem);
        fuse_session_unmount(daemon->session);
        if (r < 0)
            error_errno(error, r, "%s: serving has failed", daemon->mountpoint);
    }
    fuse_session_destroy(daemon->session);
    return r;
}

/* Someone else's repository, the serving half: become the owner, then look and serve. */
static int run_as_owner(struct daemon *daemon, struct filesystem *shell, pid_t keeper,
                        struct error *error)
{
    struct filesystem *filesystem = NULL;

    /* The half that unmounts must not be left waiting for a process that outlives it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != keeper)
        return error_set(error, -EIO, "%s: the mounting process has ended", daemon->mountpoint);
    int r = identity_become(&daemon->identity, error);
    if (r == 0) {
        /* Changing ids has cleared it. */
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        r = open_filesystem(daemon, &filesystem, error);
    }
    if (r < 0)
        return r;
    filesystem->pid = keeper;
    /* The session was made with a shell around nothing, because mounting came first: fill it. */
    filesystem_adopt(shell, filesystem);
    r = serve(daemon, shell);
    return r < 0 ? error_errno(error, r, "%s: serving has failed", daemon->mountpoint) : 0;
}

static volatile sig_atomic_t ending;

static void note_signal(int signal)
{
    ending = signal;
}

/* Wait for the serving half; pass signals on to it. Returns its wait status. */
static int wait_for(pid_t child)
{
    struct sigaction action = {.sa_handler = note_signal};
    int status = 0;

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        if (ending)
            kill(child, SIGTERM);
    }
    return status;
}

/* Take our mount away, if it is still ours that is there. */
static void unmount_ours(const struct daemon *daemon)
{
    struct mountinfo mount;

    if (mountinfo_find(daemon->mountpoint, &mount) == 0 &&
        strcmp(mount.device, daemon->device) == 0)
        umount2(daemon->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/*
 * Close the FUSE device behind `fd`. A pipe that nobody reads takes its number: libfuse asks the
 * descriptor for POLLERR, which says that the mount has gone, and then does not unmount by name.
 */
static void let_go(int fd)
{
    int broken[2];

    if (pipe2(broken, O_CLOEXEC) < 0) {
        close(fd);
        return;
    }
    dup3(broken[1], fd, O_CLOEXEC);
    close(broken[0]);
    close(broken[1]);
}

/* Someone else's repository: mount as root, serve as its owner. */
static int run_in_halves(struct daemon *daemon, struct error *error)
{
    __attribute__((cleanup(cleanup_filesystem_scope))) struct filesystem *shell =
        filesystem_new(NULL, daemon->options, daemon->mountpoint);
    pid_t keeper = getpid();
    int channel[2];

    if (!shell)
        return error_errno(error, -ENOMEM, "%s", daemon->mountpoint);
    int r = new_session(daemon, shell, error);
    if (r == 0)
        r = mount_session(daemon, error);
    if (r == 0 && pipe2(channel, O_CLOEXEC) < 0) {
        r = error_errno(error, -errno, "%s", daemon->mountpoint);
        unmount_ours(daemon);
    }
    if (r < 0) {
        if (daemon->session)
            fuse_session_destroy(daemon->session);
        return r;
    }
    pid_t child = fork();
    if (child == 0) {
        close(channel[0]);
        r = run_as_owner(daemon, shell, keeper, error);
        if (r < 0)
            (void)!write(channel[1], error->text, strlen(error->text));
        fuse_session_destroy(daemon->session);
        filesystem_free(shell);
        _exit(r < 0 ? 1 : 0);
    }
    /* Only who serves may hold the device: if it dies, the mount must answer ENOTCONN, not hang. */
    let_go(fuse_session_fd(daemon->session));
    close(channel[1]);
    if (child < 0)
        r = error_errno(error, -errno, "%s", daemon->mountpoint);
    int status = child < 0 ? 0 : wait_for(child);
    ssize_t n = read(channel[0], error->text, sizeof(error->text) - 1);
    close(channel[0]);
    if (n > 0) {
        error->text[n] = '\0';
        r = error->code = -EIO;
    }
    /* A crash leaves the mount dead, for all to see; an end or a refusal takes it away. */
    if (WIFEXITED(status))
        unmount_ours(daemon);
    else
        r = error_set(error, -EIO, "%s: the serving process was killed by signal %d",
                      daemon->mountpoint, WTERMSIG(status));
    fuse_session_unmount(daemon->session);
    fuse_session_destroy(daemon->session);
    return r;
}

static int run(struct daemon *daemon, struct error *error)
{
    fuse_set_log_func(keep_words);
    int r = daemon->identity.change ? run_in_halves(daemon, error) : run_alone(daemon, error);
    if (r < 0)
        (void)tell(daemon, REPORT_FAILED, error);
    return r;
}

/* The rest of the daemon's life, detached from the terminal. */
static void be_daemon(struct daemon *daemon)
{
    struct error error = {0};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    (void)!chdir("/");
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
    log_to_syslog();
    int r = run(daemon, &error);
    if (r < 0)
        log_line(LOG_ERR, "%s", error.text);
    free(daemon->mountpoint);
    exit(r < 0 ? 1 : 0);
}

/* Wait for the daemon's word, then for the mount's own answer. */
static int await(const struct daemon *daemon, int channel, pid_t child, struct error *error)
{
    char message[1 + ERROR_TEXT_SIZE] = "";
    struct stat status;
    ssize_t n;

    do {
        n = read(channel, message, sizeof(message) - 1);
    } while (n < 0 && errno == EINTR);
    if (n > 0 && message[0] == REPORT_SERVING) {
        /* Answered only after INIT; whoever mounts may ask. */
        if (stat(daemon->mountpoint, &status) < 0)
            return error_errno(error, -errno, "%s: mounted, but does not answer",
                               daemon->mountpoint);
        return 0;
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n > 1 && message[0] == REPORT_FAILED)
        return error_set(error, -EIO, "%s", message + 1);
    return error_set(error, -EIO, "%s: the daemon has ended unexpectedly: see the system's log",
                     daemon->mountpoint);
}

static int run_in_background(struct daemon *daemon, struct error *error)
{
    int channel[2];

    if (pipe2(channel, O_CLOEXEC) < 0)
        return error_errno(error, -errno, "%s", daemon->mountpoint);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(channel[0]);
        daemon->report = channel[1];
        be_daemon(daemon);
    }
    close(channel[1]);
    int r = child < 0 ? error_errno(error, -errno, "cannot start the daemon")
                      : await(daemon, channel[0], child, error);
    close(channel[0]);
    return r;
}

int mount_run(const char *source, const char *mountpoint, const struct options *options,
              bool foreground, struct error *error)
{
    cleanup_free char *real = NULL;
    struct daemon daemon = {.options = options, .foreground = foreground, .report = -1};

    int r = identity_of(source, &daemon.identity, error);
    if (r < 0)
        return r;
    r = check_place(mountpoint, &daemon.mountpoint, error);
    if (r < 0)
        return r;
    real = realpath(source, NULL);
    daemon.source = real;
    if (!real)
        r = error_errno(error, -errno, "%s", source);
    else
        r = foreground ? run(&daemon, error) : run_in_background(&daemon, error);
    free(daemon.mountpoint);
    return r;
}
