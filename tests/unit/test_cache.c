#include "fixture.h"

#include <addonfs/cache.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[40];

/* What fstatfs(2) says in place of the truth, unless it is 0. */
static uint32_t pretended_type;

int fstatfs(int fd, struct statfs *status)
{
    int r = (int)syscall(SYS_fstatfs, fd, status);

    if (pretended_type != 0)
        status->f_type = (__typeof__(status->f_type))pretended_type;
    return r;
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/addonfs-unit-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return fixture_remove_all(folder);
}

/* Stream number `n`: its id, its size and its bytes follow from `n`. */
static struct content_id id_of(uint32_t n)
{
    struct content_id id = {{0}};

    memcpy(id.bytes, &n, sizeof(n));
    memset(id.bytes + 8, (int)(n * 31 & 0xff), 24);
    return id;
}

static unsigned char byte_of(uint32_t n, uint64_t offset)
{
    return (unsigned char)(n * 7 + offset * 13 + (offset >> 8));
}

static int read_bytes(void *context, uint64_t offset, void *bytes, size_t size)
{
    uint32_t n = (uint32_t)(uintptr_t)context;

    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = byte_of(n, offset + i);
    return 0;
}

static _Atomic int released;

static void release(void *context)
{
    (void)context;
    released++;
}

static void put(struct cache *cache, uint32_t n, uint64_t size)
{
    struct cache_put put = {
        .id = id_of(n),
        .member = {.size = 2 * size, .compressed_size = size, .crc32 = ~n, .deflated = n % 2},
        .read = read_bytes,
        .release = release,
        .context = (void *)(uintptr_t)n,
    };

    cache_put_member(cache, &put);
}

struct taken {
    uint32_t n;
    uint64_t size;
};

static int take(void *context, uint64_t offset, const void *bytes, size_t size)
{
    struct taken *taken = context;

    assert_int_equal(offset, taken->size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((const unsigned char *)bytes)[i], byte_of(taken->n, offset + i));
    taken->size += size;
    return 0;
}

/* Is it there, and if so, is it right? */
static bool has(struct cache *cache, uint32_t n, uint64_t size)
{
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
    struct taken taken = {.n = n};
    struct cache_member member;
    struct content_id id = id_of(n);

    if (!cache_find_member(reader, &id, &member) ||
        !cache_read_stream(reader, &id, &member, take, &taken))
        return false;
    assert_int_equal(member.size, 2 * size);
    assert_int_equal(member.compressed_size, size);
    assert_int_equal(member.crc32, ~n);
    assert_int_equal(member.deflated, n % 2);
    assert_int_equal(taken.size, size);
    return true;
}

static struct cache *open_good(uint64_t size)
{
    struct cache *cache = cache_open(folder, size, "test/1");

    assert_non_null(cache);
    if (cache_fault(cache))
        fail_msg("%s", cache_fault(cache));
    return cache;
}

static void database_path(char path[64])
{
    snprintf(path, 64, "%s/members.sqlite", folder);
}

static void what_is_put_is_found_here_and_later(void **state)
{
    static const uint64_t sizes[] = {0, 1, 5000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20};

    (void)state;
    for (int run = 0; run < 2; run++) {
        cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
        for (uint32_t n = 0; n < 7; n++) {
            assert_int_equal(has(cache, n, sizes[n]), run);
            released = 0;
            put(cache, n, sizes[n]);
        }
        cache_settle(cache);
        for (uint32_t n = 0; n < 7; n++)
            assert_true(has(cache, n, sizes[n]));
        assert_false(has(cache, 7, 1));
    }
}

static void a_fingerprint_leads_to_an_id(void **state)
{
    cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    struct content_id key = id_of(1);
    struct content_id id = id_of(2);
    struct content_id found;
    struct cache_reader *reader = cache_reader_begin(cache);

    (void)state;
    assert_false(cache_find_alias(reader, &key, &found));
    cache_reader_end(reader);
    cache_put_alias(cache, &key, &id);
    cache_settle(cache);
    reader = cache_reader_begin(cache);
    assert_true(cache_find_alias(reader, &key, &found));
    assert_true(content_id_equal(&id, &found));
    assert_false(cache_find_alias(reader, &id, &found));
    cache_reader_end(reader);
}

