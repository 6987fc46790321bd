#include "source_objects.h"

#include "source_file.h"
#include "source_loose.h"
#include "source_pack.h"
#include "stamp.h"

#include <addonfs/map.h>
#include <dirent.h>
#include <errno.h>
#include <git2/sys/repository.h>
#include <stdio.h>
#include <string.h>

/*
 * Faults
 *
 * What is missing or damaged for certain is kept in a table of all readers, with a stamp of the
 * stores where it may lie, taken before it was looked for. As long as the stamp is the same, the
 * answer is too, for the price of a few stats. When one stamp is not, all are forgotten: what hangs
 * on them has only the one number to compare.
 */

enum {
    ATTEMPTS = 4,         /* to read an object that is there */
    CHECKED_LIMIT = 4096, /* indexes that are known to be good; `git gc` makes others */
};

struct objects {
    char *folder;
    pthread_mutex_t lock; /* guards the rest */
    struct stores stores;
    struct map faults;  /* of struct known_fault, by id */
    struct map checked; /* by an index's path: the struct stat with which it was found good */
    uint64_t healing;
};

struct known_fault {
    struct fault fault;
    struct stores_stamp stamp;
};

static void id_of(const git_oid *object, char text[static GIT_OID_HEXSZ + 1])
{
    git_oid_tostr(text, GIT_OID_HEXSZ + 1, object);
}

int objects_open(const char *common_dir, struct objects **ret_objects)
{
    struct objects *objects = calloc(1, sizeof(*objects));

    if (!objects)
        return -ENOMEM;
    pthread_mutex_init(&objects->lock, NULL);
    if (asprintf(&objects->folder, "%s/objects", common_dir) < 0)
        objects->folder = NULL;
    int r = objects->folder ? stores_open(objects->folder, &objects->stores) : -ENOMEM;
    if (r < 0)
        objects_free(objects);
    else
        *ret_objects = objects;
    return r;
}

void objects_free(struct objects *objects)
{
    if (!objects)
        return;
    map_clear(&objects->faults, free);
    map_clear(&objects->checked, free);
    stores_clear(&objects->stores);
    pthread_mutex_destroy(&objects->lock);
    free(objects->folder);
    free(objects);
}

/* Anything may be readable now. The lock is held. */
static void heal(struct objects *objects)
{
    struct stores stores;

    map_clear(&objects->faults, free);
    objects->healing++;
    if (stores_open(objects->folder, &stores) == 0) {
        stores_clear(&objects->stores);
        objects->stores = stores;
    }
}

struct comparison {
    const struct objects *objects;
    struct stores_stamp common;
};

/* Has something changed where this one may lie? */
static int compare_fault(void *context, const char *id, void *value)
{
    const struct comparison *comparison = context;
    const struct known_fault *known = value;

    (void)id;
    return !stores_stamp_is_same(
        known->stamp,
        stores_stamp_of(&comparison->objects->stores, comparison->common, &known->fault.object));
}

uint64_t objects_healing(struct objects *objects)
{
    cleanup_lock(&objects->lock);

    if (objects->faults.count > 0) {
        struct comparison comparison = {objects, stores_stamp(&objects->stores)};
        if (map_each(&objects->faults, compare_fault, &comparison) != 0)
            heal(objects);
    }
    return objects->healing;
}

/* Is the object known to be at fault, and nothing has changed? */
static bool recall(struct objects *objects, const git_oid *object, struct fault *ret_fault)
{
    char id[GIT_OID_HEXSZ + 1];
    cleanup_lock(&objects->lock);

    if (objects->faults.count == 0)
        return false;
    id_of(object, id);
    const struct known_fault *known = map_find(&objects->faults, id);
    if (!known)
        return false;
    struct comparison comparison = {objects, stores_stamp(&objects->stores)};
    if (compare_fault(&comparison, id, (void *)(uintptr_t)known) != 0) {
        heal(objects);
        return false;
    }
    *ret_fault = known->fault;
    return true;
}

static void remember(struct objects *objects, const struct fault *fault, struct stores_stamp stamp)
{
    char id[GIT_OID_HEXSZ + 1];
    struct known_fault *known = malloc(sizeof(*known));
    cleanup_lock(&objects->lock);

    /* Without memory it is looked for again, no more. */
    if (!known)
        return;
    id_of(&fault->object, id);
    *known = (struct known_fault){*fault, stamp};
    free(map_remove(&objects->faults, id));
    if (map_put(&objects->faults, id, known) < 0)
        free(known);
}

