#include "source_checkout.h"

#include "source_conversion.h"
#include "source_libgit2.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <git2/sys/repository.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Goes up whenever the code below makes other bytes of the same blob: what is in caches is known by
 * it. */
enum { CONVERSION = 2 };

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

static void config_answer_free(source_config_answer *answer)
{
    free(answer);
}

static int config_get(git_config_backend *backend, const char *key,
                      source_config_answer **ret_answer)
{
    (void)backend;
    if (strcmp(key, "core.attributesfile") != 0)
        return GIT_ENOTFOUND;
    source_config_answer *answer = calloc(1, sizeof(*answer));
    if (!answer) {
        git_error_set_oom();
        return GIT_ERROR;
    }
    answer->free = config_answer_free;
    git_config_entry *entry = source_config_entry(answer);
    entry->name = "core.attributesfile";
    entry->level = GIT_CONFIG_LEVEL_APP;
    *ret_answer = answer;
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

/*
 * Re-encode `text` from UTF-8 to what the attribute calls `encoding` and iconv `name`, with `mark`
 * (a byte order mark, or "") before it.
 */
static int reencode(struct text *text, const char *encoding, const char *name, const char *mark,
                    const char *path, struct error *error)
{
    __attribute__((cleanup(close_conversion))) iconv_t conversion = iconv_open(name, "UTF-8");
    cleanup_free char *bytes = NULL;
    char *in = (char *)(uintptr_t)text->bytes; /* iconv does not write to it */
    size_t in_size = text->size;
    size_t capacity = 4 * in_size + 16; /* UTF-32 and its mark are the longest */
    size_t rest = capacity - strlen(mark);

    if (conversion == (iconv_t)-1)
        return error_set(error, -EIO, "%s: working-tree-encoding=%s is not known here", path,
                         encoding);
    bytes = malloc(capacity);
    if (!bytes)
        return error_errno(error, -ENOMEM, "%s", path);
    memcpy(bytes, mark, strlen(mark));
    char *end = bytes + strlen(mark);
    /* Git does not end a text that ends in a shift state (ISO-2022-JP), and so neither do we. */
    if (iconv(conversion, &in, &in_size, &end, &rest) == (size_t)-1 || in_size > 0)
        return error_set(error, -EIO, "%s: cannot be converted to working-tree-encoding=%s", path,
                         encoding);
    free(text->own);
    text->size = (size_t)(end - bytes);
    text->bytes = text->own = steal_pointer(&bytes);
    return 0;
}

/* Is `name` so called, in any case, with or without its hyphen: UTF-8, utf8? */
static bool is_utf(const char *name, const char *end)
{
    if (strncasecmp(name, "UTF", 3) != 0)
        return false;
    return strcasecmp(name + 3 + (name[3] == '-'), end) == 0;
}

static int apply_encoding(const char *encoding, const char *path, struct text *text,
                          struct error *error)
{
    if (text->size == 0)
        return 0;
    /* Names of Git's own (gitattributes(5)), and one that not every iconv knows. */
    if (is_utf(encoding, "16LE-BOM"))
        return reencode(text, encoding, "UTF-16LE", "\xff\xfe", path, error);
    if (is_utf(encoding, "16BE-BOM"))
        return reencode(text, encoding, "UTF-16BE", "\xfe\xff", path, error);
    if (strcasecmp(encoding, "latin-1") == 0)
        return reencode(text, encoding, "ISO-8859-1", "", path, error);
    return reencode(text, encoding, encoding, "", path, error);
}

/* --- Attributes ---------------------------------------------------------------------------------
 */

enum attribute { TEXT, OLD_TEXT, EOL, IDENT, ENCODING, ATTRIBUTES };

static bool is_set_to(const char *value, const char *wanted)
{
    return git_attr_value(value) == GIT_ATTR_VALUE_STRING && strcmp(value, wanted) == 0;
}

/* Does `value` of `text`, or of `crlf` as it was called once, say anything? */
static bool says_text(const char *value)
{
    return git_attr_value(value) == GIT_ATTR_VALUE_TRUE ||
           git_attr_value(value) == GIT_ATTR_VALUE_FALSE || is_set_to(value, "auto") ||
           is_set_to(value, "input");
}

/* What `values` ask for where no configuration does (core.autocrlf, core.eol). */
static struct conversion conversion_of(const char *const values[static ATTRIBUTES],
                                       const char *encoding)
{
    const char *text = says_text(values[TEXT]) ? values[TEXT] : values[OLD_TEXT];
    bool is_auto = is_set_to(text, "auto");

    return (struct conversion){
        .ident = git_attr_value(values[IDENT]) == GIT_ATTR_VALUE_TRUE,
        .is_whole = encoding || (is_auto && !is_set_to(values[EOL], "lf")),
        .crlf = git_attr_value(text) != GIT_ATTR_VALUE_FALSE && is_set_to(values[EOL], "crlf"),
        .only_text = is_auto,
    };
}

/* `*ret_encoding` is NULL where the text stays in UTF-8. */
static int encoding_of(const char *value, const char *path, const char **ret_encoding,
                       struct error *error)
{
    *ret_encoding = NULL;
    switch (git_attr_value(value)) {
    case GIT_ATTR_VALUE_TRUE:
        /* Git makes no checkout of it. */
        return error_set(error, -EIO, "%s: working-tree-encoding has no value", path);
    case GIT_ATTR_VALUE_STRING:
        if (*value && !is_utf(value, "8"))
            *ret_encoding = value;
        return 0;
    default:
        return 0;
    }
}

/* Convert as the attributes say. */
static int convert(struct reader *reader, const git_oid *object, const git_oid *commit,
                   const char *path, struct text *text, struct error *error)
{
    static const char *names[ATTRIBUTES] = {
        [TEXT] = "text",
        [OLD_TEXT] = "crlf",
        [EOL] = "eol",
        [IDENT] = "ident",
        [ENCODING] = "working-tree-encoding",
    };
    git_attr_options options = {
        .version = GIT_ATTR_OPTIONS_VERSION,
        .flags =
            GIT_ATTR_CHECK_INDEX_ONLY | GIT_ATTR_CHECK_NO_SYSTEM | GIT_ATTR_CHECK_INCLUDE_COMMIT,
        .attr_commit_id = *commit,
    };
    const char *values[ATTRIBUTES] = {0};
    const char *encoding;
    char id[GIT_OID_HEXSZ + 1];

    int r = git_attr_get_many_ext(values, reader->git, &options, path, ATTRIBUTES, names);
    /* Attributes that cannot be read are none to libgit2. */
    if (r < 0 || reader->fault.code != 0)
        return reader_failure(reader, r, path, error);
    r = encoding_of(values[ENCODING], path, &encoding, error);
    if (r < 0)
        return r;
    struct conversion conversion = conversion_of(values, encoding);
    git_oid_tostr(id, sizeof(id), object);
    if (conversion_apply(&conversion, id, text) < 0)
        return error_errno(error, -ENOMEM, "%s", path);
    return encoding ? apply_encoding(encoding, path, text, error) : 0;
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

int checkout_blob(struct reader *reader, const git_oid *object, const git_oid *commit,
                  const char *path, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error)
{
    cleanup_blob git_blob *blob = NULL;
    struct text text = {0};

    reader_begin(reader);
    int r = git_blob_lookup(&blob, reader->git, object);
    if (r < 0)
        return reader_failure(reader, r, path, error);
    text.bytes = git_blob_rawcontent(blob);
    text.size = git_blob_rawsize(blob);
    r = convert(reader, object, commit, path, &text, error);
    if (r == 0)
        r = take(&text, path, spool, memory_limit, ret_content, error);
    free(text.own);
    return r;
}