static void run_sql(const char *text)
{
    char path[64];
    sqlite3 *handle = NULL;

    database_path(path);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 10000);
    assert_int_equal(sqlite3_exec(handle, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
}

/* Is the note of key `n` this text? NULL: there is none. */
static void expect_note(struct cache *cache, uint32_t n, const char *text)
{
    cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
    cleanup_free char *bytes = NULL;
    struct content_id key = id_of(n);
    size_t size = 0;

    assert_int_equal(cache_find_note(reader, &key, (void **)&bytes, &size), text != NULL);
    if (text) {
        assert_int_equal(size, strlen(text));
        assert_memory_equal(bytes, text, size);
    }
}

static void a_note_is_kept_until_there_is_another(void **state)
{
    struct content_id key = id_of(1);

    (void)state;
    struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    expect_note(cache, 1, NULL);
    cache_put_note(cache, &key, "first", 5);
    cache_settle(cache);
    expect_note(cache, 1, "first");
    cache_put_note(cache, &key, "other", 5);
    cache_close(cache);
    cache = open_good(CACHE_SIZE_DEFAULT);
    expect_note(cache, 1, "other");
    expect_note(cache, 2, NULL);
    cache_close(cache);
    /* One that is damaged is none. */
    run_sql("UPDATE note SET data = 'wrong'");
    cache = open_good(CACHE_SIZE_DEFAULT);
    expect_note(cache, 1, NULL);
    cache_close(cache);
}

static void notes_take_no_more_than_their_share(void **state)
{
    char text[1000] = "";

    (void)state;
    memset(text, 'n', sizeof(text) - 1);
    struct cache *cache = open_good(80000);
    for (uint32_t n = 0; n < 100; n++) {
        struct content_id key = id_of(n);
        cache_put_note(cache, &key, text, sizeof(text) - 1);
        cache_settle(cache);
        /* The oldest half goes; they are all of one second, so any may. */
        run_sql("UPDATE note SET made = made - 1000");
    }
    cache_settle(cache);
    put(cache, 1, 20000);
    cache_close(cache);
    cache = open_good(80000);
    int left = 0;
    for (uint32_t n = 0; n < 100; n++) {
        cleanup_cache_reader struct cache_reader *reader = cache_reader_begin(cache);
        cleanup_free void *bytes = NULL;
        struct content_id key = id_of(n);
        size_t size = 0;
        left += cache_find_note(reader, &key, &bytes, &size);
    }
    assert_in_range(left, 5, 20);
    cache_close(cache);
}

static void another_codec_is_another_key(void **state)
{
    (void)state;
    cache_close(open_good(CACHE_SIZE_DEFAULT));
    cleanup_cache struct cache *one = open_good(CACHE_SIZE_DEFAULT);
    cleanup_cache struct cache *two = cache_open(folder, CACHE_SIZE_DEFAULT, "test/2");
    put(one, 1, 100);
    cache_settle(one);
    assert_true(has(one, 1, 100));
    assert_false(has(two, 1, 100));
}

static void no_cache_is_no_trouble(void **state)
{
    struct cache_member member;
    struct content_id id = id_of(1);

    (void)state;
    released = 0;
    put(NULL, 1, 1);
    assert_int_equal(released, 1);
    cache_put_alias(NULL, &id, &id);
    assert_null(cache_reader_begin(NULL));
    assert_false(cache_find_alias(NULL, &id, &id));
    assert_false(cache_find_member(NULL, &id, &member));
    cache_reader_end(NULL);
    cache_settle(NULL);
    assert_null(cache_fault(NULL));
    cache_close(NULL);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct cache *cache = open_good(1000000);
    for (uint32_t n = 1; n <= 9; n++)
        put(cache, n, 100000);
    cache_close(cache);
    /* All are old; 1 and 2 are used again. */
    run_sql("UPDATE member SET used = 1000 + size");
    cache = open_good(1000000);
    assert_true(has(cache, 1, 100000));
    assert_true(has(cache, 2, 100000));
    cache_close(cache);
    cache = open_good(1000000);
    for (uint32_t n = 10; n <= 12; n++)
        put(cache, n, 100000);
    cache_settle(cache);
    int left = 0;
    for (uint32_t n = 1; n <= 12; n++)
        left += has(cache, n, 100000);
    assert_int_equal(left, 9);
    assert_true(has(cache, 1, 100000) && has(cache, 2, 100000));
    for (uint32_t n = 10; n <= 12; n++)
        assert_true(has(cache, n, 100000));
    /* What would throw out the rest is not taken in. */
    put(cache, 13, 250001);
    cache_settle(cache);
    assert_false(has(cache, 13, 250001));
    cache_close(cache);
}

enum { MANY = 300 };

static void fill(uint32_t first)
{
    cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);

    for (uint32_t n = 0; n < MANY; n++)
        put(cache, first + n, 1000 + n);
    cache_settle(cache);
}

