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
    char device[32]; /* "major:minor" */
    uid_t user;      /* who mounted it, and may ask it */
    gid_t group;
};

/* What is on top at `path` (absolute, without links). 0; -ENOENT: no mount point; or another errno.
 */
int mountinfo_find(const char *path, struct mountinfo *ret_mount);

/* Somewhere where `device` is mounted; the caller frees `*ret_path`. -ENOENT: nowhere that we see.
 */
int mountinfo_find_device(const char *device, char **ret_path);

/*
 * The absolute path of `path` without links. A mount at its end is not asked: it may be dead, or
 * hang. The caller frees `*ret_path`. A negative errno.
 */
int mountinfo_resolve(const char *path, char **ret_path);

#endif
