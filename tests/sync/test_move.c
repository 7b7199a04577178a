/* Mail that is filed: renames between mailboxes here, MOVE on the server, and the other way round. */
#include "base_state.h"
#include "rig.h"

static uint32_t uid_of(struct rig *r, int64_t id)
{
    struct base_state base;
    assert_int_equal(base_of_message(cache_reader(r->cache), id, &base), 0);
    return base.uid;
}

/* A server of those features with INBOX and Archive, one message in INBOX, agreed on. */
static int64_t begin(struct rig *r, const struct model_features *f)
{
    rig_begin(r, f);
    model_create(r->model, "Archive");
    for (unsigned i = 10; i < 13; i++)
        model_append(r->model, "Archive", mail_wire(i), 0, 1500000000 + i);
    model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN, 1600000001);
    rig_start(r);
    rig_agree(r);
    record_clear(&r->record);
    return file_find(r, "INBOX", mail_file(1));
}

static void check_moved(struct rig *r, int64_t id)
{
    rig_agree(r);
    rig_assert_once(r, "Archive", mail_wire(1));
    assert_int_equal(file_find(r, "Archive", mail_file(1)), id);
    assert_int_equal(uid_of(r, id), 4);
    assert_int_equal(file_row(r, id).date_s, 1600000001);
}

static void a_rename_is_one_move(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    file_move(&r, id, "Archive");
    check_moved(&r, id);
    rig_assert_changes(&r, "MOVE INBOX 1 Archive");
    assert_int_equal(record_fetched(&r.record), 0);
    rig_check_quiet(&r);
    rig_end(&r);
}

static void without_uidplus_the_copy_is_looked_for(void **state)
{
    struct model_features f = model_full;
    static struct rig r;
    (void)state;
    f.uidplus = false;
    int64_t id = begin(&r, &f);
    file_move(&r, id, "Archive");
    check_moved(&r, id);
    rig_assert_changes(&r, "MOVE INBOX 1 Archive");
    rig_end(&r);
}

static void without_move_it_is_copied_and_expunged(void **state)
{
    struct model_features f = model_full;
    static struct rig r;
    (void)state;
    f.move = false;
    int64_t id = begin(&r, &f);
    file_move(&r, id, "Archive");
    check_moved(&r, id);
    rig_assert_changes(&r, "MOVE INBOX 1 Archive\nEXPUNGE INBOX 1");
    rig_end(&r);
}

static void with_neither(void **state)
{
    struct model_features f = {.speed = WORKER_SPEED_NONE};
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &f);
    file_move(&r, id, "Archive");
    file_flag(&r, id, FLAG_FLAGGED, FLAG_SEEN);
    check_moved(&r, id);
    rig_end(&r);
}

static void several_go_in_one_command(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full), more[4];
    for (unsigned i = 0; i < 4; i++)
        model_append(r.model, "INBOX", mail_wire(2 + i), 0, 1600000002);
    rig_agree(&r);
    rig_stop(&r);
    record_clear(&r.record);
    rig_open(&r);
    for (unsigned i = 0; i < 4; i++)
        file_move(&r, more[i] = file_find(&r, "INBOX", mail_file(2 + i)), "Archive");
    file_move(&r, id, "Archive");
    rig_start(&r);
    rig_agree(&r);
    rig_assert_changes(&r, "MOVE INBOX 1:5 Archive");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(file_find(&r, "Archive", mail_file(2 + i)), more[i]);
    rig_end(&r);
}

static void moved_and_flagged(void **state)
{
    static struct rig r;
    struct model_view v;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    rig_open(&r);
    model_store(r.model, "INBOX", 1, FLAG_ANSWERED, 0);
    file_move(&r, id, "Archive");
    file_flag(&r, id, FLAG_FLAGGED, FLAG_SEEN);
    rig_start(&r);
    check_moved(&r, id);
    assert_true(model_find(r.model, "Archive", 4, &v));
    assert_int_equal(v.flags, FLAG_FLAGGED | FLAG_ANSWERED);
    rig_end(&r);
}

static void there_and_back_sends_nothing(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    record_clear(&r.record);
    rig_open(&r);
    file_move(&r, id, "Archive");
    file_move(&r, id, "INBOX");
    rig_start(&r);
    rig_agree(&r);
    rig_assert_changes(&r, "");
    rig_end(&r);
}

static void into_a_new_mailbox(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    record_clear(&r.record);
    rig_open(&r);
    file_make_box(&r, "Filed");
    file_make_box(&r, "Filed/2024");
    file_move(&r, id, "Filed/2024");
    rig_start(&r);
    rig_agree(&r);
    rig_assert_once(&r, "Filed/2024", mail_wire(1));
    assert_int_equal(file_find(&r, "Filed/2024", mail_file(1)), id);
    rig_assert_changes(&r, "CREATE Filed\nSUBSCRIBE Filed\nCREATE Filed/2024\nSUBSCRIBE Filed/2024\n"
                           "MOVE INBOX 1 Filed/2024");
    rig_check_quiet(&r);
    rig_end(&r);
}

/* Case 42: filing is work, and it is not lost because another client removed the message. */
static void moved_here_and_gone_there(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    rig_open(&r);
    model_expunge(r.model, "INBOX", 1);
    file_move(&r, id, "Archive");
    rig_start(&r);
    check_moved(&r, id);
    rig_end(&r);
}

/* Case 43, the least of it: the message is in its new place, and in no other. */
static void moved_by_another_client(void **state)
{
    static struct rig r;
    (void)state;
    begin(&r, &model_full);
    model_move(r.model, "INBOX", 1, "Archive");
    rig_agree(&r);
    rig_assert_once(&r, "Archive", mail_wire(1));
    assert_true(file_find(&r, "Archive", mail_file(1)) != 0);
    rig_assert_changes(&r, "");
    rig_end(&r);
}

static void a_copy_is_a_second_message(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    int64_t copy = file_copy(&r, id, "Archive");
    assert_int_not_equal(copy, id);
    rig_agree(&r);
    assert_int_equal(rig_copies(&r, "INBOX", mail_wire(1)), 1);
    assert_int_equal(rig_copies(&r, "Archive", mail_wire(1)), 1);
    assert_int_equal(file_find(&r, "Archive", mail_file(1)), copy);
    assert_int_equal(record_count(&r.record, RECORD_APPLY), 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_rename_is_one_move, rig_end_open),
        cmocka_unit_test_teardown(without_uidplus_the_copy_is_looked_for, rig_end_open),
        cmocka_unit_test_teardown(without_move_it_is_copied_and_expunged, rig_end_open),
        cmocka_unit_test_teardown(with_neither, rig_end_open),
        cmocka_unit_test_teardown(several_go_in_one_command, rig_end_open),
        cmocka_unit_test_teardown(moved_and_flagged, rig_end_open),
        cmocka_unit_test_teardown(there_and_back_sends_nothing, rig_end_open),
        cmocka_unit_test_teardown(into_a_new_mailbox, rig_end_open),
        cmocka_unit_test_teardown(moved_here_and_gone_there, rig_end_open),
        cmocka_unit_test_teardown(moved_by_another_client, rig_end_open),
        cmocka_unit_test_teardown(a_copy_is_a_second_message, rig_end_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