static void processes_write_side_by_side(void **state)
{
    pid_t children[3];

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            /* Two write the same. */
            fill(i < 2 ? 0 : 1000);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    for (uint32_t n = 0; n < MANY; n++)
        assert_true(has(cache, n, 1000 + n) && has(cache, 1000 + n, 1000 + n));
}

static void a_writer_that_is_killed_leaves_a_good_database(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        int channel[2];
        assert_int_equal(pipe(channel), 0);
        pid_t child = fork();
        if (child == 0) {
            struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
            for (uint32_t n = 0;; n++) {
                put(cache, n % 5000, 1000 + n % 5000);
                if (n == 100u * (uint32_t)round)
                    (void)!write(channel[1], "x", 1);
                if (n % 500 == 0)
                    cache_settle(cache);
            }
        }
        char byte;
        assert_int_equal(read(channel[0], &byte, 1), 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        waitpid(child, NULL, 0);
        close(channel[0]);
        close(channel[1]);
        cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
        for (uint32_t n = 0; n < 1000; n++)
            has(cache, n, 1000 + n); /* it may be there, but then it is right */
        put(cache, 100000, 77);
        cache_settle(cache);
        assert_true(has(cache, 100000, 77));
    }
}

/* Damage: after each, what is found is right, and there is a cache again with the next opening. */
static void expect_recovery(void)
{
    for (int run = 0; run < 2; run++) {
        struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
        int found = 0;
        for (uint32_t n = 0; n < MANY; n++)
            found += has(cache, n, 1000 + n);
        put(cache, 5000, 50);
        cache_settle(cache);
        if (run == 1) {
            assert_null(cache_fault(cache));
            assert_true(has(cache, 5000, 50));
        }
        cache_close(cache);
    }
}

static void flip(const char *path, off_t offset, int bit)
{
    cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char byte;

    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= (unsigned char)(1 << bit);
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

static void flipped_bits_are_noticed_wherever_they_are(void **state)
{
    char path[64];
    char command[256];
    struct stat status;
    uint32_t random = 12345;

    (void)state;
    database_path(path);
    fill(0);
    assert_int_equal(stat(path, &status), 0);
    snprintf(command, sizeof(command), "%s.good", path);
    assert_int_equal(link(path, command), 0);
    for (int i = 0; i < 150; i++) {
        random = random * 1664525 + 1013904223;
        /* The first page more often than by chance: it holds header and schema. */
        off_t offset = (off_t)((random >> 4) % (uint32_t)(i % 3 ? status.st_size : 1024));
        snprintf(command, sizeof(command),
                 "cd %s && rm -f members.sqlite members.sqlite-* && cp members.sqlite.good "
                 "members.sqlite",
                 folder);
        assert_int_equal(system(command), 0);
        for (int bit = 0; bit < 3; bit++)
            flip(path, (offset + bit * 4099) % status.st_size, (int)(random >> bit & 7));
        expect_recovery();
    }
}

static void files_of_any_other_kind_are_set_aside_or_left_alone(void **state)
{
    char path[64];
    char garbage[3000];

    (void)state;
    database_path(path);
    memset(garbage, 'x', sizeof(garbage));
    fill(0);
    assert_int_equal(truncate(path, 20000), 0);
    expect_recovery();
    assert_int_equal(truncate(path, 0), 0);
    expect_recovery();
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(path, "we");
        assert_int_equal(fwrite(garbage, 1, sizeof(garbage), file), sizeof(garbage));
        fclose(file);
        expect_recovery();
    }
    /* Another application's database is not ours to move. */
    run_sql("PRAGMA application_id = 7");
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
    assert_non_null(strstr(cache_fault(cache), "is not a cache"));
    assert_null(cache_reader_begin(cache));
    released = 0;
    put(cache, 1, 1);
    assert_int_equal(released, 1);
    cache_close(cache);
    run_sql("PRAGMA application_id = 1094993491");
    cache_close(open_good(1000));
    /* Nor is what a later addonfs has made; what an earlier one has is begun anew. */
    run_sql("PRAGMA user_version = 1000");
    cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
    assert_non_null(strstr(cache_fault(cache), "is not a cache of this version"));
    cache_close(cache);
    run_sql("PRAGMA user_version = 1");
    fill(0);
}

