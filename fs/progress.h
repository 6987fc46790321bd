/*
 * progress: a bar on the terminal, for work that takes long.
 *
 * Drawn on stderr by a thread of its own, ten times a second, and wiped away in the end. Where
 * stderr is no terminal there is none.
 */
#ifndef ADDONFS_PROGRESS_H
#define ADDONFS_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
    /* What to say now, in a few words; `*ret_done` of `*ret_total` (0: not known) is done. */
    void (*ask)(void *context, uint64_t *ret_done, uint64_t *ret_total, char *text, size_t size);
    void *context;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    bool started;
    bool ending;
};

/* `ask` and `context` have been set. Without memory for a thread there is no bar. */
void progress_begin(struct progress *progress);
void progress_end(struct progress *progress);

#endif
