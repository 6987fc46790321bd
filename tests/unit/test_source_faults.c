/*
 * What a source does when the system does not do what it is asked: functions of the C library are
 * replaced here by ones that can be told to fail, or that count.
 */
#include "fixture.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

static struct faults {
    unsigned opened;     /* calls of openat2(2) so far */
    unsigned stats;      /* calls of fstatat(2) so far */
    const char *refused; /* a path that openat2 cannot open, or NULL … */
    const char *refused_too;
    int code;            /* … for this errno; 0: EMFILE … */
    bool to_read;        /* … although it can be walked through */
    struct timespec now; /* what the clock says, or 0: the truth */
    const char *text;    /* a text that cannot be copied once, or NULL */
    unsigned skipped;    /* … after so many times that it can be */
    unsigned walks;      /* calls of twalk_r(3) so far … */
    unsigned finds;      /* … and of tfind(3) */
    bool no_types;       /* listings do not tell what is what */
    bool no_inotify;     /* there are no more instances */
    uint32_t magic;      /* of every file system, or 0: the truth */
} faults;

typedef int compare_function(const void *a, const void *b);
void *tfind(const void *key, void *const *root, compare_function *compare);

void *tfind(const void *key, void *const *root, compare_function *compare)
{
    void *(*original)(const void *, void *const *, compare_function *) =
        (void *(*)(const void *, void *const *, compare_function *))dlsym(RTLD_NEXT, "tfind");

    faults.finds++;
    return original(key, root, compare);
}

struct dirent *readdir(DIR *stream)
{
    struct dirent *(*original)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    struct dirent *found = original(stream);

    if (found && faults.no_types)
        found->d_type = DT_UNKNOWN;
    return found;
}

/* What others mount while this runs would have everything compared. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    int (*original)(struct pollfd *, nfds_t, int) =
        (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");

    return count == 1 && fds->events == POLLPRI ? 0 : original(fds, count, timeout);
}

int inotify_init1(int flags)
{
    int (*original)(int) = (int (*)(int))dlsym(RTLD_NEXT, "inotify_init1");

    if (!faults.no_inotify)
        return original(flags);
    errno = EMFILE;
    return -1;
}

int fstatfs(int fd, struct statfs *status)
{
    int (*original)(int, struct statfs *) =
        (int (*)(int, struct statfs *))dlsym(RTLD_NEXT, "fstatfs64");
    int r = original(fd, status);

    if (r == 0 && faults.magic)
        status->f_type = (__typeof__(status->f_type))faults.magic;
    return r;
}

/* search.h cannot be included beside entry.h. */
typedef void visit_function(const void *node, int visit, void *context);
void twalk_r(const void *root, visit_function *visit, void *context);

void twalk_r(const void *root, visit_function *visit, void *context)
{
    void (*original)(const void *, visit_function *, void *) =
        (void (*)(const void *, visit_function *, void *))dlsym(RTLD_NEXT, "twalk_r");

    faults.walks++;
    original(root, visit, context);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    bool fails = faults.text && strcmp(text, faults.text) == 0;

    if (fails && faults.skipped-- == 0)
        return NULL;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

int fstatat(int folder, const char *name, struct stat *status, int flags)
{
    int (*original)(int, const char *, struct stat *, int) =
        (int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat64");

    faults.stats++;
    return original(folder, name, status, flags);
}

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    int (*original)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");

    if (clock != CLOCK_REALTIME || faults.now.tv_sec == 0)
        return original(clock, ret_now);
    *ret_now = faults.now;
    return 0;
}

/* What has been written by now stays too young to be known by its stamp. */
static void stop_the_clock(void)
{
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &faults.now), 0);
}

static bool is_refused(const char *path)
{
    return (faults.refused && strcmp(path, faults.refused) == 0) ||
           (faults.refused_too && strcmp(path, faults.refused_too) == 0);
}

