#include "mountinfo.h"

#include <addonfs/cleanup.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

CLEANUP(file, FILE *, fclose)
CLEANUP(folder, DIR *, closedir)
#define cleanup_file __attribute__((cleanup(cleanup_file_scope)))
#define cleanup_folder __attribute__((cleanup(cleanup_folder_scope)))

/* Undo the \ooo that the kernel writes for space, tab, newline and backslash. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from;) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

/* What a mount's own options say; a comma separates them, and `options` is taken apart. */
static void read_options(char *options, struct mountinfo *mount)
{
    const char *option;

    while ((option = strsep(&options, ","))) {
        if (strncmp(option, "user_id=", 8) == 0)
            mount->user = (uid_t)strtoul(option + 8, NULL, 10);
        else if (strncmp(option, "group_id=", 9) == 0)
            mount->group = (gid_t)strtoul(option + 9, NULL, 10);
    }
}

/*
 * The next mount of the list: where it is, in `*line`, and what. False at the end. A line is
 * (proc_pid_mountinfo(5)): id, parent, device, root, place, options, any number of optional fields,
 * "-", type, source, and the options of the file system. The source may be called like any of them.
 */
static bool next_mount(FILE *list, char **line, size_t *size, const char **ret_path,
                       struct mountinfo *ret_mount)
{
    enum { ID, DEVICE = 2, ROOT, PLACE, COUNT = 6 };

    while (getline(line, size, list) > 0) {
        char *rest = *line;
        char *field[COUNT] = {0};
        const char *more;
        for (int i = 0; i < COUNT && rest; i++)
            field[i] = strsep(&rest, " ");
        while ((more = strsep(&rest, " ")) && strcmp(more, "-") != 0)
            ;
        const char *type = strsep(&rest, " ");
        (void)strsep(&rest, " ");
        if (!rest)
            continue;
        unescape(field[PLACE]);
        *ret_path = field[PLACE];
        *ret_mount = (struct mountinfo){
            .id = (int)strtol(field[ID], NULL, 10),
            .is_addonfs = strcmp(type, "fuse.addonfs") == 0,
            .is_whole = strcmp(field[ROOT], "/") == 0,
        };
        snprintf(ret_mount->device, sizeof(ret_mount->device), "%s", field[DEVICE]);
        read_options(rest, ret_mount);
        return true;
    }
    return false;
}

int mountinfo_find(const char *path, struct mountinfo *ret_mount)
{
    cleanup_file FILE *list = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    struct mountinfo mount;
    const char *place;
    size_t size = 0;
    int result = -ENOENT;

    if (!list)
        return -errno;
    /* Of several at one place the last is on top. */
    while (next_mount(list, &line, &size, &place, &mount)) {
        if (strcmp(place, path) == 0) {
            *ret_mount = mount;
            result = 0;
        }
    }
    return result;
}

int mountinfo_each(int (*visit)(void *context, const char *path, const struct mountinfo *mount),
                   void *context)
{
    cleanup_file FILE *list = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    struct mountinfo mount;
    const char *place;
    size_t size = 0;
    int r = 0;

    if (!list)
        return -errno;
    while (r == 0 && next_mount(list, &line, &size, &place, &mount))
        r = visit(context, place, &mount);
    return r;
}

int mountinfo_find_id(int id, struct mountinfo *ret_mount)
{
    cleanup_file FILE *list = fopen("/proc/self/mountinfo", "re");
    cleanup_free char *line = NULL;
    const char *place;
    size_t size = 0;

    if (!list)
        return -errno;
    while (next_mount(list, &line, &size, &place, ret_mount)) {
        if (ret_mount->id == id)
            return 0;
    }
    return -ENOENT;
}

/* Where `device` is mounted, by the list in the file `name`. */
static int find_device(const char *name, const char *device, struct mountinfo *ret_mount,
                       char **ret_path)
{
    cleanup_file FILE *list = fopen(name, "re");
    cleanup_free char *line = NULL;
    const char *place;
    size_t size = 0;

    if (!list)
        return -errno;
    while (next_mount(list, &line, &size, &place, ret_mount)) {
        if (strcmp(ret_mount->device, device) != 0)
            continue;
        *ret_path = strdup(place);
        return *ret_path ? 0 : -ENOMEM;
    }
    return -ENOENT;
}

int mountinfo_find_device(const char *device, struct mountinfo *ret_mount, char **ret_path)
{
    return find_device("/proc/self/mountinfo", device, ret_mount, ret_path);
}

/* The number of a process's mount namespace; 0: it may not be known, or the process has gone. */
static ino_t namespace_of(pid_t process)
{
    char name[40];
    struct stat status;

    snprintf(name, sizeof(name), "/proc/%ld/ns/mnt", (long)process);
    return stat(name, &status) < 0 ? 0 : status.st_ino;
}

int mountinfo_find_process(const char *device, pid_t *ret_process, struct mountinfo *ret_mount,
                           char **ret_path)
{
    cleanup_folder DIR *processes = opendir("/proc");
    ino_t ours = namespace_of(getpid());
    const struct dirent *found;

    while (processes && (found = readdir(processes))) {
        char name[40];
        pid_t process = (pid_t)strtol(found->d_name, NULL, 10);
        ino_t theirs = process > 0 ? namespace_of(process) : 0;
        if (theirs == 0 || theirs == ours)
            continue;
        snprintf(name, sizeof(name), "/proc/%ld/mountinfo", (long)process);
        if (find_device(name, device, ret_mount, ret_path) < 0)
            continue;
        *ret_process = process;
        return 0;
    }
    return -ENOENT;
}

/* `path` with all but its last component resolved: where the last one is a mount, it is not asked.
 */
static int resolve_parent(const char *path, char **ret_path)
{
    cleanup_free char *copy = strdup(path);
    cleanup_free char *parent = NULL;

    if (!copy)
        return -ENOMEM;
    size_t length = strlen(copy);
    while (length > 1 && copy[length - 1] == '/')
        copy[--length] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || *name == '\0')
        return -ENOTCONN;
    if (slash)
        *slash = '\0';
    parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (!parent)
        return -errno;
    if (asprintf(ret_path, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) < 0)
        return -ENOMEM;
    return 0;
}

int mountinfo_resolve(const char *path, char **ret_path)
{
    cleanup_free char *place = NULL;
    struct mountinfo mount;

    /* A mount that is dead or hangs is found in the list, and left alone. */
    int r = resolve_parent(path, &place);
    if (r == -ENOMEM || (r == 0 && mountinfo_find(place, &mount) == 0)) {
        *ret_path = steal_pointer(&place);
        return r;
    }
    *ret_path = realpath(path, NULL);
    return *ret_path ? 0 : -errno;
}

int mountinfo_id_of(int fd, int *ret_id)
{
    char path[40];
    cleanup_free char *line = NULL;
    size_t size = 0;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    cleanup_file FILE *list = fopen(path, "re");
    if (!list)
        return -errno;
    while (getline(&line, &size, list) > 0) {
        if (strncmp(line, "mnt_id:", 7) != 0)
            continue;
        *ret_id = (int)strtol(line + 7, NULL, 10);
        return 0;
    }
    return -ENOENT;
}

int mountinfo_path_of(int fd, char **ret_path)
{
    char link[32];
    char path[PATH_MAX];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return -errno;
    path[n] = '\0';
    *ret_path = strdup(path);
    return *ret_path ? 0 : -ENOMEM;
}
