#include "export_target.h"

#include <addonfs/export.h>
#include <addonfs/spool.h>
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

struct archive_target {
    struct export_target target;
    struct archive *archive;
    char *destination;
    char *temporary; /* NULL once it counts, and for `output` */
    int fd;
    int output;    /* the caller's, or -1 */
    locale_t utf8; /* libarchive reads names in the locale's character set */
    locale_t before;
    char *zone; /* TZ as it was; or NULL */
    bool has_zone;
};

const char *const export_formats[] = {"folder", "zip", "tar", "tar.gz", "tar.xz", "tar.zst", NULL};

/*
 * The compressions are libarchive filters, each on one core. They have threads, too (zstd:threads,
 * xz:threads), whose bytes do not depend on how many there are, but are others than without any: of
 * a libarchive, liblzma or libzstd that was built without threads the same content would be other
 * bytes. There is little to win: zstd takes 0.3 s for 60 MB, xz cuts into blocks of 24 MiB, and
 * most of a package is compressed already.
 */
static const struct export_format {
    const char *name; /* and how a destination ends, behind a dot */
    int (*set_format)(struct archive *);
    int (*add_filter)(struct archive *);
} formats[] = {
    {"zip", archive_write_set_format_zip, NULL},
    {"tar", archive_write_set_format_pax_restricted, NULL},
    {"tar.gz", archive_write_set_format_pax_restricted, archive_write_add_filter_gzip},
    {"tgz", archive_write_set_format_pax_restricted, archive_write_add_filter_gzip},
    {"tar.xz", archive_write_set_format_pax_restricted, archive_write_add_filter_xz},
    {"tar.zst", archive_write_set_format_pax_restricted, archive_write_add_filter_zstd},
};

static bool ends_with(const char *destination, const char *name)
{
    size_t length = strlen(destination);
    size_t suffix = strlen(name);

    return length > suffix + 1 && destination[length - suffix - 1] == '.' &&
           destination[length - suffix - 2] != '/' &&
           strcasecmp(destination + length - suffix, name) == 0;
}

const struct export_format *export_format_find(const char *name, const char *destination)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (name ? strcmp(name, formats[i].name) == 0 : ends_with(destination, formats[i].name))
            return &formats[i];
    }
    return NULL;
}

static int fail(const struct archive_target *archive, struct error *error)
{
    int code = archive_errno(archive->archive);
    const char *text = archive_error_string(archive->archive);

    if (!text)
        text = "cannot be written";
    /* Of a system call that has failed the text does not say why. */
    return code > 0 ? error_errno(error, -code, "%s: %s", archive->destination, text)
                    : error_set(error, -EIO, "%s: %s", archive->destination, text);
}

