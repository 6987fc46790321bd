/*
 * source_folder: the records that a source keeps of folders and of the names in them.
 *
 * A record holds what was known when it was last compared. A backend brings it up to date; what is
 * still the same is carried over, files above all, so that the same pointer means the same file.
 */
#ifndef ADDONFS_SOURCE_FOLDER_H
#define ADDONFS_SOURCE_FOLDER_H

#include <addonfs/source.h>

/* Where a folder is. All borrowed. */
struct folder_place {
    const char *path; /* as it was asked for, from the root */
    const char *real; /* the same without links */
    const char *link; /* the last link on the way, or NULL */
};

/* A record of the folder there, of which nothing is known yet. NULL without memory. */
struct source_folder *folder_new(const struct folder_place *place);
void folder_free(void *pointer); /* for tdestroy(3), too */

/* By path, for tsearch(3). */
int folder_compare(const void *a, const void *b);

bool folder_is_at(const struct source_folder *folder, const struct folder_place *place);

/* The folder is there now: nothing that was known of it counts any more. 0 or -ENOMEM. */
int folder_move(struct source *source, struct source_folder *folder,
                const struct folder_place *place, struct error *error);

/* Give the folder its owner. Returns true if it is another. */
bool folder_own(struct source *source, struct source_folder *folder, struct source_owner owner);

/* The folder cannot be listed: remember why. Returns true if that is news. */
bool folder_fail(struct source_folder *folder, int code, const struct error *why);

/*
 * Give `folder` the `count` names of `entries` (which it takes over, and sorts), carrying over what
 * was known of names whose type and object are the same. Returns true if any name or type differs.
 */
bool folder_rename(struct source_folder *folder, struct source_entry *entries, size_t count);

/* The entry of that name, or NULL. */
struct source_entry *folder_entry(const struct source_folder *folder, const char *name);

void source_entries_free(struct source_entry *entries, size_t count);

/* Make the entry unseen again. */
void source_entry_forget(struct source_entry *entry);

/* The entry can be neither read nor entered. 0 or -ENOMEM. */
int source_entry_reject(struct source_entry *entry, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
