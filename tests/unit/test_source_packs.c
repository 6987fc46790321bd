/* Packs that nobody's Git would write, and packs that come, go and are mended under a reader. */
#include "fixture.h"

#include "source_attributes_table.h"
#include "source_delta.h"
#include "source_reader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <git2/sys/odb_backend.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <zlib.h>

#include <cmocka.h>

/* How far the clock of this program is ahead, in seconds: time stamps become old at will. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = (int)syscall(SYS_clock_gettime, clock, ret_time);

    ret_time->tv_sec += ahead;
    return r;
}

/* What is asked for at once and more than this is not there. */
static size_t memory = SIZE_MAX;

void *git_odb_backend_data_alloc(git_odb_backend *backend, size_t size)
{
    void *(*original)(git_odb_backend *, size_t) =
        (void *(*)(git_odb_backend *, size_t))dlsym(RTLD_NEXT, "git_odb_backend_data_alloc");

    return size > memory ? NULL : original(backend, size);
}

struct test {
    struct fixture *fixture;
    struct objects *all;
    struct reader *reader;
};

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));
    char folder[64];
    int r = fixture_setup(state);

    ahead = 0;
    memory = SIZE_MAX;
    test->fixture = *state;
    snprintf(folder, sizeof(folder), "%s/.git", test->fixture->root);
    assert_int_equal(objects_open(folder, &test->all, NULL), 0);
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    *state = test;
    return r;
}

static int teardown(void **state)
{
    struct test *test = *state;
    void *fixture = test->fixture;

    reader_free(test->reader);
    objects_free(test->all);
    free(test);
    return fixture_teardown(&fixture);
}

static int read_with(struct reader *reader, const git_oid *id, struct error *error)
{
    git_blob *blob = NULL;

    reader_begin(reader);
    int r = git_blob_lookup(&blob, reader->git, id);
    git_blob_free(blob);
    return r < 0 ? reader_failure(reader, r, "it", error) : 0;
}

static void expect(const struct test *test, const git_oid *id, int code, const char *words)
{
    struct error error = {0};

    int r = read_with(test->reader, id, &error);
    if (r != code || (r < 0 && !strstr(error.text, words)))
        fail_msg("%d: %s", r, error.text);
}

/* --- Packs, byte by byte ------------------------------------------------------------------------
 */

struct object {
    git_oid id;
    unsigned type;    /* 3: a blob; 6, 7: deltas */
    uint64_t claimed; /* its size, as its header says */
    const void *base; /* bytes between header and stream */
    size_t base_size;
    const void *content;
    size_t size;
    size_t cut; /* bytes that its stream lacks */
};

struct bytes {
    unsigned char at[8192];
    size_t size;
};

static void append(struct bytes *bytes, const void *more, size_t size)
{
    assert_true(bytes->size + size <= sizeof(bytes->at));
    if (size > 0)
        memcpy(bytes->at + bytes->size, more, size);
    bytes->size += size;
}

static void append_number(struct bytes *bytes, uint32_t number)
{
    unsigned char big[] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                           (unsigned char)(number >> 8), (unsigned char)number};

    append(bytes, big, sizeof(big));
}

static void append_object(struct bytes *bytes, const struct object *object)
{
    unsigned char stream[4096];
    uLongf size = sizeof(stream);
    uint64_t rest = object->claimed >> 4;
    unsigned char byte = (unsigned char)(object->type << 4 | (object->claimed & 15));

    for (; rest; rest >>= 7) {
        unsigned char more = byte | 0x80;
        append(bytes, &more, 1);
        byte = rest & 0x7f;
    }
    append(bytes, &byte, 1);
    append(bytes, object->base, object->base_size);
    assert_int_equal(compress(stream, &size, object->content, object->size), Z_OK);
    append(bytes, stream, size - object->cut);
}

static void write_bytes(const struct test *test, const char *name, const struct bytes *bytes)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/.git/objects/pack/%s", test->fixture->root, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes->at, 1, bytes->size, file), bytes->size);
    assert_int_equal(fclose(file), 0);
}

