/*
 * identity: whose rights a source is read with.
 *
 * Started by root over another user's repository, addonfs becomes that user before it reads
 * anything of it: what root could read and the owner could not must not show.
 */
#ifndef ADDONFS_IDENTITY_H
#define ADDONFS_IDENTITY_H

#include <addonfs/error.h>
#include <stdbool.h>
#include <sys/types.h>

struct identity {
    bool change; /* we are root, and the source belongs to someone else */
    uid_t uid;
    gid_t gid;
};

/*
 * Find the folder `source` and whose it is, without reading anything in it. `*ret_path` is where it
 * is, absolute and without links; the caller frees it. -ENOENT, -ENOTDIR, …
 */
int identity_of(const char *source, struct identity *ret_identity, char **ret_path,
                struct error *error);

/*
 * Become that user for good: groups, ids, HOME. Without `change` only what sudo says of its caller
 * is forgotten: root reads for root alone.
 */
int identity_become(const struct identity *identity, struct error *error);

#endif
