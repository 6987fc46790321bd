#include "fixture.h"

#include "source_libgit2.h"
#include "source_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

/* How far the clock of this program is ahead, in seconds: time stamps become old at will. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    ret_time->tv_sec += ahead;
    return r;
}

struct test {
    struct fixture *fixture;
    char objects[80]; /* …/.git/objects */
    struct objects *all;
    struct reader *reader;
    git_oid id;     /* of a blob … */
    char path[128]; /* … that lies loose here */
};

static void absolute(const struct test *test, const char *name, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", test->fixture->root, name);
}

static void id_of_path(const char *path, git_oid *ret_id)
{
    char text[GIT_OID_HEXSZ + 1];
    const char *slash = strrchr(path, '/');

    snprintf(text, sizeof(text), "%.2s%s", slash - 2, slash + 1);
    assert_int_equal(git_oid_fromstr(ret_id, text), 0);
}

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));
    char folder[64];
    int r = fixture_setup(state);

    ahead = 0;
    test->fixture = *state;
    snprintf(folder, sizeof(folder), "%s/.git", test->fixture->root);
    snprintf(test->objects, sizeof(test->objects), "%s/objects", folder);
    fixture_object(test->fixture, "openpype/version.py", test->path);
    id_of_path(test->path, &test->id);
    assert_int_equal(objects_open(folder, &test->all, NULL), 0);
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    *state = test;
    return r;
}

static int teardown(void **state)
{
    struct test *test = *state;
    void *fixture = test->fixture;

    fixture_give_descriptors();
    reader_free(test->reader);
    objects_free(test->all);
    free(test);
    return fixture_teardown(&fixture);
}

/* Read the blob: what its failure means, and in which words. */
static int read_blob(const struct test *test, struct error *error)
{
    git_blob *blob = NULL;

    reader_begin(test->reader);
    int r = git_blob_lookup(&blob, test->reader->git, &test->id);
    if (r < 0)
        return reader_failure(test->reader, r, "version.py", error);
    assert_int_equal(test->reader->fault.code, 0);
    assert_int_equal(git_blob_rawsize(blob), 24);
    git_blob_free(blob);
    return 0;
}

static void expect(const struct test *test, int code, const char *words)
{
    struct error error = {0};

    int r = read_blob(test, &error);
    if (r != code)
        fail_msg("%d: %s", r, error.text);
    if (r < 0 && (strncmp(error.text, "version.py: ", 12) != 0 || !strstr(error.text, words)))
        fail_msg("%s", error.text);
}

static void overwrite(const struct test *test, const char *name, off_t offset, const char *bytes,
                      size_t size)
{
    char path[PATH_MAX];

    absolute(test, name, path);
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, offset), size);
    close(fd);
}

/* The one file of objects/pack that ends so. */
static void find_pack(const struct test *test, const char *end, char ret_name[static 128])
{
    char pattern[PATH_MAX];

    snprintf(pattern, sizeof(pattern), "cd %s && ls .git/objects/pack/*%s", test->fixture->root,
             end);
    FILE *stream = popen(pattern, "r");
    assert_non_null(stream);
    assert_non_null(fgets(ret_name, 128, stream));
    assert_int_equal(pclose(stream), 0);
    ret_name[strcspn(ret_name, "\n")] = '\0';
}

static void an_object_is_read_wherever_it_lies(void **state)
{
    struct test *test = *state;

    expect(test, 0, "");
    fixture_pack(test->fixture);
    expect(test, 0, "");
    /* By who has not read it before. */
    reader_free(test->reader);
    test->reader = NULL;
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    expect(test, 0, "");
}

static void an_object_that_is_nowhere_is_missing(void **state)
{
    struct test *test = *state;

    fixture_remove(test->fixture, test->path);
    expect(test, -EIO, "is missing from the repository: git fetch");
    assert_int_equal(test->reader->fault.code, -ENOENT);
    assert_true(git_oid_equal(&test->reader->fault.object, &test->id));
    fixture_pack(test->fixture);
    expect(test, -EIO, "is missing");
}