/* The objects are sorted by their ids. */
static void write_pack(const struct test *test, const struct object *objects, uint32_t count)
{
    static const unsigned char trailer[20] = "as both have it";
    struct bytes pack = {.size = 0};
    struct bytes index = {.size = 0};
    uint32_t offsets[8];

    append(&pack, "PACK", 4);
    append_number(&pack, 2);
    append_number(&pack, count);
    for (uint32_t i = 0; i < count; i++) {
        offsets[i] = (uint32_t)pack.size;
        append_object(&pack, &objects[i]);
    }
    append(&pack, trailer, sizeof(trailer));
    append(&index, "\377tOc\0\0\0\2", 8);
    for (unsigned first = 0; first < 256; first++) {
        uint32_t below = 0;
        while (below < count && objects[below].id.id[0] <= first)
            below++;
        append_number(&index, below);
    }
    for (uint32_t i = 0; i < count; i++)
        append(&index, objects[i].id.id, GIT_OID_RAWSZ);
    for (uint32_t i = 0; i < count; i++)
        append_number(&index, 0);
    for (uint32_t i = 0; i < count; i++)
        append_number(&index, offsets[i]);
    append(&index, trailer, sizeof(trailer));
    append(&index, trailer, sizeof(trailer));
    write_bytes(test, "pack-made.pack", &pack);
    write_bytes(test, "pack-made.idx", &index);
}

static git_oid id_of(unsigned char byte)
{
    git_oid id;

    memset(id.id, byte, sizeof(id.id));
    return id;
}

/* "Make 5 bytes of the first 5 of 5." */
static const char delta[] = "\x05\x05\x90\x05";

static void a_circle_of_deltas_is_damage(void **state)
{
    const struct test *test = *state;
    git_oid a = id_of(0x11);
    git_oid b = id_of(0x22);
    struct object circle[] = {
        {.id = a,
         .type = 7,
         .claimed = 4,
         .base = b.id,
         .base_size = 20,
         .content = delta,
         .size = 4},
        {.id = b,
         .type = 7,
         .claimed = 4,
         .base = a.id,
         .base_size = 20,
         .content = delta,
         .size = 4},
    };

    write_pack(test, circle, 2);
    expect(test, &a, -EIO, "damaged");
    /* By a way down and one up again: b is a delta against what lies before it, which is a. */
    unsigned char distance = 33;
    circle[1] = (struct object){.id = b,
                                .type = 6,
                                .claimed = 4,
                                .base = &distance,
                                .base_size = 1,
                                .content = delta,
                                .size = 4};
    write_pack(test, circle, 2);
    expect(test, &a, -EIO, "damaged");
    expect(test, &b, -EIO, "damaged");
}

static void a_delta_against_another_size_is_damage(void **state)
{
    const struct test *test = *state;
    git_oid a = id_of(0x11);
    git_oid b = id_of(0x22);
    struct object objects[] = {
        {.id = a, .type = 3, .claimed = 7, .content = "seven..", .size = 7},
        {.id = b,
         .type = 7,
         .claimed = 4,
         .base = a.id,
         .base_size = 20,
         .content = delta,
         .size = 4},
    };

    write_pack(test, objects, 2);
    expect(test, &b, -EIO, "cannot be read: ");
}

static void a_stream_that_ends_too_early_is_damage(void **state)
{
    struct test *test = *state;
    char content[3000];
    struct object object = {
        .type = 3, .claimed = sizeof(content), .content = content, .size = sizeof(content)};

    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (char)(i * i >> 3);
    assert_int_equal(git_odb_hash(&object.id, content, sizeof(content), GIT_OBJECT_BLOB), 0);
    write_pack(test, &object, 1);
    expect(test, &object.id, 0, "");
    for (object.cut = 1; object.cut < 60; object.cut += 7) {
        write_pack(test, &object, 1);
        reader_free(test->reader);
        test->reader = NULL;
        assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
        expect(test, &object.id, -EIO, "cannot be read: ");
    }
}

