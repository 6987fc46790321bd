#include "operations.h"
#include "filesystem_parts.h"
#include "interrupt.h"
#include "log.h"
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static struct filesystem *filesystem_of(fuse_req_t request)
{
    return fuse_req_userdata(request);
}

static void reply_error(fuse_req_t request, int code)
{
    fuse_reply_err(request, -code);
}

static void on_init(void *userdata, struct fuse_conn_info *connection)
{
    (void)userdata;
    /* Contents never change under a number: there is nothing to invalidate by time stamps. */
    connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
    /* Wasted on folders whose entries are asked for again each time. */
    connection->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent_number, const char *name)
{
    struct filesystem *filesystem = filesystem_of(request);
    cleanup_inode struct inode *parent = filesystem_inode(filesystem, parent_number);
    struct found found = {.inode = NULL};
    struct fuse_entry_param reply = {0};
    _Atomic bool interrupted = false;

    interrupt_begin(request, &interrupted);
    int r = parent ? filesystem_lookup(filesystem, parent, name, &interrupted, &found) : -ESTALE;
    interrupt_end(request, &interrupted);
    cleanup_inode struct inode *inode = found.inode;
    /* A live name is asked for on every use, an absent one too. */
    reply.entry_timeout = found.name_timeout;
    if (r == -ENOENT && found.name_timeout > 0) {
        fuse_reply_entry(request, &reply);
        return;
    }
    if (r == 0)
        r = inode_remember(filesystem->inodes, inode);
    if (r < 0) {
        reply_error(request, r);
        return;
    }
    reply.ino = inode->number;
    reply.attr = found.status;
    reply.attr_timeout = found.status_lasts ? FOREVER : 0;
    /* A request that was interrupted is not answered, so the kernel does not count it. */
    if (fuse_reply_entry(request, &reply) < 0)
        inode_forget(filesystem->inodes, inode->number, 1);
}

static void on_forget(fuse_req_t request, fuse_ino_t number, uint64_t count)
{
    inode_forget(filesystem_of(request)->inodes, number, count);
    fuse_reply_none(request);
}

static void on_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        inode_forget(filesystem_of(request)->inodes, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(request);
}

static void on_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    struct filesystem *filesystem = filesystem_of(request);
    cleanup_inode struct inode *inode = filesystem_inode(filesystem, number);
    struct stat status;
    _Atomic bool interrupted = false;
    bool is_link = inode && inode->kind == INODE_LINK;
    bool forever = false;

    (void)info;
    /* Only where a link leads may take long to know. */
    if (is_link)
        interrupt_begin(request, &interrupted);
    int r = inode ? filesystem_status(filesystem, inode, &interrupted, &status, &forever) : -ESTALE;
    if (is_link)
        interrupt_end(request, &interrupted);
    if (r < 0)
        reply_error(request, r);
    else
        fuse_reply_attr(request, &status, forever ? FOREVER : 0);
}

static struct handle *handle_of(const struct fuse_file_info *info)
{
    return (struct handle *)(uintptr_t)info->fh; // NOLINT(performance-no-int-to-ptr)
}

/* Open `inode` (taken over), with a waiter or NULL (taken over), and answer so. */
static void reply_open(fuse_req_t request, struct inode *inode, struct waiter *waiter,
                       struct fuse_file_info *info)
{
    struct handle_list *handles = &filesystem_of(request)->handles;
    struct handle *handle = handle_open(handles, inode);

    if (!handle) {
        if (waiter)
            waiting_close(handles->waiting, waiter);
        reply_error(request, -ENOMEM);
        return;
    }
    handle->waiter = waiter;
    info->fh = (uint64_t)(uintptr_t)handle;
    /* A request that was interrupted is not answered, so nobody will release it. */
    if (fuse_reply_open(request, info) < 0)
        handle_close(handles, handle);
}

