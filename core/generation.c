#include "generation_addons.h"
#include "generation_share.h"

#include <addonfs/refs.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct generation *generation_ref(struct generation *generation)
{
    atomic_fetch_add(&generation->references, 1);
    return generation;
}

static void clear_addon(struct generation_addon *addon)
{
    free(addon->name);
    free(addon->version);
    free(addon->origin);
    for (size_t i = 0; i < addon->source_count; i++)
        free(addon->sources[i]);
    free(addon->sources);
    entry_unref(addon->declared);
}

void generation_unref(struct generation *generation)
{
    if (!generation || atomic_fetch_sub(&generation->references, 1) > 1)
        return;
    if (generation->forget)
        generation->forget(generation->forget_context, generation);
    entry_unref(generation->root);
    for (size_t i = 0; i < generation->held_count; i++) {
        body_close(generation->held[i]);
        body_unref(generation->held[i]);
    }
    free(generation->held);
    problems_clear(&generation->problems);
    for (size_t i = 0; i < generation->addon_count; i++)
        clear_addon(&generation->addons[i]);
    free(generation->addons);
    recipe_matches_clear(&generation->matches);
    recipe_unref(generation->own);
    file_unref(generation->own_file);
    free(generation->layout);
    free(generation->commit);
    free(generation->headless);
    free(generation);
}

bool generation_try_ref(struct generation *generation)
{
    unsigned references = atomic_load(&generation->references);

    while (references > 0) {
        if (atomic_compare_exchange_weak(&generation->references, &references, references + 1))
            return true;
    }
    return false;
}

static int no_memory(const struct origin *origin, struct error *error)
{
    return error_errno(error, -ENOMEM, "%s", source_path(origin->source));
}

/* --- What there is ------------------------------------------------------------------------------
 */

static int read_own(const struct origin *origin, struct file *file, struct recipe **ret_own,
                    struct error *error)
{
    cleanup_content struct content *content = NULL;
    cleanup_free char *text = NULL;

    int r = source_read(file, origin->spool, RECIPE_SIZE_LIMIT, &content, error);
    if (r < 0)
        return r;
    if (content->size > RECIPE_SIZE_LIMIT)
        return error_set(error, -EFBIG, "%s: larger than %zu bytes", file->path, RECIPE_SIZE_LIMIT);
    size_t size = (size_t)content->size;
    text = malloc(size + 1);
    if (!text)
        return no_memory(origin, error);
    ssize_t n = content_read(content, 0, text, size);
    if (n < 0 || (size_t)n != size)
        return error_errno(error, n < 0 ? (int)n : -EIO, "%s", file->path);
    return recipe_parse(text, size, file->path, ret_own, error);
}

int generation_read_own(const struct origin *origin, struct recipe *last, struct file *last_file,
                        struct recipe **ret_own, struct file **ret_file, struct error *error)
{
    struct source_entry *found = NULL;

    *ret_own = NULL;
    int r = source_find(origin->source, RECIPE_FILE_NAME, NULL, &found, error);
    if (r == -ENOENT)
        return 0;
    if (r == 0 && found->kind != SOURCE_FILE)
        return error_set(error, -EIO, RECIPE_FILE_NAME ": is not a file");
    if (r < 0)
        return r;
    if (last && last_file && file_equal(last_file, found->file))
        *ret_own = recipe_ref(last);
    else
        r = read_own(origin, found->file, ret_own, error);
    if (r == 0 && ret_file)
        *ret_file = file_ref(found->file);
    return r;
}

static int find(const struct generation_maker *maker, const struct generation *last,
                struct generation *generation, struct error *error)
{
    const struct recipe_choice *choice = &maker->options->choice;
    int r = 0;

    if (!choice->layout && !choice->recipe)
        r = generation_read_own(maker->origin, last ? last->own : NULL,
                                last ? last->own_file : NULL, &generation->own,
                                &generation->own_file, error);
    if (r == 0)
        r = recipe_find(maker->origin->source, maker->origin->spool, choice, generation->own,
                        &generation->matches, error);
    if (r == 0 && !(generation->layout = strdup(generation->matches.layout)))
        r = no_memory(maker->origin, error);
    return r;
}

/* --- Building -----------------------------------------------------------------------------------
 */

