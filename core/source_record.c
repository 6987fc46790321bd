#include <addonfs/file.h>

#include "source_attributes_table.h"
#include "source_checkout.h"
#include "source_file.h"
#include "stamp.h"

#include <stdatomic.h>
#include <string.h>

struct file *file_new(struct source *source, const char *path, const char *real, const char *link)
{
    struct file *file = calloc(1, sizeof(*file));

    if (!file)
        return NULL;
    atomic_init(&file->references, 1);
    atomic_init(&file->measured, UINT64_MAX);
    file->source = source_ref(source);
    file->path = strdup(path);
    file->real = strcmp(path, real) == 0 ? file->path : strdup(real);
    file->link = link ? strdup(link) : NULL;
    if (!file->path || !file->real || (link && !file->link)) {
        file_unref(file);
        return NULL;
    }
    return file;
}

struct file *file_new_text(const struct file *base, const char *also, char *text, size_t size)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    struct file *file = file_new(base->source, base->path, base->real, base->link);

    if (!file || !sha256) {
        free(text);
        file_unref(file);
        return NULL;
    }
    sha256_update(sha256, text, size);
    sha256_final(sha256, &file->id);
    file->id_known = true;
    file->text = text;
    file->size = size;
    file->owner = base->owner;
    file->mtime = base->mtime;
    if (also && !(file->also = strdup(also))) {
        file_unref(file);
        return NULL;
    }
    return file;
}

struct file *file_ref(struct file *file)
{
    atomic_fetch_add(&file->references, 1);
    return file;
}

void file_unref(struct file *file)
{
    if (!file || atomic_fetch_sub(&file->references, 1) > 1)
        return;
    member_unref(atomic_load(&file->member));
    free(atomic_load(&file->read_id));
    member_unref(atomic_load(&file->before));
    if (file->real != file->path)
        free(file->real);
    free(file->path);
    free(file->link);
    free(file->failure);
    free(file->lfs);
    free(file->text);
    free(file->also);
    attributes_chain_unref(file->identity.chain);
    source_unref(file->source);
    free(file);
}

void file_note_read(struct file *file, const struct content_id *id)
{
    struct content_id *known = atomic_load(&file->read_id);

    if (!known) {
        struct content_id *first = malloc(sizeof(*first));
        if (first)
            *first = *id;
        if (first && atomic_compare_exchange_strong(&file->read_id, &known, first))
            return;
        free(first);
    }
    if (!known || !content_id_equal(known, id))
        atomic_store(&file->mixed, true);
}

bool file_known_id(const struct file *file, struct content_id *ret_id)
{
    const struct content_id *known = atomic_load(&file->read_id);
    const struct member *member = atomic_load(&file->member);

    if (file->lfs)
        known = &file->lfs->id;
    else if (file->id_known)
        known = &file->id;
    else if (atomic_load(&file->mixed) ||
             (known && member && !content_id_equal(known, &member->id)))
        return false;
    else if (!known && member)
        known = &member->id;
    if (known)
        *ret_id = *known;
    return known != NULL;
}

bool file_has_shown(const struct file *file, const struct content_id *id)
{
    struct content_id known;

    return file_known_id(file, &known) && content_id_equal(&known, id);
}

void file_replace_member(struct file *file, struct member *old, struct member *member)
{
    struct member *none = NULL;
    struct member *expected = old;

    /* First what tells that it is replaced: who sees the new one then sees that there was another.
     * Threads that do so at once do the same. */
    (void)atomic_compare_exchange_strong(&file->before, &none, old);
    if (!atomic_compare_exchange_strong(&file->member, &expected, member))
        member_unref(member);
}

bool file_key(const struct file *file, struct content_id *ret_key)
{
    static const unsigned char no_object[sizeof(file->identity.object)];
    const struct file_identity *identity = &file->identity;
    cleanup_sha256 struct sha256 *sha256 = NULL;

    if (file->failure || file->text || file->lfs)
        return false;
    bool is_blob = memcmp(identity->object, no_object, sizeof(no_object)) != 0;
    sha256 = sha256_new();
    if (!sha256)
        return false;
    if (is_blob) {
        sha256_update(sha256, "blob", sizeof("blob"));
        sha256_update(sha256, CHECKOUT_CONVERSION, sizeof(CHECKOUT_CONVERSION));
        if (file->source->lfs_pointers)
            sha256_update(sha256, "pointer", sizeof("pointer"));
        sha256_update(sha256, identity->object, sizeof(identity->object));
        sha256_update(sha256, identity->attributes.bytes, sizeof(identity->attributes.bytes));
        sha256_update(sha256, file->real, strlen(file->real));
    } else {
        /* No padding may get into the digest: each on its own. */
        const int64_t stat[] = {
            (int64_t)identity->device, (int64_t)identity->inode, (int64_t)file->size,
            file->mtime.tv_sec,        file->mtime.tv_nsec,      identity->change.tv_sec,
            identity->change.tv_nsec,
        };
        sha256_update(sha256, "stat", sizeof("stat"));
        sha256_update(sha256, stat, sizeof(stat));
    }
    sha256_final(sha256, ret_key);
    return true;
}

bool file_has_settled(const struct file *file)
{
    return file->identity.inode == 0 || stamp_is_old(file->identity.change);
}

bool file_equal(const struct file *a, const struct file *b)
{
    static const unsigned char no_object[sizeof(a->identity.object)];

    if (a == b)
        return true;
    if (!a || !b || a->failure || b->failure || strcmp(a->path, b->path) != 0 ||
        strcmp(a->real, b->real) != 0 || a->owner.mode != b->owner.mode ||
        a->owner.uid != b->owner.uid || a->owner.gid != b->owner.gid)
        return false;
    if (a->text || b->text)
        return a->text && b->text && content_id_equal(&a->id, &b->id) &&
               stamp_times_are_same(a->mtime, b->mtime);
    const struct file_identity *left = &a->identity;
    const struct file_identity *right = &b->identity;
    if (memcmp(left->object, no_object, sizeof(no_object)) != 0)
        return memcmp(left->object, right->object, sizeof(no_object)) == 0 &&
               content_id_equal(&left->attributes, &right->attributes);
    return left->device == right->device && left->inode == right->inode && a->size == b->size &&
           stamp_times_are_same(a->mtime, b->mtime) &&
           stamp_times_are_same(left->change, right->change) &&
           ((left->trusted && right->trusted && !left->rewritten && !right->rewritten) ||
            (a->id_known && b->id_known && content_id_equal(&a->id, &b->id)));
}