static bool is_folder(const struct inode *inode)
{
    return inode->kind == INODE_FOLDER || inode->kind == INODE_FROZEN ||
           inode->kind == INODE_NAMES || inode->kind == INODE_CONTROL;
}

/* Take the names that the view has for a folder: of one that has vanished nothing is left. */
static int renew_names(struct filesystem *filesystem, struct handle *handle, const char *folder)
{
    struct view_names names = {0};
    struct error error = {0};

    int r = view_list(filesystem->view, folder, &names, &error);
    if (r < 0) {
        if (r != -ENOENT)
            log_line(LOG_ERR, "%s", error.text);
        return r == -ENOENT ? -ESTALE : r;
    }
    view_names_clear(&handle->names);
    handle->names = names;
    return 0;
}

/* Take a live folder's content as it is now. */
static int renew_live(struct filesystem *filesystem, struct handle *handle)
{
    struct generation *generation = NULL;
    struct entry *entry = NULL;

    int r = filesystem_folder(filesystem, handle->inode, NULL, &generation, &entry);
    if (r == 0 && entry->failure) {
        filesystem_report(filesystem, entry->path, entry->failure, false);
        generation_unref(generation);
        r = -EIO;
    }
    if (r < 0)
        return r;
    generation_unref(handle->generation);
    handle->generation = generation;
    handle->entry = entry;
    return 0;
}

/* Take the folder's content as it is now. */
static int renew(struct filesystem *filesystem, struct handle *handle)
{
    const struct inode *inode = handle->inode;
    int r = 0;

    switch (inode->kind) {
    case INODE_FOLDER:
        r = renew_live(filesystem, handle);
        if (r == 0 && inode->number == FUSE_ROOT_ID && filesystem_shows_all(filesystem))
            r = renew_names(filesystem, handle, "");
        return r;
    case INODE_FROZEN:
        handle->entry = inode->entry;
        return inode->entry->failure ? -EIO : 0;
    case INODE_NAMES:
        return renew_names(filesystem, handle, inode->path);
    default:
        return 0;
    }
}

static void on_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    struct filesystem *filesystem = filesystem_of(request);
    cleanup_inode struct inode *inode = filesystem_inode(filesystem, number);
    struct handle trial = {.inode = inode};
    int r = -ESTALE;

    if (inode)
        r = is_folder(inode) ? renew(filesystem, &trial) : -ENOTDIR;
    /* What it holds is taken when it is read; whether it can be, is said now. */
    generation_unref(trial.generation);
    view_names_clear(&trial.names);
    if (r < 0) {
        reply_error(request, r);
        return;
    }
    if (inode->kind == INODE_FROZEN)
        info->cache_readdir = info->keep_cache = 1;
    reply_open(request, steal_pointer(&inode), NULL, info);
}

/* The entry at `index` of a listing: its name and the little that readdir tells. False at the end.
 */
static bool listed(const struct filesystem *filesystem, const struct handle *handle, size_t index,
                   const char **ret_name, struct stat *ret_status)
{
    static const mode_t types[] = {
        [VIEW_FOLDER] = S_IFDIR, [VIEW_FROZEN] = S_IFDIR, [VIEW_LINK] = S_IFLNK};
    const struct inode *inode = handle->inode;
    bool control = inode->number == FUSE_ROOT_ID && filesystem_shows_all(filesystem);

    *ret_status = (struct stat){.st_ino = inode->number, .st_mode = S_IFDIR};
    if (index < 2) {
        *ret_name = index == 0 ? "." : "..";
        if (index == 1)
            ret_status->st_ino = parent_number(filesystem, handle);
        return true;
    }
    index -= 2;
    if (inode->kind == INODE_CONTROL) {
        *ret_name = index == 0 ? "generation" : "status.json";
        ret_status->st_ino = index == 0 ? GENERATION_NUMBER : NUMBER_UNKNOWN;
        ret_status->st_mode = S_IFREG;
        return index < 2;
    }
    if (control && index == 0) {
        *ret_name = ".addonfs";
        ret_status->st_ino = CONTROL_NUMBER;
        return true;
    }
    index -= control;
    if (index < handle->names.count) {
        const struct view_listed *name = &handle->names.items[index];
        *ret_name = name->name;
        ret_status->st_ino = name->number ? name->number : NUMBER_UNKNOWN;
        ret_status->st_mode = types[name->kind];
        return true;
    }
    index -= handle->names.count;
    if (!handle->entry || index >= handle->entry->count)
        return false;
    struct entry *child = handle->entry->children[index];
    *ret_name = child->name;
    ret_status->st_ino = entry_number(child);
    ret_status->st_mode = child->kind == ENTRY_FOLDER ? S_IFDIR : S_IFREG;
    return true;
}