static void what_comes_back_is_read_and_moves_the_number(void **state)
{
    struct test *test = *state;
    char from[PATH_MAX];
    char to[PATH_MAX];

    absolute(test, test->path, from);
    absolute(test, "kept", to);
    assert_int_equal(rename(from, to), 0);
    ahead = 10;
    expect(test, -EIO, "is missing");
    uint64_t number = objects_healing(test->all);
    assert_int_equal(objects_healing(test->all), number);
    assert_int_equal(rename(to, from), 0);
    assert_true(objects_healing(test->all) > number);
    expect(test, 0, "");
    /* The other way round: it is read first. */
    assert_int_equal(rename(from, to), 0);
    expect(test, -EIO, "is missing");
    number = objects_healing(test->all);
    assert_int_equal(rename(to, from), 0);
    expect(test, 0, "");
    assert_true(objects_healing(test->all) > number);
}

static void a_pack_that_comes_moves_the_number(void **state)
{
    struct test *test = *state;
    char kept[PATH_MAX];
    char from[PATH_MAX];

    absolute(test, test->path, from);
    absolute(test, "kept", kept);
    assert_int_equal(rename(from, kept), 0);
    ahead = 10;
    expect(test, -EIO, "is missing");
    uint64_t number = objects_healing(test->all);
    assert_int_equal(rename(kept, from), 0);
    fixture_pack(test->fixture);
    assert_true(objects_healing(test->all) > number);
    expect(test, 0, "");
}

/* How often libgit2 or we have listed the folder of packs since the last call. */
static int count_listings(int watch)
{
    char events[4096];
    ssize_t n = read(watch, events, sizeof(events));

    return n < 0 && errno == EAGAIN ? 0 : (int)(n / (ssize_t)sizeof(struct inotify_event));
}

static void what_is_missing_is_not_looked_for_again_before_something_changes(void **state)
{
    struct test *test = *state;
    char path[PATH_MAX];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    absolute(test, ".git/objects/pack", path);
    assert_true(inotify_add_watch(watch, path, IN_OPEN) > 0);
    fixture_remove(test->fixture, test->path);
    ahead = 10;
    expect(test, -EIO, "is missing");
    assert_true(count_listings(watch) > 0);
    uint64_t number = objects_healing(test->all);
    for (int i = 0; i < 10; i++) {
        expect(test, -EIO, "is missing");
        assert_int_equal(objects_healing(test->all), number);
    }
    /* By another reader neither. */
    cleanup_reader struct reader *other = NULL;
    assert_int_equal(reader_new(test->all, &other, NULL), 0);
    (void)count_listings(watch);
    git_blob *blob = NULL;
    assert_int_equal(git_blob_lookup(&blob, other->git, &test->id), GIT_ENOTFOUND);
    assert_int_equal(other->fault.code, -ENOENT);
    assert_int_equal(count_listings(watch), 0);
    absolute(test, ".git/objects/pack/tmp_pack", path);
    assert_int_equal(close(creat(path, 0644)), 0);
    expect(test, -EIO, "is missing");
    assert_true(count_listings(watch) > 0);
    assert_true(objects_healing(test->all) > number);
    close(watch);
}

static void while_time_stamps_are_young_it_is_looked_for_every_time(void **state)
{
    struct test *test = *state;

    fixture_remove(test->fixture, test->path);
    expect(test, -EIO, "is missing");
    uint64_t number = objects_healing(test->all);
    expect(test, -EIO, "is missing");
    assert_true(objects_healing(test->all) > number);
}

static void a_damaged_object_is_damaged_until_it_is_mended(void **state)
{
    struct test *test = *state;
    char path[PATH_MAX];
    char good[1024];
    struct stat status;

    absolute(test, test->path, path);
    assert_int_equal(stat(path, &status), 0);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, good, sizeof(good)), status.st_size);
    close(fd);
    for (off_t at = 0; at < status.st_size; at++) {
        char byte = (char)(good[at] ^ 0x11);
        overwrite(test, test->path, at, &byte, 1);
        expect(test, -EIO, "cannot be read: ");
        overwrite(test, test->path, at, &good[at], 1);
    }
    /* In place: neither a name nor a size is another. */
    ahead = 10;
    char byte = (char)(good[5] ^ 0x11);
    overwrite(test, test->path, 5, &byte, 1);
    ahead = 20;
    expect(test, -EIO, "cannot be read: ");
    uint64_t number = objects_healing(test->all);
    overwrite(test, test->path, 5, &good[5], 1);
    assert_true(objects_healing(test->all) > number);
    expect(test, 0, "");
    assert_int_equal(truncate(path, 0), 0);
    expect(test, -EIO, "cannot be read: ");
}

