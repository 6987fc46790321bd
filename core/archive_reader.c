#include <addonfs/archive_reader.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 16 };

struct archive_reader {
    struct archive *archive;
    struct archive_input input;
    const char *what;
    char *name; /* of the member, as it was answered */
    uint64_t offset;
    int failure;   /* what `input.read` gave */
    locale_t utf8; /* libarchive answers names in the locale's character set */
    locale_t before;
    char piece[PIECE];
};

/* --- The archive's own bytes --------------------------------------------------------------------
 */

static la_ssize_t read_piece(struct archive *archive, void *context, const void **ret_bytes)
{
    struct archive_reader *reader = context;
    ssize_t n = reader->input.read(reader->input.context, reader->offset, reader->piece, PIECE);

    if (n < 0) {
        reader->failure = (int)n;
        archive_set_error(archive, (int)-n, "cannot be read");
        return ARCHIVE_FATAL;
    }
    reader->offset += (uint64_t)n;
    *ret_bytes = reader->piece;
    return n;
}

static la_int64_t seek(struct archive *archive, void *context, la_int64_t offset, int whence)
{
    struct archive_reader *reader = context;
    uint64_t from = whence == SEEK_SET   ? 0
                    : whence == SEEK_CUR ? reader->offset
                                         : reader->input.size;
    int64_t place;

    if (__builtin_add_overflow(from, offset, &place) || place < 0) {
        archive_set_error(archive, EINVAL, "leads out of the file");
        return ARCHIVE_FATAL;
    }
    reader->offset = (uint64_t)place;
    return place;
}

static la_int64_t skip(struct archive *archive, void *context, la_int64_t count)
{
    struct archive_reader *reader = context;
    uint64_t left = reader->offset < reader->input.size ? reader->input.size - reader->offset : 0;

    (void)archive;
    if (count < 0)
        return 0;
    if ((uint64_t)count > left)
        count = (la_int64_t)left;
    reader->offset += (uint64_t)count;
    return count;
}

/* --- Opening ------------------------------------------------------------------------------------
 */

static int fail(const struct archive_reader *reader, struct error *error)
{
    const char *text = archive_error_string(reader->archive);

    if (reader->failure < 0)
        return error_errno(error, reader->failure, "%s", reader->what);
    if (archive_errno(reader->archive) == ENOMEM)
        return error_errno(error, -ENOMEM, "%s", reader->what);
    return error_set(error, -EINVAL, "%s: %s", reader->what, text ? text : "is damaged");
}

/* A filter that is not built in answers a warning, and would start a program: such a one is left.
 */
static bool support_others(struct archive *archive)
{
    static int (*const supports[])(struct archive *) = {
        archive_read_support_format_tar,   archive_read_support_format_cpio,
        archive_read_support_format_7zip,  archive_read_support_filter_gzip,
        archive_read_support_filter_bzip2, archive_read_support_filter_xz,
        archive_read_support_filter_lzma,  archive_read_support_filter_zstd,
        archive_read_support_filter_lz4,   archive_read_support_filter_compress,
    };
    bool good = true;

    for (size_t i = 0; good && i < sizeof(supports) / sizeof(supports[0]); i++)
        good = supports[i](archive) == ARCHIVE_OK;
    return good;
}

static int set_up(struct archive_reader *reader, bool zip_only, struct error *error)
{
    reader->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (reader->utf8)
        reader->before = uselocale(reader->utf8);
    reader->archive = archive_read_new();
    if (!reader->archive ||
        archive_read_support_format_zip_seekable(reader->archive) != ARCHIVE_OK ||
        (!zip_only && !support_others(reader->archive)))
        return error_errno(error, -ENOMEM, "%s", reader->what);
    archive_read_set_callback_data(reader->archive, reader);
    archive_read_set_read_callback(reader->archive, read_piece);
    archive_read_set_seek_callback(reader->archive, seek);
    archive_read_set_skip_callback(reader->archive, skip);
    return archive_read_open1(reader->archive) < ARCHIVE_WARN ? fail(reader, error) : 0;
}

