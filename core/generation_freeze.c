#include "generation_addons.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/*
 * The id
 *
 * A snapshot's id is the SHA-256 (its first 20 bytes, as long as a commit's id) of its packages,
 * written down as in package_content.c; of what cannot be read, the reason. Uploads and client
 * folders hold nothing else, so they are not in it.
 */

struct freeze {
    const struct origin *origin;
    _Atomic uint64_t *next_number;
    struct generation *frozen;
    size_t capacity; /* of frozen->held */
    struct sha256 *sha256;
    bool identifies; /* what is frozen now is part of the id */
    struct error *error;
};

static void digest_text(struct freeze *freeze, const char *text)
{
    if (freeze->identifies)
        sha256_update_text(freeze->sha256, text);
}

/* Hold the open body (taken over, and closed on failure) as long as the frozen generation lives. */
static int hold(struct freeze *freeze, struct body *body)
{
    struct generation *frozen = freeze->frozen;

    if (frozen->held_count == freeze->capacity) {
        size_t capacity = freeze->capacity ? 2 * freeze->capacity : 16;
        struct body **held = reallocarray(frozen->held, capacity, sizeof(struct body *));
        if (!held) {
            body_close(body);
            body_unref(body);
            return error_errno(freeze->error, -ENOMEM, "snapshot");
        }
        frozen->held = held;
        freeze->capacity = capacity;
    }
    frozen->held[frozen->held_count++] = body;
    return 0;
}

static int freeze_file(struct freeze *freeze, struct entry *entry)
{
    cleanup_body struct body *body = NULL;
    struct content_id id;

    int r = entry_body(entry, freeze->origin, freeze->next_number, &body, freeze->error);
    if (r < 0)
        return r;
    if (body_failure(body)) {
        freeze->frozen->unreadable = true;
        digest_text(freeze, "unreadable");
        digest_text(freeze, body_failure(body));
        return 0;
    }
    r = body_open(body, freeze->origin, freeze->error);
    if (r < 0)
        return r;
    if (body_id(body, &id) < 0) {
        body_close(body);
        return error_errno(freeze->error, -ENOMEM, "snapshot");
    }
    if (freeze->identifies)
        sha256_update(freeze->sha256, id.bytes, sizeof(id.bytes));
    return hold(freeze, steal_pointer(&body));
}

static int freeze_entry(struct freeze *freeze, struct entry *entry, struct entry **ret_copy);

static int freeze_folder(struct freeze *freeze, struct entry *entry, struct entry **ret_copy)
{
    cleanup_entry struct entry *copy = entry_copy_folder(entry);

    if (!copy || (entry->failure && entry_fail(copy, entry->path, entry->failure) < 0))
        return error_errno(freeze->error, -ENOMEM, "snapshot");
    copy->number = atomic_fetch_add(freeze->next_number, 1);
    for (size_t i = 0; i < copy->count; i++) {
        struct entry *child = NULL;
        int r = freeze_entry(freeze, copy->children[i], &child);
        if (r < 0)
            return r;
        entry_unref(copy->children[i]);
        copy->children[i] = child;
    }
    digest_text(freeze, "end");
    *ret_copy = steal_pointer(&copy);
    return 0;
}

static int freeze_entry(struct freeze *freeze, struct entry *entry, struct entry **ret_copy)
{
    static const char *const kinds[] = {
        [ENTRY_FOLDER] = "folder", [ENTRY_FILE] = "file", [ENTRY_ZIP] = "zip"};
    bool executable = entry->kind == ENTRY_FILE && entry->file && entry->owner.mode & 0111;

    digest_text(freeze, kinds[entry->kind]);
    digest_text(freeze, executable ? "executable" : "");
    digest_text(freeze, entry->name);
    if (entry->failure) {
        freeze->frozen->unreadable = true;
        digest_text(freeze, "failed");
        digest_text(freeze, entry->failure);
        /* What is known of a folder in spite of that is of the frozen tree as well. */
        if (entry->count > 0)
            return freeze_folder(freeze, entry, ret_copy);
    } else if (entry->kind == ENTRY_FOLDER) {
        return freeze_folder(freeze, entry, ret_copy);
    } else {
        int r = freeze_file(freeze, entry);
        if (r < 0)
            return r;
    }
    *ret_copy = entry_ref(entry);
    return 0;
}

/*
 * A client folder. Its files are those of the zip, whose bytes are held, and need not be held
 * themselves: what the source has no more comes out of the zip's streams (body_open).
 */
