#include "source_objects.h"

#include <addonfs/cleanup.h>
#include <addonfs/map.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/*
 * Faults
 *
 * What is missing or damaged for certain is kept in a table of all readers, with a stamp of the
 * stores where it may lie, taken before it was looked for. As long as the stamp is the same, the
 * answer is too, for the price of a few stats. When one stamp is not, all are forgotten: what hangs
 * on them has only the one number to compare.
 *
 * The lock is never held over a stat: a network disk that hangs would hang every reader at once.
 */

/* Of faults: beyond, none is kept by itself, but a look at all folders of loose objects. */
enum { FAULT_LIMIT = 8192 };

/* Files of packs that are open: half of the 1024 that a process may have where nobody says more. */
enum { OPEN_LIMIT = 512 };

struct objects {
    char *folder;
    pthread_mutex_t lock;          /* guards the rest; held for moments only */
    struct bases *bases;           /* of all packs; this and … */
    struct pack_files *files;      /* … this are set once */
    struct stores *stores;         /* as they were when it healed last */
    struct map faults;             /* of struct known_fault, by id */
    bool overflowed;               /* there are more, and … */
    struct stores_stamp all_loose; /* … this is where they may come */
    struct map packs;              /* of struct known_pack, by name */
    uint64_t healing;
};

struct known_fault {
    git_oid object;
    struct stores_stamp stamp;
    int code;
    char text[];
};

int objects_open_within(struct objects *around, const char *common_dir,
                        struct objects **ret_objects, struct error *error)
{
    struct objects *objects = calloc(1, sizeof(*objects));

    if (!objects)
        return error_errno(error, -ENOMEM, "%s", common_dir);
    pthread_mutex_init(&objects->lock, NULL);
    if (asprintf(&objects->folder, "%s/objects", common_dir) < 0)
        objects->folder = NULL;
    objects->bases = around ? bases_ref(around->bases) : bases_new();
    objects->files = around ? pack_files_ref(around->files) : pack_files_new(OPEN_LIMIT);
    int r = objects->folder && objects->bases && objects->files
                ? stores_open(objects->folder, &objects->stores, error)
                : error_errno(error, -ENOMEM, "%s", common_dir);
    if (r < 0)
        objects_free(objects);
    else
        *ret_objects = objects;
    return r;
}

int objects_open(const char *common_dir, struct objects **ret_objects, struct error *error)
{
    return objects_open_within(NULL, common_dir, ret_objects, error);
}

void objects_free(struct objects *objects)
{
    if (!objects)
        return;
    map_clear(&objects->faults, free);
    map_clear(&objects->packs, NULL);
    bases_unref(objects->bases);
    pack_files_unref(objects->files);
    stores_unref(objects->stores);
    pthread_mutex_destroy(&objects->lock);
    free(objects->folder);
    free(objects);
}

const char *objects_folder(const struct objects *objects)
{
    return objects->folder;
}

/* --- Faults -------------------------------------------------------------------------------------
 */

void fault_set(struct fault *fault, int code, const char *text)
{
    size_t length = strlen(text);
    bool fits = length < sizeof(fault->text);

    fault->code = code;
    /* The reason is at the end; the path before it may be of any length. */
    snprintf(fault->text, sizeof(fault->text), "%s%s", fits ? "" : "...",
             fits ? text : text + length - (sizeof(fault->text) - sizeof("...")));
}

static void id_of(const git_oid *object, char text[static GIT_OID_HEXSZ + 1])
{
    git_oid_tostr(text, GIT_OID_HEXSZ + 1, object);
}

struct stores_stamp objects_stamp(const struct stores *stores, const git_oid *object, int code)
{
    struct stores_stamp stamp = stores_stamp(stores);

    if (code == -EIO)
        stamp = stores_stamp_packs(stores, stamp);
    return stores_stamp_object(stores, stamp, object);
}

/* Anything may be readable now. */
static void heal(struct objects *objects)
{
    cleanup_stores struct stores *stores = NULL;

    (void)stores_open(objects->folder, &stores, NULL);
    cleanup_lock(&objects->lock);
    map_clear(&objects->faults, free);
    objects->overflowed = false;
    objects->healing++;
    if (stores) {
        struct stores *before = objects->stores;
        objects->stores = steal_pointer(&stores);
        stores = before;
    }
}

uint64_t objects_healed(struct objects *objects)
{
    cleanup_lock(&objects->lock);

    return objects->healing;
}

struct seen {
    git_oid object;
    struct stores_stamp stamp;
    int code;
};

/* What is known at one moment. */
struct copy {
    struct stores *stores;
    struct seen *faults;
    size_t count;
    bool overflowed;
    struct stores_stamp all_loose;
};

static int copy_fault(void *context, const char *id, void *value)
{
    struct copy *copy = context;
    const struct known_fault *known = value;

    (void)id;
    copy->faults[copy->count++] = (struct seen){known->object, known->stamp, known->code};
    return 0;
}