static void a_folder_that_others_could_write_is_refused(void **state)
{
    char path[64];
    struct cache *cache;

    (void)state;
    assert_int_equal(chmod(folder, 0755), 0);
    cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
    assert_non_null(strstr(cache_fault(cache), "open to others"));
    cache_close(cache);
    assert_int_equal(chmod(folder, 0700), 0);
    snprintf(path, sizeof(path), "%s/link", folder);
    assert_int_equal(symlink(folder, path), 0);
    cache = cache_open(path, CACHE_SIZE_DEFAULT, "test/1");
    assert_non_null(strstr(cache_fault(cache), "link"));
    cache_close(cache);
    snprintf(path, sizeof(path), "%s/new/deep", folder);
    cache = cache_open(path, CACHE_SIZE_DEFAULT, "test/1");
    assert_null(cache_fault(cache));
    cache_close(cache);
}

static void a_folder_that_links_lead_to_is_as_good(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), "%s/link", folder);
    assert_int_equal(symlink(".", path), 0);
    snprintf(path, sizeof(path), "%s/link/cache", folder);
    cleanup_cache struct cache *cache = cache_open(path, CACHE_SIZE_DEFAULT, "test/1");
    assert_null(cache_fault(cache));
    put(cache, 1, 100);
    cache_settle(cache);
    assert_true(has(cache, 1, 100));
}

static void a_folder_that_hosts_share_is_refused(void **state)
{
    char path[64];

    (void)state;
    pretended_type = NFS_SUPER_MAGIC;
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
    pretended_type = 0;
    assert_non_null(strstr(cache_fault(cache), folder));
    assert_non_null(strstr(cache_fault(cache), "cache=DIR"));
    put(cache, 1, 100);
    cache_close(cache);
    database_path(path);
    assert_int_equal(access(path, F_OK), -1);
}

/* What the database's header says: 1 is a rollback journal, 2 a write-ahead log. */
static int journal_version(void)
{
    char path[64];
    unsigned char version = 0;

    database_path(path);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &version, 1, 18), 1);
    return version;
}

/* A file system without shared memory: SQLite says so only in its answer. */
static void a_database_without_a_log_is_refused(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_vfs_register(sqlite3_vfs_find("unix-dotfile"), 1), SQLITE_OK);
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
    assert_int_equal(sqlite3_vfs_register(sqlite3_vfs_find("unix"), 1), SQLITE_OK);
    assert_non_null(strstr(cache_fault(cache), "cannot hold a database"));
    cache_close(cache);
    /* One that somebody has taken the log from gets it back. */
    fill(0);
    run_sql("PRAGMA journal_mode = DELETE");
    assert_int_equal(journal_version(), 1);
    fill(1);
    assert_int_equal(journal_version(), 2);
    cache = open_good(CACHE_SIZE_DEFAULT);
    assert_true(has(cache, 1, 1001));
    cache_close(cache);
}

static int cannot_read(void *context, uint64_t offset, void *bytes, size_t size)
{
    (void)context;
    (void)offset;
    (void)bytes;
    (void)size;
    return -EIO;
}

/* The one number that a query answers. */
static int64_t number_of(const char *query)
{
    char path[64];
    sqlite3 *handle = NULL;
    sqlite3_stmt *statement = NULL;

    database_path(path);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, query, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return number;
}

