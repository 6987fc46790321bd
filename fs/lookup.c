#include "filesystem_parts.h"
#include "log.h"

#include <addonfs/path.h>
#include <addonfs/status.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char control_name[] = ".addonfs";
static const char status_name[] = "status.json";
static const char generation_name[] = "generation";

enum {
    /*
     * What cannot be read shows as one byte. With 0 bytes GNU tar would not open it (create.c:
     * empty files are not opened), and pack an empty file in silence.
     */
    UNREADABLE_SIZE = 1,
    /* Seconds after which bodies that change under every look are given up: no writer rests. */
    PATIENCE = 10,
};

/*
 * Below its root a frozen tree never changes. The root's name is asked for again, because whoever
 * goes by path is noticed by nothing else: a snapshot is kept while it is used, and could not be
 * made again; a commit could, but who works in its root would lose the path.
 */
static const double SNAPSHOT_TIMEOUT = 0;
static const double COMMIT_TIMEOUT = 1;

static int new_text(struct filesystem *filesystem, char **text, struct inode **ret_inode)
{
    cleanup_inode struct inode *inode = inode_new(INODE_TEXT, view_new_number(filesystem->view));
    /* It names files, which may stand in folders that only their owner may list. */
    struct source_owner owner = {0400, geteuid(), getegid()};
    struct timespec now;

    if (!inode)
        return -ENOMEM;
    clock_gettime(CLOCK_REALTIME, &now);
    inode->text = steal_pointer(text);
    inode->text_size = strlen(inode->text);
    filesystem_attributes(filesystem, &inode->status, inode->number, S_IFREG, &owner, now);
    filesystem_set_size(&inode->status, inode->text_size);
    *ret_inode = steal_pointer(&inode);
    return 0;
}

static int lookup_status(struct filesystem *filesystem, const _Atomic bool *interrupted,
                         struct inode **ret_inode)
{
    struct status_mount mount = {getpid(), filesystem->mountpoint, ADDONFS_VERSION,
                                 fuse_pkgversion()};
    cleanup_free char *text = NULL;
    struct error error = {0};

    int r = status_json(filesystem->view, &mount, interrupted, &text, &error);
    if (r == -EINTR)
        return r;
    if (r < 0) {
        log_line(LOG_ERR, "%s", error.text);
        return r == -ESTALE ? -EIO : r;
    }
    cleanup_lock(&filesystem->lock);
    if (!filesystem->status || strcmp(filesystem->status->text, text) != 0) {
        struct inode *next = NULL;
        r = new_text(filesystem, &text, &next);
        if (r < 0)
            return r;
        inode_unref(filesystem->status);
        filesystem->status = next;
    }
    *ret_inode = inode_ref(filesystem->status);
    return 0;
}

/* --- Names --------------------------------------------------------------------------------------
 */

static int find_live_folder(struct filesystem *filesystem, const struct inode *parent,
                            const struct entry *entry, struct found *found)
{
    cleanup_inode struct inode *inode = inode_new(INODE_FOLDER, entry->number);

    if (!inode || !(inode->path = path_join(parent->path, entry->name)))
        return -ENOMEM;
    /* Number and attributes from one generation. */
    filesystem_folder_attributes(filesystem, entry->number, entry, &found->status);
    found->inode = steal_pointer(&inode);
    return 0;
}

/* A folder of a frozen tree; `generation` is referenced. */
static int find_frozen_folder(struct filesystem *filesystem, struct generation *generation,
                              struct entry *entry, struct found *found)
{
    struct inode *inode = inode_new(INODE_FROZEN, entry->number);

    if (!inode)
        return -ENOMEM;
    inode->generation = generation_ref(generation);
    inode->entry = entry;
    filesystem_folder_attributes(filesystem, entry->number, entry, &inode->status);
    found->inode = inode;
    found->status = inode->status;
    found->status_lasts = !entry->failure;
    found->name_timeout = found->status_lasts ? FOREVER : 0;
    return 0;
}

