/* Which messages of two listings are the same? (cases 3, 22, 23, 70, 73) */
#include "check.h"
#include "brain.h"

enum { MAX = 8 };

struct scene {
    struct brain_identity left[MAX], right[MAX];
    size_t n_left, n_right;
    struct arena arena;
    struct brain_pair *pair;
    size_t n;
};

static void pair_up(struct scene *s)
{
    assert_int_equal(
        brain_pair_messages(s->left, s->n_left, s->right, s->n_right, 70, &s->arena, &s->pair, &s->n), 0);
}

/* The partner of a left message, or -1. */
static int partner(const struct scene *s, size_t left)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->pair[i].left == left)
            return (int)s->pair[i].right;
    return -1;
}

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
    (void)state;
    pair_up(&s);
    assert_int_equal(partner(&s, 0), 1);
    assert_int_equal(partner(&s, 1), 0);
    arena_finish(&s.arena);
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

/* ---- all small listings ---- */

static struct brain_identity identity_number(int number)
{
    return (struct brain_identity){.mailbox = 1,
                                   .content = number % 3,
                                   .server_id = number / 3 % 2,
                                   .message_id = number / 6 % 2,
                                   .size = 5,
                                   .date_s = number / 12};
}

static void check_pairs(const struct scene *s)
{
    unsigned left = 0, right = 0;

    for (size_t i = 0; i < s->n; i++) {
        const struct brain_identity *l = &s->left[s->pair[i].left], *r = &s->right[s->pair[i].right];
        assert_false(left >> s->pair[i].left & 1);
        assert_false(right >> s->pair[i].right & 1);
        left |= 1u << s->pair[i].left;
        right |= 1u << s->pair[i].right;
        assert_false(l->content && r->content && l->content != r->content);
        assert_true((l->content && l->content == r->content) ||
                    (l->server_id && l->server_id == r->server_id) ||
                    (s->pair[i].verify && l->message_id && l->message_id == r->message_id));
        assert_true(i == 0 || s->pair[i].left > s->pair[i - 1].left);
    }
}

static void check_symmetric(struct scene *s)
{
    struct scene t = {.n_left = s->n_right, .n_right = s->n_left};
    for (int i = 0; i < MAX; i++) {
        t.left[i] = s->right[i];
        t.right[i] = s->left[i];
    }
    pair_up(&t);
    assert_int_equal(s->n, t.n);
    for (size_t i = 0; i < t.n; i++)
        assert_int_equal(partner(s, t.pair[i].right), t.pair[i].left);
    arena_finish(&t.arena);
}

static void all_small_listings(void **state)
{
    enum { IDENTITIES = 24 };
    size_t checked = 0;
    (void)state;

    for (int i = 0; i < IDENTITIES * IDENTITIES * IDENTITIES * IDENTITIES; i++) {
        struct scene s = {
            .left = {identity_number(i % IDENTITIES), identity_number(i / IDENTITIES % IDENTITIES)},
            .right = {identity_number(i / IDENTITIES / IDENTITIES % IDENTITIES),
                      identity_number(i / IDENTITIES / IDENTITIES / IDENTITIES)},
            .n_left = 2,
            .n_right = 1 + i % 2};
        pair_up(&s);
        check_pairs(&s);
        check_symmetric(&s);
        arena_finish(&s.arena);
        checked++;
    }
    assert_int_equal(checked, 331776);
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
        cmocka_unit_test(all_small_listings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