/* What has been written by now is old enough to be known by its stamp. */
static void let_time_pass(void)
{
    faults.now.tv_sec = 0;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &faults.now), 0);
    faults.now.tv_sec += 60;
}

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
    if (number == SYS_openat2 && is_refused((const char *)a[1]) &&
        !(faults.to_read && ((const struct open_how *)a[2])->flags & O_PATH)) {
        errno = faults.code ? faults.code : EMFILE;
        return -1;
    }
    long (*original)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return original(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int setup(void **state)
{
    memset(&faults, 0, sizeof(faults));
    return fixture_setup(state);
}

static struct source *open_source(const struct fixture *fixture, bool poll)
{
    struct source_options options = {.path = fixture->root, .poll = poll};
    struct source *source = NULL;

    assert_int_equal(source_open(&options, &source, NULL), 0);
    return source;
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

static uint64_t size_of(const struct generation *generation, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "package/openpype/3.15.12/%s", name);
    return fixture_entry(generation, path)->file->size;
}

static void what_a_look_found_until_it_failed_is_shown_by_the_next(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_generation struct generation *before = NULL;
    cleanup_generation struct generation *after = NULL;
    struct generation *none = NULL;
    struct error error = {0};

    stop_the_clock();
    fixture_write(fixture, "server_addon/server/sub/a.py", "a");
    fixture_write(fixture, "server_addon/server/sub/b.py", "b");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    assert_int_equal(view_look(view, &before, &error), 0);
    fixture_write(fixture, "server_addon/server/sub/a.py", "aa");
    faults.refused = "server_addon/server/sub/b.py";
    assert_int_equal(view_look(view, &none, &error), -EMFILE);
    faults.refused = NULL;
    assert_int_equal(view_look(view, &after, &error), 0);
    assert_int_equal(size_of(after, "sub/a.py"), 2);
}

static void a_refresh_that_failed_has_its_changes_reported_by_the_next(void **state)
{
    const struct fixture *fixture = *state;
    bool changed = false;

    stop_the_clock();
    fixture_write(fixture, "openpype/version.py", "as it was");
    fixture_file(fixture, "openpype/__init__.py");
    fixture_file(fixture, "openpype/version.py");
    fixture_refresh(fixture);
    fixture_write(fixture, "openpype/__init__.py", "changed");
    faults.refused = "openpype/version.py";
    assert_int_equal(source_refresh(fixture->origin.source, &changed, NULL), -EMFILE);
    faults.refused = NULL;
    assert_true(fixture_refresh(fixture));
    assert_int_equal(fixture_file(fixture, "openpype/__init__.py")->size, 7);
    assert_false(fixture_refresh(fixture));
}

/* Whatever the allocation that fails, the next look shows what is there. */
static void a_folder_for_which_there_was_no_memory_is_there_at_the_next_look(void **state)
{
    struct fixture *fixture = *state;
    struct source_folder *folder = NULL;
    bool changed = false;
    unsigned failures = 0;

    fixture_write(fixture, "openpype/of_its_own/f.py", "x");
    fixture_link(fixture, "linked", "openpype/of_its_own");
    for (int i = 0; i < 2; i++) {
        const char *path = i == 0 ? "openpype/of_its_own" : "linked";
        for (unsigned skipped = 0;; skipped++) {
            cleanup_source struct source *source = open_source(fixture, true);
            assert_int_equal(source_refresh(source, &changed, NULL), 0);
            faults.text = path;
            faults.skipped = skipped;
            int r = source_list(source, path, &folder, NULL);
            faults.text = NULL;
            assert_true(r == 0 || r == -ENOMEM);
            assert_int_equal(source_refresh(source, &changed, NULL), 0);
            assert_int_equal(source_list(source, path, &folder, NULL), 0);
            assert_int_equal(folder->count, 1);
            if (r == 0)
                break;
            failures++;
        }
    }
    assert_true(failures > 3);
}

static void a_reason_for_which_there_was_no_memory_is_given_at_the_next_look(void **state)
{
    struct fixture *fixture = *state;
    struct source_entry *entry = NULL;
    bool changed = false;

    fixture_link(fixture, "openpype/link", "version.py");
    assert_int_equal(fixture_file(fixture, "openpype/link")->size, 24);
    fixture_remove(fixture, "openpype/link");
    fixture_link(fixture, "openpype/link", "nowhere");
    faults.text = "the link is broken";
    assert_int_equal(source_refresh(fixture->origin.source, &changed, NULL), -ENOMEM);
    faults.text = NULL;
    assert_true(fixture_refresh(fixture));
    assert_int_equal(source_find(fixture->origin.source, "openpype/link", NULL, &entry, NULL), 0);
    assert_int_equal(entry->kind, SOURCE_OTHER);
    assert_string_equal(entry->reason, "the link is broken");
}

static unsigned queue_length(void)
{
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    unsigned length = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &length), 1);
    fclose(file);
    return length;
}

