#include <addonfs/archive_reader.h>
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct memory {
    char bytes[1 << 16];
    size_t size;
};

static ssize_t read_memory(void *context, uint64_t offset, void *bytes, size_t size)
{
    const struct memory *memory = context;

    if (offset >= memory->size)
        return 0;
    if (size > memory->size - offset)
        size = memory->size - offset;
    memcpy(bytes, memory->bytes + offset, size);
    return (ssize_t)size;
}

/* An archive with a file of each name, which holds "text". */
static void make(struct memory *memory, int (*format)(struct archive *), const char *const *names)
{
    struct archive *archive = archive_write_new();

    assert_int_equal(format(archive), ARCHIVE_OK);
    assert_int_equal(
        archive_write_open_memory(archive, memory->bytes, sizeof(memory->bytes), &memory->size),
        ARCHIVE_OK);
    for (; *names; names++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, *names);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0755);
        archive_entry_set_size(entry, 4);
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(archive, "text", 4), 4);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
}

static void expect(int (*format)(struct archive *), const char *name, bool misplaced,
                   const char *answered)
{
    cleanup_archive_reader struct archive_reader *reader = NULL;
    const char *const names[] = {name, NULL};
    struct memory memory = {.size = 0};
    struct archive_member member;
    struct error error = {0};
    char text[8];

    make(&memory, format, names);
    const struct archive_input input = {read_memory, &memory, memory.size};
    assert_int_equal(archive_reader_open(&input, "x", &reader, &error), 0);
    assert_int_equal(archive_reader_next(reader, &member, &error), 1);
    /* libarchive may take '\\' for the '/' that it stands for in zips. */
    if (!strchr(name, '\\'))
        assert_string_equal(member.name, answered);
    assert_int_equal(member.misplaced, misplaced);
    assert_int_equal(member.fault != NULL, misplaced);
    assert_true(member.executable && !member.is_folder && member.size == 4);
    assert_int_equal(archive_reader_read(reader, text, sizeof(text), &error), 4);
    assert_memory_equal(text, "text", 4);
    assert_int_equal(archive_reader_read(reader, text, sizeof(text), &error), 0);
    assert_int_equal(archive_reader_next(reader, &member, &error), 0);
}

static void names_are_places_or_have_a_fault(void **state)
{
    static const struct {
        const char *name;
        bool misplaced;
        const char *answered;
    } cases[] = {
        {"a/b.py", false, "a/b.py"},    {"./a/b.py", false, "a/b.py"},
        {"..a/b..", false, "..a/b.."},  {"/etc/passwd", true, "/etc/passwd"},
        {"../a", true, "../a"},         {"a/../../b", true, "a/../../b"},
        {"a\\..\\b", true, "a\\..\\b"}, {"c:a", true, "c:a"},
        {"a//b", true, "a//b"},         {"a/./b", true, "a/./b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect(archive_write_set_format_zip, cases[i].name, cases[i].misplaced, cases[i].answered);
        expect(archive_write_set_format_gnutar, cases[i].name, cases[i].misplaced,
               cases[i].answered);
    }
}

static void what_is_no_archive_is_refused(void **state)
{
    struct memory memory = {.bytes = "#mtree\n./x contents=/etc/passwd type=file\n", .size = 42};
    const struct archive_input input = {read_memory, &memory, memory.size};
    cleanup_archive_reader struct archive_reader *reader = NULL;
    struct archive_member member;
    struct error error = {0};

    (void)state;
    int r = archive_reader_open(&input, "x", &reader, &error);
    if (r == 0)
        r = archive_reader_next(reader, &member, &error);
    assert_int_equal(r, -EINVAL);
    assert_memory_equal(error.text, "x: ", 3);
}

static ssize_t fail_to_read(void *context, uint64_t offset, void *bytes, size_t size)
{
    (void)context;
    (void)offset;
    (void)bytes;
    (void)size;
    return -EACCES;
}

static void a_failure_to_read_is_that_failure(void **state)
{
    const struct archive_input input = {fail_to_read, NULL, 100};
    cleanup_archive_reader struct archive_reader *reader = NULL;
    struct archive_member member;
    struct error error = {0};

    (void)state;
    int r = archive_reader_open(&input, "x", &reader, &error);
    if (r == 0)
        r = archive_reader_next(reader, &member, &error);
    assert_int_equal(r, -EACCES);
    assert_string_equal(error.text, "x: Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_places_or_have_a_fault),
        cmocka_unit_test(what_is_no_archive_is_refused),
        cmocka_unit_test(a_failure_to_read_is_that_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
