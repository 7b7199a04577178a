/* State that was lost: UIDVALIDITY changes (case 70), the database goes (73), bodies are damaged (20). */
#include <unistd.h>
#include "base_state.h"
#include "rig.h"

enum { MAIL = 40 };

static int64_t id[MAIL + 1];

static void fill(struct rig *r)
{
    for (unsigned i = 1; i <= MAIL; i++)
        model_append(r->model, "INBOX", mail_wire(i), i % 2 ? FLAG_SEEN : 0, 1600000000 + i);
    rig_start(r);
    rig_agree(r);
    for (unsigned i = 1; i <= MAIL; i++)
        id[i] = file_find(r, "INBOX", mail_file(i));
    record_clear(&r->record);
}

static void check_same_rows(struct rig *r, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++)
        assert_int_equal(file_find(r, "INBOX", mail_file(i)), id[i]);
}

static void renumbered_while_it_runs(void **state)
{
    struct rig *r = *state;
    fill(r);
    model_renumber(r->model, "INBOX", 100);
    rig_agree(r);
    check_same_rows(r, 1, MAIL);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_assert_changes(r, "");
    rig_check_quiet(r);
}

/* The new numbers run over the old ones: UID 1 is another message now. */
static void renumbered_with_the_old_numbers(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_stop(r);
    model_expunge(r->model, "INBOX", 1);
    model_renumber(r->model, "INBOX", 1);
    rig_start(r);
    rig_agree(r);
    check_same_rows(r, 2, MAIL);
    assert_int_equal(file_row(r, id[1]).state, MESSAGE_GONE);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_assert_changes(r, "");
}

static void renumbered_with_work_waiting(void **state)
{
    struct rig *r = *state;
    struct base_state base;
    struct model_view v;
    fill(r);
    rig_stop(r);
    rig_open(r);
    file_remove(r, id[3]);
    file_flag(r, id[4], FLAG_FLAGGED, 0);
    file_flag(r, id[5], 0, FLAG_SEEN);
    int64_t fresh = file_deliver(r, "INBOX", SUB_CUR, mail_file(100), FLAG_SEEN, 1600000100);
    int64_t heir = file_replace(r, id[6], mail_file(106));
    model_renumber(r->model, "INBOX", 2);
    model_append(r->model, "INBOX", mail_wire(101), 0, 1600000101);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), MAIL - 1 + 2);
    assert_int_equal(rig_copies(r, NULL, mail_wire(3)), 0);
    assert_int_equal(rig_copies(r, NULL, mail_wire(6)), 0);
    rig_assert_once(r, "INBOX", mail_wire(100));
    rig_assert_once(r, "INBOX", mail_wire(101));
    rig_assert_once(r, "INBOX", mail_wire(106));
    assert_int_equal(file_find(r, "INBOX", mail_file(100)), fresh);
    assert_int_equal(file_find(r, "INBOX", mail_file(106)), heir);
    assert_int_equal(base_of_message(cache_reader(r->cache), id[4], &base), 0);
    assert_true(model_find(r->model, "INBOX", base.uid, &v));
    assert_int_equal(v.flags, FLAG_FLAGGED);
    assert_int_equal(record_fetched(&r->record), 1);
}

/* Mail that the server had and has no more after renumbering is not sent up again. */
static void renumbered_with_mail_missing(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_stop(r);
    for (uint32_t uid = 10; uid < 20; uid++)
        model_expunge(r->model, "INBOX", uid);
    model_renumber(r->model, "INBOX", 1000);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), MAIL - 10);
    for (unsigned i = 10; i < 20; i++)
        assert_int_equal(file_row(r, id[i]).state, MESSAGE_GONE);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_assert_changes(r, "");
}

/* Equal messages cannot be told apart by anything; there are as many as before. */
static void renumbered_with_twins(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 3; i++)
        model_append(r->model, "INBOX", mail_wire(50), FLAG_SEEN, 1600000050);
    fill(r);
    model_renumber(r->model, "INBOX", 500);
    rig_agree(r);
    assert_int_equal(rig_copies(r, "INBOX", mail_wire(50)), 3);
    rig_assert_changes(r, "");
}

