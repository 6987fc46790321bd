#include "source_reader.h"

#include "source_libgit2.h"
#include "source_loose.h"

#include <addonfs/cleanup.h>
#include <dirent.h>
#include <errno.h>
#include <git2/sys/repository.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS = 4 /* to read an object that is there */ };

static const char TOO_MUCH[] =
    "it asks for more work or memory than is allowed; if it is honest: git "
    "-c core.bigFileThreshold=32m repack -a -d -F";

/* --- Packs --------------------------------------------------------------------------------------
 */

struct packs {
    struct known_pack **items;
    size_t count;
    size_t capacity;
    bool damaged; /* one was left out */
};

static void close_packs(struct objects *objects, struct known_pack **packs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        objects_drop_pack(objects, packs[i]);
    free(packs);
}

/* Open the pack whose index is at `path`. One that is damaged or gone is left out. */
static int add_pack(struct objects *objects, struct packs *packs, const char *path,
                    struct error *why)
{
    if (packs->count == packs->capacity) {
        size_t capacity = packs->capacity ? 2 * packs->capacity : 8;
        struct known_pack **items =
            reallocarray(packs->items, capacity, sizeof(struct known_pack *));
        if (!items)
            return error_errno(why, -ENOMEM, "%s", path);
        packs->items = items;
        packs->capacity = capacity;
    }
    int r = objects_pack(objects, path, &packs->items[packs->count], why);
    packs->damaged = packs->damaged || r == PACK_DAMAGED;
    packs->count += r == 0;
    return r == PACK_DAMAGED || r == -ENOENT ? 0 : r;
}

static int add_packs(struct objects *objects, struct packs *packs, const char *folder,
                     struct error *why)
{
    char path[PATH_MAX];
    int r = 0;

    if (snprintf(path, sizeof(path), "%s/pack", folder) >= (int)sizeof(path))
        return error_of_the_moment(why, -ENAMETOOLONG, "%s", folder);
    DIR *stream = opendir(path);
    if (!stream && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!stream)
        return error_of_the_moment(why, -errno, "%s", path);
    while (r == 0) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            r = errno != 0 ? error_of_the_moment(why, -errno, "%s/pack", folder) : 0;
            break;
        }
        if (pack_is_index(entry->d_name) &&
            snprintf(path, sizeof(path), "%s/pack/%s", folder, entry->d_name) < (int)sizeof(path))
            r = add_pack(objects, packs, path, why);
    }
    closedir(stream);
    return r;
}

/* Open what is there now, in place of what was open. */
static int open_packs(struct reader *reader, struct error *why)
{
    cleanup_stores struct stores *stores = NULL;
    struct packs packs = {.items = NULL};
    uint64_t healed = objects_healed(reader->objects);

    int r = stores_open(objects_folder(reader->objects), &stores, why);
    if (r < 0)
        return r;
    struct stores_stamp stamp = stores_stamp(stores);
    for (size_t i = 0; r == 0 && i < stores->count; i++)
        r = add_packs(reader->objects, &packs, stores->folders[i], why);
    if (r < 0) {
        close_packs(reader->objects, packs.items, packs.count);
        return r;
    }
    close_packs(reader->objects, reader->packs, reader->pack_count);
    stores_unref(reader->stores);
    reader->packs = packs.items;
    reader->pack_count = packs.count;
    reader->lacks_pack = packs.damaged;
    reader->last_pack = 0;
    reader->stores = steal_pointer(&stores);
    reader->opened = stamp;
    reader->healed = healed;
    return 0;
}

/*
 * The same, unless it is certain that nothing has come or gone. A pack that was damaged may have
 * been mended in place.
 */
static int refresh(struct reader *reader, struct error *why)
{
    if (!reader->lacks_pack && reader->healed == objects_healed(reader->objects) &&
        stores_unchanged_since(reader->opened, stores_stamp(reader->stores)))
        return 0;
    return open_packs(reader, why);
}

void reader_renew(struct reader *reader)
{
    /* If it fails, so will what is read from them, and says why. */
    if (stores_stamp(reader->stores).value != reader->opened.value)
        (void)open_packs(reader, NULL);
}

int reader_find(struct reader *reader, const git_oid *prefix, size_t length, git_oid *ret_objects,
                size_t room, size_t *ret_count, struct error *why)
{
    int r = refresh(reader, why);

    return r < 0 ? r
                 : stores_find(reader->stores, prefix, length, ret_objects, room, ret_count, why);
}

/* --- Objects ------------------------------------------------------------------------------------
 */

static int read_loose(struct reader *reader, size_t place, const git_oid *object,
                      struct raw_object *ret_raw, struct fault *fault)
{
    struct error why;
    int r = loose_read(reader->stores->folders[place], object, &reader->backend, ret_raw, &why);