static void a_size_that_cannot_be_is_damage(void **state)
{
    const struct test *test = *state;
    struct object object = {.type = 3, .claimed = UINT64_C(1) << 46, .content = "hello", .size = 5};

    assert_int_equal(git_odb_hash(&object.id, "hello", 5, GIT_OBJECT_BLOB), 0);
    write_pack(test, &object, 1);
    expect(test, &object.id, -EIO, "damaged");
}

/* A pack of a large object, and a large delta against a small one. */
static void write_large(const struct test *test, uint64_t claimed, uint64_t claimed_by_delta)
{
    static const char zeros[2001];
    char copies[2001] = "\x07\xd1\x36"; /* 7 bytes of 7, again and again: 6,993 */
    git_oid ids[] = {id_of(0x11), id_of(0x22), id_of(0x33)};
    struct object objects[] = {
        {.id = ids[0], .type = 3, .claimed = claimed, .content = zeros, .size = sizeof(zeros)},
        {.id = ids[1], .type = 3, .claimed = 7, .content = "seven..", .size = 7},
        {.id = ids[2],
         .type = 7,
         .claimed = claimed_by_delta,
         .base = ids[1].id,
         .base_size = 20,
         .content = copies,
         .size = sizeof(copies)},
    };

    for (size_t at = 3; at < sizeof(copies); at += 2)
        memcpy(copies + at, "\x90\x07", 2);
    write_pack(test, objects, 3);
}

static void a_size_that_is_a_lie_is_damage_also_without_the_memory_for_it(void **state)
{
    static const uint64_t lies[] = {2000, 2002, 20000};
    const struct test *test = *state;
    git_oid whole = id_of(0x11);
    git_oid delta_id = id_of(0x33);

    write_large(test, 2001, 2001);
    expect(test, &whole, -EIO, "its content is not what its id says");
    expect(test, &delta_id, -EIO, "its content is not what its id says");
    memory = 1000;
    expect(test, &whole, -ENOMEM, "cannot be read now: ");
    expect(test, &delta_id, -ENOMEM, "cannot be read now: ");
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        write_large(test, lies[i], lies[i]);
        expect(test, &whole, -EIO, "its pack is damaged");
        expect(test, &delta_id, -EIO, "its pack is damaged");
    }
}

static void whether_it_is_a_lie_is_not_looked_at_for_ever(void **state)
{
    struct test *test = *state;
    git_oid whole = id_of(0x11);

    write_large(test, 2001, 2001);
    ahead = 10; /* so that all readers share the pack */
    reader_free(test->reader);
    test->reader = NULL;
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    assert_int_equal(test->reader->pack_count, 1);
    memory = 1000;
    test->reader->packs[0]->objects.limits.work = 2001;
    expect(test, &whole, -ENOMEM, "cannot be read now: ");
    test->reader->packs[0]->objects.limits.work = 2000;
    expect(test, &whole, -EIO, "than is allowed; ");
}

/* A pack of an object of 7 bytes, and three deltas one after the other: shorter ones, a longer one.
 */
static void open_chain(const struct test *test, struct pack_index *ret_index, struct bases *bases,
                       struct packed *ret_pack)
{
    git_oid ids[] = {id_of(0x11), id_of(0x22), id_of(0x33), id_of(0x44)};
    struct object objects[] = {
        {.id = ids[0], .type = 3, .claimed = 7, .content = "seven..", .size = 7},
        {.id = ids[1],
         .type = 7,
         .claimed = 4,
         .base = ids[0].id,
         .base_size = 20,
         .content = "\x07\x05\x90\x05",
         .size = 4},
        {.id = ids[2],
         .type = 7,
         .claimed = 4,
         .base = ids[1].id,
         .base_size = 20,
         .content = "\x05\x03\x90\x03",
         .size = 4},
        {.id = ids[3],
         .type = 7,
         .claimed = 6,
         .base = ids[2].id,
         .base_size = 20,
         .content = "\x03\x06\x90\x03\x90\x03",
         .size = 6},
    };
    char path[PATH_MAX];
    struct stat status;

