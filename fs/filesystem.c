#include "filesystem_parts.h"
#include "log.h"
#include "reaper.h"

#include <addonfs/path.h>
#include <addonfs/status.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct filesystem *filesystem_new(struct view *view, const struct options *options,
                                  const char *mountpoint)
{
    struct filesystem *filesystem = calloc(1, sizeof(*filesystem));

    if (!filesystem) {
        view_close(view);
        return NULL;
    }
    pthread_mutex_init(&filesystem->lock, NULL);
    waiting_init(&filesystem->waiting, view);
    handle_list_init(&filesystem->handles, &filesystem->waiting);
    filesystem->view = view;
    filesystem->options = options;
    filesystem->mountpoint = mountpoint;
    filesystem->root = options->root ? options->root : "";
    filesystem->inodes = inode_table_new();
    if (!filesystem->inodes) {
        filesystem_free(filesystem);
        return NULL;
    }
    return filesystem;
}

void filesystem_free(struct filesystem *filesystem)
{
    if (!filesystem)
        return;
    handle_list_clear(&filesystem->handles);
    inode_unref(filesystem->status);
    inode_table_free(filesystem->inodes);
    /* Until its threads have ended they may tell those who wait. */
    view_close(filesystem->view);
    waiting_end(&filesystem->waiting);
    problems_clear(&filesystem->reported);
    pthread_mutex_destroy(&filesystem->lock);
    free(filesystem);
}

bool filesystem_shows_all(const struct filesystem *filesystem)
{
    return filesystem->options->root == NULL;
}

int filesystem_open(struct filesystem *filesystem, const struct inode *inode,
                    const _Atomic bool *interrupted)
{
    struct error error = {0};
    int r = view_open_body(filesystem->view, inode->body, interrupted, &error);

    /* Outdated is no fault: the name is looked up again. */
    if (r < 0 && !error_tells_nothing(r) && !body_failure(inode->body))
        filesystem_report(filesystem, "", error.text, false);
    return r;
}

static void tell_waiters(void *context)
{
    struct filesystem *filesystem = context;

    waiting_advanced(&filesystem->waiting);
}

static void reap(void *context, uint64_t parent, const char *name)
{
    struct filesystem *filesystem = context;
    cleanup_lock(&filesystem->lock);

    if (filesystem->reaper)
        reaper_add(filesystem->reaper, parent, name);
}

void filesystem_begin(struct filesystem *filesystem, struct fuse_session *session)
{
    {
        cleanup_lock(&filesystem->lock);
        filesystem->reaper = reaper_new(session);
    }
    view_on_advanced(filesystem->view, tell_waiters, filesystem);
    view_on_dropped(filesystem->view, reap, filesystem);
    filesystem_report_warnings(filesystem);
    view_prepare(filesystem->view);
}

void filesystem_end(struct filesystem *filesystem)
{
    struct reaper *reaper;

    /* Nobody is kept waiting by a compression that is for nothing. */
    view_stop(filesystem->view);
    {
        cleanup_lock(&filesystem->lock);
        reaper = filesystem->reaper;
        filesystem->reaper = NULL;
    }
    reaper_free(reaper);
}

/* One attempt; `*ret_again`: the source has moved on meanwhile. */
static int find_folder(struct filesystem *filesystem, const struct inode *inode,
                       const _Atomic bool *interrupted, struct generation **ret_generation,
                       struct entry **ret_entry, bool *ret_again)
{
    cleanup_generation struct generation *generation = NULL;
    struct error error = {0};
    struct entry *entry = NULL;

    *ret_again = false;
    int r = view_look(filesystem->view, &generation, &error);
    if (r < 0) {
        log_line(LOG_ERR, "%s", error.text);
        return r == -ESTALE ? -EIO : r;
    }
    r = view_find_entry(filesystem->view, generation, inode->path, interrupted, &entry, &error);
    *ret_again = r == -ESTALE;
    if (r == -ENOENT || r == -ENOTDIR)
        return -ESTALE;
    if (r < 0) {
        if (r != -ESTALE && r != -EINTR)
            filesystem_report(filesystem, inode->path, error.text, false);
        return r;
    }
    if (entry->kind != ENTRY_FOLDER ||
        (inode->number != FUSE_ROOT_ID && entry->number != inode->number))
        return -ESTALE;
    *ret_generation = steal_pointer(&generation);
    *ret_entry = entry;
    return 0;
}

int filesystem_folder(struct filesystem *filesystem, const struct inode *inode,
                      const _Atomic bool *interrupted, struct generation **ret_generation,
                      struct entry **ret_entry)
{
    enum { ATTEMPTS = 100 }; /* of filling a folder in a tree that changes all the time */
    int r = -ESTALE;

    for (int i = 0; i < ATTEMPTS; i++) {
        bool again = false;
        r = find_folder(filesystem, inode, interrupted, ret_generation, ret_entry, &again);
        if (!again)
            return r;
    }
    log_line(LOG_ERR, "%s: changes faster than it can be read", inode->path);
    return -EIO;
}

struct inode *filesystem_inode(struct filesystem *filesystem, uint64_t number)
{
    struct inode *inode;

    /* The kernel knows these without, or before, a lookup. */
    switch (number) {
    case FUSE_ROOT_ID:
        inode = inode_new(INODE_FOLDER, number);
        if (inode && !(inode->path = strdup(filesystem->root))) {
            inode_unref(inode);
            return NULL;
        }
        return inode;
    case CONTROL_NUMBER:
        return inode_new(INODE_CONTROL, number);
    case GENERATION_NUMBER:
        return inode_new(INODE_GENERATION, number);
    default:
        return inode_get(filesystem->inodes, number);
    }
}
