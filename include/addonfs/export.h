/*
 * export: a package written out, without FUSE.
 *
 * The same entries and bytes as a mount shows, into a folder (DEST/<addon>/<version>/…), or into an
 * archive with the same paths. All or nothing: it is written under a temporary name beside its
 * place and renamed when it is whole; what goes into a descriptor is written to an unlinked file
 * before. What cannot be read fails the export; what changes while it is written starts it again.
 */
#ifndef ADDONFS_EXPORT_H
#define ADDONFS_EXPORT_H

#include <addonfs/error.h>
#include <addonfs/view.h>

/* What has been done, for another thread to read at any time. */
struct export_progress {
    _Atomic uint64_t bytes; /* that have been written; 0: zips are still being composed, … */
    _Atomic uint64_t of;    /* … and this is how many there will be, as far as is known */
};

struct export_options {
    const char *destination; /* a path; or what `fd` is called in messages */
    const char *root;        /* "package", "upload" or "client"; NULL: "package" */
    const char *format;      /* one of export_formats; NULL: as the destination is called, … */
    int fd;                  /* … where an archive goes in place of a path; -1: to the path */
    const _Atomic bool *interrupted;  /* or NULL */
    struct export_progress *progress; /* or NULL */
};

/* "folder", "zip", "tar", "tar.gz", "tar.xz" and "tar.zst"; NULL-terminated. */
extern const char *const export_formats[];

/*
 * Can it be asked for at all? -EINVAL: there is no such format, or a folder is to go to `fd`.
 * Nothing is looked at but the options. export_write asks as well.
 */
int export_check(const struct export_options *options, struct error *error);

/*
 * Write what the view shows now. Folders of versions, files of `upload/` and archives that are
 * there already are replaced at once. The error starts with the path at fault. Nothing half-made
 * stays on failure, which is -EINTR if `*interrupted` has become true. What is being compressed
 * then only view_stop ends. -EINVAL: as export_check; -EPIPE: nobody reads it any more (SIGPIPE
 * must be ignored).
 */
int export_write(struct view *view, const struct export_options *options, struct error *error);

#endif