    write_pack(test, objects, 4);
    snprintf(path, sizeof(path), "%s/.git/objects/pack/pack-made.idx", test->fixture->root);
    assert_int_equal(pack_index_open(path, ret_index, NULL), 0);
    int fd = open(ret_index->pack, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    packed_begin(ret_index, (uint64_t)status.st_size, bases, ret_pack);
    ret_pack->fd = fd;
    /* What Git writes of itself is within, and what costs hours is not. */
    assert_in_range(ret_pack->limits.links, 4095, 10000);
    assert_in_range(ret_pack->limits.object, UINT64_C(512) << 20, UINT64_C(1) << 30);
    assert_in_range(ret_pack->limits.work, 50 * (UINT64_C(512) << 20), UINT64_C(32) << 30);
}

/* What comes of reading object `which` of that pack within these limits. */
static int read_within(const struct test *test, unsigned char which, struct packed_limits limits)
{
    cleanup_pack_index struct pack_index index = {.fd = -1};
    struct packed pack;
    struct bases *bases = bases_new();
    struct raw_object raw = {.bytes = NULL};
    git_oid id = id_of(which);
    uint64_t offset;

    assert_non_null(bases);
    open_chain(test, &index, bases, &pack);
    pack.limits = limits;
    assert_int_equal(packed_find(&pack, &id, &offset, NULL), 0);
    int r = packed_read(&pack, offset, &test->reader->backend, &raw, NULL);
    if (r == 0)
        assert_string_equal(raw.bytes, which == 0x11 ? "seven.." : "sevsev");
    git_odb_backend_data_free(&test->reader->backend, raw.bytes);
    close(pack.fd);
    packed_end(&pack);
    bases_unref(bases);
    return r;
}

static void what_a_chain_may_ask_for_is_limited(void **state)
{
    const struct test *test = *state;
    /* The object, the deltas, and what they make. */
    const struct packed_limits exact = {.links = 3, .object = 7, .work = 7 + 4 + 5 + 4 + 3 + 6 + 6};
    struct packed_limits limits = exact;

    assert_int_equal(read_within(test, 0x44, exact), 0);
    limits.links--;
    assert_int_equal(read_within(test, 0x44, limits), PACK_DAMAGED);
    limits = exact;
    limits.object--;
    assert_int_equal(read_within(test, 0x44, limits), PACK_EXCESSIVE);
    limits = exact;
    limits.work--;
    assert_int_equal(read_within(test, 0x44, limits), PACK_EXCESSIVE);
    /* What is no delta is as large as it is in the pack. */
    limits = (struct packed_limits){.links = 0, .object = 1, .work = 1};
    assert_int_equal(read_within(test, 0x11, limits), 0);
}

/* What a delta does with a base of seven bytes. */
static void expect_delta(const struct test *test, const char *bytes, size_t size,
                         const char *result)
{
    git_oid a = id_of(0x11);
    struct object objects[] = {
        {.id = a, .type = 3, .claimed = 7, .content = "seven..", .size = 7},
        {.id = id_of(0x22),
         .type = 7,
         .claimed = size,
         .base = a.id,
         .base_size = 20,
         .content = bytes,
         .size = size},
    };

    if (result)
        assert_int_equal(git_odb_hash(&objects[1].id, result, strlen(result), GIT_OBJECT_BLOB), 0);
    /* It is to lie behind its base in the index. */
    a.id[0] = objects[1].id.id[0] / 2;
    objects[0].id = a;
    write_pack(test, objects, 2);
    expect(test, &objects[1].id, result ? 0 : -EIO, result ? "" : "its pack is damaged");
}

static void a_delta_does_what_it_says_or_is_damage(void **state)
{
    const struct test *test = *state;

#define DELTA(bytes, result) expect_delta(test, bytes, sizeof(bytes) - 1, result)
    DELTA("\x07\x05\x90\x05", "seven");
    DELTA("\x07\x06\x91\x05\x02\x04"
          "ight",
          "..ight");
    DELTA("\x07\x04\x93\x01\x00\x04", "even");
    DELTA("\x07\x00", "");
    DELTA("\x07\x05\x90\x04", NULL);     /* less than it says */
    DELTA("\x07\x05\x90\x06", NULL);     /* more */
    DELTA("\x06\x05\x90\x05", NULL);     /* of another base */
    DELTA("\x07\x08\x90\x08", NULL);     /* more than the base has */
    DELTA("\x07\x05\x91\x03\x05", NULL); /* from its middle */
    DELTA("\x07\x05\x9f\xff\xff\xff\xff\x05", NULL);
    DELTA("\x07\x05\x80", NULL); /* 64 KiB of it */
    DELTA("\x07\x05\x90", NULL); /* that ends */
    DELTA("\x07\x05\x05"
          "fou",
          NULL);
    DELTA("\x07\x05\x00\x90\x05", NULL); /* the reserved instruction */
    DELTA("\x07", NULL);
    DELTA("\x87\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x05\x90\x05", NULL);
#undef DELTA
}

/* Behind the end of the address space, where UBSan sees it. */
static void no_address_is_formed_of_an_offset_outside_the_base(void **state)
{
    static const unsigned char far[] = "\x07\x05\x9f\xff\xff\xff\xff\x05";
    struct delta copy = {
        .bytes = far,
        .size = sizeof(far) - 1,
        .base = (const unsigned char *)(UINTPTR_MAX - 7), // NOLINT(performance-no-int-to-ptr)
        .base_size = 7,
    };
    size_t size;

    (void)state;
    assert_false(delta_check(&copy, &size));
}

/* --- Packs that change --------------------------------------------------------------------------
 */

static void find_pack(const struct test *test, const char *end, char ret_path[static PATH_MAX])
{
    char command[PATH_MAX];

    snprintf(command, sizeof(command), "ls %s/.git/objects/pack/*%s", test->fixture->root, end);
    FILE *stream = popen(command, "r");
    assert_non_null(stream);
    assert_non_null(fgets(ret_path, PATH_MAX, stream));
    assert_int_equal(pclose(stream), 0);
    ret_path[strcspn(ret_path, "\n")] = '\0';
}

static void patch(const char *path, off_t offset, char *ret_before, char byte)
{
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, ret_before, 1, offset), 1);
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void blob_of(const struct test *test, const char *path, git_oid *ret_id)
{
    char file[128];
    char text[GIT_OID_HEXSZ + 1];

    fixture_object(test->fixture, path, file);
    const char *slash = strrchr(file, '/');
    snprintf(text, sizeof(text), "%.2s%s", slash - 2, slash + 1);
    assert_int_equal(git_oid_fromstr(ret_id, text), 0);
}