/* -ESTALE from a body means that the source has moved on. */
static int find_body(struct filesystem *filesystem, struct entry *entry,
                     const _Atomic bool *interrupted, struct found *found)
{
    cleanup_body struct body *body = NULL;
    struct error error = {0};

    int r = view_body(filesystem->view, entry, interrupted, &body, &error);
    if (r < 0)
        return r;
    if (body_failure(body) && body_is_news(body))
        filesystem_report_entry(filesystem, entry, body);
    struct inode *inode = inode_new(INODE_BODY, body_number(body));
    if (!inode)
        return -ENOMEM;
    inode->body = body_ref(body);
    filesystem_attributes(filesystem, &inode->status, inode->number, S_IFREG, &entry->owner,
                          body_mtime(body));
    filesystem_set_size(&inode->status, body_failure(body) ? UNREADABLE_SIZE : body_size(body));
    found->inode = inode;
    return filesystem_status(filesystem, inode, NULL, &found->status, &found->status_lasts);
}

static int cannot_list(struct filesystem *filesystem, const struct entry *folder)
{
    filesystem_report(filesystem, folder->path, folder->failure, false);
    return -EIO;
}

/* A folder that is filled when somebody looks at it. */
static int fill_live(struct filesystem *filesystem, struct generation *generation,
                     const struct inode *parent, struct entry **entry,
                     const _Atomic bool *interrupted)
{
    cleanup_free char *path = NULL;
    struct error error = {0};

    if (!(*entry)->lazy)
        return 0;
    path = path_join(parent->path, (*entry)->name);
    int r = path ? view_find_entry(filesystem->view, generation, path, interrupted, entry, &error)
                 : -ENOMEM;
    if (r < 0 && r != -ESTALE && r != -EINTR)
        log_line(LOG_ERR, "%s", error.text);
    return r;
}

/* One attempt; `*ret_again`: the source has moved on meanwhile. */
static int find_live_once(struct filesystem *filesystem, const struct inode *parent,
                          const char *name, const _Atomic bool *interrupted, struct found *found,
                          bool *ret_again)
{
    cleanup_generation struct generation *generation = NULL;
    struct entry *folder = NULL;

    int r = filesystem_folder(filesystem, parent, interrupted, &generation, &folder);
    if (r < 0)
        return r;
    struct entry *entry = entry_child(folder, name);
    if (!entry)
        return folder->failure ? cannot_list(filesystem, folder) : -ENOENT;
    if (entry->kind == ENTRY_FOLDER) {
        r = fill_live(filesystem, generation, parent, &entry, interrupted);
        *ret_again = r == -ESTALE;
        return r < 0 ? r : find_live_folder(filesystem, parent, entry, found);
    }
    r = find_body(filesystem, entry, interrupted, found);
    *ret_again = r == -ESTALE;
    return r;
}

/* Until nothing changes while it is looked at. */
static int find_live(struct filesystem *filesystem, const struct inode *parent, const char *name,
                     const _Atomic bool *interrupted, struct found *found)
{
    struct timespec now;
    time_t end = 0;

    for (;;) {
        bool again = false;
        int r = find_live_once(filesystem, parent, name, interrupted, found, &again);
        if (!again)
            return r;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (end == 0)
            end = now.tv_sec + PATIENCE;
        if (now.tv_sec >= end) {
            log_line(LOG_ERR, "%s/%s: changes faster than it can be read", parent->path, name);
            return -EIO;
        }
    }
}

static int find_frozen(struct filesystem *filesystem, const struct inode *parent, const char *name,
                       const _Atomic bool *interrupted, struct found *found)
{
    const struct entry *folder = parent->entry;
    struct entry *entry = entry_child(folder, name);
    struct error error = {0};
    int r = 0;

    if (!entry && folder->failure)
        return cannot_list(filesystem, folder);
    if (!entry) {
        found->name_timeout = FOREVER;
        return -ENOENT;
    }
    if (entry->lazy)
        r = view_fill_frozen(filesystem->view, entry, name, interrupted, &entry, &error);
    if (r < 0) {
        if (r != -EINTR)
            log_line(LOG_ERR, "%s", error.text);
        return r;
    }
    if (entry->kind == ENTRY_FOLDER)
        return find_frozen_folder(filesystem, parent->generation, entry, found);
    r = find_body(filesystem, entry, interrupted, found);
    found->name_timeout = r == 0 && found->status_lasts ? FOREVER : 0;
    return r == -ESTALE ? -EIO : r;
}

