/*
 * packed-refs: any order, any content, and how often it is read: calls of the C library are counted
 * here.
 */
#include "source_packed_refs.h"

#include <addonfs/cleanup.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned reads; /* calls of pread(2) so far */
static size_t taken;   /* bytes that they gave */
static bool ends;      /* the next one gives nothing */

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    ssize_t (*original)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64");

    reads++;
    if (ends) {
        ends = false;
        return 0;
    }
    ssize_t n = original(fd, bytes, size, offset);
    taken += n > 0 ? (size_t)n : 0;
    return n;
}

struct test {
    char path[32];
    struct ref_folder folder;
    struct packed_refs refs;
};

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));

    strcpy(test->path, "/tmp/addonfs-unit-XXXXXX");
    assert_non_null(mkdtemp(test->path));
    test->folder.path = test->path;
    test->folder.fd = open(test->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(test->folder.fd >= 0);
    *state = test;
    return 0;
}

static int teardown(void **state)
{
    struct test *test = *state;

    (void)unlinkat(test->folder.fd, "packed-refs", 0);
    close(test->folder.fd);
    assert_int_equal(rmdir(test->path), 0);
    packed_refs_clear(&test->refs);
    free(test);
    return 0;
}

static FILE *begin_file(const struct test *test)
{
    int fd = openat(test->folder.fd, "packed-refs", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    FILE *file = fdopen(fd, "w");

    assert_non_null(file);
    return file;
}

static void write_file(const struct test *test, const char *text, size_t size)
{
    FILE *file = begin_file(test);

    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* As if it had been written long ago: its stamp is trusted. */
static void settle(struct test *test)
{
    test->refs.is_settled = true;
}

static int ask(struct test *test, const char *name, unsigned *ret_id, struct error *error)
{
    size_t index;
    git_oid id;

    packed_refs_begin(&test->refs);
    int r = packed_refs_find(&test->refs, &test->folder, &name, 1, &index, &id, error);
    if (r == 1)
        *ret_id = (unsigned)id.id[18] << 8 | id.id[19];
    return r;
}

static void expect(struct test *test, const char *name, unsigned number)
{
    struct error error = {0};
    unsigned id = 0;

    if (ask(test, name, &id, &error) != 1)
        fail_msg("%s: %s", name, error.text);
    assert_int_equal(id, number);
}

static void expect_none(struct test *test, const char *name)
{
    unsigned id;

    assert_int_equal(ask(test, name, &id, NULL), 0);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct heard {
    char **names;
    size_t count;
};

static int hear(void *context, const char *name)
{
    struct heard *heard = context;

    heard->names[heard->count] = strdup(name);
    return heard->names[heard->count++] ? 0 : -ENOMEM;
}

/* Compared with sorting by strcmp and a linear search. */
static void each_of_any_order_is_found_and_listed(void **state)
{
    enum { COUNT = 2000 };
    struct test *test = *state;
    static char names[COUNT][32];
    static char *sorted[COUNT];
    static char *found[COUNT];
    static const char *const prefixes[] = {
        "",           "refs/",         "refs/heads/", "refs/heads/a/",
        "refs/tags/", "refs/heads/zz", "z",           "refs/heads/a",
        "a"};
    unsigned seed = (unsigned)getpid();

    print_message("seed %u\n", seed);
    for (int way = 0; way < 3; way++) {
        FILE *file = begin_file(test);
        fputs(way == 1 ? "" : "# pack-refs with: peeled fully-peeled sorted \n", file);
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned number = (unsigned)rand_r(&seed) % 50;
            snprintf(names[i], sizeof(names[i]), "refs/%s/%c%s%u%c%u",
                     number % 2 ? "heads" : "tags", 'a' + (int)(number % 3), number % 5 ? "/" : "",
                     number, "-./"[number % 3], i);
            sorted[i] = names[i];
        }
        if (way == 2)
            qsort(names, COUNT, sizeof(names[0]), (int (*)(const void *, const void *))strcmp);
        for (unsigned i = 0; i < COUNT; i++) {
            fprintf(file, "%040x %s\n", i, names[i]);
            if (i % 7 == 0)
                fprintf(file, "^%040x\n", i + COUNT);
        }
        assert_int_equal(fclose(file), 0);
        for (unsigned i = 0; i < COUNT; i++)
            expect(test, names[i], i);
        qsort(sorted, COUNT, sizeof(sorted[0]), compare_text);
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
            struct heard heard = {.names = found};
            size_t at = 0;
            expect_none(test, prefixes[i]);
            assert_int_equal(
                packed_refs_each(&test->refs, &test->folder, prefixes[i], hear, &heard, NULL), 0);
            for (unsigned j = 0; j < COUNT; j++) {
                if (strncmp(sorted[j], prefixes[i], strlen(prefixes[i])) != 0)
                    continue;
                assert_true(at < heard.count);
                assert_string_equal(heard.names[at++], sorted[j]);
            }
            assert_int_equal(at, heard.count);
            while (heard.count > 0)
                free(heard.names[--heard.count]);
        }
    }
}

static void one_that_is_trusted_is_read_once(void **state)
{
    struct test *test = *state;
    FILE *file = begin_file(test);

    for (unsigned i = 0; i < 1000; i++)
        fprintf(file, "%040x refs/heads/%u\n", i, 1000 - i);
    assert_int_equal(fclose(file), 0);
    expect(test, "refs/heads/1000", 0);
    settle(test);
    reads = 0;
    for (int i = 0; i < 10; i++) {
        expect(test, "refs/heads/1", 999);
        expect_none(test, "refs/heads/none");
    }
    assert_int_equal(reads, 0);
    /* One that is not is read once a question, for what it has. */
    test->refs.is_settled = false;
    expect(test, "refs/heads/1", 999);
    assert_int_equal(reads, 1);
    write_file(test, "", 0);
    expect_none(test, "refs/heads/1");
}

static void what_has_come_since_is_found(void **state)
{
    static const char line[] = "0000000000000000000000000000000000000005 refs/heads/x\n";
    struct test *test = *state;
    const char *name = "refs/heads/x";
    size_t index;
    git_oid id;

    expect_none(test, name);
    settle(test);
    write_file(test, line, strlen(line));
    /* The question goes on. */
    assert_int_equal(packed_refs_find(&test->refs, &test->folder, &name, 1, &index, &id, NULL), 1);
    assert_int_equal(unlinkat(test->folder.fd, "packed-refs", 0), 0);
    assert_int_equal(packed_refs_find(&test->refs, &test->folder, &name, 1, &index, &id, NULL), 0);
    expect_none(test, name);
}

/* Its own file was there when the question began, and is packed in the midst of it. */
static void what_is_packed_meanwhile_is_not_what_it_was_before(void **state)
{
    static const char before[] = "0000000000000000000000000000000000000005 refs/heads/x\n";
    static const char after[] = "0000000000000000000000000000000000000006 refs/heads/x\n"
                                "0000000000000000000000000000000000000007 refs/heads/y\n";
    struct test *test = *state;
    const char *name = "refs/heads/x";
    size_t index;
    git_oid id;

    write_file(test, before, strlen(before));
    expect(test, name, 5);
    assert_int_equal(unlinkat(test->folder.fd, "packed-refs", 0), 0);
    write_file(test, after, strlen(after));
    assert_int_equal(packed_refs_find(&test->refs, &test->folder, &name, 1, &index, &id, NULL), 1);
    assert_int_equal(id.id[19], 6);
}

#define ID "0123456789012345678901234567890123456789"

static void what_is_damaged_is_refused_by_name_and_not_read_again(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } damaged[] = {
        {"nonsense\n", "no ref"},
        {ID " refs/heads/x", "no end"},
        {ID " refs/heads/x\n\n", "empty"},
        {ID " refs/heads/x\r\n", "CR"},
        {ID " refs/heads/x\n" ID " refs/heads/y\r\n", "CR"},
        {ID " refs/heads/a b\n", "no ref"},
        {ID " \n", "no ref"},
        {ID "\n", "no ref"},
        {ID "0 refs/heads/x\n", "no ref"},
        {"x123456789012345678901234567890123456789 refs/heads/x\n", "no ref"},
        {ID " refs/heads/x\n^" ID "0\n", "no ref"},
        {ID " refs/heads/x\n^nonsense\n", "no ref"},
        {ID " refs/heads/x\n^\n", "no ref"},
    };
    struct test *test = *state;
    unsigned id;

    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        struct error error = {0};
        write_file(test, damaged[i].text, strlen(damaged[i].text));
        for (int again = 0; again < 3; again++) {
            reads = again ? 0 : reads;
            assert_int_equal(ask(test, "refs/heads/x", &id, &error), -EIO);
            if (!strstr(error.text, "/packed-refs: damaged: ") ||
                !strstr(error.text, damaged[i].why) || strstr(error.text, test->path) != error.text)
                fail_msg("%zu: %s", i, error.text);
            settle(test);
        }
        assert_int_equal(reads, 0);
    }
    /* Nor may a NUL hide what is behind it. */
    write_file(test, ID " refs/heads/x\0y\n", sizeof(ID " refs/heads/x\0y\n") - 1);
    assert_int_equal(ask(test, "refs/heads/x", &id, NULL), -EIO);
    write_file(test, ID " refs/heads/x\n", strlen(ID " refs/heads/x\n"));
    expect(test, "refs/heads/x", 0x6789);
}