/* Damage every object's stream: a byte in each eight. Returns what it was. */
static size_t damage(const char *path, char *before)
{
    struct stat status;
    size_t count = 0;

    assert_int_equal(stat(path, &status), 0);
    for (off_t at = 16; at < status.st_size - 20; at += 8) {
        patch(path, at, &before[count], 0);
        count++;
    }
    return count;
}

static void a_pack_that_is_mended_in_place_is_read(void **state)
{
    const struct test *test = *state;
    char path[PATH_MAX];
    char before[2048];
    char ignored;
    git_oid id;

    blob_of(test, "openpype/version.py", &id);
    fixture_pack(test->fixture);
    find_pack(test, ".pack", path);
    size_t count = damage(path, before);
    ahead = 10;
    expect(test, &id, -EIO, "cannot be read: ");
    uint64_t number = objects_healing(test->all);
    expect(test, &id, -EIO, "cannot be read: ");
    assert_int_equal(objects_healing(test->all), number);
    for (size_t i = 0; i < count; i++)
        patch(path, (off_t)(16 + 8 * i), &ignored, before[i]);
    assert_true(objects_healing(test->all) > number);
    expect(test, &id, 0, "");
}

/* Where in an index of version 2 the id of an object is. */
static off_t place_of(const char *path, const git_oid *id)
{
    unsigned char bytes[8192];
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    const unsigned char *found = memmem(bytes, size, id->id, GIT_OID_RAWSZ);
    assert_non_null(found);
    return found - bytes;
}

