#include <addonfs/diff.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A file whose bytes are told by one letter. */
static void put(struct inventory_item *root, const char *path, char bytes, bool executable)
{
    struct inventory_item *item = inventory_new(INVENTORY_FILE);

    assert_non_null(item);
    memset(&item->id, bytes, sizeof(item->id));
    item->executable = executable;
    assert_int_equal(inventory_put(root, path, item), 0);
}

static void each_kind_is_told(void **state)
{
    cleanup_inventory struct inventory_item *should = inventory_new(INVENTORY_FOLDER);
    cleanup_inventory struct inventory_item *is = inventory_new(INVENTORY_FOLDER);
    cleanup_diff struct diff diff = {.count = 0};
    static const struct {
        enum difference_kind kind;
        const char *path;
    } expected[] = {
        {DIFFERENCE_BYTES, "top/bytes"},     {DIFFERENCE_KIND, "top/kind"},
        {DIFFERENCE_MISSING, "top/missing"}, {DIFFERENCE_MODE, "top/mode"},
        {DIFFERENCE_EXTRA, "top/extra"},
    };

    (void)state;
    put(should, "same/file", 'a', false);
    put(is, "same/file", 'a', false);
    put(should, "bytes", 'a', false);
    put(is, "bytes", 'b', false);
    put(should, "kind", 'a', false);
    put(is, "kind/file", 'a', false);
    put(should, "missing/all/of/it", 'a', false);
    put(should, "mode", 'a', true);
    put(is, "mode", 'a', false);
    put(is, "extra", 'a', false);
    assert_int_equal(inventory_put(is, "empty/folder", inventory_new(INVENTORY_FOLDER)), 0);
    assert_int_equal(diff_compare(&diff, should, is, "top", false), 0);
    assert_int_equal(diff.count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < diff.count; i++) {
        assert_int_equal(diff.items[i].kind, expected[i].kind);
        assert_string_equal(diff.items[i].path, expected[i].path);
    }
    assert_int_equal(diff_compare(&diff, should, is, "top", true), 0);
    assert_int_equal(diff.count, 2 * sizeof(expected) / sizeof(expected[0]) + 1);
}

static void archives_are_compared_by_what_they_hold(void **state)
{
    cleanup_inventory struct inventory_item *should = inventory_new(INVENTORY_FOLDER);
    cleanup_inventory struct inventory_item *is = inventory_new(INVENTORY_FOLDER);
    cleanup_diff struct diff diff = {.count = 0};

    (void)state;
    put(should, "x.zip", 'a', false);
    put(is, "x.zip", 'b', false);
    struct inventory_item *one = inventory_find(should, "x.zip");
    struct inventory_item *other = inventory_find(is, "x.zip");
    one->is_archive = other->is_archive = true;
    put(one, "member", 'a', false);
    put(other, "member", 'a', false);
    assert_int_equal(diff_compare(&diff, should, is, "", false), 0);
    assert_int_equal(diff.count, 0);
    put(other, "more", 'a', false);
    assert_int_equal(diff_compare(&diff, should, is, "", false), 0);
    assert_int_equal(diff.count, 1);
    assert_string_equal(diff.items[0].path, "x.zip/more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_told),
        cmocka_unit_test(archives_are_compared_by_what_they_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