static void link_status(const struct filesystem *filesystem, const struct view_name *name,
                        struct stat *ret_status)
{
    struct source_owner owner = {0, geteuid(), getegid()};

    filesystem_attributes(filesystem, ret_status, name->number, S_IFLNK, &owner, name->mtime);
    ret_status->st_mode = S_IFLNK | 0777;
    filesystem_set_size(ret_status, strlen(name->target));
}

/* Where it leads is asked again each time. */
static int find_link(struct filesystem *filesystem, const char *folder, const char *name,
                     const struct view_name *named, struct found *found)
{
    cleanup_inode struct inode *inode = inode_new(INODE_LINK, named->number);

    if (!inode || !(inode->path = strdup(folder)) || !(inode->text = strdup(name)))
        return -ENOMEM;
    link_status(filesystem, named, &found->status);
    found->inode = steal_pointer(&inode);
    return 0;
}

/* The link as it is now. */
static int ask_link(struct filesystem *filesystem, const struct inode *inode,
                    const _Atomic bool *interrupted, struct view_name *ret_name)
{
    struct error error = {0};
    int r = view_find(filesystem->view, inode->path, inode->text, interrupted, ret_name, &error);

    if (r == 0 && ret_name->kind != VIEW_LINK) {
        view_name_clear(ret_name);
        r = -ENOENT;
    }
    if (r < 0 && r != -ENOENT && r != -EINTR)
        log_line(LOG_ERR, "%s", error.text);
    return r == -ENOENT ? -ESTALE : r;
}

int filesystem_readlink(struct filesystem *filesystem, const struct inode *inode,
                        const _Atomic bool *interrupted, char **ret_target)
{
    cleanup_view_name struct view_name name = {.target = NULL};
    int r = inode->kind == INODE_LINK ? ask_link(filesystem, inode, interrupted, &name) : -EINVAL;

    if (r == 0)
        *ret_target = steal_pointer(&name.target);
    return r;
}

static void names_status(const struct filesystem *filesystem, uint64_t number,
                         struct timespec mtime, struct stat *ret_status)
{
    struct source_owner owner = {0555, geteuid(), getegid()};

    filesystem_attributes(filesystem, ret_status, number, S_IFDIR, &owner, mtime);
    ret_status->st_nlink = 2;
}

static int find_names(struct filesystem *filesystem, const char *folder, const char *name,
                      const struct view_name *named, struct found *found)
{
    cleanup_inode struct inode *inode = inode_new(INODE_NAMES, named->number);

    if (!inode || !(inode->path = path_join(folder, name)))
        return -ENOMEM;
    names_status(filesystem, named->number, named->mtime, &inode->status);
    found->status = inode->status;
    found->status_lasts = true;
    found->inode = steal_pointer(&inode);
    return 0;
}

static int find_name(struct filesystem *filesystem, const char *folder, const char *name,
                     const _Atomic bool *interrupted, struct found *found)
{
    cleanup_view_name struct view_name named = {.target = NULL};
    struct error error = {0};

    int r = view_find(filesystem->view, folder, name, interrupted, &named, &error);
    if (r == -ENOENT || r == -EINTR)
        return r;
    if (r < 0) {
        log_line(LOG_ERR, "%s", error.text);
        return r == -ESTALE ? -EIO : r;
    }
    switch (named.kind) {
    case VIEW_LINK:
        return find_link(filesystem, folder, name, &named, found);
    case VIEW_FOLDER:
        return find_names(filesystem, folder, name, &named, found);
    case VIEW_FROZEN:
        r = find_frozen_folder(filesystem, named.frozen, named.frozen->root, found);
        /* What may be another at the next look is asked for again. */
        if (named.frozen->unhealthy || named.frozen->retry)
            found->name_timeout = 0;
        else
            found->name_timeout =
                strcmp(folder, "snapshots") == 0 ? SNAPSHOT_TIMEOUT : COMMIT_TIMEOUT;
        return r;
    }
    return -EIO;
}

