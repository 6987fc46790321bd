#include "filesystem.h"
#include "log.h"
#include "reaper.h"

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
    waiting_init(&filesystem->waiting, view);
    handle_list_init(&filesystem->handles, &filesystem->waiting);
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
    waiting_end(&filesystem->waiting);
    inode_unref(filesystem->status);
    inode_table_free(filesystem->inodes);
    view_close(filesystem->view);
    problems_clear(&filesystem->reported);
    pthread_mutex_destroy(&filesystem->lock);
    free(filesystem);
}

bool filesystem_shows_all(const struct filesystem *filesystem)
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

int filesystem_open(struct filesystem *filesystem, const struct inode *inode,
                    const _Atomic bool *interrupted)
{
    struct error error = {0};
    int r = view_open_body(filesystem->view, inode->body, interrupted, &error);

    /* Outdated is no fault: the name is looked up again. */
    if (r < 0 && r != -ESTALE && r != -EINTR && r != -ECANCELED && !body_failure(inode->body))
        report(filesystem, "", error.text, false);
    return r;
}

/* What the view has to say may come at any time. */
static void report_warnings(struct filesystem *filesystem)
{
    const char *warning;

    for (size_t i = 0; (warning = view_warning(filesystem->view, i)); i++)
        report(filesystem, "", warning, true);
}

static void tell_waiters(void *context)
{
    struct filesystem *filesystem = context;

    waiting_advanced(&filesystem->waiting);
}

static void reap(void *context, const char *folder, const char *id)
{
    struct filesystem *filesystem = context;
    struct view_name parent;

    view_folder(filesystem->view, folder, &parent);
    cleanup_lock(&filesystem->lock);
    if (filesystem->reaper)
        reaper_add(filesystem->reaper, parent.number, id);
}

