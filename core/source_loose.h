/*
 * source_loose: an object that lies loose, in a file of its own.
 *
 * Not libgit2's: what it makes of a damaged one (1.5, read_loose_standard) writes behind the end of
 * its memory if there is more in the file than its header says; and it does not tell a file that is
 * not there from one that may not be looked at.
 */
#ifndef ADDONFS_SOURCE_LOOSE_H
#define ADDONFS_SOURCE_LOOSE_H

#include <addonfs/error.h>
#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <stddef.h>

/* An object as it is read, not yet compared with its id. */
struct raw_object {
    void *bytes; /* of `size`, and a NUL: from git_odb_backend_data_alloc */
    size_t size;
    git_object_t type;
};

/*
 * Read `object` in the folder of objects `folder`. -ENOENT: it does not lie there; -EIO: it is
 * damaged; others are of the moment (error_is_transient), and described in `why`. `backend` is whom
 * the memory is for; NULL: only the type and the size are read, as the header has them.
 */
int loose_read(const char *folder, const git_oid *object, git_odb_backend *backend,
               struct raw_object *ret_raw, struct error *why);

#endif