/* Without Message-ID, as drafts and notes are. */
static void renumbered_mail_without_message_id(void **state)
{
    struct rig *r = *state;
    model_append(r->model, "INBOX", "Subject: one\r\n\r\nA note.\r\n", 0, 1600000001);
    model_append(r->model, "INBOX", "Subject: two\r\n\r\nAnother note.\r\n", 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    model_renumber(r->model, "INBOX", 500);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), 2);
}

/* ---- the database ---- */

static void database_lost(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_stop(r);
    rig_lose_database(r);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), MAIL);
    assert_int_equal(file_count(r, "INBOX"), MAIL);
    rig_assert_changes(r, "");
    rig_check_quiet(r);
}

static void database_lost_with_unsent_mail(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_stop(r);
    rig_open(r);
    model_down(r->model, true);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(100), FLAG_SEEN, 1600000100);
    file_make_box(r, "Made");
    file_deliver(r, "Made", SUB_NEW, mail_file(101), 0, 1600000101);
    rig_start(r);
    assert_int_equal(engine_sync(r->engine, 300), -EAGAIN); /* settled, and not sent */
    rig_stop(r);
    rig_lose_database(r);
    model_down(r->model, false);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(100));
    rig_assert_once(r, "Made", mail_wire(101));
    assert_int_equal(model_count(r->model, "INBOX"), MAIL + 1);
}

/* Sent, but the answer was lost, and then the database: it is not sent twice. */
static void database_lost_with_mail_that_was_sent(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_stop(r);
    rig_open(r);
    model_plan(r->model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .effect = true});
    file_deliver(r, "INBOX", SUB_CUR, mail_file(100), FLAG_SEEN, 1600000100);
    rig_start(r);
    for (int i = 0; i < 100 && !model_struck(r->model); i++)
        engine_sync(r->engine, 10);
    assert_true(model_struck(r->model));
    rig_stop(r);
    rig_lose_database(r);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(100));
    assert_int_equal(model_count(r->model, "INBOX"), MAIL + 1);
}

/* Nothing is removed on either side, whatever was removed before. */
static void database_lost_with_removals_waiting(void **state)
{
    struct rig *r = *state;
    fill(r);
    rig_stop(r);
    rig_open(r);
    file_remove(r, id[1]);
    rig_stop(r);
    rig_lose_database(r);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), MAIL);
    rig_assert_changes(r, "");
}

/* ---- bodies ---- */

static int remove_body(struct rig *r, int64_t row)
{
    struct message m = file_row(r, row);
    char path[192];
    int n = snprintf(path, sizeof path, "%s/bodies/%02x/", r->cache_dir, m.hash[0]);
    for (unsigned i = 1; i < 32; i++)
        n += snprintf(path + n, sizeof path - (size_t)n, "%02x", m.hash[i]);
    return unlink(path);
}

static void answered(void *arg, int err)
{
    atomic_store((atomic_int *)arg, err);
}

/* Case 20: a missing body is fetched again, and never taken for an edit or a removal. */
static void a_missing_body_is_fetched_again(void **state)
{
    struct rig *r = *state;
    atomic_int answer = 1;
    fill(r);
    assert_int_equal(remove_body(r, id[7]), 0);
    assert_int_equal(cache_want(r->cache, id[7], answered, &answer), 0);
    for (int i = 0; i < 500 && atomic_load(&answer) == 1; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&answer), 0);
    file_assert_content(r, id[7], mail_file(7));
    assert_int_equal(record_fetched(&r->record), 1);
    rig_agree(r);
    rig_assert_changes(r, "");
}

static void off_line_a_missing_body_is_refused_at_once(void **state)
{
    struct rig *r = *state;
    atomic_int answer = 1;
    fill(r);
    model_down(r->model, true);
    engine_sync(r->engine, 50);
    assert_int_equal(remove_body(r, id[7]), 0);
    assert_int_equal(cache_want(r->cache, id[7], answered, &answer), 0);
    for (int i = 0; i < 200 && atomic_load(&answer) == 1; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&answer), -ENETDOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(renumbered_while_it_runs, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_with_the_old_numbers, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_with_work_waiting, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_with_mail_missing, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_with_twins, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_mail_without_message_id, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(database_lost, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(database_lost_with_unsent_mail, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(database_lost_with_mail_that_was_sent, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(database_lost_with_removals_waiting, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(a_missing_body_is_fetched_again, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(off_line_a_missing_body_is_refused_at_once, rig_setup_stopped,
                                        rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
