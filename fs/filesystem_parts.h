/*
 * filesystem_parts: what the files that make the file system have in common.
 */
#ifndef ADDONFS_FILESYSTEM_PARTS_H
#define ADDONFS_FILESYSTEM_PARTS_H

#include "filesystem.h"

/* Log a problem, once. `path` may be "". */
void filesystem_report(struct filesystem *filesystem, const char *path, const char *reason,
                       bool warning);

/* Log what is wrong with an entry whose body cannot be read, each problem once. */
void filesystem_report_entry(struct filesystem *filesystem, struct entry *entry,
                             const struct body *body);

/* Log what the view has to say, which may come at any time. */
void filesystem_report_warnings(struct filesystem *filesystem);

/* Attributes of one kind (S_IFREG, …), as the mount's options have them. */
void filesystem_attributes(const struct filesystem *filesystem, struct stat *status,
                           uint64_t number, mode_t type, const struct source_owner *owner,
                           struct timespec mtime);

/* Those of a folder. */
void filesystem_folder_attributes(const struct filesystem *filesystem, uint64_t number,
                                  const struct entry *entry, struct stat *ret_status);

void filesystem_set_size(struct stat *status, uint64_t size);

#endif
