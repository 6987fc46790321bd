/* The bulk is in test_version_oracle.py, against SemVer's own rules; here is the table of the
 * header.
 */
#include <addonfs/cleanup.h>
#include <addonfs/version.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT "546187e0123456789abcdef0123456789abcdef0"
#define CONTENT "1a2b3c4d0123456789abcdef0123456789abcdef"

static void derives_what_the_header_says(void **state)
{
    static const struct {
        const char *declared;
        uint64_t commits;
        const char *content;
        const char *version;
    } cases[] = {
        {"3.15.12", 0, NULL, "3.15.12"},
        {"3.15.12+build.1", 0, NULL, "3.15.12+build.1"},
        {"1.0", 0, NULL, "1.0"},
        {"3.15.12", 4, NULL, "3.15.13-dev.4+g546187e"},
        {"3.15.12", 4, CONTENT, "3.15.13-dev.4+g546187e.d1a2b3c4d"},
        {"3.15.12", 0, CONTENT, "3.15.13-dev.0+g546187e.d1a2b3c4d"},
        {"3.18.12-nightly.26", 4, NULL, "3.18.12-nightly.26.dev.4+g546187e"},
        {"3.18.12-rc+007.x", 4, CONTENT, "3.18.12-rc.dev.4+g546187e.d1a2b3c4d"},
        {"1.2.3+x", 1, NULL, "1.2.4-dev.1+g546187e"},
        {"0.0.0", UINT64_MAX, NULL, "0.0.1-dev.18446744073709551615+g546187e"},
        {"1.9.9", 1, NULL, "1.9.10-dev.1+g546187e"},
        {"1.9.99999999999999999999999999", 1, NULL,
         "1.9.100000000000000000000000000-dev.1+g546187e"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_free char *version = NULL;
        struct error error = {0};
        int r = version_derive(cases[i].declared, cases[i].commits, COMMIT, cases[i].content,
                               &version, &error);
        assert_int_equal(r, 0);
        assert_string_equal(version, cases[i].version);
    }
}

static void says_why_none_can_be_derived(void **state)
{
    static const char *const declared[] = {"1.0",      "3.15",   "1.2.3.4", "v1.2.3",
                                           "01.2.3",   "1.2.3-", "1.2.3+",  "1.2.3-a..b",
                                           "1.2.3-01", "",       "1.2.3 ",  "1.2.x"};
    char *version = (char *)(uintptr_t) "untouched";
    struct error error = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(declared) / sizeof(declared[0]); i++) {
        assert_int_equal(version_derive(declared[i], 1, COMMIT, NULL, &version, &error), -EINVAL);
        assert_non_null(strstr(error.text, "Semantic Versioning 2.0"));
        assert_false(version_is_semver(declared[i]));
    }
    assert_int_equal(version_derive("1.2.3", 1, "54618", NULL, &version, &error), -EINVAL);
    assert_int_equal(version_derive("1.2.3", 1, COMMIT, "1A2B3C4D", &version, &error), -EINVAL);
    assert_string_equal(error.text, "version 1.2.3: \"1A2B3C4D\" is not an id");
    assert_string_equal(version, "untouched");
}

/* 128 bytes are allowed, and no more; what is dropped does not count. */
static void refuses_what_is_too_long_for_a_name(void **state)
{
    char declared[512] = "1.2.3-";
    struct error error = {0};

    (void)state;
    for (size_t length = 1; length < 300; length++) {
        cleanup_free char *version = NULL;
        memset(declared + 6, 'a', length);
        strcpy(declared + 6 + length, "+dropped");
        int r = version_derive(declared, 7, COMMIT, NULL, &version, &error);
        if (6 + length + strlen(".dev.7+g546187e") <= 128) {
            assert_int_equal(r, 0);
            assert_int_equal(strlen(version), 6 + length + 15);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(error.text, "longer than 128 bytes"));
        }
    }
    memset(declared, '9', 300);
    strcpy(declared + 300, ".0.0");
    char *none = NULL;
    assert_int_equal(version_derive(declared, 7, COMMIT, NULL, &none, &error), -EINVAL);
    strcpy(declared, "1.2.3+");
    memset(declared + 6, 'a', 300);
    declared[306] = '\0';
    cleanup_free char *version = NULL;
    assert_int_equal(version_derive(declared, 7, COMMIT, NULL, &version, &error), 0);
    assert_string_equal(version, "1.2.4-dev.7+g546187e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_what_the_header_says),
        cmocka_unit_test(says_why_none_can_be_derived),
        cmocka_unit_test(refuses_what_is_too_long_for_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
