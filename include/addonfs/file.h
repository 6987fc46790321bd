/*
 * file: one file of a source at one moment.
 *
 * Path, attributes, identity: immutable and shared. As long as nothing about a file changes, every
 * look at its source answers the same one, so the same pointer means the same bytes. It holds on to
 * its source, from which source_read has the bytes; and its compressed form hangs on it, so that a
 * file which did not change is never read again.
 */
#ifndef ADDONFS_FILE_H
#define ADDONFS_FILE_H

#include <addonfs/cleanup.h>
#include <addonfs/member.h>
#include <addonfs/sha256.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct source;
struct repository;
struct attributes_chain;

struct source_owner {
    mode_t mode; /* permission bits, without those that an access control list takes away */
    uid_t uid;
    gid_t gid;
};

/* What a pointer of Git LFS points to: content's id is its SHA-256. */
struct lfs_pointer {
    struct content_id id;
    uint64_t size; /* bytes */
};

struct file {
    _Atomic unsigned references;
    struct source *source; /* where its bytes come from; referenced */
    char *path;            /* as it was asked for, from the root */
    char *real;            /* the same without links */
    char *link;            /* the last link on the way, itself without links; or NULL */
    struct source_owner owner;
    struct timespec mtime;
    uint64_t size;           /* bytes; of a revision's file: UINT64_MAX, ask source_measure */
    char *failure;           /* why it cannot be read, or NULL */
    struct lfs_pointer *lfs; /* of a worktree's file that is one: its bytes are those; or NULL */
    char *text;              /* of a file that is made up: its bytes; else NULL */
    char *also;              /* … another path, of which it is made as well; or NULL */
    bool id_known;
    struct content_id id; /* of a worktree file whose time stamps do not tell its bytes */
    /* Of any other worktree file: what was read of it, once it was; `mixed` if not always that. */
    _Atomic(struct content_id *) read_id;
    _Atomic bool mixed;
    /* The compressed form, once there is one: set at most once but for file_replace_member. */
    _Atomic(struct member *) member;
    _Atomic(struct member *) before; /* the one that was replaced; see file_replace_member */
    _Atomic uint64_t measured;       /* of a revision's file: its size, or UINT64_MAX */
    struct file_identity {           /* the source's own */
        dev_t device;                /* worktree */
        ino_t inode;
        struct timespec change;
        bool several;                   /* it has other names, under which it may change */
        mode_t denied;                  /* what is not in owner.mode because an ACL forbids it */
        _Atomic bool trusted;           /* see source_file.c */
        _Atomic uint64_t written;       /* source_entry.written, when the bytes were compared */
        bool rewritten;                 /* other bytes than before, under the same stamp */
        unsigned char object[20];       /* revision: the blob */
        struct content_id attributes;   /* revision: of all .gitattributes that may apply … */
        struct attributes_chain *chain; /* … and which these are; referenced; NULL: none */
        struct repository *repository;  /* revision: in which all are; lives with the source */
        size_t below; /* revision: bytes of `real` that lead to the root of its repository */
    } identity;
};

/*
 * A file that is made up: `text` (taken over, even on failure) are its `size` bytes. Everything
 * else is as of `base`, in whose place it stands; it is also made of the file at `also` (or NULL).
 * NULL without memory.
 */
struct file *file_new_text(const struct file *base, const char *also, char *text, size_t size);

/*
 * A key that tells the bytes of `file` without reading them: from its stat, or from its blob and
 * the attributes that apply. False: nothing does. A key is good for looking bytes up that were read
 * when the file had settled.
 */
bool file_key(const struct file *file, struct content_id *ret_key);

/* Note that these bytes were read of it. Thread-safe. */
void file_note_read(struct file *file, const struct content_id *id);

/*
 * Is this, for certain, all that was ever read of it? Not if nothing was. What is known to be the
 * same needs no other inode and no other time.
 */
bool file_has_shown(const struct file *file, const struct content_id *id);

/* The id of all that was ever read of it. False: nothing was, or not always the same. */
bool file_known_id(const struct file *file, struct content_id *ret_id);

/* Is what will be read of it from now on tied to its key? Not while its time stamps are young. */
bool file_has_settled(const struct file *file);

/*
 * Do two looks' files hold the same bytes for certain, under the same paths and with the same
 * owner? (A file that was forgotten meanwhile is taken anew.) NULL equals NULL only. Under the
 * view's lock.
 */
bool file_equal(const struct file *a, const struct file *b);

/*
 * The compressed form that the file has cannot be had again, but `member` (whose reference is taken
 * over) can. What was laid out with the old one goes on pointing to it, so it lives as long as the
 * file, as `before`. Once a file: a form that is replaced was only in the cache, and the new one is
 * in the spool.
 */
void file_replace_member(struct file *file, struct member *old, struct member *member);

struct file *file_ref(struct file *file);
void file_unref(struct file *file);

CLEANUP(file, struct file *, file_unref)
#define cleanup_file __attribute__((cleanup(cleanup_file_scope)))

#endif
