#include "fixture.h"

#include <addonfs/generation.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char zip_path[] = "package/openpype/3.15.12/private/client.zip";

static _Atomic uint64_t numbers = 100;

static struct generation *build_limited(const struct fixture *fixture, struct generation *last,
                                        struct map *vanished, size_t entry_limit)
{
    const struct generation_options options = {.no_license = false};
    const struct generation_maker maker = {
        .origin = &fixture->origin,
        .options = &options,
        .next_number = &numbers,
        .vanished = vanished,
        .entry_limit = entry_limit,
    };
    struct generation *generation = NULL;
    struct error error = {0};

    fixture_refresh(fixture);
    if (generation_build(&maker, last, last ? last->serial + 1 : 1, &generation, &error) < 0)
        fail_msg("%s", error.text);
    return generation;
}

static struct generation *build(const struct fixture *fixture, struct generation *last,
                                struct map *vanished)
{
    return build_limited(fixture, last, vanished, 0);
}

static struct generation *freeze(const struct fixture *fixture, const struct generation *generation)
{
    struct generation *frozen = NULL;
    struct error error = {0};

    if (generation_freeze(generation, &fixture->origin, &numbers, &frozen, &error) < 0)
        fail_msg("%s", error.text);
    return frozen;
}

static void a_frozen_copy_holds_its_bytes_and_has_folders_of_its_own(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_generation struct generation *live = build(fixture, NULL, NULL);
    cleanup_generation struct generation *frozen = freeze(fixture, live);

    assert_int_equal(strlen(frozen->id), 40);
    assert_ptr_equal(fixture_entry(live, zip_path), fixture_entry(frozen, zip_path));
    assert_int_not_equal(fixture_entry(live, "package")->number,
                         fixture_entry(frozen, "package")->number);
    fixture_remove(fixture, "server_addon");
    fixture_remove(fixture, "openpype");
    const char *paths[] = {zip_path, "package/openpype/3.15.12/__init__.py"};
    for (size_t i = 0; i < 2; i++) {
        cleanup_body struct body *body = NULL;
        char bytes[64];
        assert_int_equal(
            entry_body(fixture_entry(frozen, paths[i]), &fixture->origin, &numbers, &body, NULL),
            0);
        assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
        assert_true(body_read(body, 0, bytes, sizeof(bytes)) > 0);
        body_close(body);
    }
}

static void the_id_tells_the_content_and_nothing_else(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_generation struct generation *live = build(fixture, NULL, NULL);
    cleanup_generation struct generation *frozen = freeze(fixture, live);

    fixture_write(fixture, "openpype/lib/tools.py", "other\n");
    cleanup_generation struct generation *next = build(fixture, live, NULL);
    cleanup_generation struct generation *other = freeze(fixture, next);
    assert_string_not_equal(frozen->id, other->id);
    fixture_write(fixture, "openpype/lib/tools.py", "def tool():\n    return 1\n");
    cleanup_generation struct generation *back = build(fixture, next, NULL);
    cleanup_generation struct generation *same = freeze(fixture, back);
    assert_string_equal(frozen->id, same->id);
}

static void what_cannot_be_read_is_told(void **state)
{
    const struct fixture *fixture = *state;

    fixture_link(fixture, "openpype/link", "nowhere");
    cleanup_generation struct generation *live = build(fixture, NULL, NULL);
    cleanup_generation struct generation *frozen = freeze(fixture, live);
    assert_true(frozen->unreadable);
    assert_false(live->unhealthy);
    fixture_write(fixture, "openpype/version.py", "__version__ = f()\n");
    cleanup_generation struct generation *broken = build(fixture, live, NULL);
    assert_true(broken->unhealthy);
}

static void a_path_that_was_away_has_another_time(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = "package/openpype/3.15.12/__init__.py";
    struct map vanished = {0};
    struct generation *last = build(fixture, NULL, &vanished);
    time_t shown = fixture_entry(last, path)->mtime.tv_sec;

    for (int i = 0; i < 3; i++) {
        struct entry *entry = NULL;
        char text[16];
        fixture_remove(fixture, "server_addon/server/__init__.py");
        struct generation *without = build(fixture, last, &vanished);
        assert_int_equal(entry_find(without->root, path, &entry), -ENOENT);
        assert_int_equal(vanished.count, 1);
        generation_unref(last);
        snprintf(text, sizeof(text), "edit %d\n", i);
        fixture_write(fixture, "server_addon/server/__init__.py", text);
        last = build(fixture, without, &vanished);
        generation_unref(without);
        assert_true(fixture_entry(last, path)->mtime.tv_sec > shown);
        shown = fixture_entry(last, path)->mtime.tv_sec;
        assert_int_equal(vanished.count, 0);
    }
    generation_unref(last);
    map_clear(&vanished, free);
}

