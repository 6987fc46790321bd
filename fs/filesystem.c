#include "filesystem.h"
#include "log.h"

#include <addonfs/path.h>
#include <addonfs/status.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char control_name[] = ".addonfs";
static const char status_name[] = "status.json";

enum {
    /*
     * What cannot be read shows as one byte. With 0 bytes GNU tar would not open it (create.c:
     * empty files are not opened), and pack an empty file in silence.
     */
    UNREADABLE_SIZE = 1,
    /* Seconds after which bodies that change under every look are given up: no writer rests. */
    PATIENCE = 10,
    /* Problems that are logged once each; a source with more has been reported well enough. */
    REPORT_LIMIT = 1000,
};

struct filesystem *filesystem_new(struct view *view, const struct options *options,
                                  const char *mountpoint)
{
    struct filesystem *filesystem = calloc(1, sizeof(*filesystem));

    if (!filesystem) {
        view_close(view);
        return NULL;
    }
    pthread_mutex_init(&filesystem->lock, NULL);
    handle_list_init(&filesystem->handles);
    filesystem->view = view;
    filesystem->options = options;
    filesystem->mountpoint = mountpoint;
    filesystem->root = options->view_package ? "package" : "";
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
    view_close(filesystem->view);
    problems_clear(&filesystem->reported);
    pthread_mutex_destroy(&filesystem->lock);
    free(filesystem);
}

bool filesystem_lists_control(const struct filesystem *filesystem)
{
    return !filesystem->options->view_package;
}

/* Log a problem, once. */
static void report(struct filesystem *filesystem, const char *path, const char *reason,
                   bool warning)
{
    cleanup_lock(&filesystem->lock);
    size_t known = filesystem->reported.count;

    if (known >= REPORT_LIMIT ||
        problems_add(&filesystem->reported, path, reason, warning, NULL) < 0 ||
        filesystem->reported.count == known)
        return;
    size_t length = strlen(path);
    /* Some reasons start with the path and a line number. */
    if (strncmp(reason, path, length) == 0)
        log_line(warning ? LOG_WARNING : LOG_ERR, "%s", reason);
    else
        log_line(warning ? LOG_WARNING : LOG_ERR, "%s: %s", path, reason);
}

/* What the view has to say may come at any time. */
static void report_warnings(struct filesystem *filesystem)
{
    const char *warning;

    for (size_t i = 0; (warning = view_warning(filesystem->view, i)); i++)
        report(filesystem, "", warning, true);
}

void filesystem_begin(struct filesystem *filesystem)
{
    report_warnings(filesystem);
    view_prepare(filesystem->view);
}

static void report_all(struct filesystem *filesystem, const struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        report(filesystem, problems->items[i].path, problems->items[i].reason,
               problems->items[i].warning);
}

static void report_entry(struct filesystem *filesystem, struct entry *entry,
                         const struct body *body)
{
    struct origin as_they_are = {0};
    struct problems problems = {0};

    if (entry->failure)
        report(filesystem, entry->path, entry->failure, false);
    else if (entry->kind == ENTRY_ZIP &&
             bundle_problems(entry->bundle, &as_they_are, NULL, &problems) == 0 &&
             problems.count > 0)
        report_all(filesystem, &problems);
    else if (body_failure(body))
        report(filesystem, entry->path ? entry->path : entry->name, body_failure(body), false);
    problems_clear(&problems);
}

static void set_attributes(const struct filesystem *filesystem, struct stat *status,
                           uint64_t number, mode_t type, const struct source_owner *owner,
                           struct timespec mtime)
{
    const struct options *options = filesystem->options;

    memset(status, 0, sizeof(*status));
    status->st_ino = number;
    status->st_mode = type | (owner->mode & 0555);
    if (options->has_umask)
        status->st_mode &= ~options->umask;
    status->st_uid = options->has_uid ? options->uid : owner->uid;
    status->st_gid = options->has_gid ? options->gid : owner->gid;
    status->st_nlink = 1;
    status->st_blksize = 4096;
    status->st_mtim = status->st_ctim = status->st_atim = mtime;
}

