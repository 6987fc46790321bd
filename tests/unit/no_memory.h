/*
 * no_memory: memory that ends, at every allocation in turn. For a test program of its own, which
 * includes it once:
 *
 *     run_out(act, forget, context, 1);
 *
 * malloc(3) and its like are defined here, and functions of the C library that allocate for their
 * caller. They fail once, when so many calls from our own code, and from libraries that it uses,
 * have been made; so each allocation of an act fails in one of its runs. Whatever fails must say
 * so; what does not fail must have done everything all the same; and the same act must do
 * everything right afterwards.
 *
 * Under the sanitizers memory is theirs. ADDONFS_STRIDE: how many allocations lie between two that
 * fail (1: every one); with more than one, ADDONFS_TEST_SEED says which.
 */
#ifndef ADDONFS_TESTS_NO_MEMORY_H
#define ADDONFS_TESTS_NO_MEMORY_H

#include <addonfs/error.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Allocations of ours until one fails; negative: none does. */
static _Atomic long left = -1;
static _Atomic bool has_failed;
static void *failed_at[8]; /* the calls to where it was, for addr2line(1) */
static int failed_depth;

extern const char __executable_start;
extern const char etext;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_OURS 0
#else
#define IS_OURS 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
typedef int compare_function(const void *a, const void *b);
void *tsearch(const void *key, void **root, compare_function *compare);

/*
 * Libraries that keep in memory what we have asked them to. Of others it is known that they do not
 * get through it: libarchive ends the process, or reads through NULL.
 */
static struct library {
    const char *name;
    const char *begin;
    const char *end;
} libraries[] = {{.name = "/libcjson.so"}, {.name = "/libdeflate.so"}};
enum { LIBRARIES = sizeof(libraries) / sizeof(libraries[0]) };

static int find_library(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (int i = 0; i < LIBRARIES; i++) {
        for (int k = 0; strstr(info->dlpi_name, libraries[i].name) && k < info->dlpi_phnum; k++) {
            const ElfW(Phdr) *part = &info->dlpi_phdr[k];
            if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
                continue;
            libraries[i].begin = (const char *)info->dlpi_addr + part->p_vaddr;
            libraries[i].end = libraries[i].begin + part->p_memsz;
        }
    }
    return 0;
}

__attribute__((constructor)) static void find_libraries(void)
{
    dl_iterate_phdr(find_library, NULL);
}

static bool is_ours(const char *caller)
{
    if (caller >= &__executable_start && caller < &etext)
        return true;
    for (int i = 0; i < LIBRARIES; i++) {
        if (caller >= libraries[i].begin && caller < libraries[i].end)
            return true;
    }
    return false;
}

/* Is it called by our code, or for it, and is it its turn? */
static bool fails(const char *caller)
{
    if (atomic_load(&left) < 0 || !is_ours(caller))
        return false;
    if (atomic_fetch_sub(&left, 1) != 0)
        return false;
    failed_depth = backtrace(failed_at, sizeof(failed_at) / sizeof(failed_at[0]));
    atomic_store(&has_failed, true);
    errno = ENOMEM;
    return true;
}

#define ORIGINAL(function, name) ((__typeof__(&(function)))dlsym(RTLD_NEXT, name))

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

/* What asprintf(3) and vasprintf(3) are with and without _FORTIFY_SOURCE. */
#if !defined(__USE_FORTIFY_LEVEL) || __USE_FORTIFY_LEVEL == 0
int __asprintf_chk(char **text, int flag, const char *format, ...);
int __vasprintf_chk(char **text, int flag, const char *format, va_list arguments);
#endif

static int print(char **text, const char *format, va_list arguments)
{
    return ORIGINAL(vasprintf, "vasprintf")(text, format, arguments);
}

int vasprintf(char **text, const char *format, va_list arguments)
{
    FAIL_IF_DUE(-1);
    return print(text, format, arguments);
}

int __vasprintf_chk(char **text, int flag, const char *format, va_list arguments)
{
    (void)flag;
    FAIL_IF_DUE(-1);
    return print(text, format, arguments);
}

int asprintf(char **text, const char *format, ...)
{
    va_list arguments;

    FAIL_IF_DUE(-1);
    va_start(arguments, format);
    int n = print(text, format, arguments);
    va_end(arguments);
    return n;
}

int __asprintf_chk(char **text, int flag, const char *format, ...)
{
    va_list arguments;

    (void)flag;
    FAIL_IF_DUE(-1);
    va_start(arguments, format);
    int n = print(text, format, arguments);
    va_end(arguments);
    return n;
}

/* What allocates for its caller. */

void *tsearch(const void *key, void **root, compare_function *compare)
{
    FAIL_IF_DUE(NULL);
    return ORIGINAL(tsearch, "tsearch")(key, root, compare);
}