static int add_entry(struct archive_target *archive, const char *path, const struct entry *entry,
                     uint64_t size, struct error *error)
{
    struct archive_entry *header = archive_entry_new();

    if (!header)
        return error_errno(error, -ENOMEM, "%s", path);
    archive_entry_set_pathname(header, path);
    archive_entry_set_filetype(header, entry->kind == ENTRY_FOLDER ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(header, export_mode(entry));
    archive_entry_set_mtime(header, entry->mtime.tv_sec, 0);
    if (entry->kind != ENTRY_FOLDER)
        archive_entry_set_size(header, (int64_t)size);
    int r = archive_write_header(archive->archive, header);
    archive_entry_free(header);
    /* A warning is about a name that is not UTF-8, which is written as it is. */
    return r < ARCHIVE_WARN ? fail(archive, error) : 0;
}

static int add_folder(struct export_target *target, const char *path, const struct entry *entry,
                      struct error *error)
{
    return add_entry((struct archive_target *)target, path, entry, 0, error);
}

static int begin_file(struct export_target *target, const char *path, const struct entry *entry,
                      uint64_t size, struct error *error)
{
    return add_entry((struct archive_target *)target, path, entry, size, error);
}

static int add_bytes(struct export_target *target, const void *bytes, size_t size,
                     struct error *error)
{
    struct archive_target *archive = (struct archive_target *)target;
    const char *from = bytes;

    while (size > 0) {
        la_ssize_t n = archive_write_data(archive->archive, from, size);
        if (n <= 0)
            return fail(archive, error);
        from += n;
        size -= (size_t)n;
    }
    return 0;
}

static int end_file(struct export_target *target, struct error *error)
{
    struct archive_target *archive = (struct archive_target *)target;

    return archive_write_finish_entry(archive->archive) < ARCHIVE_WARN ? fail(archive, error) : 0;
}

/* Everything goes where it is to go, now that it is whole. */
static int hand_out(const struct archive_target *archive, struct error *error)
{
    char piece[1 << 16];
    off_t offset = 0;
    ssize_t n;

    while ((n = pread(archive->fd, piece, sizeof(piece), offset)) > 0) {
        ssize_t written = write(archive->output, piece, (size_t)n);
        if (written >= 0)
            offset += written;
        else if (errno == EPIPE)
            return error_set(error, -EPIPE, "%s: whoever reads it ended before all was written",
                             archive->destination);
        else if (errno != EINTR)
            return error_errno(error, -errno, "%s", archive->destination);
    }
    return n < 0 ? error_errno(error, -errno, "%s", archive->destination) : 0;
}

static int commit_archive(struct export_target *target, struct error *error)
{
    struct archive_target *archive = (struct archive_target *)target;

    if (archive_write_close(archive->archive) < ARCHIVE_WARN)
        return fail(archive, error);
    if (archive->output >= 0)
        return hand_out(archive, error);
    if (fsync(archive->fd) < 0 || rename(archive->temporary, archive->destination) < 0)
        return error_errno(error, -errno, "%s", archive->destination);
    free(archive->temporary);
    archive->temporary = NULL;
    return 0;
}

/*
 * A ZIP's times are those on the wall (APPNOTE 4.4.6: MS-DOS), and libarchive asks the process
 * where that wall is. Everybody's is in Greenwich: the same content, the same bytes. Who exports
 * does nothing else with times until the archive is closed, nor with the environment.
 */
static int use_utc(struct archive_target *archive)
{
    const char *zone = getenv("TZ");

    archive->zone = zone ? strdup(zone) : NULL;
    if ((zone && !archive->zone) || setenv("TZ", "UTC0", 1) < 0)
        return -ENOMEM;
    archive->has_zone = true;
    tzset();
    return 0;
}

static void use_zone_as_before(struct archive_target *archive)
{
    if (!archive->has_zone)
        return;
    if (archive->zone)
        (void)setenv("TZ", archive->zone, 1);
    else
        (void)unsetenv("TZ");
    tzset();
}

static void close_archive(struct export_target *target)
{
    struct archive_target *archive = (struct archive_target *)target;

    archive_write_free(archive->archive);
    if (archive->fd >= 0)
        close(archive->fd);
    if (archive->temporary)
        (void)unlink(archive->temporary);
    if (archive->utf8) {
        uselocale(archive->before);
        freelocale(archive->utf8);
    }
    use_zone_as_before(archive);
    free(archive->zone);
    free(archive->temporary);
    free(archive->destination);
    free(archive);
}

static int open_temporary(struct archive_target *archive, struct error *error)
{
    const char *slash = strrchr(archive->destination, '/');
    const char *name = slash ? slash + 1 : archive->destination;
    mode_t mask = umask(0);

    umask(mask);
    if (archive->output >= 0) {
        archive->fd = spool_nameless_file(spool_default_folder(), error);
        return archive->fd < 0 ? archive->fd : 0;
    }
    if (asprintf(&archive->temporary, "%.*s.%s.XXXXXX", (int)(name - archive->destination),
                 archive->destination, name) < 0) {
        archive->temporary = NULL;
        return error_errno(error, -ENOMEM, "%s", archive->destination);
    }
    archive->fd = mkostemp(archive->temporary, O_CLOEXEC);
    if (archive->fd < 0) {
        int code = -errno;
        free(archive->temporary);
        archive->temporary = NULL;
        return error_errno(error, code, "%s", archive->destination);
    }
    return fchmod(archive->fd, 0666 & ~mask) < 0
               ? error_errno(error, -errno, "%s", archive->destination)
               : 0;
}

static int set_up(struct archive_target *archive, const struct export_format *format,
                  struct error *error)
{
    archive->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (archive->utf8)
        archive->before = uselocale(archive->utf8);
    archive->archive = archive_write_new();
    if (!archive->destination || !archive->archive || use_utc(archive) < 0)
        return error_errno(error, -ENOMEM, "%s", "export");
    if (format->set_format(archive->archive) < ARCHIVE_WARN ||
        (format->add_filter && format->add_filter(archive->archive) < ARCHIVE_WARN))
        return fail(archive, error);
    /* The time in gzip's header is no one's business: the same content, the same bytes. */
    (void)archive_write_set_filter_option(archive->archive, "gzip", "timestamp", NULL);
    /* No padding behind the end: what is written is a plain file. */
    (void)archive_write_set_bytes_in_last_block(archive->archive, 1);
    int r = open_temporary(archive, error);
    if (r < 0)
        return r;
    return archive_write_open_fd(archive->archive, archive->fd) < ARCHIVE_WARN
               ? fail(archive, error)
               : 0;
}

int export_archive_open(const struct export_format *format, const char *destination, int fd,
                        struct export_target **ret_target, struct error *error)
{
    struct archive_target *archive = calloc(1, sizeof(*archive));

    if (!archive)
        return error_errno(error, -ENOMEM, "%s", destination);
    archive->target = (struct export_target){add_folder, begin_file,     add_bytes,
                                             end_file,   commit_archive, close_archive};
    archive->fd = -1;
    archive->output = fd;
    archive->destination = strdup(destination);
    int r = set_up(archive, format, error);
    if (r < 0) {
        close_archive(&archive->target);
        return r;
    }
    *ret_target = &archive->target;
    return 0;
}
