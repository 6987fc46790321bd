#include "source_folder.h"
#include "source_attributes_table.h"
#include "source_backend.h"

#include <addonfs/text.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void source_entry_forget(struct source_entry *entry)
{
    file_unref(entry->file);
    free(entry->real);
    free(entry->reason);
    entry->file = NULL;
    entry->real = NULL;
    entry->reason = NULL;
    entry->linked = false;
    entry->faulty = false;
    entry->unfetched = false;
    entry->kind = SOURCE_UNSEEN;
}

int source_entry_reject(struct source_entry *entry, struct error *error, const char *format, ...)
{
    char reason[256]; /* they are sentences of ours, without names */
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    entry->reason = strdup(reason);
    if (!entry->reason)
        return error_errno(error, -ENOMEM, "%s", entry->name);
    entry->kind = SOURCE_OTHER;
    return 0;
}

void source_entries_free(struct source_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        source_entry_forget(&entries[i]);
        free(entries[i].name);
    }
    free(entries);
}

static int compare_entries(const void *a, const void *b)
{
    const struct source_entry *left = a;
    const struct source_entry *right = b;

    return strcmp(left->name, right->name);
}

struct source_entry *folder_entry(const struct source_folder *folder, const char *name)
{
    struct source_entry wanted = {.name = (char *)(uintptr_t)name};

    return folder->count == 0
               ? NULL
               : bsearch(&wanted, folder->entries, folder->count, sizeof(wanted), compare_entries);
}

static bool same_listing(const struct source_entry *a, const struct source_entry *b)
{
    return a->type == b->type && memcmp(a->object, b->object, sizeof(a->object)) == 0;
}

bool folder_rename(struct source_folder *folder, struct source_entry *entries, size_t count)
{
    size_t old = 0;
    size_t same = 0;

    if (count > 0)
        qsort(entries, count, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < count; i++) {
        while (old < folder->count && strcmp(folder->entries[old].name, entries[i].name) < 0)
            old++;
        if (old == folder->count)
            break;
        struct source_entry *known = &folder->entries[old];
        if (strcmp(known->name, entries[i].name) == 0 && same_listing(known, &entries[i])) {
            char *name = entries[i].name;
            entries[i] = *known;
            *known = (struct source_entry){.name = name};
            same++;
        }
    }

    bool changed = same != count || same != folder->count;
    source_entries_free(folder->entries, folder->count);
    folder->entries = entries;
    folder->count = count;
    return changed;
}

bool folder_own(struct source *source, struct source_folder *folder, struct source_owner owner)
{
    if (folder->owner.mode == owner.mode && folder->owner.uid == owner.uid &&
        folder->owner.gid == owner.gid)
        return false;
    folder->owner = owner;
    /* A new folder changes nothing for what was there before. */
    if (folder->changed)
        source->owners = source->look;
    return true;
}

bool folder_fail(struct source_folder *folder, int code, const struct error *why)
{
    bool news = folder->failure != code;

    if (!folder->error)
        folder->error = malloc(sizeof(*folder->error));
    if (folder->error)
        *folder->error = *why;
    folder->failure = code;
    source_entries_free(folder->entries, folder->count);
    folder->entries = NULL;
    folder->count = 0;
    folder->identity.trusted = false;
    return news;
}

void folder_free(void *pointer)
{
    struct source_folder *folder = pointer;

    if (!folder)
        return;
    source_entries_free(folder->entries, folder->count);
    free(folder->path);
    free(folder->real);
    free(folder->link);
    free(folder->error);
    attributes_chain_unref(folder->identity.chain);
    free(folder);
}

int folder_compare(const void *a, const void *b)
{
    const struct source_folder *left = a;
    const struct source_folder *right = b;

    return strcmp(left->path, right->path);
}

struct source_folder *folder_new(const struct folder_place *place)
{
    struct source_folder *folder = calloc(1, sizeof(*folder));

    if (!folder)
        return NULL;
    folder->path = strdup(place->path);
    folder->real = strdup(place->real);
    folder->link = place->link ? strdup(place->link) : NULL;
    if (folder->path && folder->real && (!place->link || folder->link))
        return folder;
    folder_free(folder);
    return NULL;
}

bool folder_is_at(const struct source_folder *folder, const struct folder_place *place)
{
    return text_equal(folder->real, place->real) && text_equal(folder->link, place->link);
}

int folder_move(struct source *source, struct source_folder *folder,
                const struct folder_place *place, struct error *error)
{
    char *real = strdup(place->real);
    char *link = place->link ? strdup(place->link) : NULL;

    if (!real || (place->link && !link)) {
        free(real);
        free(link);
        return error_errno(error, -ENOMEM, "%s", place->path);
    }
    free(folder->real);
    free(folder->link);
    folder->real = real;
    folder->link = link;
    folder->identity.trusted = false;
    folder->checked = 0;
    folder->changed = folder->changed ? source->look : 0;
    return 0;
}
