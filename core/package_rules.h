/*
 * package_rules: the rules of a recipe, applied one after the other.
 */
#ifndef ADDONFS_PACKAGE_RULES_H
#define ADDONFS_PACKAGE_RULES_H

#include "package_names.h"
#include "package_walk.h"

/* A zip that rules put something into. */
struct zipped {
    char *path;   /* in the package */
    char *source; /* of the first rule, for messages */
    struct entry *root;
    struct entry *last; /* what stood there the last time, or NULL; borrowed */
    bool used;          /* a rule has found something to put into it */
};

/* What a package is built with. */
struct builder {
    struct walk walk;
    struct names names;
    const struct package_options *options;
    struct entry *last; /* the folder of the package before, or NULL */
    size_t zip_count;
    struct zipped *zips;
};

void builder_clear(struct builder *builder);

/*
 * Apply all rules of the addon, whose names are known, to `package->folder`, which is empty. What
 * cannot be read is in there as a failed entry. -EFBIG with walk.excess: a limit was passed;
 * -ENOMEM, -EMFILE, …: not now.
 */
int builder_apply_rules(struct builder *builder, struct error *error);

#endif
