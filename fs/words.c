#include "words.h"
#include "filesystem.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of the process, as libfuse's log function is, which has no room for a pointer of ours. */
static struct words {
    pthread_mutex_t lock; /* guards the rest */
    bool to_log;
    char last[512];
} words = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What to do about words that do not say it themselves. */
static const struct {
    const char *words;
    const char *advice;
} advices[] = {
    {"exec fusermount3", ": install it (package fuse3); who is not root mounts with its help"},
    {"open /dev/fuse: Permission denied",
     ": this user may not use FUSE: let root run chmod 666 /dev/fuse"},
};

static void listen_to(enum fuse_log_level level, const char *format, va_list arguments)
{
    char line[sizeof(words.last)];

    if (level > FUSE_LOG_WARNING)
        return;
    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    if (!line[0])
        return;
    {
        cleanup_lock(&words.lock);
        if (!words.to_log) {
            memcpy(words.last, line, sizeof(line));
            return;
        }
    }
    /* The levels are those of syslog(3) (fuse_log.h). */
    log_line((int)level, "%s", line);
}

void words_keep(void)
{
    fuse_set_log_func(listen_to);
}

void words_to_log(void)
{
    cleanup_lock(&words.lock);

    words.to_log = true;
}

void words_take(int fd)
{
    char line[sizeof(words.last)];
    ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

    if (n <= 0)
        return;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    cleanup_lock(&words.lock);
    memcpy(words.last, line, sizeof(line));
}

int words_fail(const char *path, const char *what, struct error *error)
{
    const char *advice = "";
    cleanup_lock(&words.lock);

    for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
        if (strstr(words.last, advices[i].words))
            advice = advices[i].advice;
    }
    return error_set(error, -EIO, "%s: %s: %s%s", path, what,
                     words.last[0] ? words.last : "for an unknown reason", advice);
}
