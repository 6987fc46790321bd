/*
 * What happens when memory ends, at every allocation in turn.
 *
 * malloc(3) and its like are ours here. They fail once, when so many calls from our own code have
 * been made; so each allocation of a scenario fails in one of its runs. Whatever fails must say so,
 * and the same view must do everything right afterwards.
 *
 * Under AddressSanitizer memory is the sanitizer's. ADDONFS_STRIDE: how many allocations lie
 * between two that fail (1: every one).
 */
#include "fixture.h"

#include <addonfs/status.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char zip_path[] = "package/openpype/3.15.12/private/client.zip";

/* Allocations of ours until one fails; negative: none does. */
static _Atomic long left = -1;
static _Atomic bool has_failed;
static _Atomic size_t failed_at; /* where in the program, for addr2line(1) */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_OURS 0
#else
#define IS_OURS 1

extern const char __executable_start;
extern const char etext;
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

/* Is it called by our code, and is it its turn? */
static bool fails(const char *caller)
{
    if (atomic_load(&left) < 0 || caller < &__executable_start || caller >= &etext)
        return false;
    if (atomic_fetch_sub(&left, 1) != 0)
        return false;
    atomic_store(&has_failed, true);
    atomic_store(&failed_at, (size_t)(caller - &__executable_start));
    errno = ENOMEM;
    return true;
}

#define FAIL_IF_DUE(value)                      \
    do {                                        \
        if (fails(__builtin_return_address(0))) \
            return value;                       \
    } while (0)

void *malloc(size_t size)
{
    FAIL_IF_DUE(NULL);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    FAIL_IF_DUE(NULL);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    FAIL_IF_DUE(NULL);
    return __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t total;

    FAIL_IF_DUE(NULL);
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, total);
}

