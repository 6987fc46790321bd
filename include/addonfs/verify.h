/*
 * verify: is a package whole and sound, and of which commit is it?
 *
 * Whole: what its kind needs is there. With a package.py: a name and a version in it, and
 * private/client.zip, with the folder client_dir in it, if it declares one. Without: __init__.py,
 * version.py, and private/client.zip if private/pyproject.toml is there. An upload has a
 * manifest.json with name and version.
 *
 * Sound: all of it can be read, through zips as well (CRCs); no name leads out, none is Git's, none
 * is there twice; nothing is a link; and name and version are the same wherever they stand: in the
 * names of folders and archives, manifest.json, package.py, version.py and the client's version.py.
 *
 * Of a commit: what the source would show for the commit has the same names, bytes and exec bits
 * (diff.h). A derived version (version.h) names the commit. Otherwise the first-parent history is
 * followed from the source's revision (of a worktree: HEAD), and those commits are compared that
 * declare the version, the newest first. That ends with the first one behind them that declares
 * another, or after VERIFY_COMMITS_LIMIT commits.
 */
#ifndef ADDONFS_VERIFY_H
#define ADDONFS_VERIFY_H

#include <addonfs/deployment.h>
#include <addonfs/error.h>
#include <addonfs/view.h>
#include <stdbool.h>

#define VERIFY_COMMITS_LIMIT 200

enum verify_origin {
    VERIFY_UNASKED,
    VERIFY_COMMIT,   /* of that commit */
    VERIFY_WORKTREE, /* what the worktree holds now, and no commit that was tried */
    VERIFY_NONE,     /* neither */
};

struct verified {
    char *addon;   /* NULL: not known */
    char *version; /* likewise */
    char *path;    /* in the package */
    enum verify_origin origin;
    char commit[41]; /* VERIFY_COMMIT */
    unsigned tried;  /* how many commits were compared, … */
    unsigned looked; /* … of so many whose versions were looked at */
};

struct verification {
    char *package;
    enum deployment_shape shape;
    size_t count;
    struct verified *items;
    size_t finding_count;
    struct verify_finding {
        char *path;
        char *text;
    } * findings;
    bool derived; /* a version is a derived one, and the view does not derive any: nothing can be
                     said of its origin */
};

/*
 * Look at what is at `package`. `view`: of the source that it may be of, with the options that it
 * was made with, or NULL. -EINVAL: it looks like no package; errors as diff_make. What is wrong
 * with the package is a finding.
 */
int verify_make(const char *package, struct view *view, const _Atomic bool *interrupted,
                struct verification *ret_verification, struct error *error);
void verify_clear(struct verification *verification);
#define cleanup_verification __attribute__((cleanup(verify_clear)))

/* Nothing was found, and what has been asked for an origin has one. */
bool verify_is_good(const struct verification *verification);

/*
 * As one JSON object: `package`, `shape`, `good`, `versions` ([{addon, version, path, origin
 * ("unasked", "commit", "worktree", "none"), commit, tried, looked}]), `findings` ([{path,
 * text}]). With a final newline; the caller frees it. -ENOMEM.
 */
int verify_json(const struct verification *verification, char **ret_text, struct error *error);

#endif
