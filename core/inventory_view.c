/* What a view shows, as an inventory: the bytes that a mount would serve. */
#include "inventory_parts.h"

#include <addonfs/path.h>
#include <errno.h>
#include <sys/stat.h>

struct taking {
    struct view *view;
    struct generation *generation;
    struct inventory_reading *reading;
};

static ssize_t read_body(void *context, uint64_t offset, void *bytes, size_t size)
{
    return body_read(context, offset, bytes, size);
}

static int take_body(const struct taking *taking, struct entry *entry, const char *path,
                     struct inventory_item *item, struct error *error)
{
    cleanup_body struct body *body = NULL;

    int r = view_body(taking->view, entry, taking->reading->interrupted, &body, error);
    if (r == 0)
        r = view_open_body(taking->view, body, taking->reading->interrupted, error);
    if (r < 0)
        return r;
    const struct archive_input input = {read_body, body, body_size(body)};
    item->executable = entry->owner.mode & S_IXUSR;
    r = inventory_take(item, entry->name, path, &input, INVENTORY_ZIPS_LIMIT, taking->reading,
                       error);
    body_close(body);
    return r;
}

static int take_entry(const struct taking *taking, struct entry *entry, const char *path,
                      struct inventory_item *item, struct error *error);

static int take_children(const struct taking *taking, const struct entry *folder, const char *path,
                         struct inventory_item *item, struct error *error)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < folder->count; i++) {
        struct entry *entry = folder->children[i];
        cleanup_free char *below = path_join(path, entry->name);
        cleanup_inventory struct inventory_item *child =
            inventory_new(entry->kind == ENTRY_FOLDER ? INVENTORY_FOLDER : INVENTORY_FILE);
        if (!below || !child || map_put(&item->children, entry->name, child) < 0)
            return error_errno(error, -ENOMEM, "%s", path);
        r = take_entry(taking, entry, below, steal_pointer(&child), error);
    }
    return r;
}

static int take_entry(const struct taking *taking, struct entry *entry, const char *path,
                      struct inventory_item *item, struct error *error)
{
    struct entry *found = entry;
    int r = 0;

    if (entry->failure)
        return error_set(error, -EIO, "%s: %s", entry->path ? entry->path : path,
                         error_reason(entry->failure, entry->path ? entry->path : path));
    if (entry->kind != ENTRY_FOLDER)
        return take_body(taking, entry, path, item, error);
    if (entry->lazy)
        r = view_find_entry(taking->view, taking->generation, path, taking->reading->interrupted,
                            &found, error);
    return r < 0 ? r : take_children(taking, found, path, item, error);
}

int inventory_of_view(struct view *view, struct generation *generation, const char *path,
                      struct inventory_reading *reading, struct inventory_item **ret_root,
                      struct error *error)
{
    const struct taking taking = {view, generation, reading};
    struct entry *entry = NULL;

    int r = view_find_entry(view, generation, path, reading->interrupted, &entry, error);
    if (r == -ENOENT || r == -ENOTDIR || r == -EIO)
        return error_errno(error, r, "%s", path);
    if (r < 0)
        return r;
    cleanup_inventory struct inventory_item *root =
        inventory_new(entry->kind == ENTRY_FOLDER ? INVENTORY_FOLDER : INVENTORY_FILE);
    r = root ? take_entry(&taking, entry, path, root, error)
             : error_errno(error, -ENOMEM, "%s", path);
    if (r == 0)
        *ret_root = steal_pointer(&root);
    return r;
}