/* Fill `buffer` from `offset` on. Returns the bytes used, or a negative errno. */
static ssize_t fill_listing(fuse_req_t request, struct handle *handle, off_t offset, char *buffer,
                            size_t size)
{
    struct filesystem *filesystem = filesystem_of(request);
    size_t used = 0;
    const char *name;
    struct stat status;
    cleanup_lock(&handle->lock);

    /* From the start, or again from the start (rewinddir): as it is now. */
    int r = offset == 0 || (!handle->entry && !handle->names.items) ? renew(filesystem, handle) : 0;
    if (r < 0)
        return r;
    for (size_t i = (size_t)offset; listed(filesystem, handle, i, &name, &status); i++) {
        size_t length =
            fuse_add_direntry(request, buffer + used, size - used, name, &status, (off_t)(i + 1));
        if (length > size - used)
            break;
        used += length;
    }
    return (ssize_t)used;
}

static void on_readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
                       struct fuse_file_info *info)
{
    cleanup_free char *buffer = malloc(size);
    ssize_t n = -ENOMEM;

    (void)number;
    if (buffer)
        n = fill_listing(request, handle_of(info), offset, buffer, size);
    /* The reply is the last thing: from then on a release may free the handle. */
    if (n < 0)
        reply_error(request, (int)n);
    else
        fuse_reply_buf(request, buffer, (size_t)n);
}

static void on_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    struct filesystem *filesystem = filesystem_of(request);
    cleanup_inode struct inode *inode = filesystem_inode(filesystem, number);
    struct waiter *waiter = NULL;
    _Atomic bool interrupted = false;
    int r = 0;

    interrupt_begin(request, &interrupted);
    if (!inode)
        r = -ESTALE;
    else if ((info->flags & O_ACCMODE) != O_RDONLY)
        r = -EROFS;
    else if (inode->kind == INODE_BODY)
        r = filesystem_open(filesystem, inode, &interrupted);
    else if (inode->kind == INODE_GENERATION)
        r = waiting_open(&filesystem->waiting, &waiter);
    else if (inode->kind != INODE_TEXT)
        r = -EISDIR;
    interrupt_end(request, &interrupted);
    if (r < 0) {
        reply_error(request, r);
        return;
    }
    /* The generation is asked for at every read, whatever its size is said to be. */
    info->direct_io = waiter != NULL;
    info->keep_cache = waiter == NULL;
    info->noflush = 1;
    reply_open(request, steal_pointer(&inode), waiter, info);
}

static void on_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    const struct inode *inode = handle_of(info)->inode;
    cleanup_free char *buffer = malloc(size);
    ssize_t n = 0;

    (void)number;
    if (!buffer) {
        reply_error(request, -ENOMEM);
        return;
    }
    if (handle_of(info)->waiter) {
        n = waiting_read(&filesystem_of(request)->waiting, handle_of(info)->waiter, offset, buffer,
                         size);
    } else if (inode->kind == INODE_BODY) {
        n = body_read(inode->body, (uint64_t)offset, buffer, size);
    } else if ((size_t)offset < inode->text_size) {
        size_t rest = inode->text_size - (size_t)offset;
        n = (ssize_t)(rest < size ? rest : size);
        memcpy(buffer, inode->text + offset, (size_t)n);
    }
    if (n < 0)
        reply_error(request, (int)n);
    else
        fuse_reply_buf(request, buffer, (size_t)n);
}