/* Another byte, at a time that can be told from the last change. */
static void patch_later(const char *path, off_t offset, char byte)
{
    struct stat before;
    struct stat now;
    char ignored;

    assert_int_equal(stat(path, &before), 0);
    do {
        patch(path, offset, &ignored, byte);
        assert_int_equal(stat(path, &now), 0);
    } while (now.st_mtim.tv_sec == before.st_mtim.tv_sec &&
             now.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

/* A bit of an id in an index: ids are in order all the same. */
static void an_object_whose_id_is_damaged_is_not_missing(void **state)
{
    struct test *test = *state;
    git_oid absent = id_of(0x77);
    char path[PATH_MAX];
    git_oid id;

    blob_of(test, "openpype/version.py", &id);
    fixture_pack(test->fixture);
    find_pack(test, ".idx", path);
    off_t place = place_of(path, &id) + GIT_OID_RAWSZ - 1;
    char byte = (char)id.id[GIT_OID_RAWSZ - 1];
    ahead = 10;
    /* At first none of it was read yet, and then it was found whole. */
    for (int i = 0; i < 2; i++) {
        patch_later(path, place, (char)(byte ^ 1));
        expect(test, &id, -EIO, "a pack or its index is damaged");
        uint64_t number = objects_healing(test->all);
        expect(test, &id, -EIO, "a pack or its index is damaged");
        assert_int_equal(objects_healing(test->all), number);
        patch_later(path, place, byte);
        assert_true(objects_healing(test->all) > number);
        expect(test, &id, 0, "");
        expect(test, &absent, -EIO, "is missing");
    }
}

static void overwrite(const char *path, const char *bytes, size_t size)
{
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* While a reader has it open: at every length, and then whole again. */
static void what_is_cut_while_it_is_open_is_damage_until_it_is_whole(void **state)
{
    static const char *const ends[] = {".pack", ".idx"};
    const struct test *test = *state;
    char path[PATH_MAX];
    char whole[8192];
    git_oid id;

    blob_of(test, "openpype/version.py", &id);
    fixture_pack(test->fixture);
    for (size_t i = 0; i < 2; i++) {
        find_pack(test, ends[i], path);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        size_t size = fread(whole, 1, sizeof(whole), file);
        assert_true(size > 100 && size < sizeof(whole));
        fclose(file);
        for (size_t length = 0; length < size; length += 1 + size / 50) {
            struct error error = {0};
            expect(test, &id, 0, "");
            overwrite(path, whole, length);
            int r = read_with(test->reader, &id, &error);
            if (r != 0 && (r != -EIO || !strstr(error.text, "damaged")))
                fail_msg("%d: %s", r, error.text);
            assert_true(r == -EIO || length > 40);
            overwrite(path, whole, size);
            ahead += 10;
        }
        expect(test, &id, 0, "");
    }
}

/* With other readers that go on having the damaged one open. */
static void a_pack_that_is_mended_by_another_is_read(void **state)
{
    const struct test *test = *state;
    cleanup_reader struct reader *other = NULL;
    char path[PATH_MAX];
    char kept[PATH_MAX + 8];
    char command[3 * PATH_MAX];
    char before[2048];
    struct error error;
    git_oid id;

    blob_of(test, "openpype/version.py", &id);
    fixture_pack(test->fixture);
    find_pack(test, ".pack", path);
    snprintf(kept, sizeof(kept), "%s.kept", path);
    snprintf(command, sizeof(command), "cp %s %s", path, kept);
    assert_int_equal(system(command), 0);
    damage(path, before);
    ahead = 10;
    assert_int_equal(reader_new(test->all, &other, NULL), 0);
    assert_int_equal(read_with(other, &id, &error), -EIO);
    expect(test, &id, -EIO, "cannot be read: ");
    uint64_t number = objects_healing(test->all);
    assert_int_equal(rename(kept, path), 0);
    assert_true(objects_healing(test->all) > number);
    expect(test, &id, 0, "");
    assert_int_equal(read_with(other, &id, &error), 0);
}

/* So many files that are called so does this process have open. */
static size_t count_open(const char *end)
{
    char target[PATH_MAX];
    size_t count = 0;
    DIR *files = opendir("/proc/self/fd");

    assert_non_null(files);
    for (const struct dirent *entry; (entry = readdir(files));) {
        ssize_t size = readlinkat(dirfd(files), entry->d_name, target, sizeof(target) - 1);
        size_t length = size > 0 ? (size_t)size : 0;
        target[length] = '\0';
        count += length > strlen(end) && strcmp(target + length - strlen(end), end) == 0;
    }
    closedir(files);
    return count;
}

/* Give a pack another name beside its own. */
static void link_pack(const char *path, const char *name)
{
    char from[PATH_MAX];
    char to[PATH_MAX + 64];
    static const char *const ends[] = {".pack", ".idx"};

    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof(from), "%.*s%s", (int)(strrchr(path, '.') - path), path, ends[i]);
        snprintf(to, sizeof(to), "%.*s/%s%s", (int)(strrchr(path, '/') - path), path, name,
                 ends[i]);
        assert_int_equal(link(from, to), 0);
    }
}

static void of_thousands_of_packs_few_are_open(void **state)
{
    struct test *test = *state;
    char path[PATH_MAX];
    char name[32];
    struct error error = {0};
    git_oid id;
    git_oid absent = id_of(0x77);

    blob_of(test, "openpype/version.py", &id);
    absent.id[0] = id.id[0]; /* so that each index has to be looked into */
    fixture_pack(test->fixture);
    find_pack(test, ".idx", path);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "pack-%04d", i);
        link_pack(path, name);
    }
    ahead = 10;
    reader_free(test->reader);
    test->reader = NULL;
    assert_int_equal(reader_new(test->all, &test->reader, NULL), 0);
    assert_int_equal(test->reader->pack_count, 2001);
    assert_int_equal(count_open(".pack"), 0);
    assert_in_range(count_open(".idx"), 1, 600);
    expect(test, &id, 0, "");
    assert_int_equal(count_open(".pack"), 1);
    for (size_t i = 0; i < test->reader->pack_count; i++) {
        test->reader->last_pack = i;
        assert_int_equal(read_with(test->reader, &id, &error), 0);
    }
    expect(test, &absent, -EIO, "is missing");
    assert_in_range(count_open(".idx") + count_open(".pack"), 1, 600);
}

