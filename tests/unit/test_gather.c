#include <addonfs/gather.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void room_that_follows_room_is_one_piece(void **state)
{
    char room[16];
    struct iovec pieces[4];
    struct gather gather = gather_new(room, pieces, 4);

    (void)state;
    gather_copy(&gather, "one", 3);
    gather_copy(&gather, "", 0);
    memcpy(gather_room(&gather, 3), "two", 3);
    assert_int_equal(gather.count, 1);
    assert_int_equal(gather.used, 6);
    assert_ptr_equal(pieces[0].iov_base, room);
    assert_int_equal(pieces[0].iov_len, 6);
    assert_memory_equal(room, "onetwo", 6);
}

static void what_is_pointed_to_stays_where_it_is(void **state)
{
    static const char far[] = "far";
    char room[16];
    struct iovec pieces[4];
    struct gather gather = gather_new(room, pieces, 4);

    (void)state;
    gather_copy(&gather, "a", 1);
    assert_true(gather_point(&gather, far, 3));
    gather_copy(&gather, "b", 1);
    assert_int_equal(gather.count, 3);
    assert_ptr_equal(pieces[1].iov_base, far);
    assert_int_equal(pieces[1].iov_len, 3);
    assert_ptr_equal(pieces[2].iov_base, room + 1);
    assert_int_equal(gather.used, 2);
    /* The last piece is for room: any amount of it. */
    assert_false(gather_point(&gather, far, 3));
    gather_copy(&gather, far, 3);
    assert_int_equal(gather.count, 3);
    assert_int_equal(pieces[2].iov_len, 4);
    assert_memory_equal(room, "abfar", 5);
}

static void one_piece_is_room_alone(void **state)
{
    char room[16];
    struct iovec piece;
    struct gather gather = gather_new(room, &piece, 1);

    (void)state;
    assert_false(gather_point(&gather, "far", 3));
    gather_copy(&gather, "near", 4);
    assert_int_equal(gather.count, 1);
    assert_memory_equal(room, "near", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_that_follows_room_is_one_piece),
        cmocka_unit_test(what_is_pointed_to_stays_where_it_is),
        cmocka_unit_test(one_piece_is_room_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