/* Give the queue of events more than it can hold. */
static void overflow(const struct fixture *fixture)
{
    char path[2][64];

    snprintf(path[0], sizeof(path[0]), "%s/openpype/version.py", fixture->root);
    snprintf(path[1], sizeof(path[1]), "%s/openpype/__init__.py", fixture->root);
    /* By turns: an event that is equal to the last one is not queued. */
    for (unsigned i = queue_length() + 2; i > 0; i--)
        assert_int_equal(chmod(path[i % 2], 0644), 0);
}

static void events_that_were_lost_are_not_forgotten_without_memory(void **state)
{
    const struct fixture *fixture = *state;
    char from[64];
    char to[64];
    struct error error = {0};
    bool changed = false;

    fixture_file(fixture, "openpype/lib/tools.py");
    fixture_file(fixture, "server_addon/server/__init__.py");
    fixture_refresh(fixture);
    snprintf(from, sizeof(from), "%s/openpype/lib", fixture->root);
    snprintf(to, sizeof(to), "%s/openpype/old", fixture->root);
    assert_int_equal(rename(from, to), 0);
    overflow(fixture);
    fixture_write(fixture, "server_addon/server/__init__.py", "lost");
    faults.text = "openpype/lib";
    (void)source_refresh(fixture->origin.source, &changed, &error);
    faults.text = NULL;
    fixture_refresh(fixture);
    fixture_expect(fixture, fixture_file(fixture, "server_addon/server/__init__.py"), "lost");
}

static unsigned walks_of_a_removal(const struct fixture *fixture, unsigned count)
{
    struct source_folder *folder = NULL;
    char path[64];

    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "openpype/many/d%u/e/f", i);
        fixture_write(fixture, path, "");
    }
    fixture_refresh(fixture);
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "openpype/many/d%u/e", i);
        assert_int_equal(source_list(fixture->origin.source, path, &folder, NULL), 0);
    }
    source_settle(fixture->origin.source);
    fixture_remove(fixture, "openpype/many");
    faults.walks = 0;
    assert_true(fixture_refresh(fixture));
    return faults.walks;
}

static void many_removed_folders_cost_no_more_walks_than_one(void **state)
{
    const struct fixture *fixture = *state;

    unsigned one = walks_of_a_removal(fixture, 1);
    assert_true(one > 0);
    assert_int_equal(walks_of_a_removal(fixture, 60), one);
}

static void a_source_that_cannot_be_watched_warns_and_is_compared(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 3; i++) {
        struct fixture other = *fixture;
        faults.no_inotify = i == 1;
        faults.magic = i == 2 ? 0x5346414f /* AFS */ : 0;
        cleanup_source struct source *source = open_source(fixture, false);
        other.origin.source = source;
        fixture_write(fixture, "openpype/lib/tools.py", "before");
        fixture_refresh(&other);
        fixture_expect(&other, fixture_file(&other, "openpype/lib/tools.py"), "before");
        fixture_write(fixture, "openpype/lib/tools.py", "after");
        assert_true(fixture_refresh(&other));
        const char *warning = source_warning(source);
        assert_int_equal(warning != NULL, i > 0);
        if (i == 1)
            assert_non_null(strstr(warning, "max_user_instances"));
        if (i == 2)
            assert_non_null(strstr(warning, "file system"));
        /* Who asks for it need not be told. */
        cleanup_source struct source *polled = open_source(fixture, true);
        assert_null(source_warning(polled));
    }
}

static void a_type_that_cannot_be_told_now_is_not_remembered(void **state)
{
    const struct fixture *fixture = *state;
    struct source_folder *folder = NULL;

    faults.no_types = true;
    fixture_link(fixture, "openpype/lib/link", "tools.py");
    fixture_write(fixture, "openpype/lib/below/f.py", "");
    faults.refused = "tools.py";
    assert_int_equal(source_list(fixture->origin.source, "openpype/lib", &folder, NULL), -EMFILE);
    faults.refused = NULL;
    fixture_refresh(fixture);
    fixture_expect(fixture, fixture_file(fixture, "openpype/lib/tools.py"),
                   "def tool():\n    return 1\n");
    fixture_expect(fixture, fixture_file(fixture, "openpype/lib/link"),
                   "def tool():\n    return 1\n");
    fixture_expect(fixture, fixture_file(fixture, "openpype/lib/below/f.py"), "");
}

