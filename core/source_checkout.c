#include "source_checkout.h"
#include "source_repository.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <git2/sys/repository.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

CLEANUP(blob, git_blob *, git_blob_free)
CLEANUP(config, git_config *, git_config_free)

struct checkout *checkout_new(git_odb *objects)
{
    __attribute__((cleanup(cleanup_config_scope))) git_config *nothing = NULL;
    struct checkout *checkout = calloc(1, sizeof(*checkout));

    if (!checkout || git_config_new(&nothing) < 0 ||
        git_repository_wrap_odb(&checkout->plain, objects) < 0 ||
        git_repository_set_config(checkout->plain, nothing) < 0) {
        checkout_free(checkout);
        return NULL;
    }
    return checkout;
}

void checkout_free(struct checkout *checkout)
{
    if (!checkout)
        return;
    git_repository_free(checkout->plain);
    free(checkout);
}

static void close_conversion(iconv_t *conversion)
{
    if (*conversion != (iconv_t)-1)
        iconv_close(*conversion);
}

/* What goes into the content: `bytes`, the caller's or our own. */
struct text {
    const char *bytes;
    size_t size;
    char *own;
};

/* Re-encode `text` from UTF-8, with `mark` (a byte order mark, or "") before it. */
static int reencode(struct text *text, const char *encoding, const char *mark, const char *path,
                    struct error *error)
{
    __attribute__((cleanup(close_conversion))) iconv_t conversion = iconv_open(encoding, "UTF-8");
    char *in = (char *)(uintptr_t)text->bytes; /* iconv does not write to it */
    size_t in_size = text->size;
    size_t capacity = 4 * in_size + 16; /* UTF-32 and its mark are the longest */
    size_t rest = capacity - strlen(mark);

    if (conversion == (iconv_t)-1)
        return error_set(error, -EIO, "%s: working-tree-encoding=%s is not known here", path,
                         encoding);
    text->own = malloc(capacity);
    if (!text->own)
        return error_errno(error, -ENOMEM, "%s", path);
    memcpy(text->own, mark, strlen(mark));
    char *end = text->own + strlen(mark);
    if (iconv(conversion, &in, &in_size, &end, &rest) == (size_t)-1 || in_size > 0 ||
        iconv(conversion, NULL, NULL, &end, &rest) == (size_t)-1)
        return error_set(error, -EIO, "%s: cannot be converted to working-tree-encoding=%s", path,
                         encoding);
    text->bytes = text->own;
    text->size = (size_t)(end - text->own);
    return 0;
}

static int apply_encoding(struct checkout *checkout, const git_oid *commit, const char *path,
                          struct text *text, struct error *error)
{
    git_attr_options options = {
        .version = GIT_ATTR_OPTIONS_VERSION,
        .flags =
            GIT_ATTR_CHECK_INDEX_ONLY | GIT_ATTR_CHECK_NO_SYSTEM | GIT_ATTR_CHECK_INCLUDE_COMMIT,
        .attr_commit_id = *commit,
    };
    const char *encoding = NULL;

    if (git_attr_get_ext(&encoding, checkout->plain, &options, path, "working-tree-encoding") < 0)
        return error_set(error, -EIO, "%s: cannot read its attributes: %s", path,
                         source_git_message());
    if (git_attr_value(encoding) == GIT_ATTR_VALUE_UNSPECIFIED ||
        git_attr_value(encoding) == GIT_ATTR_VALUE_FALSE)
        return 0;
    if (git_attr_value(encoding) == GIT_ATTR_VALUE_TRUE)
        return error_set(error, -EIO, "%s: working-tree-encoding has no value", path);
    if (text->size == 0 || strcasecmp(encoding, "UTF-8") == 0 || strcasecmp(encoding, "UTF8") == 0)
        return 0;
    /* Names of Git's own (gitattributes(5)). */
    if (strcasecmp(encoding, "UTF-16LE-BOM") == 0)
        return reencode(text, "UTF-16LE", "\xff\xfe", path, error);
    if (strcasecmp(encoding, "UTF-16BE-BOM") == 0)
        return reencode(text, "UTF-16BE", "\xfe\xff", path, error);
    return reencode(text, encoding, "", path, error);
}

static int take(const struct text *text, const char *path, struct spool *spool, size_t memory_limit,
                struct content **ret_content, struct error *error)
{
    cleanup_content_writer struct content_writer *writer = NULL;
    int r = content_begin(spool, text->size, memory_limit, &writer);

    if (r < 0)
        return error_errno(error, r, "%s", path);
    r = content_append(writer, text->bytes, text->size, error);
    return r < 0 ? r : content_finish(&writer, ret_content, error);
}

int checkout_blob(struct checkout *checkout, const git_oid *object, const git_oid *commit,
                  const char *path, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error)
{
    __attribute__((cleanup(cleanup_blob_scope))) git_blob *blob = NULL;
    __attribute__((cleanup(git_buf_dispose))) git_buf converted = {0};
    /* Without CHECK_FOR_BINARY: `text` converts binary files too, as Git does. */
    git_blob_filter_options options = {
        .version = GIT_BLOB_FILTER_OPTIONS_VERSION,
        .flags = GIT_BLOB_FILTER_NO_SYSTEM_ATTRIBUTES | GIT_BLOB_FILTER_ATTRIBUTES_FROM_COMMIT,
        .attr_commit_id = *commit,
    };
    struct text text = {0};

    int r = git_blob_lookup(&blob, checkout->plain, object);
    if (r == GIT_ENOTFOUND)
        return error_set(error, -EIO, "%s: object %s is missing from the repository: git fetch",
                         path, git_oid_tostr_s(object));
    if (r < 0)
        return error_set(error, -EIO, "%s: object %s cannot be read: %s", path,
                         git_oid_tostr_s(object), source_git_message());
    if (git_blob_filter(&converted, blob, path, &options) < 0)
        return error_set(error, -EIO, "%s: cannot be converted as its attributes say: %s", path,
                         source_git_message());
    text.bytes = converted.ptr;
    text.size = converted.size;
    r = apply_encoding(checkout, commit, path, &text, error);
    if (r == 0)
        r = take(&text, path, spool, memory_limit, ret_content, error);
    free(text.own);
    return r;
}
