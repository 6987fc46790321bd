/* Files of which so many are open at once, each as the one that it was. */
#include "source_pack_files.h"

#include "source_pack.h"

#include <addonfs/cleanup.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES = 5, LIMIT = 2, THREADS = 4, ROUNDS = 2000 };

struct test {
    char folder[32];
    char paths[FILES][64];
    int fds[FILES];
    struct pack_file items[FILES];
    struct pack_files *files;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));

    strcpy(test->folder, "/tmp/addonfs-unit-XXXXXX");
    assert_non_null(mkdtemp(test->folder));
    test->files = pack_files_new(LIMIT);
    assert_non_null(test->files);
    for (int i = 0; i < FILES; i++) {
        char text[2] = {(char)('a' + i), '\0'};
        struct stat status;
        snprintf(test->paths[i], sizeof(test->paths[i]), "%s/%d", test->folder, i);
        write_file(test->paths[i], text);
        assert_int_equal(stat(test->paths[i], &status), 0);
        /* Every second is open already. */
        test->fds[i] = i % 2 ? open(test->paths[i], O_RDONLY | O_CLOEXEC) : -1;
        pack_file_add(test->files, &test->items[i], test->paths[i], stamp_of(&status),
                      &test->fds[i]);
    }
    *state = test;
    return 0;
}

static int teardown(void **state)
{
    struct test *test = *state;
    char command[64];

    for (int i = 0; i < FILES; i++) {
        int fd = test->fds[i];
        pack_file_remove(&test->items[i]);
        assert_int_equal(test->fds[i], -1);
        assert_true(fd < 0 || (fcntl(fd, F_GETFD) < 0 && errno == EBADF));
    }
    pack_files_unref(test->files);
    snprintf(command, sizeof(command), "rm -r %s", test->folder);
    assert_int_equal(system(command), 0);
    free(test);
    return 0;
}

static size_t count_open(const struct test *test)
{
    size_t count = 0;

    for (int i = 0; i < FILES; i++)
        count += test->fds[i] >= 0;
    return count;
}

static char content(const struct test *test, int at)
{
    char byte = '\0';

    return pread(test->fds[at], &byte, 1, 0) == 1 ? byte : '\0';
}

static void those_used_last_are_open(void **state)
{
    struct test *test = *state;

    assert_int_equal(count_open(test), LIMIT);
    for (int i = 0; i < 4 * FILES; i++) {
        int at = i * 3 % FILES;
        int before = (i + FILES - 1) * 3 % FILES;
        assert_int_equal(pack_file_take(&test->items[at], NULL), 0);
        assert_int_equal(content(test, at), 'a' + at);
        pack_file_give(&test->items[at]);
        assert_int_equal(count_open(test), LIMIT);
        if (i > 0)
            assert_int_equal(content(test, before), 'a' + before);
    }
    /* One that is used again is not the oldest any more. */
    for (int i = 0; i < 3; i++) {
        static const int order[] = {0, 1, 0};
        assert_int_equal(pack_file_take(&test->items[order[i]], NULL), 0);
        pack_file_give(&test->items[order[i]]);
    }
    assert_int_equal(pack_file_take(&test->items[2], NULL), 0);
    pack_file_give(&test->items[2]);
    assert_true(test->fds[0] >= 0 && test->fds[1] < 0 && test->fds[2] >= 0);
}

static void what_is_taken_is_not_closed(void **state)
{
    struct test *test = *state;

    for (int i = 0; i < FILES; i++)
        assert_int_equal(pack_file_take(&test->items[i], NULL), 0);
    assert_int_equal(unlink(test->paths[0]), 0);
    for (int i = 0; i < FILES; i++)
        assert_int_equal(content(test, i), 'a' + i);
    for (int i = 0; i < FILES; i++)
        pack_file_give(&test->items[i]);
    /* When one is opened that was not, the others are closed that are too many. */
    pack_file_remove(&test->items[0]);
    write_file(test->paths[0], "a");
    struct stat status;
    assert_int_equal(stat(test->paths[0], &status), 0);
    pack_file_add(test->files, &test->items[0], test->paths[0], stamp_of(&status), &test->fds[0]);
    assert_int_equal(pack_file_take(&test->items[0], NULL), 0);
    pack_file_give(&test->items[0]);
    assert_int_equal(count_open(test), LIMIT);
}

static void close_all_but(const struct test *test, int kept)
{
    struct pack_file *others[] = {(struct pack_file *)&test->items[(kept + 1) % FILES],
                                  (struct pack_file *)&test->items[(kept + 2) % FILES]};

    for (int i = 0; i < LIMIT; i++) {
        assert_int_equal(pack_file_take(others[i], NULL), 0);
        pack_file_give(others[i]);
    }
    assert_int_equal(test->fds[kept], -1);
}

static void another_file_in_its_place_is_not_opened(void **state)
{
    struct test *test = *state;
    struct error error = {0};

    close_all_but(test, 0);
    write_file(test->paths[4], "x");
    assert_int_equal(rename(test->paths[4], test->paths[0]), 0);
    assert_int_equal(pack_file_take(&test->items[0], &error), PACK_DAMAGED);
    assert_int_equal(unlink(test->paths[0]), 0);
    assert_int_equal(pack_file_take(&test->items[0], &error), -ENOENT);
    assert_int_equal(symlink(test->paths[0], test->paths[0]), 0);
    assert_int_equal(pack_file_take(&test->items[0], &error), -EAGAIN);
    assert_non_null(strstr(error.text, test->paths[0]));
    /* Nobody has it: it may be closed, and all others be open. */
    close_all_but(test, 1);
}

struct worker {
    struct test *test;
    unsigned seed;
};

static void *read_at_random(void *context)
{
    struct worker *worker = context;

    for (int i = 0; i < ROUNDS; i++) {
        int at = rand_r(&worker->seed) % FILES;
        if (pack_file_take(&worker->test->items[at], NULL) != 0 ||
            content(worker->test, at) != 'a' + at)
            return worker;
        pack_file_give(&worker->test->items[at]);
    }
    return NULL;
}

static void many_may_read_at_once(void **state)
{
    struct test *test = *state;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){test, (unsigned)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, read_at_random, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(those_used_last_are_open),
        TEST(what_is_taken_is_not_closed),
        TEST(another_file_in_its_place_is_not_opened),
        TEST(many_may_read_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
