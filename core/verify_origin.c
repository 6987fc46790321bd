/* Of which commit a version is. */
#include "verify_parts.h"

#include <addonfs/diff.h>
#include <addonfs/refs.h>
#include <errno.h>
#include <string.h>

enum { ATTEMPTS = 10 }; /* of a source that never holds still */

struct searching {
    struct view *view;
    const struct deployment *deployment;
    bool in_archive;
    const _Atomic bool *interrupted;
    struct verified *verified;
    struct error *error;
};

/* Does the generation hold the version? 1: and it is this one; 0: no; -ENOENT: it does not. */
static int compare(const struct searching *searching, struct generation *generation)
{
    const struct deployment *deployment = searching->deployment;
    struct inventory_reading reading = {.interrupted = searching->interrupted};
    struct error why = {0};
    bool differs = true;

    for (size_t i = 0; i < generation->addon_count; i++) {
        const struct generation_addon *addon = &generation->addons[i];
        if (!addon->name || !addon->version || strcmp(addon->name, deployment->addon) != 0 ||
            strcmp(addon->version, deployment->version) != 0)
            continue;
        int r = diff_deployment(searching->view, generation, deployment, !searching->in_archive,
                                &reading, &differs, &why);
        /* A commit whose files cannot be read is none that it is known to be of. */
        if (r < 0 && error_is_transient(r))
            return error_set(searching->error, r, "%s", why.text);
        return r == 0 && !differs;
    }
    return -ENOENT;
}

/* 1: it is of that commit; 0: not; -ENOENT: the commit declares another version. */
static int compare_commit(const struct searching *searching, const char *commit)
{
    cleanup_view_name struct view_name name = {.number = 0};

    int r = view_find(searching->view, "commits", commit, searching->interrupted, &name,
                      searching->error);
    if (r < 0)
        return r == -ENOENT || !error_is_transient(r) ? -ENOENT : r;
    searching->verified->looked++;
    r = compare(searching, name.frozen);
    if (r >= 0)
        searching->verified->tried++;
    return r;
}

static int take_commit(const struct searching *searching, const char *commit)
{
    searching->verified->origin = VERIFY_COMMIT;
    memcpy(searching->verified->commit, commit, COMMIT_ID_SIZE);
    return 1;
}

static int follow_history(struct searching *searching, const char *from)
{
    struct source *source = view_repository(searching->view);
    char commit[COMMIT_ID_SIZE];
    bool in_run = false;

    memcpy(commit, from, COMMIT_ID_SIZE);
    for (int i = 0; i < VERIFY_COMMITS_LIMIT; i++) {
        char parent[COMMIT_ID_SIZE];
        int r = compare_commit(searching, commit);
        if (r > 0)
            return take_commit(searching, commit);
        if (r < 0 && r != -ENOENT)
            return r;
        /* Those behind the ones that declare it declare another. */
        if (r == -ENOENT && in_run)
            return 0;
        in_run = r == 0;
        r = refs_parent(source, commit, parent, searching->error);
        if (r <= 0)
            return r;
        memcpy(commit, parent, COMMIT_ID_SIZE);
    }
    return 0;
}

/* The commit's id in a derived version ("…-dev.4+g546187e.d1a2b3c4d"), or NULL. */
static const char *commit_in(const char *version, char text[static COMMIT_ID_SIZE])
{
    const char *build = strstr(version, "+g");
    size_t length = build ? strspn(build + 2, "0123456789abcdef") : 0;

    if (!strstr(version, "dev.") || length < 7 || length >= COMMIT_ID_SIZE ||
        (build[2 + length] != '\0' && build[2 + length] != '.'))
        return NULL;
    memcpy(text, build + 2, length);
    text[length] = '\0';
    return text;
}

/* Where the search begins. 0, or 1: nowhere. */
static int find_beginning(struct searching *searching, struct ref *ret_ref)
{
    struct source *source = view_repository(searching->view);
    cleanup_generation struct generation *generation = NULL;
    char text[COMMIT_ID_SIZE];
    const char *named = commit_in(searching->deployment->version, text);
    int r = 0;

    if (named) {
        r = refs_commit(source, named, ret_ref, searching->error);
        return r == -ENOENT ? 1 : r;
    }
    r = view_look(searching->view, &generation, searching->error);
    if (r == 0 && generation->commit) {
        memcpy(ret_ref->commit, generation->commit, COMMIT_ID_SIZE);
        return 0;
    }
    if (r == 0)
        r = refs_head(source, ret_ref, searching->error);
    return r == -ENOENT ? 1 : r;
}

static int compare_worktree(const struct searching *searching)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++) {
        cleanup_generation struct generation *generation = NULL;
        r = view_look(searching->view, &generation, searching->error);
        if (r == 0)
            r = generation->commit ? -ENOENT : compare(searching, generation);
    }
    return r;
}

static int search(struct searching *searching)
{
    struct ref beginning = {.time = 0};
    char text[COMMIT_ID_SIZE];
    int r = find_beginning(searching, &beginning);

    if (r < 0)
        return r;
    if (r == 0 && commit_in(searching->deployment->version, text)) {
        r = compare_commit(searching, beginning.commit);
        r = r > 0 ? take_commit(searching, beginning.commit) : r;
    } else if (r == 0) {
        r = follow_history(searching, beginning.commit);
    }
    if (r > 0 && searching->verified->origin == VERIFY_COMMIT)
        return 0;
    if (r < 0 && r != -ENOENT)
        return r;
    r = compare_worktree(searching);
    if (r > 0)
        searching->verified->origin = VERIFY_WORKTREE;
    return r < 0 && r != -ENOENT ? r : 0;
}

int verify_find_origin(struct verification *verification, struct view *view,
                       const struct deployment *deployment, bool in_archive,
                       const _Atomic bool *interrupted, struct verified *verified,
                       struct error *error)
{
    struct searching searching = {
        .view = view,
        .deployment = deployment,
        .in_archive = in_archive,
        .interrupted = interrupted,
        .verified = verified,
        .error = error,
    };
    char text[COMMIT_ID_SIZE];

    verified->origin = VERIFY_NONE;
    if (!deployment->addon || !deployment->version)
        return 0;
    if (commit_in(deployment->version, text) && !view_derives_versions(view)) {
        verification->derived = true;
        return 0;
    }
    return search(&searching);
}