static void what_is_in_a_damaged_pack_is_damaged(void **state)
{
    struct test *test = *state;
    static const char garbage[20] = "garbage";
    char pack[128];
    char index[128];
    char path[PATH_MAX];
    struct stat status;

    fixture_pack(test->fixture);
    find_pack(test, ".pack", pack);
    find_pack(test, ".idx", index);
    /* Its checksum, which its index tells too. */
    absolute(test, pack, path);
    assert_int_equal(stat(path, &status), 0);
    overwrite(test, pack, status.st_size - 20, garbage, 20);
    expect(test, -EIO, "damaged");
    /* The index itself: nobody knows what it named. */
    absolute(test, index, path);
    assert_int_equal(truncate(path, 500), 0);
    expect(test, -EIO, "damaged");
    /* Without its pack it counts for nothing. */
    fixture_remove(test->fixture, pack);
    expect(test, -EIO, "");
}

static void without_descriptors_it_is_only_not_there_at_the_moment(void **state)
{
    struct test *test = *state;

    for (int packed = 0; packed < 2; packed++) {
        fixture_take_descriptors(0);
        expect(test, -EMFILE, "cannot be read now: ");
        assert_int_equal(objects_healing(test->all), 0);
        struct reader *none = NULL;
        assert_int_equal(reader_new(test->all, &none, NULL), -EMFILE);
        fixture_give_descriptors();
        expect(test, 0, "");
        if (packed)
            break;
        fixture_pack(test->fixture);
        reader_free(test->reader);
        test->reader = NULL;
        assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    }
    /* A pack that is open needs none. */
    fixture_take_descriptors(0);
    expect(test, 0, "");
    fixture_give_descriptors();
}

static void an_object_that_may_not_be_read_is_not_missing(void **state)
{
    struct test *test = *state;
    char path[PATH_MAX];
    struct error error = {0};
    bool is_root = geteuid() == 0;

    absolute(test, test->path, path);
    assert_int_equal(chmod(path, 0), 0);
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    int r = read_blob(test, &error);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    if (!error_is_transient(r) || !strstr(error.text, path) ||
        !strstr(error.text, "Permission denied"))
        fail_msg("%d: %s", r, error.text);
    assert_int_equal(objects_healing(test->all), 0);
}

/* Whatever byte of them is another one. */
static void a_damaged_pack_never_gives_other_bytes(void **state)
{
    struct test *test = *state;
    char names[2][128];

    fixture_pack(test->fixture);
    find_pack(test, ".pack", names[0]);
    find_pack(test, ".idx", names[1]);
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        char bytes[16384];
        absolute(test, names[i], path);
        int fd = open(path, O_RDONLY);
        ssize_t size = read(fd, bytes, sizeof(bytes));
        assert_true(size > 0 && size < (ssize_t)sizeof(bytes));
        close(fd);
        for (ssize_t at = 0; at < size; at++) {
            struct error error = {0};
            char byte = (char)(bytes[at] ^ (at % 2 ? 0x80 : 0x11));
            overwrite(test, names[i], at, &byte, 1);
            reader_free(test->reader);
            test->reader = NULL;
            assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
            /* It may be whole: what is damaged is another. */
            int r = read_blob(test, &error);
            if (r != 0 && r != -EIO)
                fail_msg("byte %zd: %d: %s", at, r, error.text);
            overwrite(test, names[i], at, &bytes[at], 1);
        }
        expect(test, 0, "");
    }
}