/* --- The backend --------------------------------------------------------------------------------
 */

static void free_packs(git_odb_backend **packs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        packs[i]->free(packs[i]);
    free(packs);
}

/* Is this index, and its pack, as it was when it was found to be good? */
static bool was_checked(struct objects *objects, const char *path, const struct stat *status)
{
    cleanup_lock(&objects->lock);
    const struct stat *known = map_find(&objects->checked, path);

    return known && known->st_dev == status->st_dev && known->st_ino == status->st_ino &&
           known->st_size == status->st_size && known->st_ctim.tv_sec == status->st_ctim.tv_sec &&
           known->st_ctim.tv_nsec == status->st_ctim.tv_nsec;
}

static void set_checked(struct objects *objects, const char *path, const struct stat *status)
{
    struct stat *copy = malloc(sizeof(*copy));
    cleanup_lock(&objects->lock);

    /* Without memory it is checked again, no more. */
    if (!copy)
        return;
    *copy = *status;
    free(map_remove(&objects->checked, path));
    if (objects->checked.count >= CHECKED_LIMIT)
        map_clear(&objects->checked, free);
    if (map_put(&objects->checked, path, copy) < 0)
        free(copy);
}

/* May libgit2 have it? Answers as source_pack.h has it. */
static int check_index(struct objects *objects, const char *path)
{
    cleanup_pack_index struct pack_index index = {.fd = -1};

    int r = pack_index_open(path, &index);
    if (r != 0)
        return r;
    if (was_checked(objects, path, &index.status))
        return pack_check(&index);
    r = pack_check_offsets(&index);
    if (r == 0 && stamp_is_old(index.status.st_ctim))
        set_checked(objects, path, &index.status);
    return r;
}

struct packs {
    git_odb_backend **items;
    size_t count;
    size_t capacity;
};

/* Open the pack whose index is at `path`. One that is damaged or gone is left out. */
static int add_pack(struct objects *objects, struct packs *packs, const char *path)
{
    if (packs->count == packs->capacity) {
        size_t capacity = packs->capacity ? 2 * packs->capacity : 8;
        git_odb_backend **items = reallocarray(packs->items, capacity, sizeof(git_odb_backend *));
        if (!items)
            return -ENOMEM;
        packs->items = items;
        packs->capacity = capacity;
    }
    int r = check_index(objects, path);
    if (r != 0)
        return r == PACK_DAMAGED || r == -ENOENT ? 0 : r;
    git_error_clear();
    r = git_odb_backend_one_pack(&packs->items[packs->count], path);
    if (r == 0)
        packs->count++;
    else if (access(path, F_OK) == 0)
        return source_git_failure(r) == -ENOMEM ? -ENOMEM : -EAGAIN;
    return 0;
}