    if (r < 0 && r != -ENOENT)
        fault_set(fault, r, r == -EIO ? "it is damaged" : why.text);
    return r;
}

static int read_packed(struct reader *reader, size_t place, const git_oid *object,
                       struct raw_object *ret_raw, struct fault *fault)
{
    struct error why;
    int r = objects_read_packed(reader->packs[place], object, &reader->backend, ret_raw, &why);

    if (r == 0 || r == -ENOENT)
        return r;
    if (r == PACK_DAMAGED)
        fault_set(fault, -EIO, "its pack is damaged");
    else if (r == PACK_EXCESSIVE)
        fault_set(fault, -EIO, TOO_MUCH);
    else
        fault_set(fault, r, why.text);
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
        fault_set(fault, -EIO, "its content is not what its id says");
    else
        fault_set(fault, source_git_failure(r), source_git_message());
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

static int look_everywhere(struct reader *reader, const git_oid *object, struct raw_object *ret_raw,
                           struct fault *fault)
{
    size_t packs = reader->pack_count;

    fault_set(fault, -ENOENT, "it is not there");
    /* Packs first, as Git does it. */
    for (size_t i = 0; i < packs + reader->stores->count; i++) {
        struct raw_object raw = {0};
        struct fault one = {.code = -ENOENT};
        /* Objects that are read one after the other are mostly in one pack. */
        size_t pack = i < packs ? (reader->last_pack + i) % packs : 0;
        int r = i < packs ? read_packed(reader, pack, object, &raw, &one)
                          : read_loose(reader, i - packs, object, &raw, &one);
        if (r == 0)
            r = check_object(reader, object, &raw, &one);
        if (r == 0) {
            if (i < packs)
                reader->last_pack = pack;
            *ret_raw = raw;
            return 0;
        }
        if (outweighs(r, fault->code))
            fault_set(fault, one.code, one.text);
    }
    return fault->code;
}

/* Has no index been changed in place? */
static bool indexes_are_same(const struct reader *reader)
{
    for (size_t i = 0; i < reader->pack_count; i++) {
        if (!objects_pack_is_same(reader->packs[i]))
            return false;
    }
    return true;
}

/* Nothing names the object. Can that be relied on? Answers as stores_find. */
static int check_indexes(const struct reader *reader, struct error *why)
{
    for (size_t i = 0; i < reader->pack_count; i++) {
        int r = objects_check_index(reader->packs[i], why);
        /* One that has gone by now is no more looked into: the folder's stamp tells. */
        if (r != 0 && r != -ENOENT)
            return r == PACK_DAMAGED ? -EIO : r;
    }
    return -ENOENT;
}

/* Look whether the object is there: what is certain of the fault afterwards, is. */
static void certify(const struct reader *reader, struct fault *fault)
{
    git_oid found;
    size_t count;
    struct error why;

    int r = stores_find(reader->stores, &fault->object, GIT_OID_HEXSZ, &found, 1, &count, &why);
    if (r == -ENOENT)
        r = check_indexes(reader, &why);
    bool is_damaged =
        r == -EIO ? fault->code != -EIO : fault->code == -ENOENT && reader->lacks_pack;

    if (r == -ENOENT)
        fault_set(fault, -ENOENT, "it is not there");
    else if (r < 0 && r != -EIO)
        fault_set(fault, r, why.text);
    /* It is there, or may be: damaged if that was seen; otherwise it came, or was not seen. */
    else if (is_damaged)
        fault_set(fault, -EIO, "a pack or its index is damaged");
    else if (fault->code == -ENOENT)
        fault_set(fault, -EAGAIN, "it is there, and was not found");
}

/*
 * Find out why the object could not be read; it may be read after all. What is certain is only what
 * was the same before and after.
 */
static int insist(struct reader *reader, const git_oid *object, struct raw_object *ret_raw,
                  struct fault *fault)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct error why;
        int code = fault->code;
        struct stores_stamp stamp = objects_stamp(reader->stores, object, code);
        /* What is open may have become another pack in place: nothing else tells. */
        int r = code == -ENOENT && indexes_are_same(reader) ? refresh(reader, &why)
                                                            : open_packs(reader, &why);
        if (r < 0 && !error_is_transient(code))
            fault_set(fault, r, why.text);
        if (r < 0)
            return fault->code;
        if (look_everywhere(reader, object, ret_raw, fault) == 0)
            return 0;
        certify(reader, fault);
        if (fault->code == -EIO && code != -EIO)
            continue; /* The stamp for that is another one. */
        bool certain = fault->code == -EIO || fault->code == -ENOENT;
        if (certain && stamp.value != objects_stamp(reader->stores, object, code).value)
            continue;
        if (certain && !reader->is_guessing)
            objects_remember(reader->objects, reader->stores, fault, stamp);
        if (certain || i + 1 == ATTEMPTS)
            return fault->code;
    }
    fault_set(fault, -EAGAIN, "the repository changes while it is read");
    return fault->code;
}

