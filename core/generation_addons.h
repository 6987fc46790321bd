/*
 * generation_addons: the addons of a source, as a generation shows them.
 */
#ifndef ADDONFS_GENERATION_ADDONS_H
#define ADDONFS_GENERATION_ADDONS_H

#include <addonfs/generation.h>

/* The folders at the top of a generation. */
enum generation_top { TOP_CLIENT, TOP_PACKAGE, TOP_UPLOAD, TOP_COUNT };
extern const char *const generation_top_names[TOP_COUNT];

/*
 * Put what `generation->matches` holds into `tops`, which are new. What cannot be had is in there
 * as failed entries, and a problem of the generation. Errors as generation_build.
 */
int generation_add_addons(const struct generation_maker *maker, const struct generation *last,
                          struct generation *generation, struct entry *tops[TOP_COUNT],
                          struct error *error);

/*
 * The recipe that a source has of its own: `*ret_own` is a reference, or NULL if it has none, and
 * `*ret_file` (or NULL: not asked) the file that says it. `last`: one that was read of `last_file`,
 * and serves again if the file is the same. -EINVAL, -EIO, …: it cannot be had.
 */
int generation_read_own(const struct origin *origin, struct recipe *last, struct file *last_file,
                        struct recipe **ret_own, struct file **ret_file, struct error *error);

/* The client folder that `lazy` stands for. `last`: what was filled there before, or NULL. */
int generation_make_client(const struct generation_maker *maker, struct entry *lazy,
                           struct entry *last, struct entry **ret_folder, struct error *error);

/* Whose the folders are that no folder of the source stands behind. */
struct source_owner generation_owner(void);

/* What a folder was when it could be listed: itself, unless it has failed. NULL gives NULL. */
struct entry *generation_healthy(struct entry *folder);

#endif
