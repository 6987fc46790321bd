#include "export_target.h"

#include <addonfs/export.h>
#include <addonfs/path.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    PIECE = 1 << 18,
    /* A source that never holds still for the time of one export. */
    ATTEMPTS = 10,
};

static void target_close(struct export_target *target)
{
    target->close(target);
}

CLEANUP(target, struct export_target *, target_close)
#define cleanup_target __attribute__((cleanup(cleanup_target_scope)))

mode_t export_mode(const struct entry *entry)
{
    mode_t mode = entry->owner.mode & 0555;

    return entry->kind == ENTRY_FOLDER ? mode | 0700 : mode | 0600;
}

struct export
{
    struct view *view;
    struct generation *generation;
    struct export_target *target;    /* NULL: nothing is written, but bytes are counted */
    const _Atomic bool *interrupted; /* or NULL */
    struct export_progress *progress;
};

static int check(const struct export *export, struct error *error)
{
    return export->interrupted && atomic_load(export->interrupted)
               ? error_set(error, -EINTR, "the export was interrupted")
               : 0;
}

static int copy(const struct export *export, struct body *body, const char *path,
                struct error *error)
{
    cleanup_free char *piece = malloc(PIECE);
    uint64_t offset = 0;

    if (!piece)
        return error_errno(error, -ENOMEM, "%s", path);
    for (;;) {
        int r = check(export, error);
        if (r < 0)
            return r;
        ssize_t n = body_read(body, offset, piece, PIECE);
        if (n < 0)
            return error_errno(error, (int)n, "%s", path);
        if (n == 0)
            return 0;
        r = export->target->bytes(export->target, piece, (size_t)n, error);
        if (r < 0)
            return r;
        atomic_fetch_add(&export->progress->bytes, (uint64_t)n);
        offset += (uint64_t)n;
    }
}

static int write_open_file(const struct export *export, struct entry *entry, struct body *body,
                           const char *path, struct error *error)
{
    struct export_target *target = export->target;
    int r = target->begin(target, path, entry, body_size(body), error);

    if (r == 0)
        r = copy(export, body, path, error);
    return r == 0 ? target->end(target, error) : r;
}

static int write_file(const struct export *export, struct entry *entry, const char *path,
                      struct error *error)
{
    cleanup_body struct body *body = NULL;

    int r = view_body(export->view, entry, export->interrupted, &body, error);
    if (r == 0 && !export->target) {
        atomic_fetch_add(&export->progress->of, body_failure(body) ? 0 : body_size(body));
        return 0;
    }
    if (r == 0)
        r = view_open_body(export->view, body, export->interrupted, error);
    if (r < 0)
        return r;
    r = write_open_file(export, entry, body, path, error);
    body_close(body);
    return r;
}

static int write_entry(const struct export *export, struct entry *entry, const char *root,
                       const char *path, struct error *error);

/* A folder that is filled when somebody looks into it is that, or another one in its place. */
static int fill(const struct export *export, const char *root, const char *path,
                struct entry **entry, struct error *error)
{
    cleanup_free char *whole = path_join(root, path);

    if (!whole)
        return error_errno(error, -ENOMEM, "%s", path);
    return view_find_entry(export->view, export->generation, whole, export->interrupted, entry,
                           error);
}

static int write_children(const struct export *export, const struct entry *folder, const char *root,
                          const char *path, struct error *error)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < folder->count; i++) {
        cleanup_free char *below = path_join(path, folder->children[i]->name);
        r = below ? write_entry(export, folder->children[i], root, below, error)
                  : error_errno(error, -ENOMEM, "%s", path);
    }
    return r;
}

/* What is at `path` below `root`, one of the three folders of a generation. */
static int write_entry(const struct export *export, struct entry *entry, const char *root,
                       const char *path, struct error *error)
{
    struct export_target *target = export->target;

    if (entry->failure)
        return error_set(error, -EIO, "%s: %s", entry->path, entry->failure);
    if (entry->kind != ENTRY_FOLDER)
        return write_file(export, entry, path, error);
    int r = check(export, error);
    if (r == 0 && entry->lazy)
        r = fill(export, root, path, &entry, error);
    if (r == 0 && *path && target)
        r = target->folder(target, path, entry, error);
    return r == 0 ? write_children(export, entry, root, path, error) : r;
}

/* --- What is written, and where to --------------------------------------------------------------
 */

static bool is_format(const char *name)
{
    for (size_t i = 0; export_formats[i]; i++) {
        if (strcmp(name, export_formats[i]) == 0)
            return true;
    }
    return false;
}

/* NULL: a folder. */
static const struct export_format *format_of(const struct export_options *options)
{
    return options->format && strcmp(options->format, "folder") == 0
               ? NULL
               : export_format_find(options->format, options->destination);
}

int export_check(const struct export_options *options, struct error *error)
{
    if (options->format && !is_format(options->format))
        return error_set(error, -EINVAL,
                         "format %s: there are folder, zip, tar, tar.gz, tar.xz and tar.zst",
                         options->format);
    if (options->fd >= 0 && !format_of(options))
        return error_set(error, -EINVAL, "%s: give the format of an archive, such as --format=tar",
                         options->destination);
    return 0;
}

static int open_target(const struct export_options *options, const char *root,
                       struct export_target **ret_target, struct error *error)
{
    const struct export_format *format = format_of(options);

    if (format)
        return export_archive_open(format, options->destination, options->fd, ret_target, error);
    return export_folder_open(options->destination, strcmp(root, "package") == 0 ? 2 : 1,
                              ret_target, error);
}

static int attempt(struct view *view, const struct export_options *options,
                   struct export_progress *progress, struct error *error)
{
    const char *root = options->root ? options->root : "package";
    cleanup_generation struct generation *generation = NULL;
    cleanup_target struct export_target *target = NULL;
    struct entry *shown = NULL;

    int r = view_look(view, &generation, error);
    if (r < 0)
        return r;
    r = entry_find(generation->root, root, &shown);
    if (r < 0)
        return error_errno(error, r, "%s", root);
    r = open_target(options, root, &target, error);
    if (r < 0)
        return r;
    struct export export = {view, generation, NULL, options->interrupted, progress};
    /* Everything is composed before anything is written: then it is known how much it is. */
    atomic_store(&progress->of, 0);
    atomic_store(&progress->bytes, 0);
    r = write_entry(&export, shown, root, "", error);
    export.target = target;
    if (r == 0)
        r = write_entry(&export, shown, root, "", error);
    if (r == 0)
        r = check(&export, error);
    return r == 0 ? target->commit(target, error) : r;
}

int export_write(struct view *view, const struct export_options *options, struct error *error)
{
    struct export_progress own = {.bytes = 0};

    int r = export_check(options, error);
    if (r < 0)
        return r;
    r = -ESTALE;
    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++)
        r = attempt(view, options, options->progress ? options->progress : &own, error);
    return r;
}