static void what_goes_before_it_was_opened_is_found_where_it_is_now(void **state)
{
    const struct test *test = *state;
    cleanup_reader struct reader *other = NULL;
    struct error error = {0};
    char names[2][PATH_MAX];
    git_oid id;

    blob_of(test, "openpype/version.py", &id);
    fixture_pack(test->fixture);
    find_pack(test, ".pack", names[0]);
    find_pack(test, ".idx", names[1]);
    ahead = 10;
    assert_int_equal(reader_new(test->all, &other, NULL), 0);
    assert_int_equal(other->pack_count, 1);
    fixture_write(test->fixture, "more", "more");
    fixture_commit(test->fixture, NULL);
    fixture_pack(test->fixture);
    for (int i = 0; i < 2; i++)
        assert_int_equal(unlink(names[i]), 0);
    if (read_with(other, &id, &error) != 0)
        fail_msg("%s", error.text);
}

/* Does this process have a file open, or mapped, that has been deleted? */
static bool holds_deleted(void)
{
    char line[PATH_MAX + 128];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        found = found || strstr(line, ".pack (deleted)") || strstr(line, ".idx (deleted)");
    fclose(maps);
    DIR *files = opendir("/proc/self/fd");
    assert_non_null(files);
    for (const struct dirent *entry; (entry = readdir(files));) {
        ssize_t size = readlinkat(dirfd(files), entry->d_name, line, sizeof(line) - 1);
        line[size > 0 ? size : 0] = '\0';
        found = found || strstr(line, ".pack (deleted)") || strstr(line, ".idx (deleted)");
    }
    closedir(files);
    return found;
}

