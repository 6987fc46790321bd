/* An archive, member by member; zips in it by way of an unlinked file, for a zip is read from its
 * end. */
#include "inventory_parts.h"

#include <addonfs/spool.h>
#include <errno.h>
#include <string.h>

enum { PIECE = 1 << 16 };

struct unpacking {
    struct archive_reader *reader;
    struct inventory_item *root;
    const char *path; /* of the archive, for messages */
    int zips;
    struct inventory_reading *reading;
    char *piece;
};

static int write_all(int fd, const char *bytes, size_t size, struct error *error)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(error, -errno, "%s", spool_default_folder());
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static int fault_member(const struct unpacking *unpacking, struct inventory_item *item,
                        const struct error *why, struct error *error)
{
    return inventory_fault(item, "%s", error_reason(why->text, unpacking->path)) < 0
               ? error_errno(error, -ENOMEM, "%s", unpacking->path)
               : 0;
}

/* Take a member's bytes; those of a zip go to `fd` as well, if that is not -1. */
static int read_member(struct unpacking *unpacking, struct inventory_item *item, const char *name,
                       int fd, struct error *error)
{
    struct inventory_taking taking;
    struct error why = {0};
    ssize_t n = 0;

    int r = inventory_begin(&taking, item, name, unpacking->reading);
    if (r < 0)
        return error_errno(error, r, "%s", unpacking->path);
    while (r == 0 &&
           (n = archive_reader_read(unpacking->reader, unpacking->piece, PIECE, &why)) > 0) {
        r = inventory_bytes(&taking, unpacking->piece, (size_t)n);
        if (r < 0)
            (void)error_errno(error, r, "%s", unpacking->path);
        else if (r == 0 && fd >= 0)
            r = write_all(fd, unpacking->piece, (size_t)n, error);
    }
    inventory_end(&taking);
    if (n == -EINVAL)
        return fault_member(unpacking, item, &why, error);
    if (n < 0)
        return error_set(error, (int)n, "%s", why.text);
    return r < 0 ? r : 0;
}

/* A zip in the archive. */
static int read_zip(struct unpacking *unpacking, struct inventory_item *item, const char *name,
                    struct error *error)
{
    cleanup_fd int fd = spool_nameless_file(spool_default_folder(), error);

    if (fd < 0)
        return fd;
    int r = read_member(unpacking, item, name, fd, error);
    if (r < 0 || item->fault)
        return r;
    const struct archive_input input = {inventory_pread, &fd, item->size};
    return inventory_look_into(item, unpacking->path, &input, unpacking->zips - 1,
                               unpacking->reading, error);
}

static int depth_of(const char *name)
{
    int depth = 1;

    for (; *name; name++)
        depth += *name == '/';
    return depth;
}

static int fill(struct unpacking *unpacking, const struct archive_member *member,
                struct inventory_item *item, struct error *error)
{
    const char *slash = strrchr(member->name, '/');
    const char *base = slash ? slash + 1 : member->name;
    int r = 0;

    if (member->fault)
        r = inventory_fault(item, "%s", member->fault);
    else if (member->size != UINT64_MAX && member->size > INVENTORY_BYTES_LIMIT)
        r = inventory_fault(item, "claims to have %llu bytes: not read",
                            (unsigned long long)member->size);
    else if (depth_of(member->name) > INVENTORY_DEPTH_LIMIT)
        r = inventory_fault(item, "in too many folders");
    if (r < 0)
        return error_errno(error, r, "%s", unpacking->path);
    if (item->fault || member->is_folder)
        return 0;
    item->executable = member->executable;
    return inventory_is_zip_name(base) && unpacking->zips > 1
               ? read_zip(unpacking, item, base, error)
               : read_member(unpacking, item, base, -1, error);
}

/* Under its name; what has none that is a place, in the root as it is called. */
static int put(const struct unpacking *unpacking, const struct archive_member *member,
               struct inventory_item *item)
{
    cleanup_inventory struct inventory_item *taken = item;

    if (!member->misplaced && depth_of(member->name) <= INVENTORY_DEPTH_LIMIT)
        return inventory_put(unpacking->root, member->name, steal_pointer(&taken));
    item->kind = INVENTORY_OTHER;
    if (map_find(&unpacking->root->children, member->name))
        return 0;
    int r = map_put(&unpacking->root->children, member->name, item);
    if (r == 0)
        taken = NULL;
    return r;
}

static int take_member(struct unpacking *unpacking, const struct archive_member *member,
                       struct error *error)
{
    cleanup_inventory struct inventory_item *item =
        inventory_new(member->is_folder ? INVENTORY_FOLDER : INVENTORY_FILE);

    int r = item ? 0 : error_errno(error, -ENOMEM, "%s", unpacking->path);
    if (r == 0)
        r = fill(unpacking, member, item, error);
    if (r == 0 && put(unpacking, member, steal_pointer(&item)) < 0)
        r = error_errno(error, -ENOMEM, "%s", unpacking->path);
    return r;
}

static int be_broken(const struct unpacking *unpacking, const char *reason, struct error *error)
{
    struct inventory_item *root = unpacking->root;

    root->broken = root->broken ? root->broken : strdup(reason);
    return root->broken ? 0 : error_errno(error, -ENOMEM, "%s", unpacking->path);
}

static int take_members(struct unpacking *unpacking, struct error *error)
{
    struct archive_member member;
    struct error why = {0};
    size_t count = 0;
    int r;

    while ((r = archive_reader_next(unpacking->reader, &member, &why)) > 0) {
        count++;
        r = inventory_count(unpacking->reading);
        if (r > 0)
            return be_broken(unpacking, "holds too many files: not read further", error);
        if (r < 0)
            return error_errno(error, r, "%s", unpacking->path);
        r = take_member(unpacking, &member, error);
        if (r < 0)
            return r;
        /* To skip what is compressed is to read it. */
        if (unpacking->reading->bytes > INVENTORY_BYTES_LIMIT)
            return be_broken(unpacking, "too large: not read further", error);
    }
    if (r == -EINVAL && count > 0)
        return be_broken(unpacking, error_reason(why.text, unpacking->path), error);
    return r < 0 ? error_set(error, r, "%s", why.text) : 0;
}

int inventory_unpack(struct inventory_item *root, const char *path,
                     const struct archive_input *input, bool zip_only, int zips,
                     struct inventory_reading *reading, struct error *error)
{
    cleanup_archive_reader struct archive_reader *reader = NULL;
    cleanup_free char *piece = malloc(PIECE);

    if (!piece)
        return error_errno(error, -ENOMEM, "%s", path);
    int r = zip_only ? archive_reader_open_zip(input, path, &reader, error)
                     : archive_reader_open(input, path, &reader, error);
    if (r < 0)
        return r;
    struct unpacking unpacking = {
        .reader = reader,
        .root = root,
        .path = path,
        .zips = zips,
        .reading = reading,
        .piece = piece,
    };
    r = take_members(&unpacking, error);
    root->is_archive = r == 0;
    return r;
}

int inventory_look_into(struct inventory_item *item, const char *path,
                        const struct archive_input *input, int zips,
                        struct inventory_reading *reading, struct error *error)
{
    struct error why = {0};
    int r = inventory_unpack(item, path, input, true, zips, reading, &why);

    if (r == -EINVAL) {
        item->broken = strdup(error_reason(why.text, path));
        r = item->broken ? 0 : -ENOMEM;
    }
    return r < 0 ? error_set(error, r, "%s", why.text) : 0;
}
