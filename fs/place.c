#include "place.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void unlock(struct place *place)
{
    if (place->lock >= 0)
        close(place->lock);
    place->lock = -1;
}

void place_clear(struct place *place)
{
    free(place->path);
    if (place->folder >= 0)
        close(place->folder);
    unlock(place);
    *place = PLACE_NONE;
}

static int check_free(const char *given, const char *path, struct error *error)
{
    struct mountinfo mount;

    int r = mountinfo_find(path, &mount);
    if (r == 0 && mount.is_addonfs)
        return error_set(error, -EBUSY,
                         "%s: busy, addonfs is mounted here: addonfs umount '%s' first", given,
                         given);
    return 0;
}

static int check_device(struct error *error)
{
    if (access("/dev/fuse", F_OK) < 0)
        return error_set(error, -ENODEV,
                         "/dev/fuse is not there: load the kernel module (modprobe fuse), or give "
                         "the container the device");
    return 0;
}

/* Hold the folder at `path`, and find out where that really is. */
static int hold(struct place *place, const char *given, const char *path, struct error *error)
{
    struct stat status;

    place->folder = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place->folder < 0 || fstat(place->folder, &status) < 0)
        return error_errno(error, -errno, "%s", given);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, -ENOTDIR, "%s: not a folder: a mount point must be one", given);
    place->device = status.st_dev;
    place->inode = status.st_ino;
    int r = mountinfo_path_of(place->folder, &place->path);
    return r < 0 ? error_errno(error, r, "%s", given) : 0;
}

int place_take(const char *given, struct place *place, struct error *error)
{
    cleanup_free char *path = NULL;

    int r = mountinfo_resolve(given, &path);
    if (r == -ENOENT)
        return error_set(error, r, "%s: no such folder: make it first", given);
    if (r < 0)
        return error_errno(error, r, "%s", given);
    /* Before it is touched: a dead mount is found as well. */
    r = check_free(given, path, error);
    if (r == 0)
        r = hold(place, given, path, error);
    if (r == 0)
        r = check_device(error);
    if (r < 0)
        return r;
    place->lock = openat(place->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->lock >= 0 && flock(place->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return error_set(error, -EBUSY, "%s: busy, another addonfs is starting here", given);
    /* Again: the one that had the lock may have mounted in between. */
    return check_free(given, place->path, error);
}

/* --- Mounting ----------------------------------------------------------------------------------
 */

/* fsconfig(2) takes no longer strings: of such a source its end is shown. */
static const char *shown_source(const char *source)
{
    enum { LIMIT = 255 };
    size_t length = strlen(source);

    return length > LIMIT ? source + length - LIMIT : source;
}

/*
 * A FUSE file system as libfuse asks for it as root (mount.fuse3(8), fuse(4)), mounted nowhere yet:
 * so its number is known before anybody else can see it.
 */
static int new_mount(int device, const char *source, bool allow_other, bool noexec)
{
    cleanup_fd int context = fsopen("fuse", FSOPEN_CLOEXEC);
    char fd[16];
    char user[16];
    char group[16];
    const struct {
        const char *key;
        const char *value; /* NULL: a flag */
    } parameters[] = {
        {"source", shown_source(source)},
        {"subtype", "addonfs"},
        {"fd", fd},
        {"rootmode", "40000"},
        {"user_id", user},
        {"group_id", group},
        {"default_permissions", NULL},
        {"ro", NULL},
        {"allow_other", NULL},
    };
    size_t count = sizeof(parameters) / sizeof(parameters[0]) - !allow_other;

    snprintf(fd, sizeof(fd), "%d", device);
    snprintf(user, sizeof(user), "%u", (unsigned)getuid());
    snprintf(group, sizeof(group), "%u", (unsigned)getgid());
    for (size_t i = 0; context >= 0 && i < count; i++) {
        const char *value = parameters[i].value;
        if (fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, parameters[i].key,
                     value, 0) < 0)
            return -errno;
    }
    if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int mount = fsmount(context, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                            (noexec ? MOUNT_ATTR_NOEXEC : 0u));
    return mount < 0 ? -errno : mount;
}

/* umount2(2) of what `fd`, the root of a mount, is in; also if it is in use. */
static int detach(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return umount2(path, MNT_DETACH);
}

int place_mount(struct place *place, const char *source, bool allow_other, bool noexec,
                int *ret_device, struct error *error)
{
    cleanup_fd int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    int id;

    if (device < 0)
        return error_errno(error, -errno, "/dev/fuse");
    cleanup_fd int mount = new_mount(device, source, allow_other, noexec);
    if (mount < 0)
        return error_errno(error, mount, "%s: cannot mount", place->path);
    int r = mountinfo_id_of(mount, &id);
    if (r < 0)
        return error_errno(error, r, "%s: cannot mount", place->path);
    if (move_mount(mount, "", place->folder, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_errno(error, -errno, "%s: cannot mount", place->path);
    if (mountinfo_find_id(id, &place->mount) < 0) {
        (void)detach(mount);
        return error_set(error, -EIO, "%s: the mount is not in /proc/self/mountinfo", place->path);
    }
    unlock(place);
    *ret_device = steal_fd(&device);
    return 0;
}

int place_adopt(struct place *place, struct error *error)
{
    struct mountinfo mount;

    if (mountinfo_find(place->path, &mount) < 0 || !mount.is_addonfs)
        return error_set(error, -ESTALE,
                         "%s: was moved or covered while it was being mounted: mount again",
                         place->path);
    place->mount = mount;
    unlock(place);
    return 0;
}

void place_forget(struct place *place)
{
    place->mount = (struct mountinfo){0};
}

/*
 * The root of what is on top at the folder. It is reached from the folder above, by the name that
 * the folder has now: nobody can rename it as long as it is a mount point (rename(2), EBUSY).
 */
static int open_top(const struct place *place)
{
    cleanup_fd int above = openat(place->folder, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_free char *path = NULL;

    if (above < 0 || mountinfo_path_of(place->folder, &path) < 0)
        return -1;
    return openat(above, strrchr(path, '/') + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool place_has(const struct place *place)
{
    struct mountinfo now;

    return place->mount.id != 0 && mountinfo_find_id(place->mount.id, &now) == 0 &&
           strcmp(now.device, place->mount.device) == 0;
}

bool place_unmount(struct place *place)
{
    int id;

    if (place_has(place)) {
        cleanup_fd int top = open_top(place);
        if (top < 0 || mountinfo_id_of(top, &id) < 0 || id != place->mount.id || detach(top) < 0)
            return false;
    }
    place_forget(place);
    return true;
}
