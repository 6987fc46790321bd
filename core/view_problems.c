/* Everything that is wrong now, found by asking for everything. */
#include "view_parts.h"

#include <errno.h>
#include <stdio.h>

/* Ask every file and zip below `entry`, and add what is wrong with it. */
static int examine(struct view *view, struct entry *entry, const char *path,
                   const _Atomic bool *interrupted, struct problems *problems, struct error *error)
{
    cleanup_body struct body *body = NULL;
    cleanup_problems struct problems own = {0};

    for (size_t i = 0; i < entry->count; i++) {
        cleanup_free char *below = NULL;
        if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", entry->children[i]->name) < 0) {
            below = NULL;
            return error_errno(error, -ENOMEM, "%s", path);
        }
        int r = examine(view, entry->children[i], below, interrupted, problems, error);
        if (r < 0)
            return r;
    }
    if (entry->failure)
        return problems_add(problems, entry->path, entry->failure, false, path) < 0
                   ? error_errno(error, -ENOMEM, "%s", path)
                   : 0;
    if (entry->kind == ENTRY_FOLDER)
        return 0;
    int r = view_body(view, entry, interrupted, &body, error);
    if (r == 0 && entry->kind == ENTRY_ZIP)
        r = bundle_problems(entry->bundle, &view->origin, path, &own);
    /* A file, or a zip that fails for another reason than a member (no room, say). */
    if (r == 0 && body_failure(body) && own.count == 0)
        r = problems_add(&own, entry->path, error_reason(body_failure(body), entry->path), false,
                         path);
    if (r == 0)
        r = problems_add_all(problems, &own);
    return r == -ENOMEM ? error_errno(error, r, "%s", path) : r;
}

/* What is known without reading content. */
static int add_known(struct view *view, const struct generation *generation,
                     struct problems *problems, struct error *error)
{
    int r = problems_add_all(problems, &generation->problems);
    const char *warning;

    for (size_t i = 0; r == 0 && (warning = view_warning(view, i)); i++)
        r = problems_add(problems, "", warning, true, NULL);
    return r < 0 ? error_errno(error, r, "%s", source_path(view->source)) : 0;
}

int view_problems(struct view *view, const _Atomic bool *interrupted,
                  struct generation **ret_generation, struct problems *problems,
                  struct error *error)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < VIEW_ATTEMPTS; i++) {
        cleanup_generation struct generation *generation = NULL;
        struct generation known = {0};
        problems_clear(problems);
        r = view_look(view, &generation, error);
        if (r < 0)
            return r;
        r = examine(view, generation->root, "", interrupted, &known.problems, error);
        if (r == 0)
            r = add_known(view, generation, &known.problems, error);
        *problems = known.problems;
        if (r == 0)
            *ret_generation = steal_pointer(&generation);
    }
    return r;
}