static int open_reader(const struct archive_input *input, const char *what, bool zip_only,
                       struct archive_reader **ret_reader, struct error *error)
{
    cleanup_archive_reader struct archive_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return error_errno(error, -ENOMEM, "%s", what);
    reader->input = *input;
    reader->what = what;
    int r = set_up(reader, zip_only, error);
    if (r == 0)
        *ret_reader = steal_pointer(&reader);
    return r;
}

int archive_reader_open(const struct archive_input *input, const char *what,
                        struct archive_reader **ret_reader, struct error *error)
{
    return open_reader(input, what, false, ret_reader, error);
}

int archive_reader_open_zip(const struct archive_input *input, const char *what,
                            struct archive_reader **ret_reader, struct error *error)
{
    return open_reader(input, what, true, ret_reader, error);
}

void archive_reader_close(struct archive_reader *reader)
{
    if (!reader)
        return;
    archive_read_free(reader->archive);
    if (reader->utf8) {
        uselocale(reader->before);
        freelocale(reader->utf8);
    }
    free(reader->name);
    free(reader);
}

/* --- Members ------------------------------------------------------------------------------------
 */

/* Without "./" before it and "/" behind it, which tar(1) and folders have. */
static char *trimmed(const char *name)
{
    while (name[0] == '.' && name[1] == '/') {
        name++;
        name += strspn(name, "/");
    }
    size_t length = strlen(name);
    while (length > 1 && name[length - 1] == '/')
        length--;
    return strndup(name, strcmp(name, ".") == 0 ? 0 : length);
}

/* Where Windows takes '\' for a separator such a name leads out as well. */
static const char *fault_of_name(const char *name)
{
    if (*name == '\0')
        return "an empty name";
    if (*name == '/' || *name == '\\')
        return "an absolute name";
    if (name[1] == ':' && ((name[0] | 32) >= 'a' && (name[0] | 32) <= 'z'))
        return "a name with a drive";
    if (strlen(name) >= PATH_MAX)
        return "a name that is too long";
    for (;;) {
        size_t length = strcspn(name, "/\\");
        if (length == 0)
            return "a name with an empty component";
        if (strncmp(name, "..", length) == 0 && length <= 2)
            return length == 2 ? "a name with \"..\"" : "a name with \".\"";
        name += length;
        if (*name++ == '\0')
            return NULL;
    }
}

static const char *fault_of(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry))
        return "a hard link, which is not followed";
    if (archive_entry_filetype(entry) == AE_IFLNK)
        return "a link, which is not followed";
    if (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR)
        return "neither a file nor a folder";
    return archive_entry_is_encrypted(entry) ? "encrypted" : NULL;
}

static int take(struct archive_reader *reader, struct archive_entry *entry,
                struct archive_member *ret_member, struct error *error)
{
    const char *name = archive_entry_pathname(entry);

    free(reader->name);
    reader->name = trimmed(name ? name : "");
    if (!reader->name)
        return error_errno(error, -ENOMEM, "%s", reader->what);
    int64_t size = archive_entry_size(entry);
    const char *misplaced = fault_of_name(reader->name);
    *ret_member = (struct archive_member){
        .name = reader->name,
        .misplaced = misplaced != NULL,
        .fault = misplaced ? misplaced : fault_of(entry),
        .is_folder = archive_entry_filetype(entry) == AE_IFDIR,
        .executable = archive_entry_perm(entry) & S_IXUSR,
        .size = archive_entry_size_is_set(entry) && size >= 0 ? (uint64_t)size : UINT64_MAX,
    };
    return 1;
}

int archive_reader_next(struct archive_reader *reader, struct archive_member *ret_member,
                        struct error *error)
{
    struct archive_entry *entry = NULL;

    for (;;) {
        int r = archive_read_next_header(reader->archive, &entry);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r == ARCHIVE_RETRY)
            continue;
        /* A warning is about a name's character set. */
        if (r < ARCHIVE_WARN)
            return fail(reader, error);
        r = take(reader, entry, ret_member, error);
        /* "./" is where it all is. */
        if (r < 0 || !ret_member->is_folder || *reader->name != '\0')
            return r;
    }
}

ssize_t archive_reader_read(struct archive_reader *reader, void *bytes, size_t size,
                            struct error *error)
{
    la_ssize_t n;

    do
        n = archive_read_data(reader->archive, bytes, size);
    while (n == ARCHIVE_RETRY);
    return n < 0 ? fail(reader, error) : n;
}
