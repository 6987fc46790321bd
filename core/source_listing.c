#include "source_listing.h"
#include "source_resolve.h"

#include <addonfs/path.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/*
 * A file system that does not tell types in a listing: look, without entering a mount point. A
 * negative errno: not now.
 */
static int type_of(int directory, const char *name)
{
    struct resolve_root here = {.fd = directory};
    struct stat status;
    cleanup_fd int fd = resolve_open(&here, name, O_PATH | O_NOFOLLOW);

    if (fd == -ELOOP)
        return DT_LNK;
    if (fd == -EXDEV)
        return DT_DIR;
    if (error_is_transient(fd))
        return fd;
    return fd < 0 || fstat(fd, &status) < 0 ? DT_UNKNOWN : (int)IFTODT(status.st_mode);
}

static int read_stream(DIR *stream, struct source_folder *folder, bool *ret_changed)
{
    struct source_entry *entries = NULL;
    size_t count = 0;
    size_t capacity = 0;
    bool hides_git = false;

    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(stream);
        if (!found && errno != 0) {
            int code = -errno;
            source_entries_free(entries, count);
            return code;
        }
        if (!found)
            break;
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        if (path_is_git(found->d_name)) {
            hides_git = true;
            continue;
        }
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 32;
            struct source_entry *more = reallocarray(entries, capacity, sizeof(*entries));
            if (!more) {
                source_entries_free(entries, count);
                return -ENOMEM;
            }
            entries = more;
        }
        int type =
            found->d_type == DT_UNKNOWN ? type_of(dirfd(stream), found->d_name) : found->d_type;
        char *name = type < 0 ? NULL : strdup(found->d_name);
        if (!name) {
            source_entries_free(entries, count);
            return type < 0 ? type : -ENOMEM;
        }
        entries[count++] = (struct source_entry){.name = name, .type = type};
    }
    if (folder_rename(folder, entries, count) || folder->hides_git != hides_git)
        *ret_changed = true;
    folder->hides_git = hides_git;
    return 0;
}

int listing_read(int fd, struct source_folder *folder, bool *ret_changed)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    DIR *stream = own < 0 ? NULL : fdopendir(own);

    if (!stream) {
        int code = -errno;
        if (own >= 0)
            close(own);
        return code;
    }
    int r = read_stream(stream, folder, ret_changed);
    closedir(stream);
    return r;
}
