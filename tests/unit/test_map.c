#include <addonfs/map.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_value_is_found_by_its_key(void **state)
{
    struct map map = {0};
    char key[] = "name";
    int one = 1;
    int two = 2;

    (void)state;
    assert_null(map_find(&map, "name"));
    assert_int_equal(map_put(&map, key, &one), 0);
    /* The key is the map's own. */
    key[0] = 'g';
    assert_ptr_equal(map_find(&map, "name"), &one);
    assert_null(map_find(&map, "game"));
    assert_int_equal(map_put(&map, "", &two), 0);
    assert_ptr_equal(map_find(&map, ""), &two);
    assert_int_equal(map.count, 2);
    map_clear(&map, NULL);
    assert_int_equal(map.count, 0);
    assert_null(map_find(&map, "name"));
}

static void another_value_takes_the_place_of_the_first(void **state)
{
    struct map map = {0};
    int one = 1;
    int two = 2;

    (void)state;
    assert_int_equal(map_put(&map, "name", &one), 0);
    assert_int_equal(map_put(&map, "name", &two), 0);
    assert_ptr_equal(map_find(&map, "name"), &two);
    assert_int_equal(map.count, 1);
    map_clear(&map, NULL);
}

static void what_is_taken_out_is_gone(void **state)
{
    struct map map = {0};
    int one = 1;

    (void)state;
    assert_null(map_remove(&map, "name"));
    assert_int_equal(map_put(&map, "name", &one), 0);
    assert_ptr_equal(map_remove(&map, "name"), &one);
    assert_null(map_remove(&map, "name"));
    assert_null(map_find(&map, "name"));
    assert_int_equal(map.count, 0);
    assert_int_equal(map_put(&map, "name", &one), 0);
    assert_ptr_equal(map_find(&map, "name"), &one);
    map_clear(&map, NULL);
}

struct trail {
    char text[64];
    const char *last; /* after which the visits end */
};

static int visit(void *context, const char *key, void *value)
{
    struct trail *trail = context;

    assert_string_equal(value, key);
    snprintf(trail->text + strlen(trail->text), sizeof(trail->text) - strlen(trail->text), "%s,",
             key);
    return trail->last && strcmp(trail->last, key) == 0 ? -5 : 0;
}

static void all_are_visited_in_the_order_of_their_bytes(void **state)
{
    static char keys[][4] = {"b", "a/b", "\xff", "a", "Z", "a-b"};
    struct map map = {0};
    struct trail all = {.last = NULL};
    struct trail some = {.last = "a/b"};

    (void)state;
    assert_int_equal(map_each(&map, visit, &all), 0);
    assert_string_equal(all.text, "");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(map_put(&map, keys[i], keys[i]), 0);
    assert_int_equal(map_each(&map, visit, &all), 0);
    assert_string_equal(all.text, "Z,a,a-b,a/b,b,\xff,");
    assert_int_equal(map_each(&map, visit, &some), -5);
    assert_string_equal(some.text, "Z,a,a-b,a/b,");
    map_clear(&map, NULL);
}

static void many_come_and_go(void **state)
{
    struct map map = {0};
    char key[16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i * 7919 % 1000);
        assert_int_equal(map_put(&map, key, strdup(key)), 0);
    }
    for (int i = 0; i < 1000; i += 2) {
        snprintf(key, sizeof(key), "%d", i);
        char *value = map_remove(&map, key);
        assert_string_equal(value, key);
        free(value);
    }
    assert_int_equal(map.count, 500);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(map_find(&map, key) != NULL, i % 2);
    }
    /* What is left is freed, or the sanitizer complains. */
    map_clear(&map, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_found_by_its_key),
        cmocka_unit_test(another_value_takes_the_place_of_the_first),
        cmocka_unit_test(what_is_taken_out_is_gone),
        cmocka_unit_test(all_are_visited_in_the_order_of_their_bytes),
        cmocka_unit_test(many_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
