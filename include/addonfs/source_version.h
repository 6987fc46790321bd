/*
 * source_version: which commit has set the version, and how far another has come since.
 *
 * Of a commit C, whose file PATH binds VARIABLE to a string, D is the nearest of its first-parent
 * ancestors (C among them) that has set this value: the last that has it before one that has
 * another, or none (no such file, a link or a folder in its place, nothing that pylit_string
 * reads), or before there is no commit. What merges brought in counts as their own work: a value
 * that came with a merge was set by it. `commits` is what `git rev-list --count D..C` says.
 *
 * Both are the same in every clone: one that does not reach far enough to know answers an error.
 * (Clocks permitting: a commit whose clock was more than thirty days behind that of an ancestor may
 * be overlooked. Git trusts clocks as well, and further, where it has no commit-graph file.)
 */
#ifndef ADDONFS_SOURCE_VERSION_H
#define ADDONFS_SOURCE_VERSION_H

#include <addonfs/error.h>
#include <addonfs/source.h>
#include <stdint.h>

struct version_base {
    char commit[41];  /* D, 40 hexadecimal digits */
    uint64_t commits; /* from D, which does not count, to C */
};

/*
 * Find out about `commit` (C; 40 hexadecimal digits) of the repository that `source` shows. `path`
 * is relative to its root, without links: none is followed. The last few answers are remembered.
 * Thread-safe.
 *
 * -ENOENT, -EINVAL: C itself has no such value; the error says why, as pylit_string does. -EIO: the
 * history of a shallow clone ends too early ("git fetch --unshallow"), or an object is missing or
 * damaged; the error names it. -EINVAL: `commit` is not an id. -ENOMEM, -EMFILE, …: not now.
 */
int source_version_base(struct source *source, const char *commit, const char *path,
                        const char *variable, struct version_base *ret_base, struct error *error);

/*
 * Where the history ends (a shallow clone's; the id of nothing otherwise): when that moves, as with
 * git fetch --unshallow, it may be known what was not. False: it cannot be read. Thread-safe.
 */
bool source_version_horizon(const struct source *source, struct content_id *ret_horizon);

#endif
