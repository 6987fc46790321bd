/*
 * signals: what ends us from outside.
 *
 * Every signal that would end the process, and that comes from outside, stays blocked in all
 * threads from before there is anything to tidy up until the process ends; a thread of its own
 * reads them (signalfd(2)). So there is no moment at which one of them leaves a dead mount or half
 * an export, and what has to be done before the end is done by a thread that may wait.
 */
#ifndef ADDONFS_SIGNALS_H
#define ADDONFS_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Does nothing but interrupt the system call of the thread that it is sent to (pthread_kill(3)). */
#define SIGNALS_WAKE SIGUSR2

/* What one process of a mount sends to the other when it was told to end itself. */
#define SIGNALS_PASSED_ON SIGUSR1

struct signals {
    /*
     * Called by the waiter for every signal that has come. When it returns true it is called again
     * and again until signals_end, with some milliseconds in between, and the last number.
     */
    bool (*come)(void *context, int number);
    void *context;
    pthread_t waiter;
    int arrived; /* signalfd(2) */
    int over;    /* eventfd(2): signals_end was called */
};

/*
 * Hold them back in this thread and all that it starts. One that was ignored before is not among
 * them (nohup(1)), unless `all` (a daemon has no terminal whose end is not to be its own), or it is
 * what our own processes send each other.
 */
void signals_hold(bool all);

/* A signalfd(2) of those that are held back, which the caller closes. A negative errno. */
int signals_open(void);

/* Start the waiter; `come` and `context` have been set. A negative errno. */
int signals_begin(struct signals *signals);

/* End the waiter. What comes now changes nothing. */
void signals_end(struct signals *signals);

/* End the process as that signal would have (its parent can tell), in any thread. */
_Noreturn void signals_die(int number);

#endif