/* Read an object, or say for certain why not. */
static int read_object(struct reader *reader, const git_oid *object, struct raw_object *ret_raw,
                       struct fault *fault)
{
    *fault = (struct fault){.object = *object, .length = GIT_OID_HEXSZ};
    if (objects_recall(reader->objects, object, fault))
        return fault->code;
    if (look_everywhere(reader, object, ret_raw, fault) == 0)
        return 0;
    return insist(reader, object, ret_raw, fault);
}

size_t reader_size(struct reader *reader, const git_oid *object)
{
    for (size_t i = 0; i < reader->pack_count; i++) {
        size_t place = (reader->last_pack + i) % reader->pack_count;
        uint64_t size;
        if (objects_packed_size(reader->packs[place], object, &size, NULL) == 0)
            return (size_t)size;
    }
    for (size_t i = 0; i < reader->stores->count; i++) {
        struct raw_object raw = {0};
        if (loose_read(reader->stores->folders[i], object, NULL, &raw, NULL) == 0)
            return raw.size;
    }
    return 0;
}

/* --- The backend --------------------------------------------------------------------------------
 */

static struct reader *reader_of(git_odb_backend *backend)
{
    return (struct reader *)(void *)((char *)backend - offsetof(struct reader, backend));
}

/* The fault as libgit2 wants it told; the first is kept. */
static int report_fault(struct reader *reader, const struct fault *fault)
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
        return report_fault(reader, &fault);
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
    struct fault fault = {.object = *prefix, .length = length};
    struct error why;
    size_t count = 0;

    int r = reader_find(reader, prefix, length, ret_object, 1, &count, &why);
    if (r == -ENOENT)
        return GIT_ENOTFOUND;
    if (r < 0) {
        fault_set(&fault, r, r == -EIO ? "a pack or its index is damaged" : why.text);
        return report_fault(reader, &fault);
    }
    if (count > 1)
        return GIT_EAMBIGUOUS;
    return backend_read(ret_bytes, ret_size, ret_type, backend, ret_object);
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

int reader_attach(struct objects *objects, git_repository **repository, struct reader **ret_reader,
                  struct error *error)
{
    cleanup_reader struct reader *reader = calloc(1, sizeof(*reader));
    cleanup_database git_odb *database = NULL;

    if (!reader)
        return error_errno(error, -ENOMEM, "%s", objects_folder(objects));
    reader->objects = objects;
    reader->backend = (git_odb_backend){
        .version = GIT_ODB_BACKEND_VERSION,
        .read = backend_read,
        .read_prefix = backend_read_prefix,
        .free = backend_free,
    };
    int r = open_packs(reader, error);
    if (r < 0)
        return r;
    if (git_odb_new(&database) < 0 || git_odb_add_backend(database, &reader->backend, 1) < 0 ||
        git_repository_set_odb(*repository, database) < 0)
        return error_errno(error, -ENOMEM, "%s", objects_folder(objects));
    reader->git = steal_pointer(repository);
    *ret_reader = steal_pointer(&reader);
    return 0;
}

CLEANUP(repository_handle, git_repository *, git_repository_free)

int reader_new(struct objects *objects, struct reader **ret_reader, struct error *error)
{
    __attribute__((cleanup(cleanup_repository_handle_scope))) git_repository *git = NULL;

    if (git_repository_new(&git) < 0)
        return error_errno(error, -ENOMEM, "%s", objects_folder(objects));
    return reader_attach(objects, &git, ret_reader, error);
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    git_repository_free(reader->git);
    close_packs(reader->objects, reader->packs, reader->pack_count);
    stores_unref(reader->stores);
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

    git_oid_tostr(id, fault->length < GIT_OID_HEXSZ ? fault->length + 1 : sizeof(id),
                  &fault->object);
    if (fault->code == -ENOENT)
        return error_set(error, -EIO,
                         "%s: object %s is missing from the repository: git fetch (where it was "
                         "cloned with a filter: git fetch --refetch --no-filter)",
                         path, id);
    if (fault->code < 0)
        return error_set(error, fault->code, "%s: object %s cannot be read%s: %s", path, id,
                         error_is_transient(fault->code) ? " now" : "", fault->text);
    return error_set(error, source_git_failure(code), "%s: %s", path, source_git_message());
}