static void alternates_count_as_well(void **state)
{
    struct test *test = *state;
    struct fixture other = *test->fixture;
    char line[PATH_MAX];
    char path[PATH_MAX];
    char moved[PATH_MAX];

    /* objects/info/alternates -> ../../elsewhere (relative), which has a list of its own. */
    fixture_write(&other, "elsewhere/info/alternates", "# a comment\n\n/nowhere\n");
    fixture_write(&other, "elsewhere/xx", "");
    snprintf(path, sizeof(path), "%s/elsewhere/%.2s", other.root, test->path + 13);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(moved, sizeof(moved), "%s/elsewhere/%s", other.root, test->path + 13);
    absolute(test, test->path, path);
    assert_int_equal(rename(path, moved), 0);
    expect(test, -EIO, "is missing");
    fixture_write(&other, ".git/objects/info/alternates", "../../elsewhere\n");
    expect(test, 0, "");
    snprintf(line, sizeof(line), "%s/elsewhere\n%s/elsewhere\n", other.root, other.root);
    fixture_write(&other, ".git/objects/info/alternates", line);
    reader_free(test->reader);
    test->reader = NULL;
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    assert_int_equal(test->reader->stores->count, 2);
    expect(test, 0, "");
    assert_int_equal(unlink(moved), 0);
    expect(test, -EIO, "is missing");
}

static void an_id_can_be_found_by_how_it_begins(void **state)
{
    struct test *test = *state;
    struct stores *stores = NULL;
    size_t count = 0;
    git_oid found;

    assert_int_equal(stores_open(test->objects, &stores, NULL), 0);
    for (int packed = 0; packed < 2; packed++) {
        for (size_t length = 4; length <= GIT_OID_HEXSZ; length += 9) {
            git_oid prefix = {{0}};
            char text[GIT_OID_HEXSZ + 1];
            git_oid_tostr(text, sizeof(text), &test->id);
            assert_int_equal(git_oid_fromstrn(&prefix, text, length), 0);
            assert_int_equal(stores_find(stores, &prefix, length, &found, 1, &count, NULL), 0);
            assert_true(git_oid_equal(&found, &test->id));
            prefix.id[1] ^= 0x10;
            assert_int_equal(stores_find(stores, &prefix, length, &found, 1, &count, NULL),
                             -ENOENT);
            fixture_take_descriptors(0);
            int r = stores_find(stores, &prefix, length, &found, 1, &count, NULL);
            fixture_give_descriptors();
            assert_int_equal(r, -EMFILE);
        }
        fixture_pack(test->fixture);
    }
    stores_unref(stores);
}

/* Blobs until two ids begin with the same four digits. */
static void two_with_one_beginning_are_told_apart(void **state)
{
    struct test *test = *state;
    static uint32_t seen[0x10000];
    git_repository *repository = NULL;
    struct stores *stores = NULL;
    size_t count = 0;
    git_oid found;
    git_oid prefix = {{0}};
    git_oid id;
    uint32_t i = 0;
    unsigned start;

    assert_int_equal(git_repository_open(&repository, test->fixture->root), 0);
    memset(seen, 0, sizeof(seen));
    do {
        i++;
        assert_int_equal(git_odb_hash(&id, &i, sizeof(i), GIT_OBJECT_BLOB), 0);
        start = (unsigned)id.id[0] << 8 | id.id[1];
        if (seen[start] == 0)
            seen[start] = i;
    } while (seen[start] == i);
    memcpy(prefix.id, id.id, 2);
    assert_int_equal(stores_open(test->objects, &stores, NULL), 0);
    /* Both loose, then one packed, then both, each in a pack of its own. */
    assert_int_equal(git_blob_create_from_buffer(&id, repository, &seen[start], sizeof(i)), 0);
    assert_int_equal(stores_find(stores, &prefix, 4, &found, 1, &count, NULL), 0);
    assert_int_equal(git_blob_create_from_buffer(&id, repository, &i, sizeof(i)), 0);
    assert_int_equal(stores_find(stores, &prefix, 4, &found, 1, &count, NULL), 0);
    assert_true(count > 1);
    assert_int_equal(stores_find(stores, &id, GIT_OID_HEXSZ, &found, 1, &count, NULL), 0);
    fixture_pack(test->fixture);
    assert_int_equal(stores_find(stores, &prefix, 4, &found, 1, &count, NULL), 0);
    assert_true(count > 1);
    git_object *object = NULL;
    assert_int_equal(
        git_object_lookup_prefix(&object, test->reader->git, &prefix, 4, GIT_OBJECT_ANY),
        GIT_EAMBIGUOUS);
    assert_int_equal(git_object_lookup_prefix(&object, test->reader->git, &id, 12, GIT_OBJECT_ANY),
                     0);
    assert_true(git_oid_equal(git_object_id(object), &id));
    git_object_free(object);
    stores_unref(stores);
    git_repository_free(repository);
}

