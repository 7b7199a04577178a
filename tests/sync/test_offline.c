/* Off line and on again, push, and what the engine tells of itself. */
#include <time.h>
#include <unistd.h>
#include "rig.h"

static void no_server_no_agreement(void **state)
{
    struct rig *r = *state;
    struct engine_status status;
    model_down(r->model, true);
    rig_start(r);
    assert_int_equal(engine_sync(r->engine, 200), -EAGAIN);
    engine_get_status(r->engine, &status);
    assert_false(status.online);
    assert_true(strlen(status.problem) > 0);
    assert_int_equal(status.problem_exit, FAULT_UNAVAILABLE);
    model_down(r->model, false);
    rig_agree(r);
    engine_get_status(r->engine, &status);
    assert_true(status.online);
    assert_string_equal(status.problem, "");
    assert_int_equal(status.problem_exit, FAULT_OK);
    assert_true(status.last_sync_s > 0);
    assert_string_equal(status.session.peer, "model");
}

static void work_goes_on_off_line(void **state)
{
    struct rig *r = *state;
    model_create(r->model, "Archive");
    for (unsigned i = 1; i <= 8; i++)
        model_append(r->model, "INBOX", mail_wire(i), 0, 1600000000 + i);
    rig_start(r);
    rig_agree(r);
    model_down(r->model, true);
    assert_int_equal(engine_sync(r->engine, 100), -EAGAIN);

    file_move(r, file_find(r, "INBOX", mail_file(1)), "Archive");
    file_flag(r, file_find(r, "INBOX", mail_file(2)), FLAG_SEEN, 0);
    file_remove(r, file_find(r, "INBOX", mail_file(3)));
    file_replace(r, file_find(r, "INBOX", mail_file(4)), mail_file(104));
    file_deliver(r, "Archive", SUB_CUR, mail_file(100), FLAG_SEEN, 1600000100);
    file_make_box(r, "Made");
    file_move(r, file_find(r, "INBOX", mail_file(5)), "Made");
    model_store(r->model, "INBOX", 2, FLAG_FLAGGED, 0);
    model_expunge(r->model, "INBOX", 6);
    model_append(r->model, "INBOX", mail_wire(9), 0, 1600000009);
    model_create(r->model, "Theirs");
    assert_int_equal(engine_sync(r->engine, 100), -EAGAIN);

    model_down(r->model, false);
    rig_agree(r);
    rig_assert_once(r, "Archive", mail_wire(1));
    rig_assert_once(r, "Made", mail_wire(5));
    rig_assert_once(r, "INBOX", mail_wire(104));
    rig_assert_once(r, "Archive", mail_wire(100));
    assert_int_equal(file_row(r, file_find(r, "INBOX", mail_file(2))).flags, FLAG_SEEN | FLAG_FLAGGED);
    assert_int_equal(model_count(r->model, "INBOX"), 5); /* 2, 7, 8, 9, 104 */
    assert_true(file_has_box(r, "Theirs"));
    rig_check_quiet(r);
}

/* Lost in the middle of bodies: nothing cut is ever shown, and the rest comes. */
static void the_line_breaks_within_a_body(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 1; i <= 60; i++)
        model_append(r->model, "INBOX", mail_wire(i), 0, 1600000000 + i);
    model_plan(r->model, &(struct model_trouble){.events = MODEL_FETCH, .nth = 1, .every = 2, .half = true});
    rig_start(r);
    rig_settles(r, 1);
    model_plan(r->model, NULL);
    for (int i = 0; i < 3 && !rig_settles(r, 1); i++)
        ;
    rig_agree(r);
    assert_int_equal(file_count(r, "INBOX"), 60);
}

static void wait_for_file(struct rig *r, const char *text)
{
    for (int i = 0; i < 300 && !file_find(r, "INBOX", text); i++)
        usleep(10000);
    assert_true(file_find(r, "INBOX", text) != 0);
}

/* Nobody asks for a sync: the watcher's push, and the writer's commit, are enough. */
static void news_are_pushed_both_ways(void **state)
{
    struct rig *r = *state;
    r->account.idle = true;
    r->account.connections = 4;
    rig_start(r);
    rig_agree(r);
    model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    wait_for_file(r, mail_file(1));
    file_deliver(r, "INBOX", SUB_CUR, mail_file(2), 0, 0);
    for (int i = 0; i < 300 && !rig_copies(r, "INBOX", mail_wire(2)); i++)
        usleep(10000);
    rig_assert_once(r, "INBOX", mail_wire(2));

    model_down(r->model, true);
    usleep(50000);
    model_append(r->model, "INBOX", mail_wire(3), 0, 1600000003);
    model_down(r->model, false);
    wait_for_file(r, mail_file(3));
    rig_agree(r);
}

static void stopping_is_quick(void **state)
{
    struct rig *r = *state;
    struct timespec before, after;
    r->account.idle = true;
    rig_start(r);
    rig_agree(r);
    for (unsigned i = 1; i <= 200; i++)
        model_append(r->model, "INBOX", mail_wire(i), 0, 1600000000 + i);
    engine_wake(r->engine);
    clock_gettime(CLOCK_MONOTONIC, &before);
    rig_stop(r);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 3);
    rig_start(r);
    rig_agree(r);
}

static void first_mount_says_why_not(void **state)
{
    struct rig *r = *state;
    struct fault f = {0};
    model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    rig_open(r);
    model_down(r->model, true);
    assert_true(engine_first(r->engine, &f) < 0);
    assert_true(strlen(f.text) > 0);
    model_down(r->model, false);
    assert_int_equal(engine_first(r->engine, &f), 0);
    assert_true(file_has_box(r, "INBOX"));
    rig_start(r);
    rig_agree(r);
}

static void waits_end_when_it_stops(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    rig_agree(r);
    engine_stop(r->engine);
    assert_int_equal(engine_sync(r->engine, 100), -ESHUTDOWN);
}

/* Refused mail is kept, said, and does not hold up anything else. */
static void a_refusal_is_kept(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    rig_agree(r);
    model_refuse(r->model, 1u << WORKER_APPEND);
    int64_t id = file_deliver(r, "INBOX", SUB_CUR, mail_file(1), 0, 0);
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_settles(r, 1);
    assert_int_equal(file_row(r, id).state, MESSAGE_PRESENT);
    file_flag(r, file_find(r, "INBOX", mail_file(2)), FLAG_SEEN, 0);
    rig_settles(r, 1);
    struct model_view v;
    assert_true(model_find(r->model, "INBOX", uid, &v));
    assert_int_equal(v.flags, FLAG_SEEN);
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_server_no_agreement, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(work_goes_on_off_line, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(the_line_breaks_within_a_body, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(news_are_pushed_both_ways, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(stopping_is_quick, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(first_mount_says_why_not, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(waits_end_when_it_stops, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(a_refusal_is_kept, rig_setup_stopped, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
