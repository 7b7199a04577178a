/* Case 75: removals that look like an accident wait for a person, who is asked once. */
#include "held.h"
#include "hold.h"
#include "rig.h"

enum { MANY = 30 };

/* Many messages, known on both sides; the engine sleeps. More than ten removals, and more than half, are too
 * many. */
static void begin(struct rig *r, const struct model_features *f)
{
    rig_begin(r, f);
    r->account.brake.percent = 50;
    r->account.brake.count = 10;
    for (unsigned n = 1; n <= MANY; n++)
        model_append(r->model, "INBOX", mail_wire(n), FLAG_SEEN, 1600000000 + n);
    rig_start(r);
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
}

static void remove_some(struct rig *r, unsigned from, unsigned to)
{
    for (unsigned n = from; n <= to; n++)
        file_remove(r, file_find(r, "INBOX", mail_file(n)));
}

static int first_hold(void *arg, const struct held *h)
{
    *(struct held *)arg = *h;
    return 1;
}

static struct held the_hold(struct rig *r)
{
    struct held h = {0};
    held_each(cache_reader(r->cache), first_hold, &h);
    return h;
}

/* What the line breaks off is tried again, and is not more for that. */
static void a_removal_that_is_tried_again_counts_once(void **state)
{
    static struct rig r;
    (void)state;
    begin(&r, &model_full);
    remove_some(&r, 1, 5);
    model_plan(r.model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .every = 1});
    rig_start(&r);
    rig_settles(&r, 1);
    model_plan(r.model, NULL);
    rig_agree(&r);
    assert_int_equal(the_hold(&r).id, 0);
    assert_int_equal(model_count(r.model, "INBOX"), MANY - 5);
    rig_end(&r);
}

/* Those that went through do count: nobody empties a mailbox in small steps unseen. */
static void small_steps_add_up(void **state)
{
    static struct rig r;
    (void)state;
    begin(&r, &model_full);
    rig_start(&r);
    for (unsigned n = 1; n <= 25; n += 5) {
        remove_some(&r, n, n + 4);
        assert_true(rig_settles(&r, 8 * RIG_PATIENCE));
    }
    assert_int_not_equal(the_hold(&r).id, 0);
    assert_true(model_count(r.model, "INBOX") > 10);
    rig_end(&r);
}

/* A server without CONDSTORE shows all that it has with each look: that changes nothing about what is held,
 * nor about what was decided. */
static void it_is_asked_once(void **state)
{
    static const struct model_features plain = {.speed = WORKER_SPEED_NONE};
    static struct rig r;
    (void)state;
    begin(&r, &plain);
    remove_some(&r, 1, 25);
    rig_start(&r);
    assert_true(rig_settles(&r, 8 * RIG_PATIENCE));
    struct held first = the_hold(&r);
    assert_int_not_equal(first.id, 0);
    assert_int_equal(first.messages, 25);
    model_append(r.model, "INBOX", mail_wire(100), 0, 1600000100);
    assert_true(rig_settles(&r, 8 * RIG_PATIENCE));
    struct held second = the_hold(&r);
    assert_int_equal(second.id, first.id);
    assert_int_equal(second.messages, 25);
    assert_int_equal(hold_approve(r.cache, first.id), 0);
    rig_agree(&r);
    assert_int_equal(model_count(r.model, "INBOX"), MANY - 25 + 1);
    rig_end(&r);
}

/* The same with a mailbox that was removed with its mail. */
static void a_mailbox_is_asked_for_once(void **state)
{
    static const struct model_features plain = {.speed = WORKER_SPEED_NONE};
    static struct rig r;
    (void)state;
    rig_begin(&r, &plain);
    r.account.brake.percent = 50;
    r.account.brake.count = 10;
    model_create(r.model, "Lists");
    for (unsigned n = 1; n <= MANY; n++)
        model_append(r.model, "Lists", mail_wire(n), FLAG_SEEN, 1600000000 + n);
    rig_start(&r);
    rig_agree(&r);
    rig_stop(&r);
    rig_open(&r);
    file_remove_box(&r, "Lists");
    rig_start(&r);
    assert_true(rig_settles(&r, 8 * RIG_PATIENCE));
    struct held first = the_hold(&r);
    assert_int_equal(first.messages, MANY);
    assert_true(rig_settles(&r, 8 * RIG_PATIENCE));
    assert_int_equal(the_hold(&r).id, first.id);
    assert_int_equal(model_count(r.model, "Lists"), MANY);
    assert_int_equal(hold_approve(r.cache, first.id), 0);
    rig_agree(&r);
    assert_false(model_has_box(r.model, "Lists"));
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_removal_that_is_tried_again_counts_once, rig_end_open),
        cmocka_unit_test_teardown(small_steps_add_up, rig_end_open),
        cmocka_unit_test_teardown(it_is_asked_once, rig_end_open),
        cmocka_unit_test_teardown(a_mailbox_is_asked_for_once, rig_end_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