static void words_of_libgit2_become_an_errno(void **state)
{
    (void)state;
    static const struct {
        int class;
        int code;
        const char *text;
        int expected;
    } cases[] = {
        {GIT_ERROR_OS, GIT_ERROR, "could not open 'x': Too many open files", -EMFILE},
        {GIT_ERROR_OS, GIT_ERROR, "could not open 'x': Too many open files in system", -ENFILE},
        {GIT_ERROR_OS, GIT_ERROR, "mmap: Cannot allocate memory", -ENOMEM},
        {GIT_ERROR_OS, GIT_ERROR, "read: Interrupted system call", -EINTR},
        {GIT_ERROR_OS, GIT_ERROR, "read: Input/output error", -EAGAIN},
        {GIT_ERROR_OS, GIT_ELOCKED, "failed open - 'x' is locked: Permission denied", -EAGAIN},
        {GIT_ERROR_OS, GIT_ERROR, "invalid packfile 'x': ", -EAGAIN},
        {GIT_ERROR_NOMEMORY, GIT_ERROR, "Out of memory", -ENOMEM},
        {GIT_ERROR_ODB, GIT_ENOTFOUND, "object not found - no match for id", -EIO},
        {GIT_ERROR_ODB, GIT_EMISMATCH, "object hash mismatch", -EIO},
        {GIT_ERROR_ODB, GIT_ERROR, "failed to inflate loose object", -EIO},
        {GIT_ERROR_ZLIB, GIT_ERROR, "incorrect data check", -EIO},
        {GIT_ERROR_ZLIB, GIT_ERROR, "failed to init zlib stream on unpack", -ENOMEM},
        {GIT_ERROR_OBJECT, GIT_ERROR, "failed to parse loose object: invalid header", -EIO},
        {GIT_ERROR_TREE, GIT_ERROR, "failed to parse tree", -EIO},
        {GIT_ERROR_REFERENCE, GIT_ERROR, "corrupted loose reference file: x", -EIO},
        {GIT_ERROR_THREAD, GIT_ERROR, "unable to lock mwindow mutex", -EAGAIN},
        {GIT_ERROR_FILTER, GIT_ERROR, "what this is nobody knows", -EAGAIN},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        git_error_set_str(cases[i].class, cases[i].text);
        if (source_git_failure(cases[i].code) != cases[i].expected)
            fail_msg("%s: %d", cases[i].text, source_git_failure(cases[i].code));
    }
    git_error_clear();
    assert_int_equal(source_git_failure(GIT_ERROR), -EAGAIN);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_read_wherever_it_lies),
        TEST(an_object_that_is_nowhere_is_missing),
        TEST(what_comes_back_is_read_and_moves_the_number),
        TEST(a_pack_that_comes_moves_the_number),
        TEST(what_is_missing_is_not_looked_for_again_before_something_changes),
        TEST(while_time_stamps_are_young_it_is_looked_for_every_time),
        TEST(a_damaged_object_is_damaged_until_it_is_mended),
        TEST(what_is_in_a_damaged_pack_is_damaged),
        TEST(without_descriptors_it_is_only_not_there_at_the_moment),
        TEST(an_object_that_may_not_be_read_is_not_missing),
        TEST(a_damaged_pack_never_gives_other_bytes),
        TEST(alternates_count_as_well),
        TEST(an_id_can_be_found_by_how_it_begins),
        TEST(two_with_one_beginning_are_told_apart),
        TEST(words_of_libgit2_become_an_errno),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
