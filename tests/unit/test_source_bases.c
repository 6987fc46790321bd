/* One room for the bases of deltas, whichever packs they are of. */
#include "source_bases.h"
#include "source_objects.h"

#include "fixture.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static void what_is_at_one_offset_of_two_packs_is_told_apart(void **state)
{
    struct bases *bases = bases_new();
    uint64_t packs[2];

    (void)state;
    assert_non_null(bases);
    for (size_t i = 0; i < 2; i++)
        packs[i] = bases_add_pack(bases);
    assert_true(packs[0] != packs[1]);
    for (size_t i = 0; i < 2; i++)
        bases_put(bases, packs[i], 12, GIT_OBJECT_TREE, i ? "second" : "first.", 6);
    for (size_t i = 0; i < 2; i++) {
        struct base *base = bases_get(bases, packs[i], 12);
        assert_non_null(base);
        assert_memory_equal(base->bytes, i ? "second" : "first.", 6);
        base_unref(base);
    }
    bases_drop_pack(bases, packs[0]);
    assert_null(bases_get(bases, packs[0], 12));
    struct base *base = bases_get(bases, packs[1], 12);
    assert_non_null(base);
    base_unref(base);
    bases_unref(bases);
}

/* How many MiB of so many packs are at hand after each was given so many. */
static size_t count_kept(struct bases *bases, uint64_t first, uint64_t packs, uint64_t each)
{
    size_t count = 0;

    for (uint64_t i = 0; i < packs * each; i++) {
        struct base *base = bases_get(bases, first + i / each, 1000 + i % each);
        count += base != NULL;
        base_unref(base);
    }
    return count;
}

static void all_packs_have_one_room(void **state)
{
    enum { PACKS = 50, EACH = 8 };
    struct bases *bases = bases_new();
    char *bytes = calloc(1, MIB);
    uint64_t first = 0;

    (void)state;
    assert_non_null(bases);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < PACKS; i++) {
        uint64_t pack = bases_add_pack(bases);
        first = i == 0 ? pack : first;
        for (uint64_t at = 0; at < EACH; at++)
            bases_put(bases, pack, 1000 + at, GIT_OBJECT_BLOB, bytes, MIB);
    }
    size_t kept = count_kept(bases, first, PACKS, EACH);
    assert_in_range(kept, 8, 16);
    free(bytes);
    bases_unref(bases);
}

static void a_submodule_has_the_room_of_what_is_around_it(void **state)
{
    const struct fixture *fixture = *state;
    struct objects *around = NULL;
    struct objects *within = NULL;
    char folder[PATH_MAX];
    char path[PATH_MAX + 32];
    char line[2 * PATH_MAX];
    struct known_pack *packs[2];

    fixture_pack(fixture);
    snprintf(folder, sizeof(folder), "%s/.git", fixture->root);
    snprintf(line, sizeof(line), "ls %s/objects/pack/*.idx", folder);
    FILE *stream = popen(line, "r");
    assert_non_null(stream);
    assert_non_null(fgets(path, sizeof(path), stream));
    assert_int_equal(pclose(stream), 0);
    path[strcspn(path, "\n")] = '\0';
    assert_int_equal(objects_open(folder, &around, NULL), 0);
    assert_int_equal(objects_open_within(around, folder, &within, NULL), 0);
    assert_int_equal(objects_pack(around, path, &packs[0], NULL), 0);
    assert_int_equal(objects_pack(within, path, &packs[1], NULL), 0);
    assert_ptr_not_equal(packs[0], packs[1]);
    assert_ptr_equal(packs[0]->objects.bases, packs[1]->objects.bases);
    objects_drop_pack(around, packs[0]);
    objects_free(around);
    objects_drop_pack(within, packs[1]);
    objects_free(within);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_at_one_offset_of_two_packs_is_told_apart),
        cmocka_unit_test(all_packs_have_one_room),
        cmocka_unit_test_setup_teardown(a_submodule_has_the_room_of_what_is_around_it,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