static void a_row_that_is_damaged_takes_no_other_with_it(void **state)
{
    static const char *const damages[] = {
        "UPDATE member SET used = 0, compressed = compressed | 1099511627776 WHERE compressed = "
        "1010",
        "UPDATE member SET used = 0, stream = stream | 4611686018427387904 WHERE compressed = 1010",
        "UPDATE member SET used = 0, stream = 1 WHERE compressed = 1010",
        "UPDATE member SET used = 0, stream = -9223372036854775807 WHERE compressed = 1010",
        "UPDATE member SET used = 0, codec = x'00' WHERE compressed = 1010",
        "UPDATE member SET used = 0, id = x'00' WHERE compressed = 1010",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        fill(0);
        run_sql(damages[i]);
        /* The first write of each process looks at the whole. */
        cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
        put(cache, 1000, 50);
        cache_settle(cache);
        int lost = 0;
        for (uint32_t n = 0; n < MANY; n++)
            lost += !has(cache, n, 1000 + n);
        assert_int_equal(lost, 1);
        /* Its stream, which nobody can find any more, is gone as well. */
        assert_int_equal(number_of("SELECT count(*) FROM stream"), MANY);
        assert_int_equal(number_of("SELECT count(*) FROM member"), MANY);
        /* And it can be had again. */
        for (uint32_t n = 0; n < MANY; n++)
            put(cache, n, 1000 + n);
        cache_settle(cache);
        for (uint32_t n = 0; n < MANY; n++)
            assert_true(has(cache, n, 1000 + n));
        assert_int_equal(number_of("SELECT count(*) FROM stream"), MANY + 1);
        run_sql("DELETE FROM member; DELETE FROM stream");
    }
}

static void a_stream_that_is_lost_is_written_again(void **state)
{
    (void)state;
    fill(0);
    run_sql("DELETE FROM stream WHERE id % 2 = 0");
    cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    for (uint32_t n = 0; n < MANY; n++) {
        if (!has(cache, n, 1000 + n))
            put(cache, n, 1000 + n);
    }
    cache_settle(cache);
    for (uint32_t n = 0; n < MANY; n++)
        assert_true(has(cache, n, 1000 + n));
}

/* A reader that still knows the old stream says it is lost; the new one is none of its business. */
static void a_stream_that_was_written_anew_stays(void **state)
{
    cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    struct content_id id = id_of(1);
    struct cache_member member;
    struct taken taken = {.n = 1};

    (void)state;
    put(cache, 1, 100);
    cache_settle(cache);
    struct cache_reader *reader = cache_reader_begin(cache);
    assert_true(cache_find_member(reader, &id, &member));
    cache_reader_end(reader);
    run_sql("DELETE FROM member; DELETE FROM stream");
    put(cache, 1, 100);
    cache_settle(cache);
    reader = cache_reader_begin(cache);
    assert_false(cache_read_stream(reader, &id, &member, take, &taken));
    cache_reader_end(reader);
    cache_settle(cache);
    assert_true(has(cache, 1, 100));
}

static void what_cannot_be_written_keeps_no_one_else_from_writing(void **state)
{
    cleanup_cache struct cache *one = open_good(CACHE_SIZE_DEFAULT);
    cleanup_cache struct cache *two = open_good(CACHE_SIZE_DEFAULT);
    struct cache_put bad = {
        .id = id_of(1),
        .member = {.size = 10, .compressed_size = 10},
        .read = cannot_read,
        .release = release,
    };

    (void)state;
    released = 0;
    cache_put_member(one, &bad);
    cache_settle(one);
    assert_non_null(strstr(cache_fault(one), "cannot be read"));
    assert_int_equal(released, 1);
    put(one, 2, 100);
    assert_int_equal(released, 2);
    /* The batch went back, and with it the lock. */
    put(two, 3, 100);
    cache_settle(two);
    assert_null(cache_fault(two));
    assert_true(has(two, 3, 100));
    assert_false(has(two, 1, 10));
}

/* Overwrite all of the database but its first page. */
static void destroy(void)
{
    char path[64];
    char garbage[4096];
    struct stat status;

    database_path(path);
    memset(garbage, 0x5a, sizeof(garbage));
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &status), 0);
    for (off_t at = 16384; at < status.st_size; at += (off_t)sizeof(garbage))
        assert_int_equal(pwrite(fd, garbage, sizeof(garbage), at), sizeof(garbage));
}

static void a_request_that_meets_damage_does_not_wait(void **state)
{
    char path[64];

    (void)state;
    fill(0);
    struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    destroy();
    snprintf(path, sizeof(path), "%s/lock", folder);
    int lock = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    alarm(120); /* ends a test that waits for its own lock */
    assert_false(has(cache, 1, 1001));
    assert_non_null(strstr(cache_fault(cache), "damaged"));
    cache_settle(cache);
    /* It is set aside all the same. */
    close(lock);
    cache_close(cache);
    alarm(0);
    snprintf(path, sizeof(path), "%s/members.sqlite.damaged", folder);
    assert_int_equal(access(path, F_OK), 0);
    fill(0);
}

