/*
 * place: the folder that a mount is on.
 *
 * A path leads elsewhere as soon as the owner of a folder on the way puts a link there, and root
 * mounts in other users' folders. So the path that was given is followed once; from then on the
 * folder is a descriptor, and root mounts and unmounts there, wherever it has been moved. A mount
 * is known by its number in the kernel's list, not by where it is.
 */
#ifndef ADDONFS_PLACE_H
#define ADDONFS_PLACE_H

#include "mountinfo.h"

#include <addonfs/error.h>
#include <stdbool.h>
#include <sys/types.h>

struct place {
    char *path; /* where it was found: absolute, without links */
    dev_t device;
    ino_t inode;
    int folder;             /* O_PATH */
    int lock;               /* the folder, locked against others that start there; or -1 */
    struct mountinfo mount; /* what was mounted there; id 0: nothing */
};

/* Where nothing is yet. */
#define PLACE_NONE ((struct place){.folder = -1, .lock = -1})

/*
 * Find the folder `given`, see that it can be a mount point and is free, and lock it: two mounts
 * would stack. The lock ends when all that share it have mounted or cleared the place, or have
 * ended. `*place` is PLACE_NONE before, and to be cleared in any case.
 */
int place_take(const char *given, struct place *place, struct error *error);
void place_clear(struct place *place);

#define cleanup_place __attribute__((cleanup(place_clear)))

/*
 * Mount as root: what `source` says is a name to show. `*ret_device` is the FUSE device, which the
 * caller closes. On failure nothing is mounted.
 */
int place_mount(struct place *place, const char *source, bool allow_other, bool noexec,
                int *ret_device, struct error *error);

/* Somebody else has mounted there for us (fusermount3): know what. -ESTALE: it is not there. */
int place_adopt(struct place *place, struct error *error);

/* What was mounted there has gone by itself. */
void place_forget(struct place *place);

/*
 * Is `place->mount` in the kernel's list, here or wherever it was moved? The numbers of one that
 * has gone are given to the next one at once: who can tell that it has, is to forget it.
 */
bool place_has(const struct place *place);

/*
 * Take away what place_mount has put there, even if it is in use. false: it is still there, covered
 * by another mount. Nothing is done where it has gone already, or was forgotten.
 */
bool place_unmount(struct place *place);

#endif
