#include <addonfs/listing.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct counting {
    struct view *view;
    const _Atomic bool *interrupted;
    struct listing_addon *addon;
    struct error *error;
};

static int count_file(struct counting *counting, struct entry *entry)
{
    cleanup_body struct body *body = NULL;

    int r = view_body(counting->view, entry, counting->interrupted, &body, counting->error);
    if (r < 0)
        return r;
    if (body_failure(body))
        return 0;
    counting->addon->files++;
    counting->addon->size += body_size(body);
    if (entry->kind == ENTRY_ZIP) {
        counting->addon->members += bundle_count(entry->bundle);
        counting->addon->zipped += body_size(body);
    }
    return 0;
}

static int count(struct counting *counting, struct entry *entry)
{
    int r = 0;

    if (entry->kind != ENTRY_FOLDER)
        return entry->failure ? 0 : count_file(counting, entry);
    for (size_t i = 0; r == 0 && i < entry->count; i++)
        r = count(counting, entry->children[i]);
    return r;
}

/* The zip to upload. */
static int measure_upload(struct counting *counting, struct entry *root)
{
    const struct listing_addon *addon = counting->addon;
    cleanup_body struct body *body = NULL;
    cleanup_free char *path = NULL;
    struct entry *upload = NULL;

    if (asprintf(&path, "upload/%s-%s.zip", addon->name, addon->version) < 0) {
        path = NULL;
        return error_errno(counting->error, -ENOMEM, "%s", addon->name);
    }
    if (entry_find(root, path, &upload) < 0 || upload->kind != ENTRY_ZIP)
        return 0;
    int r = view_body(counting->view, upload, counting->interrupted, &body, counting->error);
    if (r == 0 && !body_failure(body))
        counting->addon->upload = body_size(body);
    return r;
}

static int count_addon(struct counting *counting, struct generation *generation)
{
    const struct listing_addon *addon = counting->addon;
    cleanup_free char *path = NULL;
    struct entry *folder = NULL;

    if (!addon->name || !addon->version)
        return 0;
    if (asprintf(&path, "package/%s/%s", addon->name, addon->version) < 0) {
        path = NULL;
        return error_errno(counting->error, -ENOMEM, "%s", addon->name);
    }
    if (entry_find(generation->root, path, &folder) < 0)
        return 0;
    int r = count(counting, folder);
    return r == 0 ? measure_upload(counting, generation->root) : r;
}

static int attempt(struct view *view, const _Atomic bool *interrupted, struct listing *listing,
                   struct error *error)
{
    struct counting counting = {.view = view, .interrupted = interrupted, .error = error};

    int r = view_problems(view, interrupted, &listing->generation, &listing->problems, error);
    if (r < 0)
        return r;
    const struct generation *generation = listing->generation;
    listing->addons = calloc(generation->addon_count + 1, sizeof(*listing->addons));
    if (!listing->addons)
        return error_errno(error, -ENOMEM, "%s", source_path(view_source(view)));
    for (; r == 0 && listing->count < generation->addon_count; listing->count++) {
        counting.addon = &listing->addons[listing->count];
        counting.addon->name = generation->addons[listing->count].name;
        counting.addon->version = generation->addons[listing->count].version;
        r = count_addon(&counting, listing->generation);
    }
    return r;
}

int listing_make(struct view *view, const _Atomic bool *interrupted, struct listing *ret_listing,
                 struct error *error)
{
    enum { ATTEMPTS = 64 }; /* of a source that changes under every one of them */
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++) {
        struct listing listing = {.generation = NULL};
        r = attempt(view, interrupted, &listing, error);
        if (r == 0)
            *ret_listing = listing;
        else
            listing_clear(&listing);
    }
    return r;
}

void listing_clear(struct listing *listing)
{
    free(listing->addons);
    problems_clear(&listing->problems);
    generation_unref(listing->generation);
    *listing = (struct listing){.generation = NULL};
}