/* A file of holes: nothing on the disk, and all of it would be in memory. */
static void what_is_large_is_refused_before_it_is_in_memory(void **state)
{
    struct test *test = *state;
    struct error error = {0};
    unsigned id;

    FILE *file = begin_file(test);
    fprintf(file, ID " refs/heads/");
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), (off_t)PACKED_REFS_LIMIT), 0);
    taken = 0;
    assert_int_equal(ask(test, "refs/heads/x", &id, &error), -EIO);
    assert_non_null(strstr(error.text, "packed-refs: damaged: the line at byte 0 is too long"));
    assert_true(taken <= 1 << 20);
    assert_int_equal(ftruncate(fileno(file), (off_t)10 << 30), 0);
    taken = 0;
    assert_int_equal(ask(test, "refs/heads/x", &id, &error), -EIO);
    assert_non_null(strstr(error.text, "packed-refs: larger than 256 MiB"));
    assert_int_equal(taken, 0);
    assert_int_equal(fclose(file), 0);
    assert_null(test->refs.text);
}

static void one_that_is_cut_while_it_is_read_is_not_believed(void **state)
{
    static const char text[] = ID " refs/heads/x\n" ID " refs/heads/y\n";
    struct test *test = *state;
    unsigned id;

    write_file(test, text, strlen(text));
    ends = true;
    assert_int_equal(ask(test, "refs/heads/y", &id, NULL), -EAGAIN);
    expect(test, "refs/heads/y", 0x6789);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_of_any_order_is_found_and_listed),
        TEST(one_that_is_trusted_is_read_once),
        TEST(what_has_come_since_is_found),
        TEST(what_is_packed_meanwhile_is_not_what_it_was_before),
        TEST(what_is_damaged_is_refused_by_name_and_not_read_again),
        TEST(what_is_large_is_refused_before_it_is_in_memory),
        TEST(one_that_is_cut_while_it_is_read_is_not_believed),
    };

    git_libgit2_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