static void a_link_does_not_make_its_folders_files_be_compared(void **state)
{
    const struct fixture *fixture = *state;

    fixture_write(fixture, "openpype/many/f1.py", "x");
    fixture_write(fixture, "openpype/many/f2.py", "x");
    fixture_link(fixture, "openpype/many/link", "../lib/tools.py");
    fixture_refresh(fixture);
    fixture_file(fixture, "openpype/many/f1.py");
    fixture_file(fixture, "openpype/many/f2.py");
    fixture_file(fixture, "openpype/many/link");
    fixture_refresh(fixture);
    faults.stats = faults.opened = 0;
    assert_false(fixture_refresh(fixture));
    assert_int_equal(faults.stats, 0);
    /* openpype, many, the link, openpype, lib, tools.py; and that again, as its stamp is young. */
    assert_true(faults.opened <= 6);
    fixture_write(fixture, "openpype/lib/tools.py", "changed");
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, "openpype/many/link"), "changed");
    /* What happens in the folder itself is still found. */
    fixture_write(fixture, "openpype/many/f2.py", "changed too");
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, "openpype/many/f2.py"), "changed too");
}

static void a_file_that_could_not_be_read_heals_without_an_event(void **state)
{
    const struct fixture *fixture = *state;
    struct error error = {0};
    cleanup_content struct content *content = NULL;

    faults.refused = "openpype/lib/tools.py";
    faults.code = EIO;
    struct file *file = fixture_file(fixture, "openpype/lib/tools.py");
    assert_int_equal(source_read(file, fixture->origin.spool, 100, &content, &error), -EIO);
    assert_false(fixture_refresh(fixture));
    faults.refused = NULL;
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, "openpype/lib/tools.py"),
                   "def tool():\n    return 1\n");
}

static void a_folder_that_could_not_be_listed_heals_without_an_event(void **state)
{
    const struct fixture *fixture = *state;
    struct source_folder *folder = NULL;

    faults.refused = "openpype/lib";
    faults.code = EIO;
    assert_int_equal(source_list(fixture->origin.source, "openpype/lib", &folder, NULL), -EIO);
    assert_false(fixture_refresh(fixture));
    faults.refused = NULL;
    assert_true(fixture_refresh(fixture));
    assert_int_equal(source_list(fixture->origin.source, "openpype/lib", &folder, NULL), 0);
    assert_int_equal(folder->count, 1);
}

/* How many records are looked up to show folders that lie in each other. */
static unsigned finds_for_depth(const struct fixture *fixture, unsigned depth)
{
    cleanup_generation struct generation *generation = NULL;
    char path[PATH_MAX] = "openpype";

    for (unsigned i = 1; i < depth; i++)
        strcat(path, "/d");
    strcat(path, "/f.py");
    fixture_write(fixture, path, "");
    faults.finds = 0;
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    assert_int_equal(view_look(view, &generation, NULL), 0);
    return faults.finds;
}

static void the_depth_of_a_tree_costs_in_proportion(void **state)
{
    const struct fixture *fixture = *state;
    unsigned some = finds_for_depth(fixture, 10);

    assert_true(finds_for_depth(fixture, 200) < 20 * some);
}

/*
 * Where the way to a link's target cannot be listed it is not watched either; what the link leads
 * to is compared nevertheless.
 */
static void a_link_to_a_folder_that_was_swapped_unseen_leads_to_the_new_one(void **state)
{
    const struct fixture *fixture = *state;
    struct source *source = fixture->origin.source;
    struct source_folder *folder = NULL;
    char from[2][64];
    char to[2][64];

    fixture_write(fixture, "shared/a/x/f.py", "old");
    fixture_write(fixture, "shared/a/x/below/f.py", "old");
    fixture_write(fixture, "shared/b/x/f.py", "new");
    fixture_write(fixture, "shared/b/x/below/f.py", "new");
    fixture_link(fixture, "openpype/link", "../shared/a/x");
    fixture_refresh(fixture);
    faults.refused = "shared";
    faults.refused_too = "shared/a";
    faults.code = EACCES;
    faults.to_read = true;
    assert_int_equal(source_list(source, "openpype/link", &folder, NULL), 0);
    fixture_expect(fixture, fixture_file(fixture, "openpype/link/f.py"), "old");
    fixture_expect(fixture, fixture_file(fixture, "openpype/link/below/f.py"), "old");
    source_settle(source);
    static const char *const moves[2][2] = {{"shared/a", "shared/c"}, {"shared/b", "shared/a"}};
    for (int i = 0; i < 2; i++) {
        snprintf(from[i], sizeof(from[i]), "%s/%s", fixture->root, moves[i][0]);
        snprintf(to[i], sizeof(to[i]), "%s/%s", fixture->root, moves[i][1]);
        assert_int_equal(rename(from[i], to[i]), 0);
    }
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, "openpype/link/f.py"), "new");
    fixture_expect(fixture, fixture_file(fixture, "openpype/link/below/f.py"), "new");
}

