/*
 * source_resolve: paths that stay inside the tree.
 *
 * A worktree belongs to people who may put a link anywhere, and swap it while we look. Two rules
 * make that harmless, whatever the timing:
 *
 * 1. A path that was found by listing is opened with openat2(2) from the root's descriptor, no
 *    component of it may be a link (RESOLVE_NO_SYMLINKS), none may be a mount point
 *    (RESOLVE_NO_XDEV: our own mount may lie inside the source), and it cannot leave
 *    (RESOLVE_BENEATH).
 * 2. A link is followed by us, not by the kernel: a component at a time, each opened without
 * following, with a stack of descriptors to which `..` returns. So every folder on the way is seen,
 * and one that is Git's own (by name, or by device and inode) ends the walk. The result is a path
 * without links, for rule 1.
 */
#ifndef ADDONFS_SOURCE_RESOLVE_H
#define ADDONFS_SOURCE_RESOLVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct resolve_root {
    int fd; /* of the source's root; its number stays the same when another folder becomes the root
             */
    dev_t device;
    ino_t inode;
    uid_t owner;
    bool is_away; /* was not where it was opened, when it was looked for last */
    struct {
        _Atomic dev_t device;
        _Atomic ino_t inode;
    } git[2]; /* the git dir and the common dir, wherever they are */
};

/* Make the folder at `path` (absolute, without links) the root. 0 or a negative errno. */
int resolve_begin(struct resolve_root *root, const char *path);

/*
 * From now on these are Git's own folders. What lies below `path`, the root's, is looked for in the
 * root. 0, or why one of them cannot be looked at.
 */
int resolve_hide(struct resolve_root *root, const char *path, const char *git_dir,
                 const char *common_dir);

/*
 * If another folder lies at `path` by now, make that one the root: 1. It must belong to the same
 * user, for it was decided whose rights are enough when the first was opened. `path` must still be
 * without links. And it must be on the same mount: neither is what was mounted over the root
 * another root, nor what comes to light beneath one that was unmounted. Otherwise the root stays
 * what it is, wherever it has been moved to: 0; but -ENOENT if it was deleted, and -EPERM if
 * another user's is there now. For the thread that looks; others may go on resolving.
 */
int resolve_renew(struct resolve_root *root, const char *path);

/* Open `real` ("" is the root) by rule 1. Returns a descriptor or a negative errno. */
int resolve_open(const struct resolve_root *root, const char *real, int flags);

/* Is this one of Git's own folders? */
bool resolve_is_git(const struct resolve_root *root, const struct stat *status);

/*
 * Follow `folder`/`name` (a path without links, but for its last component) by rule 2. On success
 * `*ret_real` (the caller frees it) is where it leads and `*ret_status` what is there. Otherwise a
 * negative errno, and `*ret_reason` says in words what is wrong (a constant, fit for "PATH: …").
 */
int resolve_link(const struct resolve_root *root, const char *folder, const char *name,
                 char **ret_real, struct stat *ret_status, const char **ret_reason);

/* Links that one path may take, as many as Linux allows. */
#define RESOLVE_LINK_LIMIT 40

#define RESOLVE_LEAVES "the link leads out of the repository"
#define RESOLVE_LOOPS "the link loops"
#define RESOLVE_BROKEN "the link is broken"
#define RESOLVE_NO_PATH "the link is no path"
#define RESOLVE_GIT "the link leads into Git's own files"
#define RESOLVE_MOUNT "another file system is mounted there"

#endif
