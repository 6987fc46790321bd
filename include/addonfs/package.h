/*
 * package: a recipe applied to a source.
 *
 *     recipe_find(source, spool, &choice, own, &matches, &error);
 *     package_build(&origin, &options, &matches.items[0], last, &package, &error);
 *
 * gives the tree of entries that is the folder <name>/<version>/ of one addon: what the packaging
 * script would write now. Contents are not read, but for the version; zips are composed when they
 * are asked for.
 *
 * The rules of layouts.md that hold for every recipe are applied here: the walk, links followed
 * inside the tree, folders without files left out, Git's own names never shown, every file as
 * private as the folders it lies in, a zip as its most private member.
 */
#ifndef ADDONFS_PACKAGE_H
#define ADDONFS_PACKAGE_H

#include <addonfs/bundle.h>
#include <addonfs/cleanup.h>
#include <addonfs/entry.h>
#include <addonfs/error.h>
#include <addonfs/problem.h>
#include <addonfs/recipe.h>

/*
 * Files and folders that one package may have. A package above a limit is a failed one.
 *
 * Links can make a small tree unfold without end (two links a folder, forty folders deep), and
 * every path to a link is compared at every look. 20,000 entries behind links are six times what a
 * whole real tree has, and let a look in which nothing has changed still be done in some 20 ms.
 */
#define PACKAGE_ENTRY_LIMIT ((size_t)1000000)
#define PACKAGE_LINK_LIMIT ((size_t)20000)

/*
 * Files and folders of all packages of one generation: a small commit can show one large tree as
 * any number of addons. From the package that passes it on, all fail at their first entry: what was
 * listed for those that fail is memory, too.
 */
#define PACKAGE_TOTAL_LIMIT ((size_t)2000000)

/* What the packages of one generation have so far. */
struct package_total {
    size_t entries;
    size_t limit;
};

/*
 * Names that the folders of one package may list, those that its rules leave out included: each is
 * held in memory, and a small commit can list one folder of them a million times.
 */
#define PACKAGE_NAME_LIMIT ((size_t)2000000)

/*
 * Folders that may lie in each other, the one that a rule names included. Links count as what they
 * lead to. Real trees are some 20 deep; with 256 a walk needs less than a tenth of the 8 MiB that a
 * thread's stack has.
 */
#define PACKAGE_DEPTH_LIMIT 256u
#define PACKAGE_TOO_DEEP "is too deep: more than %u folders lie in each other"

struct package_options {
    bool no_license;             /* leave out the rules for a license */
    const char *version;         /* in place of the declared one, wherever it stands; or NULL */
    bool no_times;               /* of a revision: it is not for showing, and may have any times */
    struct package_total *total; /* counted on, also for a package that fails; or NULL */
};

struct package {
    char *addon;          /* its name; or NULL, then `failure` says why */
    char *version;        /* or NULL, likewise */
    char *origin;         /* the addon's folder in the source, or the file that declares it */
    char *version_path;   /* the Python file that declares it, or NULL */
    struct entry *folder; /* named after the version; NULL if it or the name cannot be had */
    char *client;         /* the zip in it that client/ unpacks, a path from the folder; or NULL */
    char *failure_path;   /* in the source */
    char *failure;
    struct problems problems; /* warnings, and what was left out knowingly */
    bool retry; /* something was left out that may be readable at the next look, without a change */
    size_t source_count;
    char **sources; /* files and folders that it is made of, whether they are there or not */
};

/*
 * Build the package of an addon that the source holds. `last` is the folder of the package before,
 * by the same recipe, or NULL: what has not changed is taken from there, so that it need not be
 * walked. A name or a version that cannot be had is a failed package, not an error. -ENOMEM,
 * -EMFILE, …: not now. One thread at a time with the source.
 */
int package_build(const struct origin *origin, const struct package_options *options,
                  const struct recipe_match *match, struct entry *last,
                  struct package **ret_package, struct error *error);

/* Let the package be a failed one, which has no folder and no version. 0 or -ENOMEM. */
int package_fail(struct package *package, const char *path, const char *failure);

/*
 * What tells the names, exec bits and bytes in a package's folder from others, on every host. Reads
 * what was not read yet, and composes the zips. -EIO: something cannot be read; -ESTALE: it has
 * changed, look anew; -ENOSPC, -ENOMEM, …: not now.
 */
int package_content_id(const struct origin *origin, struct entry *folder, struct content_id *ret_id,
                       struct error *error);

/*
 * The zip that a server's installer takes, of a package that has a folder, as an entry named
 * <addon>-<version>.zip: its files and zips as they stand there. -ENOMEM.
 */
int package_upload(const struct origin *origin, struct package *package, enum recipe_upload kind,
                   struct entry **ret_upload, struct error *error);

void package_free(struct package *package);

CLEANUP(package, struct package *, package_free)
#define cleanup_package __attribute__((cleanup(cleanup_package_scope)))

#endif
