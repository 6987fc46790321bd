#include "source_bases.h"

#include <addonfs/cleanup.h>
#include <stdatomic.h>
#include <string.h>

enum {
    SLOT_BITS = 10,
    SLOTS = 1 << SLOT_BITS, /* more than one look through a tree with 500 folders needs */
    SIZE_LIMIT = 1 << 20,   /* of one, and … */
    ROOM = 16 << 20,        /* … of all: as libgit2 has it for each pack (1.5, pack.h) */
};

struct bases {
    _Atomic unsigned references;
    _Atomic uint64_t packs; /* the last number that was given */
    pthread_mutex_t lock;   /* held for moments only */
    struct base *slots[SLOTS];
    size_t size; /* of all */
    size_t hand; /* the slot that is emptied next when there is no room */
};

struct bases *bases_new(void)
{
    struct bases *bases = calloc(1, sizeof(*bases));

    if (!bases)
        return NULL;
    atomic_init(&bases->references, 1);
    pthread_mutex_init(&bases->lock, NULL);
    return bases;
}

struct bases *bases_ref(struct bases *bases)
{
    atomic_fetch_add(&bases->references, 1);
    return bases;
}

void base_unref(struct base *base)
{
    if (base && atomic_fetch_sub(&base->references, 1) == 1)
        free(base);
}

/* The lock is held. */
static void empty(struct bases *bases, size_t slot)
{
    struct base *base = bases->slots[slot];

    if (!base)
        return;
    bases->size -= base->size;
    bases->slots[slot] = NULL;
    base_unref(base);
}

void bases_unref(struct bases *bases)
{
    if (!bases || atomic_fetch_sub(&bases->references, 1) > 1)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        empty(bases, i);
    pthread_mutex_destroy(&bases->lock);
    free(bases);
}

uint64_t bases_add_pack(struct bases *bases)
{
    return atomic_fetch_add(&bases->packs, 1) + 1;
}

void bases_drop_pack(struct bases *bases, uint64_t pack)
{
    cleanup_lock(&bases->lock);

    for (size_t i = 0; i < SLOTS; i++) {
        if (bases->slots[i] && bases->slots[i]->pack == pack)
            empty(bases, i);
    }
}

/* Fibonacci hashing: the upper bits of the product hang on all of the number. */
static size_t slot_of(uint64_t pack, uint64_t offset)
{
    /* Offsets are below 2^48. */
    return (size_t)((offset + (pack << 48)) * 0x9e3779b97f4a7c15 >> (64 - SLOT_BITS));
}

struct base *bases_get(struct bases *bases, uint64_t pack, uint64_t offset)
{
    cleanup_lock(&bases->lock);
    struct base *base = bases->slots[slot_of(pack, offset)];

    if (!base || base->pack != pack || base->offset != offset)
        return NULL;
    atomic_fetch_add(&base->references, 1);
    return base;
}

void bases_put(struct bases *bases, uint64_t pack, uint64_t offset, git_object_t type,
               const void *bytes, size_t size)
{
    size_t slot = slot_of(pack, offset);

    if (size > SIZE_LIMIT)
        return;
    struct base *base = malloc(sizeof(*base) + size);
    if (!base)
        return;
    atomic_init(&base->references, 1);
    base->pack = pack;
    base->offset = offset;
    base->type = type;
    base->size = size;
    memcpy(base->bytes, bytes, size);
    cleanup_lock(&bases->lock);
    empty(bases, slot);
    for (; bases->size + size > ROOM; bases->hand = (bases->hand + 1) % SLOTS)
        empty(bases, bases->hand);
    bases->slots[slot] = base;
    bases->size += size;
}