/* A file of the server's folder, with a time that is the same for all. */
static void write_old(const struct fixture *fixture, const char *path, const char *text)
{
    const struct timespec times[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};
    char absolute[PATH_MAX];

    fixture_write(fixture, path, text);
    snprintf(absolute, sizeof(absolute), "%s/%s", fixture->root, path);
    assert_int_equal(utimensat(AT_FDCWD, absolute, times, 0), 0);
}

static void a_folder_that_failed_and_went_is_remembered_as_it_was_before(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = "package/openpype/3.15.12/sub/x.py";
    struct map vanished = {0};

    write_old(fixture, "server_addon/server/sub/x.py", "aaaa");
    struct generation *last = build(fixture, NULL, &vanished);
    assert_int_equal(fixture_entry(last, path)->mtime.tv_sec, 1600000000);
    fixture_remove(fixture, "server_addon/server/sub");
    fixture_link(fixture, "server_addon/server/sub", ".");
    struct generation *failed = build(fixture, last, &vanished);
    assert_non_null(fixture_entry(failed, "package/openpype/3.15.12/sub")->failure);
    fixture_remove(fixture, "server_addon/server/sub");
    struct generation *without = build(fixture, failed, &vanished);
    write_old(fixture, "server_addon/server/sub/x.py", "bbbb");
    struct generation *again = build(fixture, without, &vanished);
    assert_true(fixture_entry(again, path)->mtime.tv_sec > 1600000000);
    generation_unref(last);
    generation_unref(failed);
    generation_unref(without);
    generation_unref(again);
    map_clear(&vanished, free);
}

static void a_reference_is_had_only_while_there_is_one(void **state)
{
    cleanup_generation struct generation *live = build(*state, NULL, NULL);

    assert_true(generation_try_ref(live));
    generation_unref(live);
    atomic_store(&live->references, 0);
    assert_false(generation_try_ref(live));
    atomic_store(&live->references, 1);
}

static const char client_path[] = "client/openpype_3.15.12";

/* The client's folder of a generation, lazy or not. */
static struct entry *client_of(const struct generation *generation)
{
    struct entry *entry = NULL;
    int r = entry_find(generation->root, client_path, &entry);

    assert_true(r == 0 || r == -EINPROGRESS);
    return entry;
}

static void fill(const struct fixture *fixture, struct entry *lazy)
{
    const struct generation_options options = {.no_license = false};
    const struct generation_maker maker = {
        .origin = &fixture->origin,
        .options = &options,
        .next_number = &numbers,
    };
    struct error error = {0};

    if (generation_time(&fixture->origin, lazy, &error) < 0 ||
        generation_fill(&maker, lazy, client_path, &error) < 0)
        fail_msg("%s", error.text);
}

/* Numbers are given, and each once. */
static void collect_numbers(const struct entry *entry, struct map *seen)
{
    char number[32];

    assert_int_not_equal(entry->number, 0);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)entry->number);
    assert_null(map_find(seen, number));
    assert_int_equal(map_put(seen, number, seen), 0);
    for (size_t i = 0; i < entry->count; i++)
        collect_numbers(entry->children[i], seen);
}

static void a_client_folder_is_filled_when_somebody_looks_into_it(void **state)
{
    const struct fixture *fixture = *state;
    cleanup_generation struct generation *live = build(fixture, NULL, NULL);
    struct entry *lazy = client_of(live);
    struct entry *found = NULL;
    struct map seen = {0};

    assert_true(lazy->lazy);
    assert_int_equal(lazy->count, 0);
    fill(fixture, lazy);
    struct entry *filled = entry_filled(lazy);
    assert_ptr_not_equal(filled, lazy);
    assert_int_equal(filled->number, lazy->number);
    assert_int_equal(filled->mtime.tv_sec, lazy->mtime.tv_sec);
    fill(fixture, lazy);
    assert_ptr_equal(entry_filled(lazy), filled);
    collect_numbers(filled, &seen);
    map_clear(&seen, NULL);

    found = fixture_entry(live, "client/openpype_3.15.12/openpype/lib/tools.py");
    fixture_expect(fixture, found->file, "def tool():\n    return 1\n");
    assert_ptr_equal(found->file, fixture_file(fixture, "openpype/lib/tools.py"));
    assert_int_equal(entry_find(live->root, "client/openpype_3.15.12/openpype/.hidden", &found),
                     -ENOENT);
}