static void set_size(struct stat *status, uint64_t size)
{
    status->st_size = (off_t)size;
    status->st_blocks = (blkcnt_t)(size / 512 + (size % 512 != 0));
}

void filesystem_folder_status(const struct filesystem *filesystem, uint64_t number,
                              const struct entry *entry, struct stat *ret_status)
{
    set_attributes(filesystem, ret_status, number, S_IFDIR, &entry->owner, entry->mtime);
    ret_status->st_nlink = 2;
    for (size_t i = 0; i < entry->count; i++)
        ret_status->st_nlink += entry->children[i]->kind == ENTRY_FOLDER;
}

int filesystem_folder(struct filesystem *filesystem, const struct inode *inode,
                      struct generation **ret_generation, struct entry **ret_entry)
{
    cleanup_generation struct generation *generation = NULL;
    struct error error = {0};
    struct entry *entry = NULL;

    int r = view_look(filesystem->view, &generation, &error);
    if (r < 0) {
        log_line(LOG_ERR, "%s", error.text);
        return r == -ESTALE ? -EIO : r;
    }
    r = entry_find(generation->root, inode->path, &entry);
    if (r == -ENOENT || r == -ENOTDIR)
        return -ESTALE;
    if (r < 0)
        return r;
    if (entry->kind != ENTRY_FOLDER ||
        (inode->number != FUSE_ROOT_ID && entry->number != inode->number))
        return -ESTALE;
    *ret_generation = steal_pointer(&generation);
    *ret_entry = entry;
    return 0;
}

struct inode *filesystem_inode(struct filesystem *filesystem, uint64_t number)
{
    /* The kernel knows these two without, or before, a lookup. */
    if (number != FUSE_ROOT_ID && number != CONTROL_NUMBER)
        return inode_get(filesystem->inodes, number);
    struct inode *inode = inode_new(number == FUSE_ROOT_ID ? INODE_FOLDER : INODE_CONTROL, number);
    if (inode && number == FUSE_ROOT_ID && !(inode->path = strdup(filesystem->root))) {
        inode_unref(inode);
        return NULL;
    }
    return inode;
}

static int new_text(struct filesystem *filesystem, char **text, struct inode **ret_inode)
{
    cleanup_inode struct inode *inode = inode_new(INODE_TEXT, view_number(filesystem->view));
    /* It names files, which may stand in folders that only their owner may list. */
    struct source_owner owner = {0400, geteuid(), getegid()};
    struct timespec now;

    if (!inode)
        return -ENOMEM;
    clock_gettime(CLOCK_REALTIME, &now);
    inode->text = steal_pointer(text);
    inode->text_size = strlen(inode->text);
    set_attributes(filesystem, &inode->status, inode->number, S_IFREG, &owner, now);
    set_size(&inode->status, inode->text_size);
    *ret_inode = steal_pointer(&inode);
    return 0;
}

