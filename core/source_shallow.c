#include "source_shallow.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* 0 and the text, NULL if there is none. */
static int read_text(const char *path, char **ret_text)
{
    cleanup_free char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "re");

    *ret_text = NULL;
    if (!file && errno == ENOENT)
        return 0;
    if (!file)
        return error_is_transient(-errno) ? -errno : -EIO;
    ssize_t n = getdelim(&text, &size, '\0', file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed)
        return -EIO;
    if (n >= 0)
        *ret_text = steal_pointer(&text);
    return 0;
}

int shallow_read(const char *common_dir, struct shallow *ret_shallow, struct error *error)
{
    cleanup_sha256 struct sha256 *sha256 = sha256_new();
    cleanup_free char *path = NULL;
    struct shallow shallow = {.text = NULL};

    if (asprintf(&path, "%s/shallow", common_dir) < 0)
        path = NULL;
    int r = path && sha256 ? read_text(path, &shallow.text) : -ENOMEM;
    if (r < 0)
        return error_errno(error, r, "%s/shallow", common_dir);
    if (shallow.text)
        sha256_update(sha256, shallow.text, strlen(shallow.text));
    sha256_final(sha256, &shallow.id);
    shallow_clear(ret_shallow);
    *ret_shallow = shallow;
    return 0;
}

void shallow_clear(struct shallow *shallow)
{
    free(shallow->text);
    shallow->text = NULL;
}

bool shallow_cuts(const struct shallow *shallow, const git_oid *commit)
{
    return shallow->text && strstr(shallow->text, git_oid_tostr_s(commit));
}