static void what_was_filled_goes_on_in_the_next_generation(void **state)
{
    const struct fixture *fixture = *state;
    const struct generation_options options = {.no_license = false};
    const struct generation_maker maker = {
        .origin = &fixture->origin,
        .options = &options,
        .next_number = &numbers,
        .fills_clients = true,
    };
    cleanup_generation struct generation *first = build(fixture, NULL, NULL);
    cleanup_generation struct generation *second = NULL;
    cleanup_generation struct generation *third = NULL;
    char path[64];

    snprintf(path, sizeof(path), "%s/openpype", client_path);
    fill(fixture, client_of(first));
    assert_int_equal(generation_build(&maker, first, 2, &second, NULL), 0);
    assert_false(client_of(second)->lazy);
    assert_ptr_equal(fixture_entry(first, path), fixture_entry(second, path));
    fixture_write(fixture, "openpype/new.py", "new\n");
    fixture_refresh(fixture);
    assert_int_equal(generation_build(&maker, second, 3, &third, NULL), 0);
    assert_ptr_not_equal(fixture_entry(second, path), fixture_entry(third, path));
    assert_int_equal(fixture_entry(second, path)->number, fixture_entry(third, path)->number);
    snprintf(path, sizeof(path), "%s/openpype/lib", client_path);
    assert_ptr_equal(fixture_entry(second, path), fixture_entry(third, path));
    snprintf(path, sizeof(path), "%s/openpype/new.py", client_path);
    assert_int_not_equal(fixture_entry(third, path)->number, 0);
}

/* Its files are read from the zip that is held, when the source has them no more. */
static void a_frozen_client_folder_is_filled_although_the_source_has_gone(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = "client/openpype_3.15.12/openpype/lib/tools.py";
    cleanup_generation struct generation *live = build(fixture, NULL, NULL);
    cleanup_generation struct generation *frozen = freeze(fixture, live);
    cleanup_body struct body *body = NULL;
    char bytes[64];

    assert_true(client_of(frozen)->lazy);
    assert_ptr_not_equal(client_of(frozen), client_of(live));
    assert_int_not_equal(client_of(frozen)->number, client_of(live)->number);
    fixture_remove(fixture, "openpype");
    fill(fixture, client_of(frozen));
    assert_int_equal(
        entry_body(fixture_entry(frozen, path), &fixture->origin, &numbers, &body, NULL), 0);
    assert_int_equal(body_open(body, &fixture->origin, NULL), 0);
    assert_int_equal(body_read(body, 0, bytes, sizeof(bytes)), 25);
    assert_memory_equal(bytes, "def tool():\n    return 1\n", 25);
    body_close(body);
}

/* An addon of ten files. */
static void write_addon(const struct fixture *fixture, const char *name)
{
    char path[64];
    char text[64];

    snprintf(path, sizeof(path), "server_addon/%s/package.py", name);
    snprintf(text, sizeof(text), "name = \"%s\"\nversion = \"1.0.0\"\n", name);
    fixture_write(fixture, path, text);
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof(path), "server_addon/%s/server/f%d.py", name, i);
        fixture_write(fixture, path, "x");
    }
}

static void packages_that_are_too_many_together_fail_from_there_on(void **state)
{
    const struct fixture *fixture = *state;
    const char *names[] = {"package/a", "package/b", "package/c"};
    struct generation *last = NULL;

    fixture_remove(fixture, "openpype");
    fixture_remove(fixture, "server_addon");
    for (size_t i = 0; i < 3; i++)
        write_addon(fixture, names[i] + strlen("package/"));
    /* However often it is looked at: what is taken as it was counts once. */
    for (int look = 0; look < 8; look++) {
        size_t limit = look < 4 ? 25 : 40;
        struct generation *next = build_limited(fixture, last, NULL, limit);
        generation_unref(last);
        last = next;
        for (size_t i = 0; i < 3; i++) {
            const struct entry *folder = fixture_entry(next, names[i]);
            bool fails = limit == 25 && i == 2;
            assert_int_equal(folder->failure != NULL, fails);
        }
        assert_int_equal(next->problems.count > 0, limit == 25);
        fixture_write(fixture, "server_addon/a/server/f0.py", look % 2 ? "odd" : "even");
    }
    generation_unref(last);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_frozen_copy_holds_its_bytes_and_has_folders_of_its_own),
        TEST(the_id_tells_the_content_and_nothing_else),
        TEST(what_cannot_be_read_is_told),
        TEST(a_path_that_was_away_has_another_time),
        TEST(a_folder_that_failed_and_went_is_remembered_as_it_was_before),
        TEST(a_reference_is_had_only_while_there_is_one),
        TEST(a_client_folder_is_filled_when_somebody_looks_into_it),
        TEST(what_was_filled_goes_on_in_the_next_generation),
        TEST(a_frozen_client_folder_is_filled_although_the_source_has_gone),
        TEST(packages_that_are_too_many_together_fail_from_there_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
