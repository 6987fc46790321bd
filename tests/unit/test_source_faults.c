/*
 * What a source does when the system does not do what it is asked: functions of the C library are
 * replaced here by ones that can be told to fail, or that count.
 */
#include "fixture.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static struct faults {
    unsigned opened; /* calls of openat2(2) so far */
} faults;

/* openat2(2) has no function of its own: everything else passes as it is. */
long syscall(long number, ...)
{
    va_list arguments;
    long a[6];

    faults.opened += number == SYS_openat2;
    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    long (*original)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return original(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int setup(void **state)
{
    memset(&faults, 0, sizeof(faults));
    return fixture_setup(state);
}

static void a_file_that_is_new_is_opened_once_and_nothing_else(void **state)
{
    const struct fixture *fixture = *state;
    struct source *source = fixture->origin.source;
    struct source_folder *folder = NULL;

    assert_int_equal(source_list(source, "openpype/lib", &folder, NULL), 0);
    assert_int_equal(folder->count, 1);
    faults.opened = 0;
    assert_int_equal(source_look(source, folder, &folder->entries[0], NULL), 0);
    assert_int_equal(folder->entries[0].kind, SOURCE_FILE);
    assert_int_equal(faults.opened, 1);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_new_is_opened_once_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
