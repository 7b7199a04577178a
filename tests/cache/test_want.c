/* Wishes for bodies: each waiter is answered once, or takes itself out. */
#include "rows.h"

struct answer {
    int calls, err;
};

static void answered(void *arg, int err)
{
    struct answer *a = arg;
    a->calls++;
    a->err = err;
}

static void woken(void *arg)
{
    ++*(int *)arg;
}

static void all_who_wait_for_a_message_are_answered_once(void **state)
{
    struct scratch *s = *state;
    struct answer a = {0}, b = {0}, other = {0};
    int wakes = 0;
    int64_t taken[8];
    cache_on_want(s->c, woken, &wakes);
    assert_int_equal(cache_want(s->c, 17, answered, &a), 0);
    assert_int_equal(cache_want(s->c, 18, answered, &other), 0);
    assert_int_equal(cache_want(s->c, 17, answered, &b), 0);
    assert_int_equal(wakes, 2);
    assert_int_equal(cache_wanted_take(s->c, taken, 8), 2);
    assert_int_equal(taken[0], 17);
    assert_int_equal(taken[1], 18);
    assert_int_equal(cache_wanted_take(s->c, taken, 8), 0);
    cache_wanted_done(s->c, 17, -ESTALE);
    cache_wanted_done(s->c, 17, 0);
    assert_true(a.calls == 1 && a.err == -ESTALE && b.calls == 1 && b.err == -ESTALE);
    assert_int_equal(other.calls, 0);
    cache_wanted_done(s->c, 18, 0);
    assert_true(other.calls == 1 && other.err == 0);
}

static void who_cancels_is_not_answered(void **state)
{
    struct scratch *s = *state;
    struct answer a = {0}, b = {0};
    int64_t taken[1];
    cache_want(s->c, 17, answered, &a);
    assert_true(cache_want_cancel(s->c, 17, &a));
    assert_false(cache_want_cancel(s->c, 17, &a));
    assert_false(cache_want_cancel(s->c, 18, &a));
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 0);

    /* A wish that is being fetched is not asked for a second time. */
    cache_want(s->c, 17, answered, &a);
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 1);
    assert_true(cache_want_cancel(s->c, 17, &a));
    cache_want(s->c, 17, answered, &b);
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 0);
    cache_wanted_done(s->c, 17, 0);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
    assert_false(cache_want_cancel(s->c, 17, &b));
}

static void what_is_returned_is_taken_again(void **state)
{
    struct scratch *s = *state;
    struct answer a = {0};
    int64_t taken[1];
    cache_want(s->c, 17, answered, &a);
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 1);
    assert_true(cache_wanted_return(s->c, 17, 1));
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 1);
    assert_int_equal(taken[0], 17);
    assert_false(cache_wanted_return(s->c, 17, 1)); /* once */
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 0);
    cache_wanted_done(s->c, 17, -ENETDOWN);
    assert_int_equal(a.err, -ENETDOWN);

    cache_want(s->c, 17, answered, &a);
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 1);
    assert_true(cache_want_cancel(s->c, 17, &a));
    assert_true(cache_wanted_return(s->c, 17, 1)); /* nobody waits any more */
    assert_int_equal(cache_wanted_take(s->c, taken, 1), 0);
    assert_int_equal(a.calls, 1);
}

static void those_left_at_the_end_are_told(void **state)
{
    struct scratch *s = *state;
    struct answer a = {0};
    cache_want(s->c, 17, answered, &a);
    scratch_close(s);
    assert_true(a.calls == 1 && a.err == -ENETDOWN);
}

static void a_few_are_taken_at_a_time(void **state)
{
    struct scratch *s = *state;
    struct answer a[5] = {0};
    int64_t taken[2];
    for (int i = 0; i < 5; i++)
        cache_want(s->c, 100 + i, answered, &a[i]);
    assert_int_equal(cache_wanted_take(s->c, taken, 2), 2);
    assert_int_equal(cache_wanted_take(s->c, taken, 2), 2);
    assert_int_equal(taken[0], 102);
    assert_int_equal(cache_wanted_take(s->c, taken, 2), 1);
    assert_int_equal(taken[0], 104);
    for (int i = 0; i < 5; i++)
        cache_wanted_done(s->c, 100 + i, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(all_who_wait_for_a_message_are_answered_once),
        T(who_cancels_is_not_answered),
        T(what_is_returned_is_taken_again),
        T(those_left_at_the_end_are_told),
        T(a_few_are_taken_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
