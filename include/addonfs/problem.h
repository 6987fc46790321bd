/*
 * problem: what is wrong with a source, for people to read.
 *
 * A problem has the path at fault, a reason, a severity, and the paths in the mount that it
 * affects. The same fault met twice is one problem that affects two paths.
 */
#ifndef ADDONFS_PROBLEM_H
#define ADDONFS_PROBLEM_H

#include <addonfs/map.h>
#include <stdbool.h>
#include <stddef.h>

struct problem {
    char *path;
    char *reason;
    bool warning; /* else an error: something is unreadable */
    size_t affects_count;
    char **affects;
};

struct problems {
    size_t count;
    struct problem *items;
    struct map index; /* from what tells two problems apart to their place in `items` */
};

/* Add a problem (all strings are copied; `affects` may be NULL). 0 or -ENOMEM. */
int problems_add(struct problems *problems, const char *path, const char *reason, bool warning,
                 const char *affects);

/* Add all of `more`. 0 or -ENOMEM. */
int problems_add_all(struct problems *problems, const struct problems *more);

/* Forget them all. */
void problems_clear(struct problems *problems);
#define cleanup_problems __attribute__((cleanup(problems_clear)))

#endif