static int freeze_client(struct freeze *freeze, struct entry *given, struct entry **ret_copy)
{
    struct entry *entry = entry_filled(given);
    cleanup_entry struct entry *copy = NULL;
    int r = 0;

    if (entry->kind != ENTRY_FOLDER) {
        *ret_copy = entry_ref(entry);
        return 0;
    }
    copy = entry->lazy ? entry_new_lazy(entry->name, entry->tree) : entry_copy_folder(entry);
    if (!copy)
        return error_errno(freeze->error, -ENOMEM, "snapshot");
    if (entry->failure && entry_fail(copy, entry->path, entry->failure) < 0)
        return error_errno(freeze->error, -ENOMEM, "snapshot");
    copy->owner = entry->owner;
    copy->mtime = entry->mtime;
    copy->number = atomic_fetch_add(freeze->next_number, 1);
    for (size_t i = 0; r == 0 && i < copy->count; i++) {
        struct entry *child = NULL;
        r = freeze_client(freeze, copy->children[i], &child);
        if (r < 0)
            break;
        entry_unref(copy->children[i]);
        copy->children[i] = child;
    }
    if (r == 0)
        *ret_copy = steal_pointer(&copy);
    return r;
}

static int freeze_root(struct freeze *freeze, struct entry *root, struct entry **ret_copy)
{
    cleanup_entry struct entry *copy = entry_copy_folder(root);

    if (!copy)
        return error_errno(freeze->error, -ENOMEM, "snapshot");
    copy->number = atomic_fetch_add(freeze->next_number, 1);
    for (size_t i = 0; i < copy->count; i++) {
        struct entry *top = copy->children[i];
        struct entry *child = NULL;
        freeze->identifies = strcmp(top->name, generation_top_names[TOP_PACKAGE]) == 0;
        int r = strcmp(top->name, generation_top_names[TOP_CLIENT]) == 0
                    ? freeze_client(freeze, top, &child)
                    : freeze_entry(freeze, top, &child);
        if (r < 0)
            return r;
        entry_unref(top);
        copy->children[i] = child;
    }
    *ret_copy = steal_pointer(&copy);
    return 0;
}

static int copy_addons(const struct generation *from, struct generation *to)
{
    to->addons = calloc(from->addon_count + 1, sizeof(*to->addons));
    if (!to->addons)
        return -ENOMEM;
    for (; to->addon_count < from->addon_count; to->addon_count++) {
        const struct generation_addon *addon = &from->addons[to->addon_count];
        struct generation_addon *copy = &to->addons[to->addon_count];
        copy->name = addon->name ? strdup(addon->name) : NULL;
        copy->version = addon->version ? strdup(addon->version) : NULL;
        if ((addon->name && !copy->name) || (addon->version && !copy->version)) {
            free(copy->name);
            free(copy->version);
            return -ENOMEM;
        }
    }
    return problems_add_all(&to->problems, &from->problems);
}

int generation_freeze(const struct generation *generation, const struct origin *origin,
                      _Atomic uint64_t *next_number, struct generation **ret_frozen,
                      struct error *error)
{
    cleanup_generation struct generation *frozen = calloc(1, sizeof(*frozen));
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    struct freeze freeze = {origin, next_number, frozen, .sha256 = sha256, .error = error};
    struct content_id id;

    if (!frozen || !sha256)
        return error_errno(error, -ENOMEM, "snapshot");
    atomic_init(&frozen->references, 1);
    frozen->serial = generation->serial;
    frozen->layout = generation->layout ? strdup(generation->layout) : NULL;
    frozen->unhealthy = generation->unhealthy;
    frozen->commit = generation->commit ? strdup(generation->commit) : NULL;
    if ((generation->commit && !frozen->commit) || (generation->layout && !frozen->layout) ||
        copy_addons(generation, frozen) < 0)
        return error_errno(error, -ENOMEM, "snapshot");
    int r = freeze_root(&freeze, generation->root, &frozen->root);
    if (r < 0)
        return r;
    sha256_final(sha256, &id);
    content_id_text(&id, sizeof(frozen->id) - 1, frozen->id);
    *ret_frozen = steal_pointer(&frozen);
    return 0;
}

static bool is_same_for_all(const struct entry *one, const struct entry *other)
{
    bool same = one->count == other->count && one->owner.mode == other->owner.mode &&
                one->owner.uid == other->owner.uid && one->owner.gid == other->owner.gid;

    for (size_t i = 0; same && one != other && i < one->count; i++)
        same = is_same_for_all(one->children[i], other->children[i]);
    return same;
}

bool generation_is_same_for_all(const struct generation *one, const struct generation *other)
{
    return is_same_for_all(one->root, other->root);
}
