#include "mount.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The generation of now (waiting.h). */
static int read_generation(int fd, uint64_t *ret_generation)
{
    char text[32];
    char *end = NULL;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n < 0)
        return -errno;
    text[n] = '\0';
    *ret_generation = strtoull(text, &end, 10);
    return end != text ? 0 : -ENODEV;
}

static int fail(const char *mountpoint, int code, struct error *error)
{
    if (code == -ENOENT || code == -ENOTDIR)
        return error_set(error, code, "%s: addonfs is not mounted here", mountpoint);
    if (code == -ENODEV || code == -ENOTCONN || code == -ECONNABORTED || code == -ESTALE)
        return error_set(error, code, "%s: the mount is gone", mountpoint);
    return error_errno(error, code, "%s", mountpoint);
}

/* Sleep until there may be another generation. 1: there may be; 0: the time is over. */
static int sleep_until(int fd, int64_t end)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    int64_t left = end < 0 ? -1 : end - milliseconds();

    if (end >= 0 && left <= 0)
        return 0;
    int r = poll(&event, 1, left > INT_MAX ? INT_MAX : (int)left);
    if (r < 0)
        return errno == EINTR ? 1 : -errno;
    return r == 0 && left > INT_MAX ? 1 : r;
}

int mount_wait(const char *mountpoint, const uint64_t *since, double timeout,
               uint64_t *ret_generation, struct error *error)
{
    cleanup_free char *path = NULL;
    uint64_t now = 0;
    int64_t end = timeout < 0 ? -1 : milliseconds() + (int64_t)(timeout * 1000);

    if (asprintf(&path, "%s/.addonfs/generation", mountpoint) < 0) {
        path = NULL;
        return error_errno(error, -ENOMEM, "%s", mountpoint);
    }
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_generation(fd, &now);
    uint64_t before = since ? *since : now;
    while (r == 0 && now == before) {
        r = sleep_until(fd, end);
        if (r == 0)
            return 0;
        if (r > 0)
            r = read_generation(fd, &now);
    }
    if (r < 0)
        return fail(mountpoint, r, error);
    *ret_generation = now;
    return 1;
}
