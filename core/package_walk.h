/*
 * package_walk: a source folder as a tree of entries, through a filter.
 *
 * A walk takes in what it can of an earlier one. A folder is taken as it was if the source says
 * that nothing about it has changed since, and it is `whole`: nothing else has a say in it, as the
 * target of a link has, nor has it given a warning, which would be lost. What lies below it is
 * asked for separately, so a walk over a source in which one file has changed costs no more than
 * its folders.
 */
#ifndef ADDONFS_PACKAGE_WALK_H
#define ADDONFS_PACKAGE_WALK_H

#include <addonfs/package.h>

struct walk {
    const struct origin *origin;
    struct package *package;        /* gets the warnings */
    const char *affects;            /* path in the package that these warnings are about */
    const struct recipe_rule *rule; /* whose filters apply, and whose priority entries get */
    struct file *edited;            /* takes the place of the file whose `real` it has; or NULL */
    size_t root_length;             /* of the path of the folder that is walked */
    size_t entries;                 /* of the package so far, against PACKAGE_ENTRY_LIMIT */
    size_t linked; /* … those of them that links lead to, against PACKAGE_LINK_LIMIT */
    size_t names;  /* in its folders so far, against PACKAGE_NAME_LIMIT */
    struct package_total *total; /* or NULL */
    const char *excess; /* where a limit was passed, which ended the walk with -EFBIG; or NULL */
    struct error why;   /* room for what a folder fails for, which is no error of the walk */
};

/*
 * The folder at `path` as an entry named `name`; `last` is what an earlier walk of the same path by
 * the same rule gave, or NULL. What cannot be read is a failed entry in it, or is left out with a
 * warning if the origin skips problems. Folders without files leave no trace, unless the rule says
 * otherwise. Ends early with the errors of origin_check.
 */
int walk_folder(struct walk *walk, const char *path, const char *name, struct entry *last,
                struct entry **ret_entry, struct error *error);

/* The file at `path` as an entry named `name`; a failed one if it is missing. NULL if it is
 * skipped. */
int walk_file(struct walk *walk, const char *path, const char *name, struct entry **ret_entry,
              struct error *error);

#endif
