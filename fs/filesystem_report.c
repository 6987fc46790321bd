#include "filesystem_parts.h"
#include "log.h"

#include <string.h>

enum {
    /* Problems that are logged once each; a source with more has been reported well enough … */
    REPORT_LIMIT = 1000,
    /* … for so many seconds: then what is still wrong, or is so again, is told again. */
    REPORT_PERIOD = 3600,
};

/* Is it news? */
static bool remember(struct filesystem *filesystem, const char *path, const char *reason,
                     bool warning)
{
    struct timespec now;
    cleanup_lock(&filesystem->lock);

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec - filesystem->reporting_since >= REPORT_PERIOD) {
        problems_clear(&filesystem->reported);
        filesystem->reporting_since = now.tv_sec;
    }
    size_t known = filesystem->reported.count;
    return known < REPORT_LIMIT &&
           problems_add(&filesystem->reported, path, reason, warning, NULL) == 0 &&
           filesystem->reported.count > known;
}

void filesystem_report(struct filesystem *filesystem, const char *path, const char *reason,
                       bool warning)
{
    if (!remember(filesystem, path, reason, warning))
        return;
    /* Without the lock: it may have to wait for whoever takes the log. */
    bool named = error_names(reason, path);
    log_line(warning ? LOG_WARNING : LOG_ERR, "%s%s%s", named ? "" : path, named ? "" : ": ",
             reason);
}

void filesystem_report_warnings(struct filesystem *filesystem)
{
    const char *warning;

    for (size_t i = 0; (warning = view_warning(filesystem->view, i)); i++)
        filesystem_report(filesystem, "", warning, true);
}

static void report_all(struct filesystem *filesystem, const struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        filesystem_report(filesystem, problems->items[i].path, problems->items[i].reason,
                          problems->items[i].warning);
}

void filesystem_report_entry(struct filesystem *filesystem, struct entry *entry,
                             const struct body *body)
{
    struct origin as_they_are = {0};
    struct problems problems = {0};

    if (entry->failure)
        filesystem_report(filesystem, entry->path, entry->failure, false);
    else if (entry->kind == ENTRY_ZIP &&
             bundle_problems(entry->bundle, &as_they_are, NULL, &problems) == 0 &&
             problems.count > 0)
        report_all(filesystem, &problems);
    else if (body_failure(body))
        filesystem_report(filesystem, entry->path ? entry->path : entry->name, body_failure(body),
                          false);
    problems_clear(&problems);
}

void filesystem_attributes(const struct filesystem *filesystem, struct stat *status,
                           uint64_t number, mode_t type, const struct source_owner *owner,
                           struct timespec mtime)
{
    const struct options *options = filesystem->options;

    memset(status, 0, sizeof(*status));
    status->st_ino = number;
    status->st_mode = type | (owner->mode & 0555);
    if (options->has_umask)
        status->st_mode &= ~options->umask;
    status->st_uid = options->has_uid ? options->uid : owner->uid;
    status->st_gid = options->has_gid ? options->gid : owner->gid;
    status->st_nlink = 1;
    status->st_blksize = 4096;
    status->st_mtim = status->st_ctim = status->st_atim = mtime;
}

void filesystem_set_size(struct stat *status, uint64_t size)
{
    status->st_size = (off_t)size;
    status->st_blocks = (blkcnt_t)(size / 512 + (size % 512 != 0));
}

void filesystem_folder_attributes(const struct filesystem *filesystem, uint64_t number,
                                  const struct entry *entry, struct stat *ret_status)
{
    filesystem_attributes(filesystem, ret_status, number, S_IFDIR, &entry->owner, entry->mtime);
    ret_status->st_nlink = 2;
    for (size_t i = 0; i < entry->count; i++)
        ret_status->st_nlink += entry->children[i]->kind == ENTRY_FOLDER;
}
