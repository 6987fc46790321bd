#include "progress.h"

#include <addonfs/cleanup.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    WIDTH = 24,               /* of the bar, in characters */
    INTERVAL = 100 * 1000000, /* ns between two looks */
};

static void draw(const struct progress *progress)
{
    char bar[WIDTH + 1];
    char text[80] = "";
    uint64_t done = 0;
    uint64_t total = 0;

    progress->ask(progress->context, &done, &total, text, sizeof(text));
    int filled = total > 0 ? (int)((double)done / (double)total * WIDTH) : 0;
    filled = filled > WIDTH ? WIDTH : filled;
    memset(bar, ' ', WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %s\033[K", bar, text);
}

static void *run(void *argument)
{
    struct progress *progress = argument;
    struct timespec next;
    cleanup_lock(&progress->lock);

    clock_gettime(CLOCK_MONOTONIC, &next);
    /* Once at least: whoever waits sees what for. */
    do {
        draw(progress);
        next.tv_nsec += INTERVAL;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        if (!progress->ending)
            (void)pthread_cond_timedwait(&progress->wake, &progress->lock, &next);
    } while (!progress->ending);
    fputs("\r\033[K", stderr);
    return NULL;
}

void progress_begin(struct progress *progress)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    progress->ending = false;
    progress->started =
        isatty(STDERR_FILENO) && pthread_create(&progress->thread, NULL, run, progress) == 0;
}

void progress_end(struct progress *progress)
{
    if (progress->started) {
        pthread_mutex_lock(&progress->lock);
        progress->ending = true;
        pthread_cond_signal(&progress->wake);
        pthread_mutex_unlock(&progress->lock);
        pthread_join(progress->thread, NULL);
    }
    pthread_cond_destroy(&progress->wake);
    pthread_mutex_destroy(&progress->lock);
}
