#include "signals.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

enum { AGAIN = 10 }; /* ms between two calls of signals.come */

/* All whose default is to end the process and that are no fault of its own (signal(7)). */
static const int ending[] = {SIGTERM, SIGINT,  SIGHUP,    SIGQUIT, SIGALRM,   SIGUSR1,
                             SIGPOLL, SIGPROF, SIGVTALRM, SIGPWR,  SIGSTKFLT, SIGXCPU};

enum { NAMED = sizeof(ending) / sizeof(ending[0]) };

/* Number `index` of them, those for real time (but for glibc's own) behind the others; 0 behind the
 * last. */
static int ending_at(int index)
{
    int number = index < NAMED ? ending[index] : SIGRTMIN + index - NAMED;

    return number <= SIGRTMAX ? number : 0;
}

static void do_nothing(int number)
{
    (void)number;
}

void signals_hold(bool all)
{
    struct sigaction nothing = {.sa_handler = do_nothing};
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    struct sigaction before;
    sigset_t held;
    int number;

    sigemptyset(&held);
    for (int i = 0; (number = ending_at(i)); i++) {
        if (all || number == SIGNALS_PASSED_ON ||
            (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN))
            sigaddset(&held, number);
    }
    pthread_sigmask(SIG_BLOCK, &held, NULL);
    sigaction(SIGNALS_WAKE, &nothing, NULL);
    /* A reader that goes away while it is answered, a file that grows too large: no reason to end.
     */
    sigaction(SIGPIPE, &ignored, NULL);
    sigaction(SIGXFSZ, &ignored, NULL);
}

int signals_open(void)
{
    sigset_t blocked;
    sigset_t awaited;
    int number;

    /* Others that whoever started us has blocked are none of ours. */
    sigemptyset(&awaited);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int i = 0; (number = ending_at(i)); i++) {
        if (sigismember(&blocked, number))
            sigaddset(&awaited, number);
    }
    int fd = signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void *wait_for_signal(void *argument)
{
    const struct signals *signals = argument;
    struct pollfd events[2] = {{.fd = signals->arrived, .events = POLLIN},
                               {.fd = signals->over, .events = POLLIN}};
    struct signalfd_siginfo signal;
    bool again = false;

    for (;;) {
        if (poll(events, 2, again ? AGAIN : -1) > 0 && events[1].revents)
            return NULL;
        if (read(signals->arrived, &signal, sizeof(signal)) == (ssize_t)sizeof(signal) || again)
            again = signals->come(signals->context, (int)signal.ssi_signo);
    }
}

int signals_begin(struct signals *signals)
{
    cleanup_fd int arrived = signals_open();
    cleanup_fd int over = eventfd(0, EFD_CLOEXEC);

    if (arrived < 0)
        return arrived;
    if (over < 0)
        return -errno;
    signals->arrived = arrived;
    signals->over = over;
    int r = pthread_create(&signals->waiter, NULL, wait_for_signal, signals);
    if (r != 0)
        return -r;
    (void)steal_fd(&arrived);
    (void)steal_fd(&over);
    return 0;
}

void signals_end(struct signals *signals)
{
    (void)eventfd_write(signals->over, 1);
    pthread_join(signals->waiter, NULL);
    close(signals->arrived);
    close(signals->over);
}

void signals_die(int number)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t only;

    sigemptyset(&only);
    sigaddset(&only, number);
    sigaction(number, &standard, NULL);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
    _exit(128 + number);
}
