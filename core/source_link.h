/*
 * source_link: where the links of a worktree lead, each followed once a look.
 *
 * Links to folders that hold links make many paths of one link. What it leads to is the same for
 * all of them, and is looked for at every look; so it is remembered until the next one begins.
 */
#ifndef ADDONFS_SOURCE_LINK_H
#define ADDONFS_SOURCE_LINK_H

#include "source_resolve.h"

#include <addonfs/error.h>
#include <addonfs/map.h>

struct link {
    int code; /* 0, or why it leads nowhere */
    char *real;
    struct stat status;
    const char *reason; /* in words, or NULL */
};

/*
 * Follow the link `folder`/`name` as resolve_link does. `links` (empty at first) remembers it, and
 * owns `*ret_link`. -ENOMEM, -EMFILE, …: not now.
 */
int link_follow(struct map *links, const struct resolve_root *root, const char *folder,
                const char *name, const struct link **ret_link, struct error *error);

/* Forget where links lead: another look begins. */
void link_forget_all(struct map *links);

#endif