void filesystem_begin(struct filesystem *filesystem, struct fuse_session *session)
{
    filesystem->reaper = reaper_new(session);
    view_on_advanced(filesystem->view, tell_waiters, filesystem);
    view_on_dropped(filesystem->view, reap, filesystem);
    report_warnings(filesystem);
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

static void folder_status(const struct filesystem *filesystem, uint64_t number,
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

/* --- Names --------------------------------------------------------------------------------------
 */

static int find_live_folder(struct filesystem *filesystem, const struct inode *parent,
                            const struct entry *entry, struct found *found)
{
    cleanup_inode struct inode *inode = inode_new(INODE_FOLDER, entry->number);

    if (!inode || !(inode->path = path_join(parent->path, entry->name)))
        return -ENOMEM;
    /* Number and attributes from one generation. */
    folder_status(filesystem, entry->number, entry, &found->status);
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
    folder_status(filesystem, entry->number, entry, &inode->status);
    found->inode = inode;
    found->status = inode->status;
    found->name_lasts = found->status_lasts = !entry->failure;
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
        report_entry(filesystem, entry, body);
    struct inode *inode = inode_new(INODE_BODY, body_number(body));
    if (!inode)
        return -ENOMEM;
    inode->body = body_ref(body);
    set_attributes(filesystem, &inode->status, inode->number, S_IFREG, &entry->owner,
                   body_mtime(body));
    set_size(&inode->status, body_failure(body) ? UNREADABLE_SIZE : body_size(body));
    found->inode = inode;
    return filesystem_status(filesystem, inode, &found->status, &found->status_lasts);
}

static int cannot_list(struct filesystem *filesystem, const struct entry *folder)
{
    report(filesystem, folder->path, folder->failure, false);
    return -EIO;
}

/* One attempt; `*ret_again`: the source has moved on meanwhile. */
static int find_live_once(struct filesystem *filesystem, const struct inode *parent,
                          const char *name, const _Atomic bool *interrupted, struct found *found,
                          bool *ret_again)
{
    cleanup_generation struct generation *generation = NULL;
    struct entry *folder = NULL;

    int r = filesystem_folder(filesystem, parent, &generation, &folder);
    if (r < 0)
        return r;
    if (folder->failure)
        return cannot_list(filesystem, folder);
    struct entry *entry = entry_child(folder, name);
    if (!entry)
        return -ENOENT;
    if (entry->kind == ENTRY_FOLDER)
        return find_live_folder(filesystem, parent, entry, found);
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

    if (folder->failure)
        return cannot_list(filesystem, folder);
    struct entry *entry = entry_child(folder, name);
    if (!entry) {
        found->name_lasts = true;
        return -ENOENT;
    }
    if (entry->kind == ENTRY_FOLDER)
        return find_frozen_folder(filesystem, parent->generation, entry, found);
    int r = find_body(filesystem, entry, interrupted, found);
    found->name_lasts = r == 0 && found->status_lasts;
    return r == -ESTALE ? -EIO : r;
}

static void link_status(const struct filesystem *filesystem, const struct view_name *name,
                        struct stat *ret_status)
{
    struct source_owner owner = {0, geteuid(), getegid()};

    set_attributes(filesystem, ret_status, name->number, S_IFLNK, &owner, name->mtime);
    ret_status->st_mode = S_IFLNK | 0777;
    set_size(ret_status, strlen(name->target));
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
                    struct view_name *ret_name)
{
    struct error error = {0};
    int r = view_find(filesystem->view, inode->path, inode->text, ret_name, &error);

    if (r == 0 && ret_name->kind != VIEW_LINK) {
        view_name_clear(ret_name);
        r = -ENOENT;
    }
    if (r < 0 && r != -ENOENT)
        log_line(LOG_ERR, "%s", error.text);
    return r == -ENOENT ? -ESTALE : r;
}

int filesystem_readlink(struct filesystem *filesystem, const struct inode *inode, char **ret_target)
{
    cleanup_view_name struct view_name name = {.target = NULL};
    int r = inode->kind == INODE_LINK ? ask_link(filesystem, inode, &name) : -EINVAL;

    if (r == 0)
        *ret_target = steal_pointer(&name.target);
    return r;
}

static void names_status(const struct filesystem *filesystem, uint64_t number,
                         struct timespec mtime, struct stat *ret_status)
{
    struct source_owner owner = {0555, geteuid(), getegid()};

    set_attributes(filesystem, ret_status, number, S_IFDIR, &owner, mtime);
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
                     struct found *found)
{
    cleanup_view_name struct view_name named = {.target = NULL};
    struct error error = {0};

    int r = view_find(filesystem->view, folder, name, &named, &error);
    if (r == -ENOENT)
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
        found->name_lasts = !named.frozen->unhealthy;
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
        return found->inode ? filesystem_status(filesystem, found->inode, &found->status,
                                                &found->status_lasts)
                            : -ENOMEM;
    }
    int r = find_live(filesystem, root, name, interrupted, found);
    return r == -ENOENT && filesystem_shows_all(filesystem) ? find_name(filesystem, "", name, found)
                                                            : r;
}

static int find_in_control(struct filesystem *filesystem, const char *name, struct found *found)
{
    int r = -ENOENT;

    if (strcmp(name, generation_name) == 0) {
        found->inode = filesystem_inode(filesystem, GENERATION_NUMBER);
        r = found->inode ? 0 : -ENOMEM;
    } else if (strcmp(name, status_name) == 0) {
        r = lookup_status(filesystem, &found->inode);
    }
    return r < 0
               ? r
               : filesystem_status(filesystem, found->inode, &found->status, &found->status_lasts);
}

int filesystem_lookup(struct filesystem *filesystem, const struct inode *parent, const char *name,
                      const _Atomic bool *interrupted, struct found *found)
{
    report_warnings(filesystem);
    switch (parent->kind) {
    case INODE_CONTROL:
        return find_in_control(filesystem, name, found);
    case INODE_FOLDER:
        return parent->number == FUSE_ROOT_ID
                   ? find_in_root(filesystem, parent, name, interrupted, found)
                   : find_live(filesystem, parent, name, interrupted, found);
    case INODE_FROZEN:
        return find_frozen(filesystem, parent, name, interrupted, found);
    case INODE_NAMES:
        return find_name(filesystem, parent->path, name, found);
    default:
        return -ENOTDIR;
    }
}

int filesystem_status(struct filesystem *filesystem, const struct inode *inode,
                      struct stat *ret_status, bool *ret_lasts)
{
    cleanup_generation struct generation *generation = NULL;
    struct entry *entry = NULL;

    *ret_lasts = true;
    switch (inode->kind) {
    case INODE_FOLDER: {
        int r = filesystem_folder(filesystem, inode, &generation, &entry);
        if (r < 0)
            return r;
        *ret_lasts = false;
        folder_status(filesystem, inode->number, entry, ret_status);
        if (inode->number == FUSE_ROOT_ID && filesystem_shows_all(filesystem))
            ret_status->st_nlink += 5; /* .addonfs, branches, commits, snapshots, tags */
        return 0;
    }
    case INODE_CONTROL:
        names_status(filesystem, inode->number, (struct timespec){0}, ret_status);
        return 0;
    case INODE_GENERATION: {
        struct source_owner owner = {0444, geteuid(), getegid()};
        set_attributes(filesystem, ret_status, inode->number, S_IFREG, &owner,
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
        int r = ask_link(filesystem, inode, &name);
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
