/*
 * version: a version of its own for every commit.
 *
 * Who caches packages by name and version, and loads each once, never sees what was changed under a
 * version that stayed. So one is derived from the version that the source declares and how far the
 * source has come since:
 *
 *     declared      commits  changed         version
 *     3.15.12       0        -               3.15.12
 *     3.15.12       4        -               3.15.13-dev.4+g546187e
 *     3.15.12       4        d1a2b3c4d…      3.15.13-dev.4+g546187e.d1a2b3c4d
 *     3.18.12-rc.2  4        -               3.18.12-rc.2.dev.4+g546187e
 *
 * It sorts behind the declared version and behind those with fewer commits, and before the next
 * patch release (of a declared pre-release: before its release). Numbers are text, of any length.
 * One that is declared later as the same pre-release with a number more ("rc", "rc.1") sorts before
 * it: "dev" is a word, and words sort behind numbers.
 *
 * Format: Semantic Versioning 2.0.0, 9 to 11.
 */
#ifndef ADDONFS_VERSION_H
#define ADDONFS_VERSION_H

#include <addonfs/error.h>
#include <stdbool.h>
#include <stdint.h>

/* Is it a version as SemVer 2.0.0 has it? Of any length. Thread-safe. */
bool version_is_semver(const char *version);

/*
 * The version of the commit `commit` (its id, at least 7 hexadecimal digits in lower case), which
 * is `commits` commits behind the one that declared `declared`. `content`: the package's content id
 * (at least 8 hexadecimal digits in lower case) if it is not what the commit holds, otherwise NULL.
 * Without commits and without `content` that is `declared`, whatever it looks like. Its build
 * metadata ("+…") is no part of a derived one. The caller frees `*ret_version`, which
 * path_version_ok allows if it was derived. Thread-safe.
 *
 * -EINVAL: one would have to be derived, and `declared` is not SemVer 2.0.0, or the derived one is
 * longer than 128 bytes; or an id is not as above. -ENOMEM. The error speaks of the version, not of
 * the file that it stands in.
 */
int version_derive(const char *declared, uint64_t commits, const char *commit, const char *content,
                   char **ret_version, struct error *error);

#endif
