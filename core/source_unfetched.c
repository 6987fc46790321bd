#include "source_backend.h"
#include "source_modules.h"

#include <addonfs/path.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * In a worktree a submodule that was not checked out is an empty folder like any other. Only the
 * `.gitmodules` that lies there tells: the root's, or that of a submodule around it, which is a
 * folder with a `.git`.
 */

void source_forget_modules(struct source *source)
{
    file_unref(source->modules_file);
    source->modules_file = NULL;
    map_clear(&source->modules, free);
}

/* Let source->modules be what `file` says, or empty if it says nothing. */
static int read_modules(struct source *source, struct file *file, struct spool *spool,
                        struct error *error)
{
    cleanup_content struct content *content = NULL;
    cleanup_free char *text = NULL;

    if (source->modules_file == file)
        return 0;
    source_forget_modules(source);
    int r = source_read(file, spool, MODULES_SIZE_LIMIT, &content, error);
    size_t size = r == 0 && content->size <= MODULES_SIZE_LIMIT ? (size_t)content->size : 0;
    if (size > 0) {
        text = malloc(size);
        if (!text)
            return error_errno(error, -ENOMEM, "%s", file->path);
        ssize_t n = content_read(content, 0, text, size);
        r = n < 0 ? error_errno(error, (int)n, "%s", file->path)
                  : modules_parse(text, (size_t)n, &source->modules, error);
    }
    if (r < 0)
        map_clear(&source->modules, free);
    if (r < 0 && error_is_transient(r))
        return r;
    source->modules_file = file_ref(file);
    return 0;
}

/* Does the .gitmodules in `folder` name what is at `rest` of it? */
static int is_named(struct source *source, const char *folder, const char *rest,
                    struct spool *spool, bool *ret_named, struct error *error)
{
    cleanup_free char *path = path_join(folder, ".gitmodules");
    struct source_entry *found = NULL;

    if (!path)
        return error_errno(error, -ENOMEM, "%s", folder);
    int r = source_find(source, path, NULL, &found, error);
    if (r == 0 && found->kind == SOURCE_FILE && !found->linked)
        r = read_modules(source, found->file, spool, error);
    else if (r == 0)
        return 0;
    if (r < 0)
        return error_is_transient(r) ? r : 0;
    *ret_named = map_find(&source->modules, rest) != NULL;
    return 0;
}

int source_is_unfetched(struct source *source, const char *real, struct spool *spool,
                        bool *ret_unfetched, struct error *error)
{
    cleanup_free char *folder = strdup(real);
    bool named = false;
    int r = 0;

    if (!folder)
        return error_errno(error, -ENOMEM, "%s", real);
    while (r == 0 && !named && *folder) {
        char *slash = strrchr(folder, '/');
        *(slash ? slash : folder) = '\0';
        const struct source_folder *known = source_known(source, folder);
        const char *rest = real + strlen(folder) + (*folder != '\0');
        if (*folder == '\0' || (known && known->hides_git))
            r = is_named(source, folder, rest, spool, &named, error);
    }
    if (r == 0)
        *ret_unfetched = named;
    return r;
}