static void packs_that_git_has_thrown_away_are_let_go(void **state)
{
    const struct test *test = *state;
    char names[2][PATH_MAX];
    git_oid id;

    blob_of(test, "openpype/version.py", &id);
    fixture_pack(test->fixture);
    expect(test, &id, 0, "");
    find_pack(test, ".pack", names[0]);
    find_pack(test, ".idx", names[1]);
    /* As `git repack -ad` does: another pack of the same and more, then the old one goes. */
    fixture_write(test->fixture, "more", "more");
    fixture_commit(test->fixture, NULL);
    fixture_pack(test->fixture);
    for (int i = 0; i < 2; i++)
        assert_int_equal(unlink(names[i]), 0);
    assert_true(holds_deleted());
    reader_renew(test->reader);
    assert_false(holds_deleted());
    expect(test, &id, 0, "");
}

static void how_large_attributes_are_is_known_in_a_pack_that_came_too(void **state)
{
    enum { SIZE = 17 << 20 }; /* Beyond the limit. */
    const struct test *test = *state;
    struct attributes_table *table = attributes_table_new();
    char *text = malloc(SIZE + 1);
    struct attributes_answer answer;
    struct error error;
    git_oid id;

    assert_non_null(table);
    assert_non_null(text);
    memset(text, '\n', SIZE);
    text[SIZE] = '\0';
    fixture_write(test->fixture, ".gitattributes", text);
    fixture_commit(test->fixture, NULL);
    blob_of(test, ".gitattributes", &id);
    fixture_pack(test->fixture);
    assert_int_equal(reader_size(test->reader, &id), 0);
    struct attributes_chain *chain = attributes_chain_new(NULL, &id, 0);
    assert_non_null(chain);
    reader_begin(test->reader);
    assert_int_equal(attributes_ask(table, test->reader, chain, "a", &answer, &error), -EIO);
    assert_non_null(strstr(error.text, "a: .gitattributes is too large"));
    attributes_chain_unref(chain);
    attributes_table_free(table);
    free(text);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_circle_of_deltas_is_damage),
        TEST(a_delta_against_another_size_is_damage),
        TEST(a_stream_that_ends_too_early_is_damage),
        TEST(a_size_that_cannot_be_is_damage),
        TEST(a_size_that_is_a_lie_is_damage_also_without_the_memory_for_it),
        TEST(whether_it_is_a_lie_is_not_looked_at_for_ever),
        TEST(what_a_chain_may_ask_for_is_limited),
        TEST(a_delta_does_what_it_says_or_is_damage),
        cmocka_unit_test(no_address_is_formed_of_an_offset_outside_the_base),
        TEST(a_pack_that_is_mended_in_place_is_read),
        TEST(an_object_whose_id_is_damaged_is_not_missing),
        TEST(what_is_cut_while_it_is_open_is_damage_until_it_is_whole),
        TEST(a_pack_that_is_mended_by_another_is_read),
        TEST(of_thousands_of_packs_few_are_open),
        TEST(what_goes_before_it_was_opened_is_found_where_it_is_now),
        TEST(packs_that_git_has_thrown_away_are_let_go),
        TEST(how_large_attributes_are_is_known_in_a_pack_that_came_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
