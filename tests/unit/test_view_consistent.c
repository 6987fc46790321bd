/*
 * What a look answers was all there at one moment, whatever is written while it compares. A
 * function of the C library is replaced here by one in which the writer can have a turn.
 */
#include "fixture.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct writer {
    const struct fixture *fixture; /* NULL: it rests */
    unsigned turns;                /* how often it will still write */
    unsigned written;
} writer;

static const char *const first = "openpype/a/first.py";
static const char *const second = "openpype/z/second.py";

/* Write the two, always in this order, longer by a byte each time. */
static void write_both(const struct fixture *fixture)
{
    char text[32] = "";

    writer.written++;
    memset(text, 'x', writer.written);
    fixture_write(fixture, first, text);
    fixture_write(fixture, second, text);
}

/* When the second file is compared the first one has been. */
int fstatat(int folder, const char *name, struct stat *status, int flags)
{
    int (*original)(int, const char *, struct stat *, int) =
        (int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat64");

    if (writer.turns > 0 && strcmp(name, "second.py") == 0) {
        writer.turns--;
        write_both(writer.fixture);
    }
    return original(folder, name, status, flags);
}

static uint64_t size_of(const struct generation *generation, const char *path)
{
    struct entry *zip = fixture_entry(generation, "package/openpype/3.15.12/private/client.zip");
    struct entry *found = NULL;

    assert_int_equal(entry_find(zip->tree, path, &found), 0);
    return found->file->size;
}

static struct generation *look(struct view *view)
{
    struct generation *generation = NULL;
    struct error error = {0};

    if (view_look(view, &generation, &error) < 0)
        fail_msg("%s", error.text);
    return generation;
}

static void files_that_are_written_one_after_the_other_never_show_the_other_way_round(void **state)
{
    const struct fixture *fixture = *state;

    for (unsigned turns = 1; turns <= 5; turns++) {
        writer = (struct writer){0};
        write_both(fixture);
        cleanup_view struct view *view = fixture_view(fixture, NULL);
        write_both(fixture);
        writer.fixture = fixture;
        writer.turns = turns;
        cleanup_generation struct generation *generation = look(view);
        assert_int_equal(writer.turns, 0);
        assert_int_equal(size_of(generation, "openpype/z/second.py"), writer.written);
        assert_int_equal(size_of(generation, "openpype/a/first.py"), writer.written);
        /* It stands for one change, not for as many as there were tries. */
        cleanup_generation struct generation *same = look(view);
        assert_ptr_equal(same, generation);
    }
}

static void a_writer_who_never_rests_does_not_keep_a_look_from_ending(void **state)
{
    const struct fixture *fixture = *state;

    writer = (struct writer){0};
    write_both(fixture);
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    write_both(fixture);
    writer.fixture = fixture;
    writer.turns = 20;
    cleanup_generation struct generation *generation = look(view);
    assert_true(writer.turns > 0);
    writer.turns = 0;
    generation_unref(generation);
    generation = look(view);
    assert_int_equal(size_of(generation, "openpype/z/second.py"), writer.written);
    assert_int_equal(size_of(generation, "openpype/a/first.py"), writer.written);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_that_are_written_one_after_the_other_never_show_the_other_way_round),
        TEST(a_writer_who_never_rests_does_not_keep_a_look_from_ending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