/* In the root stand live names, the control folder, and the names that the view has. */
static int find_in_root(struct filesystem *filesystem, const struct inode *root, const char *name,
                        const _Atomic bool *interrupted, struct found *found)
{
    if (strcmp(name, control_name) == 0) {
        found->inode = filesystem_inode(filesystem, CONTROL_NUMBER);
        return found->inode ? filesystem_status(filesystem, found->inode, NULL, &found->status,
                                                &found->status_lasts)
                            : -ENOMEM;
    }
    int r = find_live(filesystem, root, name, interrupted, found);
    return r == -ENOENT && filesystem_shows_all(filesystem)
               ? find_name(filesystem, "", name, interrupted, found)
               : r;
}

static int find_in_control(struct filesystem *filesystem, const char *name,
                           const _Atomic bool *interrupted, struct found *found)
{
    int r = -ENOENT;

    if (strcmp(name, generation_name) == 0) {
        found->inode = filesystem_inode(filesystem, GENERATION_NUMBER);
        r = found->inode ? 0 : -ENOMEM;
    } else if (strcmp(name, status_name) == 0) {
        r = lookup_status(filesystem, interrupted, &found->inode);
    }
    return r < 0 ? r
                 : filesystem_status(filesystem, found->inode, NULL, &found->status,
                                     &found->status_lasts);
}

int filesystem_lookup(struct filesystem *filesystem, const struct inode *parent, const char *name,
                      const _Atomic bool *interrupted, struct found *found)
{
    filesystem_report_warnings(filesystem);
    switch (parent->kind) {
    case INODE_CONTROL:
        return find_in_control(filesystem, name, interrupted, found);
    case INODE_FOLDER:
        return parent->number == FUSE_ROOT_ID
                   ? find_in_root(filesystem, parent, name, interrupted, found)
                   : find_live(filesystem, parent, name, interrupted, found);
    case INODE_FROZEN:
        return find_frozen(filesystem, parent, name, interrupted, found);
    case INODE_NAMES:
        return find_name(filesystem, parent->path, name, interrupted, found);
    default:
        return -ENOTDIR;
    }
}

int filesystem_status(struct filesystem *filesystem, const struct inode *inode,
                      const _Atomic bool *interrupted, struct stat *ret_status, bool *ret_lasts)
{
    cleanup_generation struct generation *generation = NULL;
    struct entry *entry = NULL;

    *ret_lasts = true;
    switch (inode->kind) {
    case INODE_FOLDER: {
        int r = filesystem_folder(filesystem, inode, interrupted, &generation, &entry);
        if (r < 0)
            return r;
        *ret_lasts = false;
        filesystem_folder_attributes(filesystem, inode->number, entry, ret_status);
        if (inode->number == FUSE_ROOT_ID && filesystem_shows_all(filesystem))
            ret_status->st_nlink += 5; /* .addonfs, branches, commits, snapshots, tags */
        return 0;
    }
    case INODE_CONTROL:
        names_status(filesystem, inode->number, (struct timespec){0}, ret_status);
        return 0;
    case INODE_GENERATION: {
        struct source_owner owner = {0444, geteuid(), getegid()};
        filesystem_attributes(filesystem, ret_status, inode->number, S_IFREG, &owner,
                              (struct timespec){0});
        return 0;
    }
    case INODE_BODY:
        *ret_status = inode->status;
        *ret_lasts = body_failure(inode->body) == NULL;
        /* The present moment: rsync's quick check must not match what could not be read. */
        if (!*ret_lasts)
            clock_gettime(CLOCK_REALTIME, &ret_status->st_mtim);
        return 0;
    case INODE_LINK: {
        cleanup_view_name struct view_name name = {.target = NULL};
        int r = ask_link(filesystem, inode, interrupted, &name);
        if (r < 0)
            return r;
        *ret_lasts = false;
        link_status(filesystem, &name, ret_status);
        return 0;
    }
    case INODE_FROZEN:
    case INODE_NAMES:
    case INODE_TEXT:
        *ret_status = inode->status;
        return 0;
    }
    return -EIO;
}