/* False: there is nothing, or no memory. */
static bool copy_faults(struct objects *objects, struct copy *ret_copy)
{
    cleanup_lock(&objects->lock);
    struct copy copy = {.overflowed = objects->overflowed, .all_loose = objects->all_loose};

    if (objects->faults.count == 0)
        return false;
    copy.faults = calloc(objects->faults.count, sizeof(*copy.faults));
    if (!copy.faults)
        return false;
    copy.stores = stores_ref(objects->stores);
    (void)map_each(&objects->faults, copy_fault, &copy);
    *ret_copy = copy;
    return true;
}

/* Has anything changed where one of these may lie? */
static bool has_changed(const struct copy *copy)
{
    struct stores_stamp common = stores_stamp(copy->stores);
    struct stores_stamp packs = common;
    bool has_packs = false;

    for (size_t i = 0; i < copy->count; i++) {
        const struct seen *seen = &copy->faults[i];
        if (seen->code == -EIO && !has_packs) {
            packs = stores_stamp_packs(copy->stores, common);
            has_packs = true;
        }
        struct stores_stamp now =
            stores_stamp_object(copy->stores, seen->code == -EIO ? packs : common, &seen->object);
        if (!stores_unchanged_since(seen->stamp, now))
            return true;
    }
    return copy->overflowed &&
           !stores_unchanged_since(copy->all_loose, stores_stamp_loose(copy->stores, common));
}

uint64_t objects_healing(struct objects *objects)
{
    struct copy copy;

    if (copy_faults(objects, &copy)) {
        if (has_changed(&copy))
            heal(objects);
        stores_unref(copy.stores);
        free(copy.faults);
    }
    return objects_healed(objects);
}

/* What is in the table of the object; the stores are the caller's to give back. */
static struct stores *find_fault(struct objects *objects, const git_oid *object,
                                 struct fault *ret_fault, struct stores_stamp *ret_stamp)
{
    char id[GIT_OID_HEXSZ + 1];
    cleanup_lock(&objects->lock);

    if (objects->faults.count == 0)
        return NULL;
    id_of(object, id);
    const struct known_fault *known = map_find(&objects->faults, id);
    if (!known)
        return NULL;
    *ret_fault = (struct fault){.object = *object, .length = GIT_OID_HEXSZ};
    fault_set(ret_fault, known->code, known->text);
    *ret_stamp = known->stamp;
    return stores_ref(objects->stores);
}

bool objects_recall(struct objects *objects, const git_oid *object, struct fault *ret_fault)
{
    struct stores_stamp stamp;
    struct fault fault;
    cleanup_stores struct stores *stores = find_fault(objects, object, &fault, &stamp);

    if (!stores)
        return false;
    if (!stores_unchanged_since(stamp, objects_stamp(stores, object, fault.code))) {
        heal(objects);
        return false;
    }
    *ret_fault = fault;
    return true;
}

static bool put_fault(struct objects *objects, const struct fault *fault, struct stores_stamp stamp)
{
    char id[GIT_OID_HEXSZ + 1];
    size_t size = strlen(fault->text) + 1;
    struct known_fault *known = malloc(sizeof(*known) + size);
    cleanup_lock(&objects->lock);

    id_of(&fault->object, id);
    free(map_remove(&objects->faults, id));
    /* Without memory it is looked for again, no more. */
    if (!known || objects->faults.count >= FAULT_LIMIT) {
        free(known);
        return known == NULL;
    }
    known->object = fault->object;
    known->stamp = stamp;
    known->code = fault->code;
    memcpy(known->text, fault->text, size);
    if (map_put(&objects->faults, id, known) < 0)
        free(known);
    return true;
}

void objects_remember(struct objects *objects, const struct stores *stores,
                      const struct fault *fault, struct stores_stamp stamp)
{
    if (put_fault(objects, fault, stamp))
        return;
    struct stores_stamp all = stores_stamp_loose(stores, stores_stamp(stores));
    bool same = stamp.value == objects_stamp(stores, &fault->object, fault->code).value;
    if (!same) {
        heal(objects);
        return;
    }
    cleanup_lock(&objects->lock);
    if (!objects->overflowed)
        objects->all_loose = all;
    objects->overflowed = true;
}

/* --- Packs --------------------------------------------------------------------------------------
 */

static void pack_free(struct known_pack *pack)
{
    if (!pack)
        return;
    packed_end(&pack->objects);
    pack_file_remove(&pack->pack_file);
    pack_file_remove(&pack->index_file);
    pack_index_close(&pack->index);
    free(pack->name);
    free(pack);
}

CLEANUP(known_pack, struct known_pack *, pack_free)

/* The one that is known under this name, if it is still that one. */
static struct known_pack *find_pack(struct objects *objects, const struct known_pack *wanted)
{
    cleanup_lock(&objects->lock);
    struct known_pack *known = map_find(&objects->packs, wanted->name);

