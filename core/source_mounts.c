#include "source_mounts.h"

#include <addonfs/cleanup.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static const char list_path[] = "/proc/self/mountinfo";

struct mounts {
    int fd;       /* of the list; poll(2) tells that it has changed */
    char *prefix; /* of mount points inside the tree, as the list writes them */
    char *inside; /* their lines; or NULL: not known */
};

/* As the list writes paths: space, tab, newline and backslash in octal digits. NULL: no memory. */
static char *escaped(const char *path)
{
    char *text = malloc(4 * strlen(path) + 2);
    char *to = text;

    for (; text && *path; path++) {
        if (strchr(" \t\n\\", *path))
            to += sprintf(to, "\\%03o", (unsigned)(unsigned char)*path);
        else
            *to++ = *path;
    }
    if (!text)
        return NULL;
    /* The root of everything ends with its slash already. */
    if (to == text || to[-1] != '/')
        *to++ = '/';
    *to = '\0';
    return text;
}

/* The lines of mounts inside the tree, one after the other. NULL: they cannot be had. */
static char *read_inside(const struct mounts *mounts)
{
    cleanup_free char *line = NULL;
    char *text = NULL;
    size_t size = 0;
    size_t room = 0;
    FILE *list = fopen(list_path, "re");
    FILE *lines = list ? open_memstream(&text, &size) : NULL;

    while (lines && getline(&line, &room, list) > 0) {
        const char *field = line;
        /* The mount point is the fifth field. */
        for (int i = 0; i < 4 && field; i++)
            field = (field = strchr(field, ' ')) ? field + 1 : NULL;
        if (field && strncmp(field, mounts->prefix, strlen(mounts->prefix)) == 0)
            fputs(line, lines);
    }
    if (list)
        fclose(list);
    if (lines && fclose(lines) != 0) {
        free(text);
        text = NULL;
    }
    return text;
}

struct mounts *mounts_new(const char *path)
{
    struct mounts *mounts = calloc(1, sizeof(*mounts));

    if (!mounts)
        return NULL;
    mounts->fd = open(list_path, O_RDONLY | O_CLOEXEC);
    mounts->prefix = escaped(path);
    if (mounts->fd < 0 || !mounts->prefix) {
        mounts_free(mounts);
        return NULL;
    }
    /* Opened before it is read: what changes in between is told. */
    mounts->inside = read_inside(mounts);
    return mounts;
}

void mounts_free(struct mounts *mounts)
{
    if (!mounts)
        return;
    if (mounts->fd >= 0)
        close(mounts->fd);
    free(mounts->prefix);
    free(mounts->inside);
    free(mounts);
}

bool mounts_have_changed(struct mounts *mounts)
{
    struct pollfd changed = {.fd = mounts->fd, .events = POLLPRI};

    if (poll(&changed, 1, 0) <= 0 || !(changed.revents & (POLLPRI | POLLERR)))
        return false;
    char *now = read_inside(mounts);
    bool same = now && mounts->inside && strcmp(now, mounts->inside) == 0;
    free(mounts->inside);
    mounts->inside = now;
    return !same;
}
