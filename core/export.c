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
    struct export_target *target;
    const _Atomic bool *interrupted; /* or NULL */
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
    if (r == 0)
        r = view_open_body(export->view, body, export->interrupted, error);
    if (r < 0)
        return r;
    r = write_open_file(export, entry, body, path, error);
    body_close(body);
    return r;
}

static int write_entry(const struct export *export, struct entry *entry, const char *path,
                       struct error *error)
{
    struct export_target *target = export->target;

    if (entry->failure)
        return error_set(error, -EIO, "%s: %s", entry->path, entry->failure);
    if (entry->kind != ENTRY_FOLDER)
        return write_file(export, entry, path, error);
    int r = check(export, error);
    if (r == 0 && *path)
        r = target->folder(target, path, entry, error);
    for (size_t i = 0; r == 0 && i < entry->count; i++) {
        cleanup_free char *below = path_join(path, entry->children[i]->name);
        r = below ? write_entry(export, entry->children[i], below, error)
                  : error_errno(error, -ENOMEM, "%s", path);
    }
    return r;
}

static int attempt(struct view *view, const char *destination, const _Atomic bool *interrupted,
                   struct error *error)
{
    cleanup_generation struct generation *generation = NULL;
    cleanup_target struct export_target *target = NULL;
    struct entry *packages = NULL;

    int r = view_look(view, &generation, error);
    if (r < 0)
        return r;
    r = entry_find(generation->root, "package", &packages);
    if (r < 0)
        return error_errno(error, r, "package");
    r = export_archive_name(destination) ? export_archive_open(destination, &target, error)
                                         : export_folder_open(destination, &target, error);
    if (r < 0)
        return r;
    const struct export export = {view, target, interrupted};
    r = write_entry(&export, packages, "", error);
    if (r == 0)
        r = check(&export, error);
    return r == 0 ? target->commit(target, error) : r;
}

int export_write(struct view *view, const char *destination, const _Atomic bool *interrupted,
                 struct error *error)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++)
        r = attempt(view, destination, interrupted, error);
    return r;
}
