/* Mail, flags and removals, both ways, with a server that can do everything. */
#include "rig.h"

static void mail_of_the_server_appears(void **state)
{
    struct rig *r = *state;
    model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    model_append(r->model, "INBOX", mail_wire(2), FLAG_SEEN | FLAG_FLAGGED, 1600000002);
    rig_agree(r);

    struct message fresh = file_row(r, file_find(r, "INBOX", mail_file(1)));
    assert_int_equal(fresh.sub, SUB_NEW);
    assert_int_equal(fresh.date_s, 1600000001);
    assert_null(strstr(fresh.name, ":2,"));
    assert_non_null(strstr(fresh.name, "1600000001."));
    struct message seen = file_row(r, file_find(r, "INBOX", mail_file(2)));
    assert_int_equal(seen.sub, SUB_CUR);
    assert_non_null(strstr(seen.name, ":2,FS"));
    assert_int_equal(seen.size, strlen(mail_file(2)));
    assert_int_equal(seen.wire_size, strlen(mail_wire(2)));
    rig_check_quiet(r);
}

static void flags_go_both_ways(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));

    model_store(r->model, "INBOX", uid, FLAG_SEEN, 0);
    file_flag(r, id, FLAG_FLAGGED, 0);
    rig_agree(r);
    assert_int_equal(file_row(r, id).flags, FLAG_SEEN | FLAG_FLAGGED);
    assert_true(model_find(r->model, "INBOX", uid, &v));
    assert_int_equal(v.flags, FLAG_SEEN | FLAG_FLAGGED);

    model_store(r->model, "INBOX", uid, 0, FLAG_FLAGGED);
    file_flag(r, id, FLAG_ANSWERED, FLAG_SEEN);
    rig_agree(r);
    assert_int_equal(file_row(r, id).flags, FLAG_ANSWERED);
    rig_check_quiet(r);
}

static void delivered_mail_is_appended_once(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    rig_agree(r);
    record_clear(&r->record);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(7), FLAG_SEEN | FLAG_DRAFT, 1500000000);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(7));
    assert_true(model_find(r->model, "INBOX", 1, &v));
    assert_int_equal(v.flags, FLAG_SEEN | FLAG_DRAFT);
    assert_int_equal(v.date_s, 1500000000);
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 1);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_check_quiet(r);
}

static void a_removed_file_expunges_that_uid_only(void **state)
{
    struct rig *r = *state;
    model_append(r->model, "INBOX", mail_wire(1), FLAG_DELETED, 1600000001);
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_agree(r);
    record_clear(&r->record);
    file_remove(r, file_find(r, "INBOX", mail_file(2)));
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), 1);
    assert_false(model_find(r->model, "INBOX", uid, &(struct model_view){0}));
    rig_assert_changes(r, "EXPUNGE INBOX 2");
    rig_check_quiet(r);
}

static void mail_expunged_elsewhere_disappears(void **state)
{
    struct rig *r = *state;
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    record_clear(&r->record);
    model_expunge(r->model, "INBOX", uid);
    rig_agree(r);
    assert_int_equal(file_row(r, id).state, MESSAGE_GONE);
    rig_assert_changes(r, "");
}

static void everything_survives_a_restart(void **state)
{
    struct rig *r = *state;
    model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN, 1600000001);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    file_flag(r, id, FLAG_FLAGGED, 0);
    rig_stop(r);
    model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(file_find(r, "INBOX", mail_file(1)), id);
    assert_int_equal(file_row(r, id).flags, FLAG_SEEN | FLAG_FLAGGED);
    assert_true(file_find(r, "INBOX", mail_file(2)) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mail_of_the_server_appears, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(flags_go_both_ways, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(delivered_mail_is_appended_once, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_removed_file_expunges_that_uid_only, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(mail_expunged_elsewhere_disappears, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(everything_survives_a_restart, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