static void a_link_that_many_paths_lead_to_is_followed_once_a_look(void **state)
{
    const struct fixture *fixture = *state;
    enum { STEPS = 6 };

    for (int i = 0; i < STEPS; i++) {
        char path[32];
        char target[16];
        snprintf(target, sizeof(target), "../d%d", i + 1);
        snprintf(path, sizeof(path), "shared/d%d/a", i);
        fixture_link(fixture, path, target);
        snprintf(path, sizeof(path), "shared/d%d/b", i);
        fixture_link(fixture, path, target);
    }
    fixture_write(fixture, "shared/d6/f.py", "");
    fixture_link(fixture, "openpype/link", "../shared/d0");
    cleanup_view struct view *view = fixture_view(fixture, NULL);
    for (int i = 0; i < 2; i++) {
        cleanup_generation struct generation *generation = NULL;
        faults.opened = 0;
        assert_int_equal(view_look(view, &generation, NULL), 0);
        /* Each of the 13 links goes through four folders at most; there are 64 paths to the last.
         */
        assert_true(faults.opened <= 5 * (2 * STEPS + 1));
        if (i == 1)
            break;
        fixture_remove(fixture, "shared/d3/b");
        fixture_link(fixture, "shared/d3/b", "../../server_addon/client");
        cleanup_generation struct generation *after = NULL;
        assert_int_equal(view_look(view, &after, NULL), 0);
        assert_int_equal(
            bundle_count(
                fixture_entry(after, "package/openpype/3.15.12/private/client.zip")->bundle),
            3 + 8 * (4 + 1));
    }
}

/* Someone who writes through a mapping. The first store moves the stamp, as the page is clean. */
struct writer {
    int fd;
    volatile char *bytes;
};

static struct writer map_file(const struct fixture *fixture, const char *path)
{
    struct writer writer;
    char absolute[128];

    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    writer.fd = open(absolute, O_RDWR | O_CLOEXEC);
    assert_true(writer.fd >= 0);
    writer.bytes = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, writer.fd, 0);
    assert_ptr_not_equal(writer.bytes, MAP_FAILED);
    writer.bytes[0] = writer.bytes[0];
    return writer;
}

static void unmap_file(struct writer *writer)
{
    assert_int_equal(munmap((void *)(uintptr_t)writer->bytes, 1), 0);
    assert_int_equal(close(writer->fd), 0);
}

static void a_store_under_an_old_stamp_is_seen_when_the_file_is_closed(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = "openpype/lib/tools.py";

    fixture_write(fixture, path, "old");
    fixture_refresh(fixture);
    struct writer writer = map_file(fixture, path);
    let_time_pass();
    cleanup_file struct file *before = file_ref(fixture_file(fixture, path));
    fixture_expect(fixture, before, "old");
    fixture_refresh(fixture);
    assert_ptr_equal(fixture_file(fixture, path), before);
    writer.bytes[0] = 'c';
    unmap_file(&writer);
    assert_true(fixture_refresh(fixture));
    cleanup_file struct file *after = file_ref(fixture_file(fixture, path));
    assert_ptr_not_equal(after, before);
    assert_false(file_equal(before, after));
    fixture_expect(fixture, after, "cld");
    /* And once more, under the same stamp still. */
    writer = map_file(fixture, path);
    writer.bytes[0] = 'b';
    unmap_file(&writer);
    assert_true(fixture_refresh(fixture));
    assert_false(file_equal(after, fixture_file(fixture, path)));
    fixture_expect(fixture, fixture_file(fixture, path), "bld");
    assert_false(fixture_refresh(fixture));
}

