#include "source_checkout.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <git2/sys/config.h>
#include <git2/sys/repository.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Goes up whenever the code below makes other bytes of the same blob: what is in caches is known by
 * it. */
enum { CONVERSION = 1 };

CLEANUP(config, git_config *, git_config_free)
CLEANUP(index, git_index *, git_index_free)
#define cleanup_config __attribute__((cleanup(cleanup_config_scope)))
#define cleanup_index __attribute__((cleanup(cleanup_index_scope)))

void checkout_converter(char text[static CHECKOUT_CONVERTER_SIZE])
{
    int major = 0;
    int minor = 0;
    int revision = 0;

    (void)git_libgit2_version(&major, &minor, &revision);
    snprintf(text, CHECKOUT_CONVERTER_SIZE, "libgit2 %d.%d.%d, %d", major, minor, revision,
             CONVERSION);
}

/* --- A configuration of one value ---------------------------------------------------------------
 *
 * Where core.attributesfile is not set, libgit2 takes $XDG_CONFIG_HOME/git/attributes. So it is
 * set, in memory, and without a value, for which libgit2 looks at no file at all (attrcache.c,
 * attr_cache__lookup_path). It has no such configuration to offer.
 */

static int config_open(git_config_backend *backend, git_config_level_t level,
                       const git_repository *repository)
{
    (void)backend;
    (void)level;
    (void)repository;
    return 0;
}

static void config_entry_free(git_config_entry *entry)
{
    free(entry);
}

static int config_get(git_config_backend *backend, const char *key, git_config_entry **ret_entry)
{
    (void)backend;
    if (strcmp(key, "core.attributesfile") != 0)
        return GIT_ENOTFOUND;
    git_config_entry *entry = calloc(1, sizeof(*entry));
    if (!entry) {
        git_error_set_oom();
        return GIT_ERROR;
    }
    *entry = (git_config_entry){
        .name = "core.attributesfile",
        .level = GIT_CONFIG_LEVEL_APP,
        .free = config_entry_free,
    };
    *ret_entry = entry;
    return 0;
}

static void config_free(git_config_backend *backend)
{
    free(backend);
}

static int config_new(git_config_backend **ret_backend);

static int config_snapshot(git_config_backend **ret_backend, git_config_backend *backend)
{
    (void)backend;
    return config_new(ret_backend);
}

static int config_new(git_config_backend **ret_backend)
{
    git_config_backend *backend = calloc(1, sizeof(*backend));

    if (!backend) {
        git_error_set_oom();
        return GIT_ERROR;
    }
    *backend = (git_config_backend){
        .version = GIT_CONFIG_BACKEND_VERSION,
        .readonly = 1,
        .open = config_open,
        .get = config_get,
        .snapshot = config_snapshot,
        .free = config_free,
    };
    *ret_backend = backend;
    return 0;
}

int checkout_prepare(git_repository *plain)
{
    cleanup_config git_config *config = NULL;
    cleanup_index git_index *index = NULL;
    git_config_backend *backend = NULL;

    if (git_config_new(&config) < 0 || config_new(&backend) < 0)
        return -ENOMEM;
    if (git_config_add_backend(config, backend, GIT_CONFIG_LEVEL_APP, NULL, 0) < 0) {
        config_free(backend);
        return -ENOMEM;
    }
    /* Without an index of its own it would look for one in the current folder. */
    if (git_repository_set_config(plain, config) < 0 || git_index_new(&index) < 0 ||
        git_repository_set_index(plain, index) < 0)
        return -ENOMEM;
    return 0;
}

/* --- Conversion ---------------------------------------------------------------------------------
 */

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

static int apply_encoding(struct reader *reader, const git_oid *commit, const char *path,
                          struct text *text, struct error *error)
{
    git_attr_options options = {
        .version = GIT_ATTR_OPTIONS_VERSION,
        .flags =
            GIT_ATTR_CHECK_INDEX_ONLY | GIT_ATTR_CHECK_NO_SYSTEM | GIT_ATTR_CHECK_INCLUDE_COMMIT,
        .attr_commit_id = *commit,
    };
    const char *encoding = NULL;

    int r = git_attr_get_ext(&encoding, reader->git, &options, path, "working-tree-encoding");
    if (r < 0 || reader->fault.code != 0)
        return reader_failure(reader, r, path, error);
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

/* Convert as the attributes say. */
static int convert(struct reader *reader, git_blob *blob, const git_oid *commit, const char *path,
                   git_buf *converted, struct error *error)
{
    /* Without CHECK_FOR_BINARY: `text` converts binary files too, as Git does. */
    git_blob_filter_options options = {
        .version = GIT_BLOB_FILTER_OPTIONS_VERSION,
        .flags = GIT_BLOB_FILTER_NO_SYSTEM_ATTRIBUTES | GIT_BLOB_FILTER_ATTRIBUTES_FROM_COMMIT,
        .attr_commit_id = *commit,
    };

    int r = git_blob_filter(converted, blob, path, &options);
    /* Attributes that cannot be read are none to libgit2. */
    return r < 0 || reader->fault.code != 0 ? reader_failure(reader, r, path, error) : 0;
}

int checkout_blob(struct reader *reader, const git_oid *object, const git_oid *commit,
                  const char *path, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error)
{
    cleanup_blob git_blob *blob = NULL;
    __attribute__((cleanup(git_buf_dispose))) git_buf converted = {0};
    struct text text = {0};

    reader_begin(reader);
    int r = git_blob_lookup(&blob, reader->git, object);
    if (r < 0)
        return reader_failure(reader, r, path, error);
    r = convert(reader, blob, commit, path, &converted, error);
    if (r == 0) {
        text.bytes = converted.ptr;
        text.size = converted.size;
        r = apply_encoding(reader, commit, path, &text, error);
    }
    if (r == 0)
        r = take(&text, path, spool, memory_limit, ret_content, error);
    free(text.own);
    return r;
}