FILE *fopen(const char *path, const char *mode)
{
    FAIL_IF_DUE(NULL);
    return ORIGINAL(fopen, "fopen64")(path, mode);
}

FILE *open_memstream(char **text, size_t *size)
{
    FAIL_IF_DUE(NULL);
    return ORIGINAL(open_memstream, "open_memstream")(text, size);
}

DIR *opendir(const char *path)
{
    FAIL_IF_DUE(NULL);
    return ORIGINAL(opendir, "opendir")(path);
}

DIR *fdopendir(int fd)
{
    FAIL_IF_DUE(NULL);
    return ORIGINAL(fdopendir, "fdopendir")(fd);
}

char *realpath(const char *path, char *room)
{
    FAIL_IF_DUE(NULL);
    return ORIGINAL(realpath, "realpath")(path, room);
}
#endif

/* --- Runs ----------------------------------------------------------------------------------------
 */

/*
 * What is done while memory ends: 0 and a sum of what has come out, or what failed. What it keeps
 * in its `context` for later is what must still be right afterwards.
 */
typedef int act_function(void *context, uint64_t *ret_sum, struct error *error);

/* FNV-1a, of more bytes. */
static void add(uint64_t *sum, const void *bytes, size_t size)
{
    const unsigned char *each = bytes;

    for (size_t i = 0; i < size; i++)
        *sum = (*sum ^ each[i]) * UINT64_C(1099511628211);
}

static void add_text(uint64_t *sum, const char *text)
{
    add(sum, text, strlen(text) + 1);
}

static long stride_of(long usual)
{
    const char *text = getenv("ADDONFS_STRIDE");
    long given = text ? atol(text) : 0;

    return given > 0 ? given : usual;
}

/* The first of those with so many between them: another one each time, unless a seed is given. */
static long begin_at(long stride)
{
    const char *told = getenv("ADDONFS_TEST_SEED");
    long seed = told ? atol(told) : (long)time(NULL);

    if (stride > 1)
        print_message("ADDONFS_TEST_SEED=%ld\n", seed);
    return labs(seed) % stride;
}

/* From now on the allocation after so many others fails … */
static void fail_after(long turn)
{
    atomic_store(&has_failed, false);
    atomic_store(&left, turn);
}

/* … and from now on none does. Has one? */
static bool has_failed_by_now(void)
{
    atomic_store(&left, -1);
    return atomic_load(&has_failed);
}

/* Say what is wrong with a turn. */
__attribute__((format(printf, 2, 3))) static void complain(long turn, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE + 64];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (int i = 1; IS_OURS && i < failed_depth; i++)
        print_error("%s%#zx", i == 1 ? "addr2line -fpe build/tests/… " : " ",
                    (size_t)((char *)failed_at[i] - &__executable_start));

    fail_msg("\nallocation %ld: %s", turn, text);
}

/* What an act does in between that has all the memory. */
static long paused = -1;

static inline void pause_failures(void)
{
    paused = atomic_exchange(&left, -1);
}

static inline void resume_failures(void)
{
    atomic_store(&left, paused);
}

static uint64_t expect_success(act_function *act, void *context)
{
    struct error error = {0};
    uint64_t sum = 0;

    if (act(context, &sum, &error) < 0)
        fail_msg("%s", error.text);
    return sum;
}

/*
 * Each allocation of `act`, one in `usual`, fails once. `forget` (or NULL) is called after each of
 * them, so that the next one begins anew.
 */
static void run_out(act_function *act, void (*forget)(void *context), void *context, long usual)
{
    uint64_t expected = expect_success(act, context);
    long stride = stride_of(usual);
    long turn = begin_at(stride);
    long count = 0;

    for (bool failed = true; failed; turn += stride, count += failed) {
        struct error error = {0};
        uint64_t sum = 0;

        if (forget)
            forget(context);
        fail_after(turn);
        int r = act(context, &sum, &error);
        failed = has_failed_by_now();
        if (r < 0 && (r != -ENOMEM || !failed || !*error.text))
            complain(turn, "%s: %s", strerror(-r), *error.text ? error.text : "without a word");
        if (r == 0 && sum != expected)
            complain(turn, "something else in silence");
        r = act(context, &sum, &error);
        if (r < 0 || sum != expected)
            complain(turn, "afterwards: %s", r < 0 ? error.text : "something else");
    }
    assert_true(count > 0);
    print_message("%ld of %ld allocations failed\n", count, turn - stride);
}

static void memory_is_the_sanitizers(void **state)
{
    (void)state;
    skip();
}

/* In place of all tests: nothing is made that would have to be given back. */
static int skip_all(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_is_the_sanitizers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
