/* Pairs of all small listings: nobody twice, nothing without a sign, and the same from either side. */
#include "scene.h"

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
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_small_listings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