static int add_packs(struct objects *objects, struct packs *packs, const char *folder)
{
    char path[PATH_MAX];
    int r = 0;

    if (snprintf(path, sizeof(path), "%s/pack", folder) >= (int)sizeof(path))
        return -EAGAIN;
    DIR *stream = opendir(path);
    if (!stream && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    while (stream && r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            break;
        if (pack_is_index(entry->d_name) &&
            snprintf(path, sizeof(path), "%s/pack/%s", folder, entry->d_name) < (int)sizeof(path))
            r = add_pack(objects, packs, path);
    }
    if (r == 0 && errno != 0)
        r = error_is_transient(-errno) ? -errno : -EAGAIN;
    if (stream)
        closedir(stream);
    return r;
}

/* Open what is there now, in place of what was open. */
static int open_packs(struct reader *reader)
{
    struct stores stores = {0};
    struct packs packs = {0};

    int r = stores_open(reader->objects->folder, &stores);
    struct stores_stamp stamp = stores_stamp(&stores);
    for (size_t i = 0; r == 0 && i < stores.count; i++)
        r = add_packs(reader->objects, &packs, stores.folders[i]);
    if (r < 0) {
        free_packs(packs.items, packs.count);
        stores_clear(&stores);
        return r;
    }
    free_packs(reader->packs, reader->pack_count);
    stores_clear(&reader->stores);
    reader->packs = packs.items;
    reader->pack_count = packs.count;
    reader->last_pack = 0;
    reader->stores = stores;
    reader->opened = stamp;
    return 0;
}

static void set_fault(struct fault *fault, int code, const char *text)
{
    fault->code = code;
    snprintf(fault->text, sizeof(fault->text), "%s", text);
}

static int read_loose(struct reader *reader, size_t place, const git_oid *object,
                      struct raw_object *ret_raw, struct fault *fault)
{
    char text[128];
    int r = loose_read(reader->stores.folders[place], object, &reader->backend, ret_raw);

    set_fault(fault, r, r == -EIO ? "it is damaged" : strerror_r(-r, text, sizeof(text)));
    return r;
}

static int read_packed(struct reader *reader, size_t pack, const git_oid *object,
                       struct raw_object *ret_raw, struct fault *fault)
{
    git_odb_backend *backend = reader->packs[pack];

    git_error_clear();
    int r = backend->read(&ret_raw->bytes, &ret_raw->size, &ret_raw->type, backend, object);
    if (r == 0)
        return 0;
    set_fault(fault, r == GIT_ENOTFOUND ? -ENOENT : source_git_failure(r), source_git_message());
    return fault->code;
}

/* Does its id say that it is whole? If not, it is freed. */
static int check_object(struct reader *reader, const git_oid *object, struct raw_object *raw,
                        struct fault *fault)
{
    git_oid id;
    int r = git_odb_hash(&id, raw->bytes, raw->size, raw->type);

    if (r == 0 && git_oid_equal(&id, object))
        return 0;
    if (r == 0)
        set_fault(fault, -EIO, "its content is not what its id says");
    else
        set_fault(fault, source_git_failure(r), source_git_message());
    git_odb_backend_data_free(&reader->backend, raw->bytes);
    return fault->code;
}

/* Which of two reasons not to have an object counts: the less certain one. */
static bool outweighs(int code, int other)
{
    if (other == -ENOENT)
        return code != -ENOENT;
    return other == -EIO && error_is_transient(code);
}

/* Look for the object everywhere. */
static int look_everywhere(struct reader *reader, const git_oid *object, struct raw_object *ret_raw,
                           struct fault *fault)
{
    size_t stores = reader->stores.count;

    set_fault(fault, -ENOENT, "it is not there");
    for (size_t i = 0; i < stores + reader->pack_count; i++) {
        struct raw_object raw = {0};
        struct fault one;
        /* Objects that are read one after the other are mostly in one pack. */
        size_t pack = i < stores ? 0 : (reader->last_pack + i - stores) % reader->pack_count;
        int r = i < stores ? read_loose(reader, i, object, &raw, &one)
                           : read_packed(reader, pack, object, &raw, &one);
        if (r == 0)
            r = check_object(reader, object, &raw, &one);
        if (r == 0) {
            if (i >= stores)
                reader->last_pack = pack;
            *ret_raw = raw;
            return 0;
        }
        if (outweighs(one.code, fault->code))
            set_fault(fault, one.code, one.text);
    }
    return fault->code;
}

/* libgit2 has failed: is it certain? 0: no, the object is there. */
static int examine(const struct reader *reader, struct fault *fault)
{
    git_oid found;

    int r = stores_find(&reader->stores, &fault->object, GIT_OID_HEXSZ, &found);
    switch (r) {
    case 0:
        /* It is there: damaged if libgit2 has seen that, otherwise it came, or was not seen. */
        return fault->code == -EIO ? -EIO : 0;
    case -ENOENT:
        set_fault(fault, -ENOENT, "it is not there");
        return -ENOENT;
    case -EIO:
        if (fault->code != -EIO)
            set_fault(fault, -EIO, "a pack or its index is damaged");
        return -EIO;
    default: {
        char text[128];
        set_fault(fault, r, strerror_r(-r, text, sizeof(text)));
        return r;
    }
    }
}

/* Read an object, or say for certain why not. */
static int read_object(struct reader *reader, const git_oid *object, struct raw_object *ret_raw,
                       struct fault *fault)
{
    fault->object = *object;
    if (recall(reader->objects, object, fault))
        return fault->code;
    if (look_everywhere(reader, object, ret_raw, fault) == 0)
        return 0;
    for (int i = 0; i < ATTEMPTS; i++) {
        struct stores_stamp common = stores_stamp(&reader->stores);
        struct stores_stamp stamp = stores_stamp_of(&reader->stores, common, object);
        if (!stores_stamp_is_same(reader->opened, common)) {
            int r = open_packs(reader);
            if (r < 0) {
                char text[128];
                set_fault(fault, r, strerror_r(-r, text, sizeof(text)));
                return r;
            }
        }
        if (look_everywhere(reader, object, ret_raw, fault) == 0)
            return 0;
        int r = examine(reader, fault);
        if (r == -ENOENT || r == -EIO)
            remember(reader->objects, fault, stamp);
        if (r < 0)
            return r;
    }
    /* It is there, and cannot be read. */
    if (!error_is_transient(fault->code))
        fault->code = -EAGAIN;
    return fault->code;
}

static struct reader *reader_of(git_odb_backend *backend)
{
    return (struct reader *)(void *)((char *)backend - offsetof(struct reader, backend));
}

/* The fault as libgit2 wants it told; the first is kept. */
static int note(struct reader *reader, const struct fault *fault)
{
    if (reader->fault.code == 0)
        reader->fault = *fault;
    (void)git_error_set_str(GIT_ERROR_ODB, fault->text);
    return fault->code == -ENOENT ? GIT_ENOTFOUND : GIT_ERROR;
}

static int backend_read(void **ret_bytes, size_t *ret_size, git_object_t *ret_type,
                        git_odb_backend *backend, const git_oid *object)
{
    struct reader *reader = reader_of(backend);
    struct raw_object raw = {0};
    struct fault fault;

    if (read_object(reader, object, &raw, &fault) < 0)
        return note(reader, &fault);
    *ret_bytes = raw.bytes;
    *ret_size = raw.size;
    *ret_type = raw.type;
    return 0;
}

static int backend_read_prefix(git_oid *ret_object, void **ret_bytes, size_t *ret_size,
                               git_object_t *ret_type, git_odb_backend *backend,
                               const git_oid *prefix, size_t length)
{
    struct reader *reader = reader_of(backend);
    struct fault fault = {.object = *prefix};
    char text[128];

    int r = stores_find(&reader->stores, prefix, length, ret_object);
    if (r == -EEXIST)
        return GIT_EAMBIGUOUS;
    if (r == -ENOENT)
        return GIT_ENOTFOUND;
    if (r == 0)
        return backend_read(ret_bytes, ret_size, ret_type, backend, ret_object);
    set_fault(&fault, r, strerror_r(-r, text, sizeof(text)));
    return note(reader, &fault);
}

/* It is part of the reader. */
static void backend_free(git_odb_backend *backend)
{
    (void)backend;
}

/* --- Readers ------------------------------------------------------------------------------------
 */

CLEANUP(database, git_odb *, git_odb_free)
#define cleanup_database __attribute__((cleanup(cleanup_database_scope)))

int reader_attach(struct objects *objects, git_repository *repository, struct reader **ret_reader)
{
    cleanup_reader struct reader *reader = calloc(1, sizeof(*reader));
    cleanup_database git_odb *database = NULL;

    if (!reader) {
        git_repository_free(repository);
        return -ENOMEM;
    }
    reader->plain = repository;
    reader->objects = objects;
    reader->backend = (git_odb_backend){
        .version = GIT_ODB_BACKEND_VERSION,
        .read = backend_read,
        .read_prefix = backend_read_prefix,
        .free = backend_free,
    };
    int r = open_packs(reader);
    if (r < 0)
        return r;
    if (git_odb_new(&database) < 0 || git_odb_add_backend(database, &reader->backend, 1) < 0 ||
        git_repository_set_odb(repository, database) < 0)
        return -ENOMEM;
    *ret_reader = steal_pointer(&reader);
    return 0;
}

int reader_new(struct objects *objects, struct reader **ret_reader)
{
    git_repository *plain = NULL;

    return git_repository_new(&plain) < 0 ? -ENOMEM : reader_attach(objects, plain, ret_reader);
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    git_repository_free(reader->plain);
    free_packs(reader->packs, reader->pack_count);
    stores_clear(&reader->stores);
    free(reader);
}

void reader_begin(struct reader *reader)
{
    reader->fault.code = 0;
    git_error_clear();
}

int reader_failure(const struct reader *reader, int code, const char *path, struct error *error)
{
    const struct fault *fault = &reader->fault;
    char id[GIT_OID_HEXSZ + 1];

    id_of(&fault->object, id);
    if (fault->code == -ENOENT)
        return error_set(error, -EIO, "%s: object %s is missing from the repository: git fetch",
                         path, id);
    if (fault->code < 0)
        return error_set(error, fault->code, "%s: object %s cannot be read%s: %s", path, id,
                         error_is_transient(fault->code) ? " now" : "", fault->text);
    return error_set(error, source_git_failure(code), "%s: %s", path, source_git_message());
}