static void on_poll(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info,
                    struct fuse_pollhandle *poll_handle)
{
    struct waiter *waiter = handle_of(info)->waiter;

    (void)number;
    if (waiter) {
        fuse_reply_poll(request,
                        waiting_poll(&filesystem_of(request)->waiting, waiter, poll_handle));
        return;
    }
    /* What other files hold can be read at any time. */
    if (poll_handle)
        fuse_pollhandle_destroy(poll_handle);
    fuse_reply_poll(request, POLLIN);
}

/* Of files and folders alike. */
static void on_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    (void)number;
    handle_close(&filesystem_of(request)->handles, handle_of(info));
    reply_error(request, 0);
}

static void on_statfs(fuse_req_t request, fuse_ino_t number)
{
    struct statvfs status = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_namemax = 255,
        .f_flag = ST_RDONLY | ST_NOSUID,
    };

    (void)number;
    fuse_reply_statfs(request, &status);
}

static void on_readlink(fuse_req_t request, fuse_ino_t number)
{
    struct filesystem *filesystem = filesystem_of(request);
    cleanup_inode struct inode *inode = filesystem_inode(filesystem, number);
    cleanup_free char *target = NULL;
    _Atomic bool interrupted = false;

    interrupt_begin(request, &interrupted);
    int r = inode ? filesystem_readlink(filesystem, inode, &interrupted, &target) : -ESTALE;
    interrupt_end(request, &interrupted);
    if (r < 0)
        reply_error(request, r);
    else
        fuse_reply_readlink(request, target);
}

static void on_getxattr(fuse_req_t request, fuse_ino_t number, const char *name, size_t size)
{
    char text[64];
    ssize_t length = -ENODATA;
    uint64_t ready = 0;
    uint64_t members = 0;

    if (number == FUSE_ROOT_ID && strcmp(name, PID_ATTRIBUTE) == 0)
        length = snprintf(text, sizeof(text), "%ld", (long)filesystem_of(request)->pid);
    else if (number == FUSE_ROOT_ID && strcmp(name, NAMESPACE_ATTRIBUTE) == 0)
        length = readlink("/proc/self/ns/pid", text, sizeof(text));
    else if (number == FUSE_ROOT_ID && strcmp(name, RELEASE_ATTRIBUTE) == 0 &&
             (fuse_req_ctx(request)->uid == geteuid() || fuse_req_ctx(request)->uid == 0)) {
        waiting_release(&filesystem_of(request)->waiting, RELEASE_PATIENCE);
        length = 0;
    } else if (number == FUSE_ROOT_ID && strcmp(name, INODES_ATTRIBUTE) == 0)
        length =
            snprintf(text, sizeof(text), "%zu", inode_table_count(filesystem_of(request)->inodes));
    else if (number == FUSE_ROOT_ID && strcmp(name, PROGRESS_ATTRIBUTE) == 0 &&
             view_progress(filesystem_of(request)->view, &ready, &members))
        length = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, ready, members);
    if (length < 0)
        reply_error(request, -ENODATA);
    else if (size == 0)
        fuse_reply_xattr(request, (size_t)length);
    else if (size < (size_t)length)
        reply_error(request, -ERANGE);
    else
        fuse_reply_buf(request, text, (size_t)length);
}

const struct fuse_lowlevel_ops filesystem_operations = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .releasedir = on_release,
    .readlink = on_readlink,
    .open = on_open,
    .read = on_read,
    .poll = on_poll,
    .release = on_release,
    .statfs = on_statfs,
    .getxattr = on_getxattr,
};
