/*
 * source_objects: what all readers of a repository's objects know together.
 *
 * Which objects are missing or damaged for certain: they are not looked for again before something
 * has changed where they may lie. And which packs there are: what was found good is not looked at
 * twice, and each is open once, or not for the moment (source_pack_files.h). Objects themselves are
 * read by source_reader.h. Thread-safe.
 */
#ifndef ADDONFS_SOURCE_OBJECTS_H
#define ADDONFS_SOURCE_OBJECTS_H

#include "source_pack_files.h"
#include "source_packed.h"
#include "source_stores.h"
#include "stamp.h"

#include <addonfs/error.h>
#include <git2.h>
#include <stdint.h>

struct objects;

/*
 * The objects of a repository whose common folder is `common_dir`. -ENOMEM, or why they cannot be
 * looked for at the moment.
 */
int objects_open(const char *common_dir, struct objects **ret_objects, struct error *error);

/* The same of a submodule, which shares with what is `around` it (or NULL) the room for packs. */
int objects_open_within(struct objects *around, const char *common_dir,
                        struct objects **ret_objects, struct error *error);

/* After the last of its readers. */
void objects_free(struct objects *objects);

/* Where they are: "…/objects". */
const char *objects_folder(const struct objects *objects);

/*
 * A number that moves on when an object that was missing or damaged may be readable now. Taken
 * before something is read, it says later whether another try is worth it.
 */
uint64_t objects_healing(struct objects *objects);

/* The same without a look at the disk: as it was found last. */
uint64_t objects_healed(struct objects *objects);

/* --- Faults -------------------------------------------------------------------------------------
 */

/* An object that could not be read. */
struct fault {
    int code; /* -ENOENT (missing) and -EIO (damaged) for certain; others of the moment; 0: none */
    git_oid object; /* its id … */
    size_t length;  /* … of which so many digits are known */
    char text[256]; /* what was said of it */
};

void fault_set(struct fault *fault, int code, const char *text);

/* Is the object known to be at fault, and nothing has changed where it may lie? */
bool objects_recall(struct objects *objects, const git_oid *object, struct fault *ret_fault);

/* A stamp of where an object may lie, to be taken before it is looked for. */
struct stores_stamp objects_stamp(const struct stores *stores, const git_oid *object, int code);

/* Remember a fault that is certain, and the stamp for its code. */
void objects_remember(struct objects *objects, const struct stores *stores,
                      const struct fault *fault, struct stores_stamp stamp);

/* --- Packs --------------------------------------------------------------------------------------
 */

struct known_pack {
    struct pack_index index;
    struct packed objects;

    char *name; /* the rest belongs to `struct objects`: the path of the index */
    struct pack_file index_file;
    struct pack_file pack_file;
    struct stamp index_stamp;
    struct stamp pack_stamp;
    _Atomic bool whole; /* the index is, and will be as long as its stamp is the same */
    unsigned references;
    bool listed; /* in the table */
};

/* The pack of this index. Answers as source_pack.h has it. */
int objects_pack(struct objects *objects, const char *path, struct known_pack **ret_pack,
                 struct error *why);

/* packed_find, and packed_read or packed_size there: of a pack whose files need not be open. */
int objects_read_packed(struct known_pack *pack, const git_oid *object, git_odb_backend *backend,
                        struct raw_object *ret_raw, struct error *why);
int objects_packed_size(struct known_pack *pack, const git_oid *object, uint64_t *ret_size,
                        struct error *why);

/* Is the index what it was when the pack was opened? */
bool objects_pack_is_same(const struct known_pack *pack);

/*
 * Is what the index does not name certainly not in the pack? A bit that has changed in an id makes
 * another id of it. All of the index is read, once as long as it does not change.
 */
int objects_check_index(struct known_pack *pack, struct error *why);

void objects_drop_pack(struct objects *objects, struct known_pack *pack);

#endif