char *strndup(const char *text, size_t most)
{
    FAIL_IF_DUE(NULL);
    size_t length = strnlen(text, most);
    char *copy = __libc_malloc(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *strdup(const char *text)
{
    FAIL_IF_DUE(NULL);
    size_t size = strlen(text) + 1;
    char *copy = __libc_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* What asprintf(3) is with and without _FORTIFY_SOURCE. */
int asprintf(char **text, const char *format, ...)
{
    va_list arguments;

    FAIL_IF_DUE(-1);
    va_start(arguments, format);
    int n = vasprintf(text, format, arguments);
    va_end(arguments);
    return n;
}

int __asprintf_chk(char **text, int flag, const char *format, ...)
{
    va_list arguments;

    (void)flag;
    FAIL_IF_DUE(-1);
    va_start(arguments, format);
    int n = vasprintf(text, format, arguments);
    va_end(arguments);
    return n;
}
#endif

/* --- What is done while memory ends -------------------------------------------------------------
 */

/* Read a file or zip of a generation to its end, into a hash of a kind. */
static int read_entry(struct view *view, const struct generation *generation, const char *path,
                      uint64_t *ret_sum, struct error *error)
{
    cleanup_body struct body *body = NULL;
    struct entry *entry = NULL;
    unsigned char bytes[4096];
    uint64_t offset = 0;
    uint64_t sum = 0;
    ssize_t n;

    int r = entry_find(generation->root, path, &entry);
    if (r == 0)
        r = view_body(view, entry, NULL, &body, error);
    if (r == 0)
        r = view_open_body(view, body, NULL, error);
    if (r < 0)
        return r;
    while ((n = body_read(body, offset, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 1099511628211u + bytes[i];
        offset += (uint64_t)n;
    }
    body_close(body);
    *ret_sum = sum;
    return (int)n;
}

/* Everything that a mount does, in one view. */
static int use(struct view *view, uint64_t sums[3], struct error *error)
{
    static const struct status_mount mount = {1, "/mnt", "0", "0"};
    cleanup_generation struct generation *generation = NULL;
    cleanup_view_name struct view_name name = {.target = NULL};
    cleanup_view_names struct view_names names = {0};
    cleanup_free char *text = NULL;
    struct entry *entry = NULL;

    int r = view_look(view, &generation, error);
    if (r == 0)
        r = read_entry(view, generation, zip_path, &sums[0], error);
    if (r == 0)
        r = read_entry(view, generation, "upload/openpype-3.15.12.zip", &sums[1], error);
    if (r == 0)
        r = view_find_entry(view, generation, "client/openpype_3.15.12/openpype/lib/tools.py", NULL,
                            &entry, error);
    if (r == 0)
        r = status_json(view, &mount, NULL, &text, error);
    if (r == 0)
        r = view_list(view, "", &names, error);
    if (r == 0)
        r = view_find(view, "snapshots", "current", NULL, &name, error);
    if (r < 0)
        return r;
    cleanup_view_name struct view_name frozen = {.target = NULL};
    r = view_find(view, "snapshots", name.target, NULL, &frozen, error);
    if (r == 0)
        r = read_entry(view, frozen.frozen, zip_path, &sums[2], error);
    return r;
}

static int stride(void)
{
    const char *text = getenv("ADDONFS_STRIDE");
    int given = text ? atoi(text) : 0;

    return given > 0 ? given : 1;
}

static void expect_right(struct view *view, const uint64_t expected[3])
{
    uint64_t sums[3] = {0};
    struct error error = {0};

    if (use(view, sums, &error) < 0)
        fail_msg("afterwards: %s", error.text);
    for (size_t i = 0; i < 3; i++)
        assert_true(sums[i] == expected[i]);
}

static void learn(const struct fixture *fixture, uint64_t expected[3])
{
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    struct error error = {0};

    if (use(view, expected, &error) < 0)
        fail_msg("%s", error.text);
}

static void learn_from(const struct view_options *options, uint64_t expected[3])
{
    cleanup_view struct view *view = NULL;
    struct error error = {0};

    int r = view_open(options, &view, &error);
    if (r == 0)
        r = use(view, expected, &error);
    if (r < 0)
        fail_msg("%s", error.text);
}

/* Each allocation of opening and using a view fails once. */
static void run_out(const struct view_options *options)
{
    uint64_t expected[3] = {0};
    long turn = 0;

    learn_from(options, expected);
    for (bool failed = true; failed; turn += stride()) {
        cleanup_view struct view *view = NULL;
        struct error error = {0};
        uint64_t sums[3] = {0};

        atomic_store(&has_failed, false);
        atomic_store(&left, turn);
        int r = view_open(options, &view, &error);
        if (r == 0)
            r = use(view, sums, &error);
        atomic_store(&left, -1);
        failed = atomic_load(&has_failed);
        if (r < 0 && (!failed || !*error.text))
            fail_msg("allocation %ld, at %#zx: %s without a word", turn, atomic_load(&failed_at),
                     strerror(-r));
        if (view)
            expect_right(view, expected);
    }
    print_message("%ld allocations, every %dth failed\n", turn, stride());
}

static void a_view_that_runs_out_of_memory_says_so_and_goes_on(void **state)
{
    const struct fixture *fixture = *state;
    const struct view_options options = {.source.path = fixture->root, .no_cache = true};

    if (!IS_OURS)
        skip();
    run_out(&options);
}

static void so_does_one_of_a_revision(void **state)
{
    const struct fixture *fixture = *state;
    const struct view_options options = {.source = {.path = fixture->root, .revision = "HEAD"},
                                         .no_cache = true};

    if (!IS_OURS)
        skip();
    run_out(&options);
}

/* Its own first commit is what the submodule shows. */
static void so_does_one_of_a_revision_with_a_submodule(void **state)
{
    static const char script[] =
        "set -e; cd '%s'; commit=$(git rev-parse HEAD); mkdir -p .git/modules/it/objects/info; "
        "echo ../../../objects > .git/modules/it/objects/info/alternates; "
        "printf '[submodule \"it\"]\\n\\tpath = openpype/sub\\n' > .gitmodules; git add "
        ".gitmodules; "
        "git update-index --add --cacheinfo \"160000,$commit,openpype/sub\"; "
        "git -c user.name=A -c user.email=a@example.com commit -qm submodule; "
        "git ls-tree HEAD:openpype | grep -q commit";
    const struct fixture *fixture = *state;
    const struct view_options options = {.source = {.path = fixture->root, .revision = "HEAD"},
                                         .no_cache = true};
    uint64_t without[3] = {0};
    uint64_t with[3] = {0};
    char command[2048];

    if (!IS_OURS)
        skip();
    learn(fixture, without);
    snprintf(command, sizeof(command), script, fixture->root);
    assert_int_equal(system(command), 0);
    learn_from(&options, with);
    assert_true(with[0] != without[0]);
    run_out(&options);
}

static void so_does_one_that_derives_versions(void **state)
{
    const struct fixture *fixture = *state;
    const struct view_options options = {
        .source.path = fixture->root, .shown.derive_version = true, .no_cache = true};

    if (!IS_OURS)
        skip();
    run_out(&options);
}

static void so_does_one_with_a_cache(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_free char *folder = NULL;

    if (!IS_OURS)
        skip();
    assert_true(asprintf(&folder, "%s/cache", fixture->root) > 0);
    const struct view_options options = {.source.path = fixture->root, .cache_folder = folder};
    run_out(&options);
}

/* The known layouts are read as any recipe is. */
static void so_does_one_with_a_recipe(void **state)
{
    const struct fixture *fixture = *state;
    const struct view_options options = {
        .source.path = fixture->root, .recipe_path = "core/layouts/a.json", .no_cache = true};

    if (!IS_OURS)
        skip();
    run_out(&options);
}

/* Each allocation of a look after an edit fails once. */
static void an_edit_is_seen_although_the_look_at_it_ran_out_of_memory(void **state)
{
    const struct fixture *fixture = *state;
    uint64_t before[3] = {0};
    struct error error = {0};
    long turn = 0;

    if (!IS_OURS)
        skip();
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    assert_int_equal(use(view, before, &error), 0);
    for (bool failed = true; failed; turn += stride()) {
        char text[64];
        uint64_t sums[3] = {0};
        uint64_t expected[3] = {0};

        snprintf(text, sizeof(text), "# edit %ld\n", turn);
        fixture_write(fixture, "openpype/lib/tools.py", text);
        atomic_store(&has_failed, false);
        atomic_store(&left, turn);
        (void)use(view, sums, &error);
        atomic_store(&left, -1);
        failed = atomic_load(&has_failed);
        learn(fixture, expected);
        assert_true(expected[0] != before[0]);
        expect_right(view, expected);
    }
    print_message("%ld allocations, every %dth failed\n", turn, stride());
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_view_that_runs_out_of_memory_says_so_and_goes_on),
        TEST(so_does_one_of_a_revision),
        TEST(so_does_one_of_a_revision_with_a_submodule),
        TEST(so_does_one_that_derives_versions),
        TEST(so_does_one_with_a_cache),
        TEST(so_does_one_with_a_recipe),
        TEST(an_edit_is_seen_although_the_look_at_it_ran_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
