#include "signals.h"

#include <errno.h>
#include <string.h>

enum {
    STOP_WAITING = SIGUSR1, /* to the waiter: nothing is left to be ended */
    WAKE_LOOP = SIGUSR2, /* to the loop: libfuse waits for a semaphore, which a signal interrupts */
    NUDGE = 10000000,    /* ns until the loop is woken again: it may not have waited yet */
};

sigset_t signals_that_end(void)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    return ends;
}

void signals_hold(sigset_t *ret_before)
{
    sigset_t ends = signals_that_end();

    sigaddset(&ends, STOP_WAITING);
    pthread_sigmask(SIG_BLOCK, &ends, ret_before);
}

static void do_nothing(int number)
{
    (void)number;
}

static void *wait_for_signal(void *argument)
{
    struct signals *signals = argument;
    const struct timespec nudge = {.tv_nsec = NUDGE};
    sigset_t awaited = signals_that_end();
    int number = 0;

    sigaddset(&awaited, STOP_WAITING);
    while (sigwait(&awaited, &number) != 0)
        ;
    if (number == STOP_WAITING)
        return NULL;
    filesystem_end(signals->filesystem);
    fuse_session_exit(signals->session);
    while (!atomic_load(&signals->over)) {
        pthread_kill(signals->loop, WAKE_LOOP);
        nanosleep(&nudge, NULL);
    }
    return NULL;
}

int signals_begin(struct signals *signals, struct filesystem *filesystem,
                  struct fuse_session *session)
{
    struct sigaction nothing = {.sa_handler = do_nothing};
    struct sigaction ignored = {.sa_handler = SIG_IGN};

    signals->filesystem = filesystem;
    signals->session = session;
    signals->loop = pthread_self();
    atomic_init(&signals->over, false);
    /* A reader that goes away while it is answered is no reason to end. */
    if (sigaction(WAKE_LOOP, &nothing, NULL) < 0 || sigaction(SIGPIPE, &ignored, NULL) < 0)
        return -errno;
    return -pthread_create(&signals->waiter, NULL, wait_for_signal, signals);
}

void signals_end(struct signals *signals)
{
    atomic_store(&signals->over, true);
    pthread_kill(signals->waiter, STOP_WAITING);
    pthread_join(signals->waiter, NULL);
}
