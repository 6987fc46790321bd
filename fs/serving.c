#include "serving.h"
#include "log.h"
#include "signals.h"
#include "words.h"

#include <errno.h>
#include <poll.h>

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

/* A file system that is mounted nowhere and held by nobody has ended by the time umount2 returns;
 * its device says so (fuse_dev_poll in the kernel). */
static bool is_gone(struct fuse_session *session)
{
    struct pollfd event = {.fd = fuse_session_fd(session)};

    return poll(&event, 1, 0) > 0 && event.revents & POLLERR;
}

/* Nobody can come any more; who waits for changes would keep it for ever. */
static bool leave(struct serving *serving)
{
    if (!is_gone(serving->session) && !serving->leave(serving->daemon))
        return false;
    waiting_finish(&serving->filesystem->waiting);
    if (!is_gone(serving->session))
        log_line(LOG_NOTICE,
                 "%s: unmounted, and still in use: it ends when the last who has something open "
                 "in it (or a bind mount of it) is done, or at once with another signal",
                 serving->path);
    return true;
}

/* For struct signals: what has to be done while requests are still answered, and then no more. */
static bool on_signal(void *context, int number)
{
    struct serving *serving = context;
    /* A terminal and a service manager tell both halves of a mount, and one tells the other: once
     * by each way is still the first time. */
    bool *told = number == SIGNALS_PASSED_ON ? &serving->passed_on : &serving->told;

    if (!serving->ends && !*told && number != SIGQUIT) {
        *told = true;
        serving->left = serving->left || leave(serving);
        if (serving->left)
            return false;
    }
    if (!serving->ends)
        filesystem_end(serving->filesystem);
    serving->ends = true;
    fuse_session_exit(serving->session);
    /* libfuse waits for a semaphore, which a signal interrupts; it may not have waited yet. */
    pthread_kill(serving->loop, SIGNALS_WAKE);
    return true;
}

int serving_run(struct serving *serving, struct error *error)
{
    struct signals signals = {.come = on_signal, .context = serving};

    serving->loop = pthread_self();
    int r = signals_begin(&signals);
    if (r < 0)
        return error_errno(error, r, "%s: cannot begin to serve", serving->path);
    /* Whoever started us may have been interrupted, and believes that nothing is mounted. */
    r = serving->ready(serving->daemon);
    if (r == 0) {
        words_to_log();
        filesystem_begin(serving->filesystem, serving->session);
        r = loop(serving->session);
    }
    signals_end(&signals);
    serving->gone = is_gone(serving->session);
    filesystem_end(serving->filesystem);
    return r < 0 ? error_errno(error, r, "%s: serving has failed", serving->path) : 0;
}
