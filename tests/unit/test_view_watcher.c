/* How long the thread that looks for waiters sleeps: poll(2) is replaced here, and goes on at will.
 */
#include "fixture.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sleeper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool sleeps;
    bool wakes; /* it is to look whether there is anything, and to go on */
    bool ends;  /* it is to sleep no more */
    int timeout;
    int woken; /* by how many descriptors it was, the last time */
} sleeper = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    int (*original)(struct pollfd *, nfds_t, int) =
        (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");

    /* Only the thread asks for three. */
    if (count != 3)
        return original(fds, count, timeout);
    cleanup_lock(&sleeper.lock);
    sleeper.sleeps = true;
    sleeper.timeout = timeout;
    pthread_cond_broadcast(&sleeper.changed);
    while (!sleeper.wakes && !sleeper.ends)
        pthread_cond_wait(&sleeper.changed, &sleeper.lock);
    sleeper.wakes = false;
    sleeper.woken = original(fds, count, 0);
    return sleeper.woken;
}

/* Returns the timeout with which it falls asleep. */
static int await_sleep(void)
{
    cleanup_lock(&sleeper.lock);

    while (!sleeper.sleeps)
        pthread_cond_wait(&sleeper.changed, &sleeper.lock);
    return sleeper.timeout;
}

/* Let it wake if there is anything to wake for, and fall asleep again. */
static void expect_woken(void)
{
    pthread_mutex_lock(&sleeper.lock);
    sleeper.sleeps = false;
    sleeper.wakes = true;
    pthread_cond_broadcast(&sleeper.changed);
    pthread_mutex_unlock(&sleeper.lock);
    (void)await_sleep();
    assert_true(sleeper.woken > 0);
}

struct test {
    struct fixture *fixture;
    struct view *view;
    char away[64];
};

static int setup(void **state)
{
    struct test *test = calloc(1, sizeof(*test));
    int r = fixture_setup(state);

    sleeper.sleeps = sleeper.wakes = sleeper.ends = false;
    test->fixture = *state;
    snprintf(test->away, sizeof(test->away), "%s-away", test->fixture->root);
    test->view = fixture_view(test->fixture, NULL);
    assert_true(source_is_watched(view_source(test->view)));
    assert_int_equal(view_watch_begin(test->view, NULL), 0);
    assert_int_equal(await_sleep(), -1);
    *state = test;
    return r;
}

static int teardown(void **state)
{
    struct test *test = *state;
    void *fixture = test->fixture;

    pthread_mutex_lock(&sleeper.lock);
    sleeper.ends = true;
    pthread_cond_broadcast(&sleeper.changed);
    pthread_mutex_unlock(&sleeper.lock);
    view_watch_end(test->view);
    view_close(test->view);
    free(test);
    return fixture_teardown(&fixture);
}

static void a_source_that_is_moved_away_is_looked_for_until_it_is_back(void **state)
{
    const struct test *test = *state;

    assert_int_equal(rename(test->fixture->root, test->away), 0);
    expect_woken();
    assert_true(await_sleep() > 0);
    assert_int_equal(rename(test->away, test->fixture->root), 0);
    expect_woken();
    assert_int_equal(await_sleep(), -1);
}

static void the_same_holds_where_somebody_else_has_looked_first(void **state)
{
    const struct test *test = *state;
    cleanup_generation struct generation *seen = NULL;

    assert_int_equal(rename(test->fixture->root, test->away), 0);
    assert_int_equal(view_look(test->view, &seen, NULL), 0);
    expect_woken();
    assert_true(await_sleep() > 0);
    assert_int_equal(rename(test->away, test->fixture->root), 0);
}

static void a_link_that_comes_is_looked_at_every_now_and_then(void **state)
{
    const struct test *test = *state;

    fixture_link(test->fixture, "openpype/link.py", "lib/tools.py");
    expect_woken();
    assert_true(await_sleep() > 0);
    fixture_remove(test->fixture, "openpype/link.py");
    expect_woken();
    assert_int_equal(await_sleep(), -1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_source_that_is_moved_away_is_looked_for_until_it_is_back),
        TEST(the_same_holds_where_somebody_else_has_looked_first),
        TEST(a_link_that_comes_is_looked_at_every_now_and_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
