/*
 * memfs: the least that a libfuse daemon can do: one file, from memory.
 *
 *     memfs FILE MOUNTPOINT       serves FILE's bytes as MOUNTPOINT/file, in the foreground
 *
 * With the cache settings that addonfs uses. What it takes to read it is what FUSE itself costs.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *bytes;
static size_t size;

static void fill(fuse_ino_t inode, struct stat *status)
{
    memset(status, 0, sizeof(*status));
    status->st_ino = inode;
    status->st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0555 : S_IFREG | 0444;
    status->st_nlink = 1;
    status->st_size = inode == FUSE_ROOT_ID ? 0 : (off_t)size;
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.ino = 2, .attr_timeout = 3600};

    (void)parent;
    fill(2, &entry.attr);
    if (strcmp(name, "file") == 0)
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, ENOENT);
}

static void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct stat status;

    (void)info;
    fill(inode, &status);
    fuse_reply_attr(request, &status, 3600);
}

static void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    info->keep_cache = 1;
    fuse_reply_open(request, info);
}

static void on_read(fuse_req_t request, fuse_ino_t inode, size_t wanted, off_t offset,
                    struct fuse_file_info *info)
{
    size_t at = (size_t)offset < size ? (size_t)offset : size;

    (void)inode;
    (void)info;
    fuse_reply_buf(request, bytes + at, wanted < size - at ? wanted : size - at);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
};

int main(int arguments, char **argument)
{
    char name[] = "memfs", option[] = "-oro,fsname=memfs", *words[] = {name, option, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);
    struct stat status;
    int fd = arguments == 3 ? open(argument[1], O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0 || fstat(fd, &status) < 0) {
        fprintf(stderr, "usage: memfs FILE MOUNTPOINT\n");
        return 2;
    }
    size = (size_t)status.st_size;
    bytes = malloc(size + 1);
    for (size_t n = 0; bytes && n < size;) {
        ssize_t r = read(fd, bytes + n, size - n);
        if (r <= 0)
            return 1;
        n += (size_t)r;
    }
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!bytes || !session || !config || fuse_set_signal_handlers(session) != 0 ||
        fuse_session_mount(session, argument[2]) != 0)
        return 1;
    puts("mounted"); /* who waits for that reads it */
    fflush(stdout);
    int r = fuse_session_loop_mt(session, config);
    fuse_session_unmount(session);
    fuse_remove_signal_handlers(session);
    fuse_session_destroy(session);
    fuse_loop_cfg_destroy(config);
    free(bytes);
    return r < 0;
}
