/*
 * What an expression names, compared with `git rev-parse`; and that libgit2 is never let near
 * packed-refs, whatever the expression is: calls of open(2) are counted here, which is what it
 * opens files with.
 */
#include "fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned opened; /* how often packed-refs was, by its path */

static void count(const char *path)
{
    size_t length = strlen(path);
    size_t size = strlen("/packed-refs");

    if (length > size && strcmp(path + length - size, "/packed-refs") == 0)
        opened++;
}

/*
 * What libgit2 calls, with the sizes of files that it was compiled for: in the C library's headers
 * the name is taken by what is ours (open64). The mode may be none.
 */
int open_of_libgit2(const char *path, int flags, ...) __asm__("open");

int open_of_libgit2(const char *path, int flags, ...)
{
    int (*original)(const char *, int, ...) =
        (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    count(path);
    return original(path, flags, mode);
}

static const char environment[] =
    "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=A "
    "GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.com "
    "GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'\n";

/* Branches, a merge, tags of both kinds and of no commit, what is as long as an id, and logs. */
static const char history[] =
    "set -e; git config core.logAllRefUpdates true\n"
    "for i in 1 2 3 4; do echo $i >openpype/f$i.py; git add .; git commit -qm \"main $i\"; done\n"
    "git tag light HEAD~1; git tag -am text annotated HEAD~2; git tag -am text again annotated "
    "2>/dev/null\n"
    "git tag -am text of-a-tree HEAD:openpype\n"
    "git checkout -qb feature/x HEAD~3\n"
    "for i in 5 6; do echo $i >openpype/f$i.py; git add .; git commit -qm \"x $i\"; done\n"
    "git config branch.feature/x.remote .; git config branch.feature/x.merge refs/heads/master\n"
    "git checkout -q master; git merge -q --no-ff -m merge feature/x\n"
    "git branch both light; git tag both feature/x\n"
    "git symbolic-ref refs/heads/symbolic refs/heads/feature/x\n"
    "git symbolic-ref refs/heads/dangling refs/heads/none\n"
    "git update-ref refs/remotes/origin/one HEAD~1\n"
    "git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/one\n"
    "git update-ref refs/heads/feed feature/x~1\n";

static void run_script(const struct fixture *fixture, const char *script)
{
    cleanup_free char *command = NULL;

    assert_true(asprintf(&command, "cd '%s'; %s%s", fixture->root, environment, script) > 0);
    assert_int_equal(system(command), 0);
}

/* The commit, or "" if it names none, as Git says. `%s` in it: an id, `%a`: it is abbreviated. */
static void ask_git(const struct fixture *fixture, const char *expression, char ret_id[static 41])
{
    cleanup_free char *command = NULL;
    char answer[128] = "";

    assert_true(asprintf(&command, "cd '%s'; git rev-parse -q --verify '%s^{commit}' 2>/dev/null",
                         fixture->root, expression) > 0);
    FILE *git = popen(command, "r");
    assert_non_null(git);
    /* Of a range it says more. */
    size_t size = fread(answer, 1, sizeof(answer), git);
    bool is_one = size == 41 && answer[40] == '\n';
    snprintf(ret_id, 41, "%.40s", is_one ? answer : "");
    (void)pclose(git);
}

static int ask_us(const struct fixture *fixture, const char *expression, char ret_id[static 41],
                  struct error *error)
{
    cleanup_source struct source *source = NULL;
    bool changed;

    *ret_id = '\0';
    assert_int_equal(source_open_revision(fixture->origin.source, expression, &source, error), 0);
    int r = source_refresh(source, &changed, error);
    if (r == 0)
        snprintf(ret_id, 41, "%s", source_commit(source));
    return r;
}

static const char *const expressions[] = {
    "HEAD",
    "@",
    "@~2",
    "@^",
    "@^2~1",
    "@^{tree}",
    "@^{/x 5}",
    "@{0}",
    "HEAD@{0}",
    "HEAD@{1}",
    "HEAD@{2}~1",
    "HEAD@{99}",
    "master@{yesterday}",
    "master@{2024-01-01}~1",
    "master@{2001-01-01}",
    "feature/x@{push}",
    "HEAD@{-1}",
    "@{1}",
    "@{-1}",
    "@{-1}~1",
    "@{-1}^0",
    "@{-9}",
    "@{u}",
    "@~99",
    "@@",
    "@x",
    "master",
    "heads/master",
    "refs/heads/master",
    "master~0",
    "master~",
    "master~1",
    "master~2^1",
    "master~1~1",
    "master^^",
    "master^^^",
    "master^0",
    "master^1",
    "master^2",
    "master^2^",
    "master^2~1",
    "master^3",
    "master^2^2",
    "master~99",
    "master~99999999999999999999",
    "master^99999999999999999999",
    "master^{}",
    "master^{}~1",
    "master^{commit}",
    "master^{commit}^2",
    "master^{object}",
    "master^{tree}",
    "master^{blob}",
    "master^{tag}",
    "master^{nonsense}",
    "master^{/main 2}",
    "master^{/main 2}~1",
    "master^{/none}",
    "master^{",
    "master^@",
    "master^!",
    "master^-",
    "master~x",
    "master^x",
    "master:openpype",
    "master:openpype/f1.py",
    "master:none",
    "master@",
    "master@{",
    "master@{0}",
    "master@{1}",
    "master@{1}~1",
    "master@{2}^0",
    "master@{99}",
    "master@{x",
    "master~1@{1}",
    "master ",
    " master",
    "master..feature/x",
    "^master",
    "~1",
    "^",
    "~",
    "feature/x",
    "feature/x~1",
    "feature/x@{u}",
    "feature/x@{upstream}~1",
    "feature/x@{1}",
    "feature/none",
    "feature",
    "feature/",
    "light",
    "light~1",
    "tags/light",
    "light^{tag}",
    "annotated",
    "annotated~1",
    "annotated^0",
    "annotated^{}",
    "annotated^{tag}",
    "annotated^{commit}^",
    "again",
    "again~1",
    "again^{tag}",
    "again^{}~1",
    "of-a-tree",
    "of-a-tree^{}",
    "of-a-tree~1",
    "both",
    "both~1",
    "heads/both~1",
    "symbolic",
    "symbolic~1",
    "dangling",
    "dangling~1",
    "origin",
    "origin~1",
    "origin/one",
    "origin/HEAD^",
    "remotes/origin",
    "feed",
    "feed~1",
    "none",
    "none~1",
    "none^{tree}",
    "none@{1}",
    "none-g",
    "none-1-gzzzz",
    "v1-2-g%a",
    "v1-2-g%a~1",
    "anything-g%a^",
    "v1-2-g%s",
    "%s",
    "%s~1",
    "%s^2",
    "%s^{}",
    "%s^{/main 1}",
    "%s^{tree}",
    "%s~99",
    "%s:openpype",
    "%a",
    "%a~1",
    "%a~2^1",
    "%a^2",
    "%a^{commit}",
    "%a^{tree}",
    "%a^{/x 6}",
    "%a~99",
    "%a:openpype",
    "%ax",
    "%a@{1}",
    "%s0",
    "%s0~1",
    "0123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789~1",
    "0123",
    "0123~1",
    "abc",
    "config",
    "config~1",
    "logs/HEAD",
    "refs/heads",
    "refs/heads/",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "HEAD~1",
    "head",
    "../HEAD",
    "refs/../HEAD",
    "-",
    "main",
};

/* The id of HEAD in place of `%s`, its beginning in place of `%a`. */
static void fill_in(const char *expression, const char *id, char ret_text[static 128])
{
    const char *percent = strchr(expression, '%');

    if (!percent)
        snprintf(ret_text, 128, "%s", expression);
    else
        snprintf(ret_text, 128, "%.*s%.*s%s", (int)(percent - expression), expression,
                 percent[1] == 'a' ? 7 : 40, id, percent + 2);
}

static void compare_all(const struct fixture *fixture)
{
    char head[41];
    unsigned found = 0;
    unsigned wrong = 0;

    ask_git(fixture, "HEAD", head);
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
        struct error error = {0};
        char text[128];
        char expected[41];
        char id[41];
        fill_in(expressions[i], head, text);
        ask_git(fixture, text, expected);
        opened = 0;
        int r = ask_us(fixture, text, id, &error);
        if (strcmp(id, expected) != 0 || (r < 0 && error_is_transient(r)))
            print_error("%s is %s, and not %s (%d: %s)\n", text, expected, id, r, error.text),
                wrong++;
        if (r < 0 && !strstr(error.text, text))
            fail_msg("%s: %s", text, error.text);
        if (opened > 0)
            fail_msg("%s: packed-refs was opened by its path", text);
        found += *expected != '\0';
    }
    assert_int_equal(wrong, 0);
    assert_in_range(found, 75, SIZE_MAX);
}