static void a_file_that_is_closed_without_a_store_is_the_same(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = "openpype/lib/tools.py";
    char absolute[128];

    let_time_pass();
    cleanup_file struct file *before = file_ref(fixture_file(fixture, path));
    fixture_expect(fixture, before, "def tool():\n    return 1\n");
    fixture_refresh(fixture);
    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    int fd = open(absolute, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_false(fixture_refresh(fixture));
    assert_ptr_equal(fixture_file(fixture, path), before);
}

/* What is hashed is promised. A store while it is still mapped must not make it fail for good. */
static void a_file_that_does_not_hold_what_was_promised_is_another_at_the_next_look(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_content struct content *content = NULL;
    const char *path = "openpype/lib/tools.py";

    fixture_write(fixture, path, "old");
    fixture_refresh(fixture);
    struct writer writer = map_file(fixture, path);
    cleanup_file struct file *before = file_ref(fixture_file(fixture, path));
    let_time_pass();
    fixture_write(fixture, "openpype/lib/more.py", "");
    fixture_refresh(fixture);
    assert_ptr_equal(fixture_file(fixture, path), before);
    writer.bytes[0] = 'c';
    int r = source_read(before, fixture->origin.spool, 100, &content, NULL);
    assert_int_equal(r, -ESTALE);
    assert_true(fixture_refresh(fixture));
    fixture_expect(fixture, fixture_file(fixture, path), "cld");
    unmap_file(&writer);
    assert_false(fixture_refresh(fixture));
}

/* Both zips hold it, one of them within the other. */
static void what_cannot_be_read_at_the_moment_is_named_by_its_own_path(void **state)
{
    const struct fixture *fixture = *state;

    for (int skip = 0; skip < 2; skip++) {
        struct view_options options = {
            .source.path = fixture->root, .no_cache = true, .skip_problems = skip};
        cleanup_view struct view *view = NULL;
        cleanup_generation struct generation *generation = NULL;
        cleanup_problems struct problems problems = {0};

        let_time_pass();
        assert_int_equal(view_open(&options, &view, NULL), 0);
        faults.refused = "openpype/lib/tools.py";
        assert_int_equal(view_problems(view, NULL, &generation, &problems, NULL), 0);
        faults.refused = NULL;
        assert_int_equal(problems.count, 1);
        assert_string_equal(problems.items[0].path, "openpype/lib/tools.py");
        assert_string_equal(problems.items[0].reason, "Too many open files");
        assert_false(problems.items[0].warning);
        assert_int_equal(problems.items[0].affects_count, 2);
        generation_unref(steal_pointer(&generation));
        problems_clear(&problems);
        assert_int_equal(view_problems(view, NULL, &generation, &problems, NULL), 0);
        assert_int_equal(problems.count, 0);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_new_is_opened_once_and_nothing_else),
        TEST(what_a_look_found_until_it_failed_is_shown_by_the_next),
        TEST(a_refresh_that_failed_has_its_changes_reported_by_the_next),
        TEST(a_folder_for_which_there_was_no_memory_is_there_at_the_next_look),
        TEST(a_reason_for_which_there_was_no_memory_is_given_at_the_next_look),
        TEST(events_that_were_lost_are_not_forgotten_without_memory),
        TEST(many_removed_folders_cost_no_more_walks_than_one),
        TEST(a_source_that_cannot_be_watched_warns_and_is_compared),
        TEST(a_type_that_cannot_be_told_now_is_not_remembered),
        TEST(a_link_does_not_make_its_folders_files_be_compared),
        TEST(a_file_that_could_not_be_read_heals_without_an_event),
        TEST(a_folder_that_could_not_be_listed_heals_without_an_event),
        TEST(the_depth_of_a_tree_costs_in_proportion),
        TEST(a_link_that_many_paths_lead_to_is_followed_once_a_look),
        TEST(a_link_to_a_folder_that_was_swapped_unseen_leads_to_the_new_one),
        TEST(a_store_under_an_old_stamp_is_seen_when_the_file_is_closed),
        TEST(a_file_that_is_closed_without_a_store_is_the_same),
        TEST(a_file_that_does_not_hold_what_was_promised_is_another_at_the_next_look),
        TEST(what_cannot_be_read_at_the_moment_is_named_by_its_own_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