    if (!known || !stamp_is_same(&known->index_stamp, &wanted->index_stamp) ||
        !stamp_is_same(&known->pack_stamp, &wanted->pack_stamp))
        return NULL;
    known->references++;
    return known;
}

/* Let others find it. */
static void list_pack(struct objects *objects, struct known_pack *pack)
{
    cleanup_lock(&objects->lock);
    struct known_pack *before = map_remove(&objects->packs, pack->name);

    if (before)
        before->listed = false;
    pack->listed = map_put(&objects->packs, pack->name, pack) == 0;
}

/* Open the index and stat the pack. */
static int look_at_pack(struct known_pack *pack, struct error *why)
{
    struct stat status;
    int r = pack_index_open(pack->name, &pack->index, why);

    if (r != 0)
        return r;
    if (stat(pack->index.pack, &status) < 0)
        return errno == ENOENT ? -ENOENT : error_of_the_moment(why, -errno, "%s", pack->index.pack);
    pack->index_stamp = stamp_of(&pack->index.status);
    pack->pack_stamp = stamp_of(&status);
    return 0;
}

int objects_pack(struct objects *objects, const char *path, struct known_pack **ret_pack,
                 struct error *why)
{
    __attribute__((cleanup(cleanup_known_pack_scope))) struct known_pack *pack =
        calloc(1, sizeof(*pack));

    if (!pack)
        return error_errno(why, -ENOMEM, "%s", path);
    pack->index.fd = -1;
    pack->references = 1;
    pack->name = strdup(path);
    int r = pack->name ? look_at_pack(pack, why) : error_errno(why, -ENOMEM, "%s", path);
    if (r != 0)
        return r;
    struct known_pack *known = find_pack(objects, pack);
    if (known) {
        *ret_pack = known;
        return 0;
    }
    bool old = stamp_is_old(pack->index_stamp.change) && stamp_is_old(pack->pack_stamp.change);
    r = pack_holds_offsets(&pack->index, why);
    if (r != 0)
        return r;
    packed_begin(&pack->index, (uint64_t)pack->pack_stamp.size, objects->bases, &pack->objects);
    pack_file_add(objects->files, &pack->index_file, pack->name, pack->index_stamp,
                  &pack->index.fd);
    pack_file_add(objects->files, &pack->pack_file, pack->index.pack, pack->pack_stamp,
                  &pack->objects.fd);
    if (old)
        list_pack(objects, pack);
    *ret_pack = steal_pointer(&pack);
    return 0;
}

/* Where it lies; then both files are open until they are given back. */
static int find_packed(struct known_pack *pack, const git_oid *object, uint64_t *ret_offset,
                       struct error *why)
{
    if (!pack_index_has(&pack->index, object->id[0]))
        return -ENOENT;
    int r = pack_file_take(&pack->index_file, why);
    if (r != 0)
        return r;
    r = packed_find(&pack->objects, object, ret_offset, why);
    if (r == 0)
        r = pack_file_take(&pack->pack_file, why);
    if (r != 0)
        pack_file_give(&pack->index_file);
    return r;
}

static void give_files(struct known_pack *pack)
{
    pack_file_give(&pack->pack_file);
    pack_file_give(&pack->index_file);
}

int objects_read_packed(struct known_pack *pack, const git_oid *object, git_odb_backend *backend,
                        struct raw_object *ret_raw, struct error *why)
{
    uint64_t offset;

    int r = find_packed(pack, object, &offset, why);
    if (r != 0)
        return r;
    r = packed_read(&pack->objects, offset, backend, ret_raw, why);
    give_files(pack);
    return r;
}

int objects_packed_size(struct known_pack *pack, const git_oid *object, uint64_t *ret_size,
                        struct error *why)
{
    uint64_t offset;

    int r = find_packed(pack, object, &offset, why);
    if (r != 0)
        return r;
    r = packed_size(&pack->objects, offset, ret_size, why);
    give_files(pack);
    return r;
}

bool objects_pack_is_same(const struct known_pack *pack)
{
    struct stat status;

    if (stat(pack->name, &status) < 0)
        return false;
    struct stamp stamp = stamp_of(&status);
    return stamp_is_same(&stamp, &pack->index_stamp);
}

int objects_check_index(struct known_pack *pack, struct error *why)
{
    bool old = stamp_is_old(pack->index_stamp.change);

    if (atomic_load(&pack->whole))
        return 0;
    int r = pack_file_take(&pack->index_file, why);
    if (r != 0)
        return r;
    r = pack_index_is_whole(&pack->index, why);
    pack_file_give(&pack->index_file);
    if (r == 0 && old)
        atomic_store(&pack->whole, true);
    return r;
}

void objects_drop_pack(struct objects *objects, struct known_pack *pack)
{
    {
        cleanup_lock(&objects->lock);
        if (--pack->references > 0)
            return;
        if (pack->listed)
            (void)map_remove(&objects->packs, pack->name);
    }
    pack_free(pack);
}
