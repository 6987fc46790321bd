/*
 * source_libgit2: what of libgit2 lies elsewhere in one version than in another.
 *
 * Debian 12 has 1.5, Debian 13 has 1.9.
 */
#ifndef ADDONFS_SOURCE_LIBGIT2_H
#define ADDONFS_SOURCE_LIBGIT2_H

#include <git2.h>
#include <git2/sys/config.h>

/* 1.8: git_error_clear and git_error_set_str. */
#if __has_include(<git2/sys/errors.h>)
#include <git2/sys/errors.h>
#endif

/*
 * 1.9: what a configuration's backend answers is an entry and how it is freed, which before was a
 * part of the entry.
 */
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 9
typedef git_config_backend_entry source_config_answer;

static inline git_config_entry *source_config_entry(source_config_answer *answer)
{
    return &answer->entry;
}
#else
typedef git_config_entry source_config_answer;

static inline git_config_entry *source_config_entry(source_config_answer *answer)
{
    return answer;
}
#endif

#endif
