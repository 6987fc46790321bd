/*
 * source_watch: which folders of a worktree have changed, as inotify(7) tells.
 *
 * The kernel queues an event before the system call that caused it returns, so whoever drains the
 * queue and then answers has seen all that had been done before. A folder is watched before it is
 * listed; so nothing falls between. Events only say where to look: what is there is found out by
 * comparing, as without a watch.
 *
 * A mount or unmount inside the tree makes everything be compared once: mount points are not
 * entered.
 *
 * Not seen: what other hosts do on file systems that are not of this host alone, where there is no
 * watch to begin with; and what is behind a link, for which a folder's links are compared at every
 * look.
 *
 * All functions belong to the thread that looks.
 */
#ifndef ADDONFS_SOURCE_WATCH_H
#define ADDONFS_SOURCE_WATCH_H

#include <addonfs/map.h>
#include <addonfs/source.h>

struct watch;

/* What it means that there is no watch, after the reason. */
#define WATCH_COMPARES ": changes are looked for by comparing all files at every look"

/*
 * A watch for the tree whose root `fd` is, at `path` (without links). NULL: what is changed there
 * cannot be watched, and `*ret_warning` (a constant) says why.
 */
struct watch *watch_new(int fd, const char *path, const char **ret_warning);
void watch_free(struct watch *watch);

/*
 * Watch the folder, which `fd` is, from now on; whatever it was before is watched no more. Negative
 * errno: it cannot be (too many watches, say).
 */
int watch_add(struct watch *watch, struct source_folder *folder, int fd);
void watch_remove(struct watch *watch, struct source_folder *folder);

/*
 * A descriptor that is readable (poll(2)) while there is something to drain, and another one (or
 * -1) that has to live as long. The caller closes both.
 */
int watch_descriptor(const struct watch *watch, int *ret_mounts);

/*
 * What has happened. The paths are collected, so that a thousand removed folders cost one walk over
 * the records and not a thousand.
 */
struct watch_report {
    uint64_t look; /* given: the look that reads it */
    bool any;      /* some folder has become dirty */
    bool all;      /* events were lost: every folder may have changed */
    /* Folders that were moved or replaced, by path and by path without links: all at or below them
     * may have changed. The values mean nothing. */
    struct map moved;
};

/*
 * Read what has happened, and set `dirty` in the folders concerned, and `written` in the entries
 * that a writer had open and has closed: stores through mmap(2) may have left no stamp. (If events
 * were lost, so is that: to read every file again then would cost too much.) What read(2) failed
 * with; the report counts even then. The caller clears `moved`.
 */
int watch_drain(struct watch *watch, struct watch_report *report);

#endif
