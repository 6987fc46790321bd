/*
 * options: what `-o` takes.
 */
#ifndef ADDONFS_OPTIONS_H
#define ADDONFS_OPTIONS_H

#include <addonfs/error.h>
#include <addonfs/view.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct options {
    struct view_options view; /* what is not below; strings are ours */
    const char *root;         /* of view=: "package", …; or NULL */
    bool allow_other;
    bool noexec; /* nothing in the mount may be executed */
    bool has_uid;
    bool has_gid;
    bool has_umask;
    uid_t uid;
    gid_t gid;
    mode_t umask;
};

/*
 * Take the options of one `-o` argument, a comma-separated list (a backslash before a comma keeps
 * it). -EINVAL: an option or a value that there is not; the error says which there are. -ENOMEM.
 */
int options_parse(struct options *options, const char *list, struct error *error);

/* What `view=` does: "package", "upload" or "client". -EINVAL. */
int options_set_view(struct options *options, const char *value, struct error *error);

void options_clear(struct options *options);

/* A line for each option, as --help prints them. */
extern const char options_help[];

#endif