static int lookup_status(struct filesystem *filesystem, struct inode **ret_inode)
{
    struct status_mount mount = {getpid(), filesystem->mountpoint, ADDONFS_VERSION,
                                 fuse_pkgversion()};
    cleanup_free char *text = NULL;
    struct error error = {0};

    int r = status_json(filesystem->view, &mount, &text, &error);
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

static int folder_inode(const struct inode *parent, const struct entry *entry,
                        struct inode **ret_inode)
{
    cleanup_inode struct inode *inode = inode_new(INODE_FOLDER, entry->number);

    if (!inode || !(inode->path = path_join(parent->path, entry->name)))
        return -ENOMEM;
    *ret_inode = steal_pointer(&inode);
    return 0;
}

static int body_inode(struct filesystem *filesystem, const struct entry *entry, struct body *body,
                      struct inode **ret_inode)
{
    struct inode *inode = inode_new(INODE_BODY, body_number(body));

    if (!inode)
        return -ENOMEM;
    inode->body = body_ref(body);
    set_attributes(filesystem, &inode->status, inode->number, S_IFREG, &entry->owner, entry->mtime);
    set_size(&inode->status, body_failure(body) ? UNREADABLE_SIZE : body_size(body));
    *ret_inode = inode;
    return 0;
}

/* One attempt; -ESTALE from a body means that the source has moved on. */
static int lookup_once(struct filesystem *filesystem, const struct inode *parent, const char *name,
                       struct inode **ret_inode, struct stat *ret_status, bool *ret_again)
{
    cleanup_generation struct generation *generation = NULL;
    cleanup_body struct body *body = NULL;
    struct entry *folder = NULL;
    struct error error = {0};

    int r = filesystem_folder(filesystem, parent, &generation, &folder);
    if (r < 0)
        return r;
    if (folder->failure) {
        report(filesystem, folder->path, folder->failure, false);
        return -EIO;
    }
    struct entry *entry = entry_child(folder, name);
    if (!entry)
        return -ENOENT;
    if (entry->kind == ENTRY_FOLDER) {
        /* Number and attributes from one generation. */
        filesystem_folder_status(filesystem, entry->number, entry, ret_status);
        return folder_inode(parent, entry, ret_inode);
    }
    r = view_body(filesystem->view, entry, &body, &error);
    *ret_again = r == -ESTALE;
    if (r < 0)
        return r;
    if (body_failure(body))
        report_entry(filesystem, entry, body);
    return body_inode(filesystem, entry, body, ret_inode);
}

/* Until nothing changes while it is looked at. */
static int lookup_entry(struct filesystem *filesystem, const struct inode *parent, const char *name,
                        struct inode **ret_inode, struct stat *ret_status)
{
    struct timespec now;
    time_t end = 0;

    for (;;) {
        bool again = false;
        int r = lookup_once(filesystem, parent, name, ret_inode, ret_status, &again);
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

int filesystem_lookup(struct filesystem *filesystem, const struct inode *parent, const char *name,
                      struct inode **ret_inode, struct stat *ret_status, bool *ret_forever)
{
    int r;

    report_warnings(filesystem);
    if (parent->kind == INODE_CONTROL) {
        r = strcmp(name, status_name) == 0 ? lookup_status(filesystem, ret_inode) : -ENOENT;
    } else if (parent->kind != INODE_FOLDER) {
        r = -ENOTDIR;
    } else if (parent->number == FUSE_ROOT_ID && strcmp(name, control_name) == 0) {
        *ret_inode = filesystem_inode(filesystem, CONTROL_NUMBER);
        r = *ret_inode ? 0 : -ENOMEM;
    } else {
        r = lookup_entry(filesystem, parent, name, ret_inode, ret_status);
    }
    if (r < 0)
        return r;
    *ret_forever = false;
    return (*ret_inode)->kind == INODE_FOLDER
               ? 0
               : filesystem_status(filesystem, *ret_inode, ret_status, ret_forever);
}

int filesystem_status(struct filesystem *filesystem, const struct inode *inode,
                      struct stat *ret_status, bool *ret_forever)
{
    cleanup_generation struct generation *generation = NULL;
    struct entry *entry = NULL;
    struct source_owner owner = {0555, geteuid(), getegid()};

    *ret_forever = false;
    switch (inode->kind) {
    case INODE_FOLDER: {
        int r = filesystem_folder(filesystem, inode, &generation, &entry);
        if (r < 0)
            return r;
        filesystem_folder_status(filesystem, inode->number, entry, ret_status);
        return 0;
    }
    case INODE_CONTROL:
        set_attributes(filesystem, ret_status, inode->number, S_IFDIR, &owner,
                       (struct timespec){0});
        ret_status->st_nlink = 2;
        return 0;
    case INODE_TEXT:
        *ret_status = inode->status;
        *ret_forever = true;
        return 0;
    case INODE_BODY:
        *ret_status = inode->status;
        *ret_forever = body_failure(inode->body) == NULL;
        /* The present moment: rsync's quick check must not match what could not be read. */
        if (!*ret_forever)
            clock_gettime(CLOCK_REALTIME, &ret_status->st_mtim);
        return 0;
    }
    return -EIO;
}
