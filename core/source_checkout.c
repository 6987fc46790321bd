#include "source_checkout.h"

#include "source_conversion.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static bool is_set_to(const struct attribute_value *value, const char *wanted)
{
    return value->state == ATTRIBUTE_VALUE && value->length == strlen(wanted) &&
           memcmp(value->text, wanted, value->length) == 0;
}

/* Does `value` of `text`, or of `crlf` as it was called once, say anything? */
static bool says_text(const struct attribute_value *value)
{
    return value->state == ATTRIBUTE_SET || value->state == ATTRIBUTE_UNSET ||
           is_set_to(value, "auto") || is_set_to(value, "input");
}

/* What `values` ask for where no configuration does (core.autocrlf, core.eol). */
static struct conversion conversion_of(const struct attribute_value values[static ATTRIBUTES],
                                       bool has_encoding)
{
    const struct attribute_value *text = &values[ATTRIBUTE_TEXT];
    const struct attribute_value *eol = &values[ATTRIBUTE_EOL];

    if (!says_text(text))
        text = &values[ATTRIBUTE_CRLF];
    bool is_auto = is_set_to(text, "auto");
    return (struct conversion){
        .ident = values[ATTRIBUTE_IDENT].state == ATTRIBUTE_SET,
        .is_whole = has_encoding || (is_auto && !is_set_to(eol, "lf")),
        .crlf = text->state != ATTRIBUTE_UNSET && is_set_to(eol, "crlf"),
        .only_text = is_auto,
    };
}

/* `*ret_encoding`, the caller's to free, is NULL where the text stays in UTF-8. */
static int encoding_of(const struct attribute_value *value, const char *path, char **ret_encoding,
                       struct error *error)
{
    *ret_encoding = NULL;
    /* Git makes no checkout of it. */
    if (value->state == ATTRIBUTE_SET)
        return error_set(error, -EIO, "%s: working-tree-encoding has no value", path);
    if (value->state != ATTRIBUTE_VALUE || value->length == 0)
        return 0;
    char *encoding = strndup(value->text, value->length);
    if (!encoding)
        return error_errno(error, -ENOMEM, "%s", path);
    if (is_utf(encoding, "8"))
        free(encoding);
    else
        *ret_encoding = encoding;
    return 0;
}

/* Convert as the attributes say. */
static int convert(const struct checkout *checkout,
                   const struct attribute_value values[static ATTRIBUTES], struct text *text,
                   struct error *error)
{
    cleanup_free char *encoding = NULL;
    char id[GIT_OID_HEXSZ + 1];

    int r = encoding_of(&values[ATTRIBUTE_ENCODING], checkout->path, &encoding, error);
    if (r < 0)
        return r;
    struct conversion conversion = conversion_of(values, encoding != NULL);
    git_oid_tostr(id, sizeof(id), &checkout->object);
    if (conversion_apply(&conversion, id, text) < 0)
        return error_errno(error, -ENOMEM, "%s", checkout->path);
    return encoding ? apply_encoding(encoding, checkout->path, text, error) : 0;
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

int checkout_blob(const struct checkout *checkout, struct spool *spool, size_t memory_limit,
                  struct content **ret_content, struct error *error)
{
    cleanup_blob git_blob *blob = NULL;
    struct attributes_answer answer;
    struct reader *reader = checkout->reader;
    struct text text = {0};

    reader_begin(reader);
    int r = git_blob_lookup(&blob, reader->git, &checkout->object);
    if (r < 0)
        return reader_failure(reader, r, checkout->path, error);
    r = attributes_ask(checkout->table, reader, checkout->chain, checkout->path, &answer, error);
    if (r < 0)
        return r;
    text.bytes = git_blob_rawcontent(blob);
    text.size = git_blob_rawsize(blob);
    r = convert(checkout, answer.values, &text, error);
    attributes_answer_clear(&answer);
    if (r == 0)
        r = take(&text, checkout->path, spool, memory_limit, ret_content, error);
    free(text.own);
    return r;
}
