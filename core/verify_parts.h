/*
 * verify_parts: what a verification is made of, for the files that make one.
 */
#ifndef ADDONFS_VERIFY_PARTS_H
#define ADDONFS_VERIFY_PARTS_H

#include <addonfs/verify.h>

/* Note what is wrong at `path` of the package. 0 or -ENOMEM. */
int verify_add(struct verification *verification, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Is the whole tree sound, but for what its versions say? `path` is that of `item`. */
int verify_tree(struct verification *verification, const struct inventory_item *item,
                const char *path);

/* Is the version whole, and does it say the same everywhere? 0 or -ENOMEM. */
int verify_version(struct verification *verification, const struct deployment *deployment);

/* Find out of which commit it is. Errors as verify_make. */
int verify_find_origin(struct verification *verification, struct view *view,
                       const struct deployment *deployment, bool in_archive,
                       const _Atomic bool *interrupted, struct verified *verified,
                       struct error *error);

#endif