static void an_expression_names_what_git_says(void **state)
{
    const struct fixture *fixture = *state;

    run_script(fixture, history);
    compare_all(fixture);
    run_script(fixture, "git pack-refs --all");
    compare_all(fixture);
    run_script(fixture, "git gc -q; git update-ref refs/heads/feed light");
    compare_all(fixture);
}

static void what_begins_with_a_colon_is_refused_with_advice(void **state)
{
    struct error error;
    char id[41];

    run_script(*state, history);
    assert_int_equal(ask_us(*state, ":/main 2", id, &error), -EINVAL);
    assert_non_null(strstr(error.text, "HEAD^{/text}"));
    assert_int_equal(ask_us(*state, ":openpype", id, &error), -EINVAL);
    assert_non_null(strstr(error.text, "is no commit"));
}

/* What is damaged is not absent, whoever asks for it. */
static void a_damaged_ref_is_told_of_through_libgit2_too(void **state)
{
    const struct fixture *fixture = *state;
    struct error error;
    char id[41];

    run_script(fixture, history);
    run_script(fixture, "git pack-refs --all; echo nonsense >>.git/packed-refs");
    static const char *const asked[] = {"feature/x", "feature/x@{1}", "feature/x@{u}", "@{-1}"};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        assert_int_equal(ask_us(fixture, asked[i], id, &error), -EIO);
        if (!strstr(error.text, "/packed-refs: damaged: the line at byte "))
            fail_msg("%s: %s", asked[i], error.text);
    }
}

/* libgit2 makes an empty one, of which Git then believes that it is to be written. */
static void what_has_no_log_gets_none(void **state)
{
    static const char *const asked[] = {"light@{1}", "light@{yesterday}", "symbolic@{1}"};
    const struct fixture *fixture = *state;
    struct error error;
    char id[41];

    run_script(fixture, history);
    run_script(fixture, "rm -r .git/logs/refs/heads");
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        ask_git(fixture, asked[i], id);
        assert_string_equal(id, "");
        assert_int_equal(ask_us(fixture, asked[i], id, &error), -ENOENT);
        if (!strstr(error.text, asked[i]) || !strstr(error.text, "has no log"))
            fail_msg("%s: %s", asked[i], error.text);
    }
    run_script(fixture, "test ! -e .git/logs/refs/tags -a ! -e .git/logs/refs/heads");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_expression_names_what_git_says),
        TEST(what_begins_with_a_colon_is_refused_with_advice),
        TEST(a_damaged_ref_is_told_of_through_libgit2_too),
        TEST(what_has_no_log_gets_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