/* What stops everything. */
static int fail_all(struct generation *generation, const struct origin *origin,
                    struct entry *tops[TOP_COUNT], const struct error *why, struct error *error)
{
    const char *path = source_path(origin->source);
    const char *reason = error_reason(why->text, path);

    for (size_t i = 0; i < TOP_COUNT; i++) {
        if (entry_fail(tops[i], path, reason) < 0 ||
            problems_add(&generation->problems, path, reason, false, generation_top_names[i]) < 0)
            return no_memory(origin, error);
    }
    return 0;
}

/* Fill the client folders at once. */
static int fill_clients(const struct generation_maker *maker, const struct generation *last,
                        struct entry *clients, struct error *error)
{
    struct entry *before = last ? entry_child(last->root, generation_top_names[TOP_CLIENT]) : NULL;

    before = generation_healthy(before);
    for (size_t i = 0; i < clients->count; i++) {
        struct entry *lazy = clients->children[i];
        struct entry *filled = NULL;
        struct entry *same = before ? entry_child(before, lazy->name) : NULL;
        if (!lazy->lazy)
            continue;
        int r =
            generation_make_client(maker, lazy, same ? entry_filled(same) : NULL, &filled, error);
        if (r < 0)
            return r;
        clients->children[i] = filled;
        entry_unref(lazy);
    }
    return 0;
}

static int build(const struct generation_maker *maker, struct generation *last,
                 struct generation *generation, struct error *error)
{
    const struct origin *origin = maker->origin;
    struct entry *tops[TOP_COUNT];
    struct error why = {0};

    for (size_t i = 0; i < TOP_COUNT; i++) {
        tops[i] = entry_new_folder(generation_top_names[i], generation_owner());
        if (!tops[i] || entry_insert(generation->root, tops[i]) < 0)
            return no_memory(origin, error);
    }
    int r = find(maker, last, generation, &why);
    if (r < 0 && !error_is_transient(r))
        return fail_all(generation, origin, tops, &why, error);
    if (r < 0) {
        if (error)
            *error = why;
        return r;
    }
    r = generation_add_addons(maker, last, generation, tops, error);
    return r == 0 && maker->fills_clients ? fill_clients(maker, last, tops[TOP_CLIENT], error) : r;
}

/* The commit that derived versions speak of. */
static int find_head(const struct generation_maker *maker, struct generation *generation,
                     struct error *error)
{
    struct ref head;
    struct error why = {0};

    if (!maker->options->derive_version || source_commit(maker->origin->source))
        return 0;
    int r = refs_head(maker->origin->source, &head, &why);
    if (r < 0 && error_is_transient(r)) {
        if (error)
            *error = why;
        return r;
    }
    if (r == 0)
        memcpy(generation->head, head.commit, sizeof(generation->head));
    else if (!(generation->headless = strdup(why.text)))
        return no_memory(maker->origin, error);
    return 0;
}

/* Is there a folder that cannot be listed? */
static bool has_failed_folder(const struct entry *entry)
{
    bool failed = entry->kind == ENTRY_FOLDER && entry->failure;

    for (size_t i = 0; i < entry->count && !failed; i++)
        failed = has_failed_folder(entry->children[i]);
    return failed;
}

int generation_build(const struct generation_maker *maker, struct generation *last, uint64_t serial,
                     struct generation **ret_generation, struct error *error)
{
    const struct share share = {maker->origin, maker->next_number, maker->vanished};
    cleanup_generation struct generation *generation = calloc(1, sizeof(*generation));
    const char *commit = source_commit(maker->origin->source);

    if (!generation)
        return no_memory(maker->origin, error);
    atomic_init(&generation->references, 1);
    generation->serial = serial;
    generation->root = entry_new_folder("", generation_owner());
    if (!generation->root)
        return no_memory(maker->origin, error);
    int r = find_head(maker, generation, error);
    if (r == 0)
        r = build(maker, last, generation, error);
    if (r < 0)
        return r;
    if (commit && !(generation->commit = strdup(commit)))
        return no_memory(maker->origin, error);
    generation->unhealthy = has_failed_folder(generation->root);
    generation->root = generation_share(&share, last ? last->root : NULL, generation->root, "");
    *ret_generation = steal_pointer(&generation);
    return 0;
}
