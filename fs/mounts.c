#include "mounts.h"
#include "filesystem.h"
#include "mountinfo.h"
#include "output.h"

#include <addonfs/cleanup.h>
#include <addonfs/status.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

enum {
    PATIENCE = 10000,    /* ms */
    TEXT_LIMIT = 1 << 26 /* bytes of a status.json */
};

/* What the process that asks a mount says first; the text of status.json follows. */
struct answer {
    int code; /* negative errno */
    bool has_progress;
    uint64_t ready;
    uint64_t members;
};

struct asked {
    struct status_report report; /* strings are ours */
    struct mountinfo mount;
    pid_t process; /* 0: none asks it */
    int channel;
    size_t length;
    struct answer answer;
    char *text; /* all that came: the answer, and behind it the text */
};

struct asking {
    size_t count;
    struct asked *items;
};

static void asking_clear(struct asking *asking)
{
    for (size_t i = 0; i < asking->count; i++) {
        struct asked *asked = &asking->items[i];
        if (asked->channel >= 0)
            close(asked->channel);
        free(asked->report.mountpoint);
        free(asked->text);
    }
    free(asking->items);
}

#define cleanup_asking __attribute__((cleanup(asking_clear)))

/* --- Which there are ----------------------------------------------------------------------------
 */

static int add(struct asking *asking, const char *path, const struct mountinfo *mount)
{
    struct asked *items = reallocarray(asking->items, asking->count + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    asking->items = items;
    struct asked *asked = &items[asking->count++];
    *asked = (struct asked){.mount = *mount, .channel = -1};
    asked->report.mountpoint = strdup(path);
    return asked->report.mountpoint ? 0 : -ENOMEM;
}

/* Of one that is mounted at several places the first is enough; parts of it do not know it. */
static int visit(void *context, const char *path, const struct mountinfo *mount)
{
    struct asking *asking = context;

    if (!mount->is_addonfs || !mount->is_whole)
        return 0;
    for (size_t i = 0; i < asking->count; i++) {
        if (strcmp(asking->items[i].mount.device, mount->device) == 0)
            return 0;
    }
    return add(asking, path, mount);
}

static int find(const char *mountpoint, struct asking *asking, struct error *error)
{
    cleanup_free char *path = NULL;
    struct mountinfo mount;

    if (!mountpoint) {
        int r = mountinfo_each(visit, asking);
        return r < 0 ? error_errno(error, r, "/proc/self/mountinfo") : 0;
    }
    int r = mountinfo_resolve(mountpoint, &path);
    if (r < 0)
        return error_errno(error, r, "%s", mountpoint);
    r = mountinfo_find(path, &mount);
    if (r == -ENOENT || (r == 0 && !mount.is_addonfs))
        return error_set(error, -EINVAL, "%s: addonfs is not mounted here", mountpoint);
    if (r == 0)
        r = add(asking, path, &mount);
    return r < 0 ? error_errno(error, r, "%s", mountpoint) : 0;
}

/* --- Asking -------------------------------------------------------------------------------------
 */

static void send_all(int channel, const void *bytes, size_t size)
{
    const char *from = bytes;

    while (size > 0) {
        ssize_t n = write(channel, from, size);
        if (n <= 0)
            _exit(0);
        from += n;
        size -= (size_t)n;
    }
}

/* "1500 3327" */
static void read_progress(const char *text, struct answer *answer)
{
    char *end = NULL;

    answer->ready = strtoull(text, &end, 10);
    answer->has_progress = end != text && *end == ' ';
    if (answer->has_progress)
        answer->members = strtoull(end, NULL, 10);
}

/* In the process that asks: as the user who may, for FUSE answers no other. */
static void ask(const struct asked *asked, int channel)
{
    const struct mountinfo *mount = &asked->mount;
    struct answer answer = {.code = 0};
    cleanup_free char *path = NULL;
    char text[4096];
    ssize_t n;

    /* Whoever reads what we say does not wait for this one, which may be held by a mount. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);
    if (geteuid() == 0 && mount->user != 0 &&
        (setresgid(mount->group, mount->group, mount->group) < 0 ||
         setresuid(mount->user, mount->user, mount->user) < 0))
        answer.code = -errno;
    n = answer.code == 0
            ? getxattr(asked->report.mountpoint, PROGRESS_ATTRIBUTE, text, sizeof(text) - 1)
            : 0;
    if (n < 0 && errno != ENODATA)
        answer.code = -errno;
    text[n > 0 ? n : 0] = '\0';
    read_progress(text, &answer);
    send_all(channel, &answer, sizeof(answer));
    if (answer.code < 0 || asprintf(&path, "%s/.addonfs/status.json", asked->report.mountpoint) < 0)
        _exit(0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0)
        send_all(channel, text, (size_t)n);
    _exit(0);
}

static int begin(struct asked *asked)
{
    int channel[2];

    if (pipe2(channel, O_CLOEXEC) < 0)
        return -errno;
    asked->process = fork();
    if (asked->process == 0)
        ask(asked, channel[1]);
    close(channel[1]);
    asked->channel = channel[0];
    return asked->process < 0 ? -errno : 0;
}

/* Take what has come. False: that is all. */
static bool receive(struct asked *asked)
{
    enum { PIECE = 1 << 16 };
    char *text = realloc(asked->text, asked->length + PIECE + 1);

    if (!text)
        return false;
    asked->text = text;
    ssize_t n = read(asked->channel, text + asked->length, PIECE);
    asked->length += n > 0 ? (size_t)n : 0;
    text[asked->length] = '\0';
    return n > 0 && asked->length < TEXT_LIMIT;
}

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* True: it has answered all. */
static bool await(struct asked *asked, int64_t end)
{
    struct pollfd event = {.fd = asked->channel, .events = POLLIN};

    for (;;) {
        int64_t left = end - milliseconds();
        int r = poll(&event, 1, left > 0 ? (int)left : 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        if (!receive(asked))
            return true;
    }
}

static void conclude(struct asked *asked, bool answered)
{
    struct status_report *report = &asked->report;
    bool has_answer = asked->length >= sizeof(asked->answer);

    if (has_answer)
        memcpy(&asked->answer, asked->text, sizeof(asked->answer));
    report->has_progress = asked->answer.has_progress;
    report->ready = asked->answer.ready;
    report->members = asked->answer.members;
    if (!has_answer)
        report->state = STATUS_HANGS;
    else if (asked->answer.code == -ENOTCONN || asked->answer.code == -ECONNABORTED)
        report->state = STATUS_DEAD;
    else if (asked->answer.code == 0 && !answered)
        report->state = STATUS_BUSY;
    else if (asked->answer.code < 0 || asked->length == sizeof(asked->answer))
        report->state = STATUS_HIDDEN;
    else
        report->text = asked->text + sizeof(asked->answer);
}

/* All at once, so that those that do not answer cost their time together. */
static int ask_all(struct asking *asking, double timeout)
{
    int64_t patience = timeout < 0 ? PATIENCE : (int64_t)(timeout < 1e6 ? timeout * 1000 : 1e9);
    int64_t end = milliseconds() + patience;
    int result = 0;

    for (size_t i = 0; i < asking->count && result == 0; i++)
        result = begin(&asking->items[i]);
    for (size_t i = 0; i < asking->count; i++) {
        struct asked *asked = &asking->items[i];
        if (asked->process <= 0)
            continue;
        bool answered = await(asked, end);
        conclude(asked, answered);
        if (!answered)
            kill(asked->process, SIGKILL); /* its end may have to wait for the mount's */
        else
            while (waitpid(asked->process, NULL, 0) < 0 && errno == EINTR)
                ;
    }
    return result;
}

/* --- Telling ------------------------------------------------------------------------------------
 */

static void print_line(const char *name, const char *text)
{
    struct error line; /* for what it does with what would break a line */

    error_set(&line, -EIO, "%s", text);
    printf("  %-10s %s\n", name, line.text);
}

static void print_progress(const struct status_report *report)
{
    if (report->has_progress)
        printf("  %-10s %" PRIu64 " of %" PRIu64 " files\n", "compressed", report->ready,
               report->members);
}

static void print_summary(const struct status_summary *summary)
{
    char text[128];

    print_line("source", summary->source);
    print_line("revision", summary->revision ? summary->revision : "worktree");
    if (summary->commit)
        print_line("commit", summary->commit);
    print_line("layout", summary->layout ? summary->layout : "unknown");
    for (size_t i = 0; i < summary->addon_count; i++)
        print_line(i == 0 ? "addons" : "", summary->addons[i]);
    snprintf(text, sizeof(text), "%.0f", summary->generation);
    print_line("generation", text);
    snprintf(text, sizeof(text), "%.0f hits, %.0f misses", summary->hits, summary->misses);
    print_line("cache", summary->has_cache ? text : "none");
    for (size_t i = 0; i < summary->problem_count; i++)
        print_line(i == 0 ? "problems" : "", summary->problems[i]);
}

static int print(struct status_report *report, bool *has_errors, struct error *error)
{
    cleanup_status_summary struct status_summary summary = {.source = NULL};
    struct error line;

    int r = report->text ? status_read(report, &summary, error) : 0;
    if (r < 0)
        return r;
    *has_errors = *has_errors || report->state == STATUS_DEAD || report->state == STATUS_HANGS ||
                  summary.errors > 0;
    error_set(&line, -EIO, "%s: %s", report->mountpoint, status_state_text(report->state));
    puts(line.text);
    if (report->text)
        print_summary(&summary);
    print_progress(report);
    return 0;
}

static int print_json(const struct asking *asking, bool *has_errors, struct error *error)
{
    cleanup_free struct status_report *reports = calloc(asking->count + 1, sizeof(*reports));
    cleanup_free char *text = NULL;

    if (!reports)
        return error_errno(error, -ENOMEM, "status");
    for (size_t i = 0; i < asking->count; i++)
        reports[i] = asking->items[i].report;
    int r = status_list(reports, asking->count, &text, has_errors, error);
    if (r == 0)
        fputs(text, stdout);
    return r;
}

int mounts_run(const char *mountpoint, bool json, double timeout, struct error *error)
{
    cleanup_asking struct asking asking = {.count = 0};
    bool has_errors = false;

    int r = find(mountpoint, &asking, error);
    if (r < 0)
        return r;
    r = ask_all(&asking, timeout);
    if (r < 0)
        return error_errno(error, r, "status");
    if (json)
        r = print_json(&asking, &has_errors, error);
    for (size_t i = 0; !json && r == 0 && i < asking.count; i++)
        r = print(&asking.items[i].report, &has_errors, error);
    if (r == 0)
        r = output_finish(error);
    return r < 0 ? r : has_errors;
}
