#include "fixture.h"

#include <addonfs/body.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct body *body_at(const struct fixture *fixture, const char *path)
{
    struct body *body = NULL;
    struct error error = {0};

    if (body_of_file(fixture_file(fixture, path), &fixture->origin, 77, &body, &error) < 0)
        fail_msg("%s", error.text);
    return body;
}

static void expect(struct body *body, const char *text)
{
    char bytes[256];

    assert_int_equal(body_size(body), strlen(text));
    assert_int_equal(body_read(body, 0, bytes, sizeof(bytes)), strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
    assert_int_equal(body_read(body, strlen(text), bytes, 1), 0);
}

static void an_open_body_keeps_its_bytes(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_body struct body *body = body_at(fixture, "openpype/version.py");

    assert_int_equal(body_number(body), 77);
    assert_null(body_failure(body));
    assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
    fixture_write(fixture, "openpype/version.py", "something else\n");
    fixture_refresh(fixture);
    expect(body, "__version__ = \"3.15.12\"\n");
    /* Another open while the bytes are held gets them too. */
    assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
    body_close(body);
    expect(body, "__version__ = \"3.15.12\"\n");
    body_close(body);
    assert_int_equal(body_open(body, &fixture->origin, NULL), -ESTALE);
}

static void a_body_whose_file_has_changed_is_stale(void **state)
{
    const struct fixture *fixture = *state;
    char large[70000]; /* more than is taken before it is opened */

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    fixture_write(fixture, "openpype/large.py", large);
    fixture_refresh(fixture);
    cleanup_body struct body *body = body_at(fixture, "openpype/large.py");
    fixture_write(fixture, "openpype/large.py", "other\n");
    assert_int_equal(body_open(body, &fixture->origin, NULL), -ESTALE);
    fixture_remove(fixture, "openpype/large.py");
    assert_int_equal(body_open(body, &fixture->origin, NULL), -ESTALE);
}

static void a_small_file_that_was_just_written_can_be_opened_as_it_was(void **state)
{
    const struct fixture *fixture = *state;

    fixture_write(fixture, "openpype/young.py", "as it was\n");
    fixture_refresh(fixture);
    cleanup_body struct body *body = body_at(fixture, "openpype/young.py");
    fixture_write(fixture, "openpype/young.py", "by now\n");
    assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
    expect(body, "as it was\n");
    body_close(body);
    assert_int_equal(body_open(body, &fixture->origin, NULL), -ESTALE);
}

static void an_unreadable_body_cannot_be_opened(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_body struct body *body = body_unreadable(5, "openpype/link: leads nowhere");
    struct error error = {0};

    assert_int_equal(body_number(body), 5);
    assert_string_equal(body_failure(body), "openpype/link: leads nowhere");
    assert_int_equal(body_open(body, &fixture->origin, &error), -EIO);
    assert_string_equal(error.text, "openpype/link: leads nowhere");
}

static struct bundle *bundle_of_one(const struct fixture *fixture, const char *failure)
{
    struct bundle_member *members = calloc(1, sizeof(*members));
    char *names = strdup("version.py");

    members->name = names;
    members->path = failure ? strdup("openpype/version.py") : NULL;
    members->failure = failure ? strdup(failure) : NULL;
    members->file = failure ? NULL : file_ref(fixture_file(fixture, "openpype/version.py"));
    return bundle_new(members, 1, names);
}

static void a_zip_needs_the_source_no_more_once_it_is_a_body(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_bundle struct bundle *bundle = bundle_of_one(fixture, NULL);
    cleanup_body struct body *body = NULL;
    char bytes[512];

    assert_int_equal(body_of_zip(bundle, &fixture->origin, 8, &body, NULL), 0);
    fixture_remove(fixture, "openpype");
    assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
    assert_int_equal(body_read(body, 0, bytes, sizeof(bytes)), body_size(body));
    assert_memory_equal(bytes, "PK\3\4", 4);
    body_close(body);
}

static void a_zip_with_a_fault_is_an_unreadable_body(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_bundle struct bundle *bundle = bundle_of_one(fixture, "is broken");
    cleanup_body struct body *body = NULL;

    assert_int_equal(body_of_zip(bundle, &fixture->origin, 8, &body, NULL), 0);
    assert_string_equal(body_failure(body), "openpype/version.py: is broken");
    assert_int_equal(body_open(body, &fixture->origin, NULL), -EIO);
}

static void who_is_killed_does_not_wait_for_the_bytes(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_body struct body *body = body_at(fixture, "openpype/version.py");
    struct origin origin = fixture->origin;
    _Atomic bool interrupted = true;

    origin.interrupted = &interrupted;
    assert_int_equal(body_open(body, &origin, NULL), -EINTR);
    assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
    body_close(body);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_open_body_keeps_its_bytes),
        TEST(a_body_whose_file_has_changed_is_stale),
        TEST(a_small_file_that_was_just_written_can_be_opened_as_it_was),
        TEST(an_unreadable_body_cannot_be_opened),
        TEST(a_zip_needs_the_source_no_more_once_it_is_a_body),
        TEST(a_zip_with_a_fault_is_an_unreadable_body),
        TEST(who_is_killed_does_not_wait_for_the_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
