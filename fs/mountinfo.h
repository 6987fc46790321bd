/*
 * mountinfo: what is mounted where, from /proc/self/mountinfo (proc_pid_mountinfo(5)).
 *
 * Reads the kernel's list, never the mounts themselves, so a dead or hanging mount does no harm.
 */
#ifndef ADDONFS_MOUNTINFO_H
#define ADDONFS_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

struct mountinfo {
    int id; /* among the mounts that there are now */
    bool is_addonfs;
    bool is_whole;   /* not only a folder of it (a bind mount) */
    char device[32]; /* "major:minor" */
    uid_t user;      /* who mounted it, and may ask it */
    gid_t group;
};

/* What is on top at `path` (absolute, without links). 0; -ENOENT: no mount point; or another errno.
 */
int mountinfo_find(const char *path, struct mountinfo *ret_mount);

/*
 * Call `visit` for each mount, in the order of the list, until it answers something else than 0,
 * which is returned. A negative errno: the list cannot be read.
 */
int mountinfo_each(int (*visit)(void *context, const char *path, const struct mountinfo *mount),
                   void *context);

/* The mount of that number. -ENOENT: it has gone. */
int mountinfo_find_id(int id, struct mountinfo *ret_mount);

/* Somewhere where `device` is mounted; the caller frees `*ret_path`. -ENOENT: nowhere that we see.
 */
int mountinfo_find_device(const char *device, struct mountinfo *ret_mount, char **ret_path);

/*
 * A process of another mount namespace (mount_namespaces(7)) for which `device` is mounted, and
 * where; the caller frees `*ret_path`. -ENOENT: none that this user may look at.
 */
int mountinfo_find_process(const char *device, pid_t *ret_process, struct mountinfo *ret_mount,
                           char **ret_path);

/*
 * The absolute path of `path` without links. A mount at its end is not asked: it may be dead, or
 * hang. The caller frees `*ret_path`. A negative errno.
 */
int mountinfo_resolve(const char *path, char **ret_path);

/*
 * Of an open file or folder (O_PATH is enough, and does not touch it): the number of the mount it
 * is in (proc_pid_fdinfo(5)), and its path now, which the caller frees. A negative errno.
 */
int mountinfo_id_of(int fd, int *ret_id);
int mountinfo_path_of(int fd, char **ret_path);

#endif
