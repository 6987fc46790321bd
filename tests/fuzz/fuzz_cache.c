/*
 * fuzz_cache: a cache whose files somebody has changed never gives another byte.
 *
 * The input begins with a byte that says how much is cut off; then come changes of members.sqlite:
 * where (three bytes), how many bytes (one), and the bytes. What is left over is put into the log,
 * members.sqlite-wal. Whatever the cache still tells of a member must be what was put in.
 */
#include "fuzz.h"

#include <addonfs/cache.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { MEMBERS = 6, PIECE_MAX = 1 << 20 };

static char folder[64];
static unsigned char *template;
static size_t template_size;

static size_t size_of(uint32_t n)
{
    return (size_t)n * n * 900 + 10;
}

static unsigned char byte_of(uint32_t n, uint64_t offset)
{
    return (unsigned char)(n * 7 + offset * 13 + (offset >> 8));
}

static struct content_id id_of(uint32_t n, unsigned char kind)
{
    struct content_id id = {{kind, (unsigned char)n}};

    memset(id.bytes + 2, (int)(n * 31 & 0xff), sizeof(id.bytes) - 2);
    return id;
}

static int read_bytes(void *context, uint64_t offset, void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = byte_of((uint32_t)(uintptr_t)context, offset + i);
    return 0;
}

static void release(void *context)
{
    (void)context;
}

static void put(struct cache *cache, uint32_t n)
{
    const struct cache_put member = {
        .id = id_of(n, 0),
        .member = {.size = 2 * size_of(n),
                   .compressed_size = size_of(n),
                   .crc32 = ~n,
                   .deflated = n % 2},
        .read = read_bytes,
        .release = release,
        .context = (void *)(uintptr_t)n,
    };
    const struct content_id key = id_of(n, 1);
    const struct content_id note = id_of(n, 2);

    cache_put_member(cache, &member);
    cache_put_alias(cache, &key, &member.id);
    cache_put_note(cache, &note, &n, sizeof(n));
}

struct taken {
    uint32_t n;
    uint64_t size;
};

static int take(void *context, uint64_t offset, const void *bytes, size_t size)
{
    struct taken *taken = context;

    CHECK(offset == taken->size && size <= PIECE_MAX);
    for (size_t i = 0; i < size; i++)
        CHECK(((const unsigned char *)bytes)[i] == byte_of(taken->n, offset + i));
    taken->size += size;
    return 0;
}

/* `is_whole`: nothing was changed, so all of it is there. */
static void check(struct cache *cache, uint32_t n, bool is_whole)
{
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
    const struct content_id key = id_of(n, 1);
    const struct content_id note = id_of(n, 2);
    const struct content_id id = id_of(n, 0);
    struct taken taken = {.n = n};
    struct cache_member member;
    struct content_id found;
    cleanup_free void *bytes = NULL;
    size_t size;

    bool has_alias = cache_find_alias(reader, &key, &found);
    CHECK(has_alias ? content_id_equal(&found, &id) : !is_whole);
    bool has_note = cache_find_note(reader, &note, &bytes, &size);
    CHECK(has_note ? size == sizeof(n) && memcmp(bytes, &n, size) == 0 : !is_whole);
    bool has_member = cache_find_member(reader, &id, &member);
    CHECK(has_member || !is_whole);
    if (!has_member)
        return;
    CHECK(member.size == 2 * size_of(n) && member.compressed_size == size_of(n));
    CHECK(member.crc32 == ~n && member.deflated == (n % 2 != 0));
    bool has_stream = cache_read_stream(reader, &id, &member, take, &taken);
    CHECK(has_stream ? taken.size == size_of(n) : !is_whole);
}

static void path_in(const char *name, char *ret_path, size_t room)
{
    CHECK(snprintf(ret_path, room, "%s/%s", folder, name) < (int)room);
}

static void empty_folder(void)
{
    DIR *entries = opendir(folder);
    struct dirent *entry;

    CHECK(entries);
    while ((entry = readdir(entries))) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
}

static void end(void)
{
    empty_folder();
    rmdir(folder);
    free(template);
}

static void make_template(void)
{
    char path[128];

    snprintf(folder, sizeof(folder), "/dev/shm/addonfs-fuzz-XXXXXX");
    CHECK(mkdtemp(folder));
    atexit(end);
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "codec");
    CHECK(cache && !cache_fault(cache));
    for (uint32_t n = 0; n < MEMBERS; n++)
        put(cache, n);
    cache_settle(cache);
    for (uint32_t n = 0; n < MEMBERS; n++)
        check(cache, n, true);
    cache_close(cache);
    path_in("members.sqlite", path, sizeof(path));
    FILE *file = fopen(path, "re");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    template_size = (size_t)ftell(file);
    rewind(file);
    template = malloc(template_size);
    CHECK(template && fread(template, 1, template_size, file) == template_size);
    fclose(file);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[128];

    path_in(name, path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* Returns how much of the input is left. */
static size_t change(unsigned char *database, const uint8_t *input, size_t size)
{
    while (size >= 4 && input[3] > 0 && size >= 4 + (size_t)input[3]) {
        size_t offset = (((size_t)input[0] << 16 | (size_t)input[1] << 8) | input[2]);
        size_t length = input[3];
        offset %= template_size;
        if (length > template_size - offset)
            length = template_size - offset;
        memcpy(database + offset, input + 4, length);
        size -= 4 + (size_t)input[3];
        input += 4 + (size_t)input[3];
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (!template)
        make_template();
    cleanup_free unsigned char *database = malloc(template_size);
    size_t cut = size > 0 ? (size_t)input[0] * input[0] * 4 : 0;

    CHECK(database);
    memcpy(database, template, template_size);
    size_t left = size > 0 ? change(database, input + 1, size - 1) : 0;
    bool is_whole = cut == 0 && left == 0 && memcmp(database, template, template_size) == 0;
    empty_folder();
    write_file("members.sqlite", database, cut < template_size ? template_size - cut : 0);
    if (left > 0)
        write_file("members.sqlite-wal", input + size - left, left);
    /* The second finds what the first one has left. */
    for (int i = 0; i < 2; i++) {
        cleanup_cache struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "codec");
        CHECK(cache);
        for (uint32_t n = 0; n < MEMBERS; n++)
            check(cache, n, is_whole);
        put(cache, 1);
        cache_settle(cache);
        check(cache, 1, is_whole);
    }
    return 0;
}
