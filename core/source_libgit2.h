/*
 * source_libgit2: what of libgit2 lies elsewhere in one version than in another.
 *
 * Debian 12 has 1.5, Debian 13 has 1.9.
 */
#ifndef ADDONFS_SOURCE_LIBGIT2_H
#define ADDONFS_SOURCE_LIBGIT2_H

#include <git2.h>

/* 1.8: git_error_clear and git_error_set_str. */
#if __has_include(<git2/sys/errors.h>)
#include <git2/sys/errors.h>
#endif

#endif