static void a_moment_without_descriptors_is_a_miss(void **state)
{
    struct cache *cache = cache_open(folder, 1 << 20, "test");
    struct rlimit limit;

    (void)state;
    assert_null(cache_fault(cache));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct cache_reader *reader = cache_reader_begin(cache);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_null(reader);
    assert_null(cache_fault(cache));
    reader = cache_reader_begin(cache);
    assert_non_null(reader);
    cache_reader_end(reader);
    cache_close(cache);
}

static void a_full_disk_is_one_fault(void **state)
{
    (void)state;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=400k,mode=0700") < 0)
        skip();
    struct cache *cache = cache_open(folder, CACHE_SIZE_DEFAULT, "test/1");
    assert_non_null(cache);
    released = 0;
    for (uint32_t n = 0; n < MANY; n++)
        put(cache, n, 10000);
    cache_settle(cache);
    assert_non_null(cache_fault(cache));
    assert_int_equal(released, MANY);
    assert_false(has(cache, 1, 10000));
    cache_close(cache);
    assert_int_equal(umount(folder), 0);
}

/* SQLite's: big-endian. */
static uint32_t get32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/*
 * How many transactions there are in the log: its frames that say how large the database is after
 * them. Format: https://sqlite.org/fileformat2.html#walformat.
 */
static unsigned transactions(void)
{
    unsigned char header[32];
    unsigned char frame[24];
    char path[64];
    char log[70];
    unsigned count = 0;

    database_path(path);
    snprintf(log, sizeof(log), "%s-wal", path);
    cleanup_fd int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return 0;
    off_t at = sizeof(header);
    for (; pread(fd, frame, sizeof(frame), at) == (ssize_t)sizeof(frame);
         at += (off_t)sizeof(frame) + get32(header + 8))
        count += memcmp(frame + 8, header + 16, 8) == 0 && get32(frame + 4) > 0;
    return count;
}

/* As the members of a first mount come. However long it takes, there is one in half a second. */
static void what_comes_one_by_one_is_written_together(void **state)
{
    enum { COUNT = 100 };
    cleanup_cache struct cache *cache = open_good(CACHE_SIZE_DEFAULT);
    const struct timespec moment = {.tv_nsec = 1000000};
    struct timespec begin;
    struct timespec end;

    (void)state;
    cache_settle(cache);
    unsigned before = transactions();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint32_t n = 0; n < COUNT; n++) {
        put(cache, n, 100);
        nanosleep(&moment, NULL);
    }
    cache_settle(cache);
    clock_gettime(CLOCK_MONOTONIC, &end);
    unsigned written = transactions() - before;
    assert_in_range(written, 1, 2 * (unsigned)(end.tv_sec - begin.tv_sec + 1) + 1);
    assert_true(has(cache, COUNT - 1, 100));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_is_found_here_and_later),
        TEST(a_fingerprint_leads_to_an_id),
        TEST(a_note_is_kept_until_there_is_another),
        TEST(notes_take_no_more_than_their_share),
        TEST(another_codec_is_another_key),
        TEST(no_cache_is_no_trouble),
        TEST(the_least_recently_used_goes_first),
        TEST(processes_write_side_by_side),
        TEST(a_writer_that_is_killed_leaves_a_good_database),
        TEST(flipped_bits_are_noticed_wherever_they_are),
        TEST(files_of_any_other_kind_are_set_aside_or_left_alone),
        TEST(a_folder_that_others_could_write_is_refused),
        TEST(a_folder_that_links_lead_to_is_as_good),
        TEST(a_folder_that_hosts_share_is_refused),
        TEST(a_database_without_a_log_is_refused),
        TEST(a_row_that_is_damaged_takes_no_other_with_it),
        TEST(a_stream_that_is_lost_is_written_again),
        TEST(a_stream_that_was_written_anew_stays),
        TEST(what_cannot_be_written_keeps_no_one_else_from_writing),
        TEST(a_request_that_meets_damage_does_not_wait),
        TEST(a_moment_without_descriptors_is_a_miss),
        TEST(a_full_disk_is_one_fault),
        TEST(what_comes_one_by_one_is_written_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
