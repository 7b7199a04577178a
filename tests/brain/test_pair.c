/* Which messages of two listings are the same? (cases 3, 22, 23, 70, 73) */
#include "scene.h"

static void by_server_id(void **state)
{
    struct scene s = {
        .left = {{.server_id = 5, .size = 1}, {.server_id = 6}, {.server_id = 0}},
        .right = {{.server_id = 7}, {.server_id = 6}, {.server_id = 5, .size = 9}, {.server_id = 0}},
        .n_left = 3,
        .n_right = 4};
    (void)state;
    pair_up(&s);
    assert_int_equal(s.n, 2);
    assert_int_equal(partner(&s, 0), 2);
    assert_int_equal(partner(&s, 1), 1);
    assert_int_equal(s.pair[0].number, 70);
    assert_false(s.pair[0].verify);
    arena_finish(&s.arena);
}

static void by_content_first_with_first(void **state)
{
    struct scene s = {.left = {{.content = 4}, {.content = 4}, {.content = 4}},
                      .right = {{.content = 4}, {.content = 3}, {.content = 4}},
                      .n_left = 3,
                      .n_right = 3};
    (void)state;
    pair_up(&s);
    assert_int_equal(s.n, 2);
    assert_int_equal(partner(&s, 0), 0);
    assert_int_equal(partner(&s, 1), 2);
    arena_finish(&s.arena);
}

static void by_description_when_unique(void **state)
{
    struct scene s = {.left = {{.message_id = -1, .size = 10, .date_s = 100},
                               {.message_id = 2, .size = 10, .date_s = 100},
                               {.message_id = 2, .size = 10, .date_s = 100},
                               {.message_id = 3, .size = 10, .date_s = 100},
                               {.message_id = 4, .size = 11}},
                      .right = {{.message_id = 2, .size = 10, .date_s = 100},
                                {.message_id = 3, .size = 10, .date_s = 200},
                                {.message_id = -1, .size = 10, .date_s = 100},
                                {.message_id = 4, .size = 12}},
                      .n_left = 5,
                      .n_right = 4};
    (void)state;
    pair_up(&s);
    assert_int_equal(partner(&s, 0), 2);
    assert_int_equal(partner(&s, 1), -1); /* which of the two? */
    assert_int_equal(partner(&s, 2), -1);
    assert_int_equal(partner(&s, 3), 1); /* another date, but no other message of that id and size */
    assert_int_equal(partner(&s, 4), -1);
    for (size_t i = 0; i < s.n; i++)
        assert_true(s.pair[i].verify);
    arena_finish(&s.arena);
}

static void the_better_sign_first(void **state)
{
    struct scene s = {.left = {{.message_id = 2, .size = 10}, {.message_id = 2, .size = 10, .content = 8}},
                      .right = {{.message_id = 2, .size = 10, .content = 8}, {.message_id = 2, .size = 10}},
                      .n_left = 2,
                      .n_right = 2};
    (void)state;
    pair_up(&s);
    assert_int_equal(partner(&s, 1), 0);
    assert_int_equal(partner(&s, 0), 1); /* unique among the rest */
    arena_finish(&s.arena);
}

static void case_23_other_content_is_another_message(void **state)
{
    struct scene s = {.left = {{.server_id = 1, .message_id = 2, .size = 10, .date_s = 1, .content = 8}},
                      .right = {{.server_id = 1, .message_id = 2, .size = 10, .date_s = 1, .content = 9}},
                      .n_left = 1,
                      .n_right = 1};
    (void)state;
    pair_up(&s);
    assert_int_equal(s.n, 0);
    arena_finish(&s.arena);
}

/* The date tells apart what is alike otherwise, and then what is left may be alone; an unknown date is no
 * sign. */
static void the_date_before_the_rest(void **state)
{
    struct scene s = {
        .left = {{.message_id = 4, .size = 9, .date_s = 1}, {.message_id = 4, .size = 9, .date_s = 3}},
        .right = {{.message_id = 4, .size = 9, .date_s = 2}, {.message_id = 4, .size = 9, .date_s = 1}},
        .n_left = 2,
        .n_right = 2};
    struct scene unknown = {.left = {{.message_id = 4, .size = 9}},
                            .right = {{.message_id = 4, .size = 9, .date_s = 5}},
                            .n_left = 1,
                            .n_right = 1};
    struct scene one_has_a_date = {
        .left = {{.message_id = 4, .size = 9}, {.message_id = 4, .size = 9, .date_s = 3}},
        .right = {{.message_id = 4, .size = 9, .date_s = 2}},
        .n_left = 2,
        .n_right = 1};
    (void)state;
    pair_up(&s);
    assert_int_equal(partner(&s, 0), 1);
    assert_int_equal(partner(&s, 1), 0);
    arena_finish(&s.arena);
    pair_up(&one_has_a_date); /* it may be either of the two */
    assert_int_equal(one_has_a_date.n, 0);
    arena_finish(&one_has_a_date.arena);
    pair_up(&unknown);
    assert_int_equal(partner(&unknown, 0), 0);
    arena_finish(&unknown.arena);
}

static void only_within_a_mailbox(void **state)
{
    struct scene s = {.left = {{.mailbox = 1, .server_id = 5}, {.mailbox = 2, .server_id = 5}},
                      .right = {{.mailbox = 3, .server_id = 5}, {.mailbox = 2, .server_id = 5}},
                      .n_left = 2,
                      .n_right = 2};
    (void)state;
    pair_up(&s);
    assert_int_equal(s.n, 1);
    assert_int_equal(partner(&s, 1), 1);
    arena_finish(&s.arena);
}

static void nothing_to_pair(void **state)
{
    struct scene s = {.n_left = 0};
    (void)state;
    pair_up(&s);
    assert_int_equal(s.n, 0);
    arena_finish(&s.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_server_id),
        cmocka_unit_test(by_content_first_with_first),
        cmocka_unit_test(by_description_when_unique),
        cmocka_unit_test(the_better_sign_first),
        cmocka_unit_test(case_23_other_content_is_another_message),
        cmocka_unit_test(the_date_before_the_rest),
        cmocka_unit_test(only_within_a_mailbox),
        cmocka_unit_test(nothing_to_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
