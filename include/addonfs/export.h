/*
 * export: a package written out, without FUSE.
 *
 * The same entries and bytes as a mount shows, into a folder (DEST/<addon>/<version>/…) or, by
 * DEST's name, into an archive (.zip, .tar, .tar.gz, .tar.xz, .tar.zst) with the same paths. All or
 * nothing: it is written under a temporary name beside its place and renamed when it is whole. What
 * cannot be read fails the export; what changes while it is written starts it again.
 */
#ifndef ADDONFS_EXPORT_H
#define ADDONFS_EXPORT_H

#include <addonfs/error.h>
#include <addonfs/view.h>

/*
 * Write what the view shows now to `destination`. A version folder or an archive that is there
 * already is replaced at once. The error starts with the path at fault. Nothing half-made stays on
 * failure, which is -EINTR if `*interrupted` (or NULL) has become true. What is being compressed
 * then only view_stop ends.
 */
int export_write(struct view *view, const char *destination, const _Atomic bool *interrupted,
                 struct error *error);

#endif
