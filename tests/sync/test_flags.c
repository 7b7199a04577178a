/* Flags: keywords and their letters, what a mailbox cannot hold, and servers that do not tell of changes. */
#include "rig.h"
#include "pending.h"

static void keywords_have_letters(void **state)
{
    struct rig *r = *state;
    flags_t there = model_keyword(r->model, "$Label1"), other = model_keyword(r->model, "Work");
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN | there | other, 1600000001);
    rig_start(r);
    rig_agree(r);
    struct message m = file_row(r, file_find(r, "INBOX", mail_file(1)));
    assert_true(m.flags & file_keyword(r, "$Label1"));
    assert_non_null(strstr(m.name, ":2,Sab"));

    model_store(r->model, "INBOX", uid, 0, there);
    file_flag(r, m.id, file_keyword(r, "Later"), 0);
    rig_agree(r);
    struct model_view v;
    assert_true(model_find(r->model, "INBOX", uid, &v));
    assert_int_equal(v.flags, FLAG_SEEN | other | model_keyword(r->model, "Later"));
    assert_non_null(strstr(file_row(r, m.id).name, ":2,Sbc"));
    rig_check_quiet(r);
}

static void keywords_of_delivered_mail(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    rig_start(r);
    rig_agree(r);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(1), FLAG_SEEN | FLAG_FORWARDED | file_keyword(r, "Todo"), 0);
    rig_agree(r);
    assert_true(model_find(r->model, "INBOX", 1, &v));
    assert_int_equal(v.flags, FLAG_SEEN | FLAG_FORWARDED | model_keyword(r->model, "Todo"));
    rig_check_quiet(r);
}

/* Case 32: kept here, not sent, and its absence there is no removal. */
static void a_mailbox_without_keywords(void **state)
{
    struct rig *r = *state;
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    model_permit(r->model, "INBOX", FLAGS_SYSTEM & ~(FLAG_FORWARDED | FLAG_DRAFT), false);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    flags_t mine = file_keyword(r, "Todo") | FLAG_DRAFT;
    record_clear(&r->record);
    file_flag(r, id, mine, 0);
    rig_settles(r, 2);
    rig_assert_changes(r, "");
    assert_int_equal(file_row(r, id).flags, mine);

    file_flag(r, id, FLAG_SEEN, 0);
    rig_settles(r, 2);
    rig_assert_changes(r, "STORE INBOX 1 +\\Seen");
    model_store(r->model, "INBOX", uid, FLAG_FLAGGED, 0);
    rig_settles(r, 2);
    assert_int_equal(file_row(r, id).flags, mine | FLAG_SEEN | FLAG_FLAGGED);
    rig_stop(r);
    rig_start(r);
    assert_true(rig_settles(r, 3));
    assert_int_equal(file_row(r, id).flags, mine | FLAG_SEEN | FLAG_FLAGGED);
    rig_assert_changes(r, "STORE INBOX 1 +\\Seen");
}

static void delivered_to_a_mailbox_without_keywords(void **state)
{
    struct rig *r = *state;
    model_permit(r->model, "INBOX", FLAG_SEEN, false);
    rig_start(r);
    rig_agree(r);
    flags_t mine = FLAG_SEEN | FLAG_FLAGGED | file_keyword(r, "Todo");
    int64_t id = file_deliver(r, "INBOX", SUB_CUR, mail_file(1), mine, 0);
    assert_true(rig_settles(r, 3));
    rig_assert_once(r, "INBOX", mail_wire(1));
    assert_int_equal(file_row(r, id).flags, mine);
}

/* From a mailbox that takes keywords into one that does not, and back: they were kept here. */
static void keywords_survive_a_stay_where_none_are(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    model_create(r->model, "Poor");
    model_permit(r->model, "Poor", FLAGS_SYSTEM, false);
    flags_t there = model_keyword(r->model, "Work");
    model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN | there, 1600000001);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    file_move(r, id, "Poor");
    assert_true(rig_settles(r, 3));
    file_move(r, id, "INBOX");
    assert_true(rig_settles(r, 3));
    assert_int_equal(file_row(r, id).flags, FLAG_SEEN | file_keyword(r, "Work"));
    assert_true(model_find(r->model, "INBOX", 2, &v));
    assert_int_equal(v.flags, FLAG_SEEN | there);
}

static bool is_refused(struct rig *r, int64_t id, const char *why)
{
    struct failure f;
    return failure_get(cache_reader(r->cache), id, 0, &f) == 0 && strstr(f.why, why);
}

/* Case 92: nothing is sent to a read-only mailbox, what was to be sent is parked, and nothing else is held up
 * by it. */
static void a_read_only_mailbox(void **state)
{
    struct rig *r = *state;
    model_create(r->model, "Public");
    model_append(r->model, "Public", mail_wire(1), 0, 1600000001);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "Public", mail_file(1));
    rig_stop(r);
    rig_open(r);
    record_clear(&r->record);
    model_read_only(r->model, "Public", true);
    model_append(r->model, "Public", mail_wire(4), 0, 1600000004);
    file_flag(r, id, FLAG_SEEN, 0);
    int64_t mine = file_deliver(r, "Public", SUB_NEW, mail_file(3), 0, 0);
    file_deliver(r, "INBOX", SUB_NEW, mail_file(2), 0, 0);
    rig_start(r);
    assert_true(rig_settles(r, 3));
    rig_assert_once(r, "INBOX", mail_wire(2));
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 1);
    assert_true(is_refused(r, id, "read-only") && is_refused(r, mine, "read-only"));
    file_assert_content(r, mine, mail_file(3));
}

/* \Deleted is a flag like the others (case 16); T here marks, and does not expunge. */
static void marking_is_not_removing(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    rig_start(r);
    rig_agree(r);
    record_clear(&r->record);
    file_flag(r, file_find(r, "INBOX", mail_file(1)), FLAG_DELETED, 0);
    rig_agree(r);
    rig_assert_changes(r, "STORE INBOX 1 +\\Deleted");
    assert_true(model_find(r->model, "INBOX", 1, &v));
    rig_check_quiet(r);
}

/* Cases 10 and 11: a person's act on one side while the other removed. */
static void removed_here_and_flagged_there(void **state)
{
    struct rig *r = *state;
    uint32_t one = model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    uint32_t two = model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    int64_t kept = file_find(r, "INBOX", mail_file(1)), gone = file_find(r, "INBOX", mail_file(2));
    rig_stop(r);
    rig_open(r);
    file_remove(r, kept);
    file_remove(r, gone);
    model_store(r->model, "INBOX", one, FLAG_FLAGGED, 0);
    model_store(r->model, "INBOX", two, FLAG_SEEN, 0);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), 1);
    assert_true(file_find(r, "INBOX", mail_file(1)) != 0);
}

static void flagged_here_and_removed_there(void **state)
{
    struct rig *r = *state;
    uint32_t one = model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    uint32_t two = model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    int64_t a = file_find(r, "INBOX", mail_file(1)), b = file_find(r, "INBOX", mail_file(2));
    rig_stop(r);
    rig_open(r);
    file_flag(r, a, FLAG_FLAGGED, 0);
    file_flag(r, b, FLAG_SEEN, 0);
    model_expunge(r->model, "INBOX", one);
    model_expunge(r->model, "INBOX", two);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(1));
    assert_int_equal(model_count(r->model, "INBOX"), 1);
}

/* ---- servers of other speeds: both ways, at rest and after a restart ---- */

static void exercise(const struct model_features *f)
{
    static struct rig r;
    struct model_view v;
    rig_begin(&r, f);
    for (unsigned i = 1; i <= 6; i++)
        model_append(r.model, "INBOX", mail_wire(i), 0, 1600000000 + i);
    rig_start(&r);
    rig_agree(&r);
    int64_t id = file_find(&r, "INBOX", mail_file(2));
    file_flag(&r, id, FLAG_SEEN, 0);
    model_expunge(r.model, "INBOX", 5);
    rig_agree(&r);

    model_store(r.model, "INBOX", 2, FLAG_FLAGGED, 0);
    rig_agree(&r);
    assert_int_equal(file_row(&r, id).flags, FLAG_SEEN | FLAG_FLAGGED);

    model_store(r.model, "INBOX", 3, FLAG_ANSWERED, 0);
    model_expunge(r.model, "INBOX", 1);
    model_append(r.model, "INBOX", mail_wire(7), FLAG_SEEN, 1600000007);
    file_remove(&r, file_find(&r, "INBOX", mail_file(4)));
    rig_stop(&r);
    model_store(r.model, "INBOX", 6, FLAG_DRAFT, 0);
    rig_start(&r);
    rig_agree(&r);
    assert_true(model_find(r.model, "INBOX", 6, &v));
    assert_int_equal(model_count(r.model, "INBOX"), 4);
    rig_end(&r);
}

static void a_server_without_condstore(void **state)
{
    (void)state;
    exercise(&(struct model_features){
        .speed = WORKER_SPEED_NONE, .uidplus = true, .move = true, .list_status = true});
}

static void a_server_with_condstore(void **state)
{
    (void)state;
    exercise(&(struct model_features){.speed = WORKER_SPEED_CONDSTORE, .uidplus = true, .move = true});
}

static void a_server_with_qresync(void **state)
{
    (void)state;
    exercise(&model_full);
}

/* Case 33: OK, and not there. The flag stays here, is tried twice and no more, and is no removal by anybody.
 */
static void a_server_that_says_ok_and_stores_nothing(void **state)
{
    struct rig *r = *state;
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    model_append(r->model, "INBOX", mail_wire(2), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1)), other = file_find(r, "INBOX", mail_file(2));
    flags_t mine = file_keyword(r, "Todo");
    model_distrust(r->model, "INBOX", model_keyword(r->model, "Todo"), 0);
    record_clear(&r->record);
    file_flag(r, id, mine | FLAG_SEEN, 0);
    rig_settles(r, 2);
    rig_assert_changes(r, "STORE INBOX 1 +\\Seen +Todo\nSTORE INBOX 1 +\\Seen +Todo");
    model_store(r->model, "INBOX", uid, FLAG_FLAGGED, 0);
    file_flag(r, other, mine, 0);
    rig_settles(r, 2);
    rig_assert_changes(r, "STORE INBOX 1 +\\Seen +Todo\nSTORE INBOX 1 +\\Seen +Todo");
    assert_int_equal(file_row(r, id).flags, mine | FLAG_SEEN | FLAG_FLAGGED);
    assert_int_equal(file_row(r, other).flags, mine);
    /* In the next session the server is asked again; what was set meanwhile stays where it is. */
    model_distrust(r->model, "INBOX", 0, 0);
    rig_stop(r);
    rig_start(r);
    file_flag(r, other, FLAG_SEEN, 0);
    file_flag(r, id, 0, FLAG_SEEN);
    rig_settles(r, 2);
    assert_int_equal(file_row(r, id).flags, mine | FLAG_FLAGGED);
    rig_stop(r);
}

/* Case 32: one keyword too many, among flags that the server takes. */
static void a_keyword_that_is_refused(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), FLAG_DRAFT, 1600000001);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    flags_t good = file_keyword(r, "Todo"), bad = file_keyword(r, "Later");
    model_distrust(r->model, "INBOX", 0, model_keyword(r->model, "Later"));
    file_flag(r, id, good | bad | FLAG_SEEN, FLAG_DRAFT);
    rig_settles(r, 2);
    assert_true(model_find(r->model, "INBOX", uid, &v));
    assert_int_equal(v.flags, FLAG_SEEN | model_keyword(r->model, "Todo"));
    assert_int_equal(file_row(r, id).flags, good | bad | FLAG_SEEN);
    record_clear(&r->record);
    model_store(r->model, "INBOX", uid, FLAG_FLAGGED, 0);
    file_flag(r, id, FLAG_ANSWERED, 0);
    rig_settles(r, 2);
    rig_assert_changes(r, "STORE INBOX 1 +\\Answered");
    assert_int_equal(file_row(r, id).flags, good | bad | FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED);
    rig_stop(r);
}

/* Case 34: deltas, so that a flag that another client changes between our look and our command stays changed,
 * without any condition that could fail. */
static void change_other_flags(void *arg)
{
    struct rig *r = arg;
    model_store(r->model, "INBOX", 1, FLAG_FLAGGED | model_keyword(r->model, "Theirs"), FLAG_DRAFT);
}

static void changed_there_just_before_our_command(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    model_append(r->model, "INBOX", mail_wire(1), FLAG_DRAFT, 1600000001);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    model_between(r->model, MODEL_APPLY, 1, change_other_flags, r);
    file_flag(r, id, FLAG_SEEN, 0);
    rig_settles(r, 2);
    rig_agree(r); /* the second round sees it */
    assert_true(model_find(r->model, "INBOX", 1, &v));
    assert_int_equal(v.flags, FLAG_SEEN | FLAG_FLAGGED | model_keyword(r->model, "Theirs"));
    assert_int_equal(file_row(r, id).flags, FLAG_SEEN | FLAG_FLAGGED | file_keyword(r, "Theirs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server_that_says_ok_and_stores_nothing, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(a_keyword_that_is_refused, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(changed_there_just_before_our_command, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(keywords_have_letters, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(keywords_of_delivered_mail, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(a_mailbox_without_keywords, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(delivered_to_a_mailbox_without_keywords, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(keywords_survive_a_stay_where_none_are, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(a_read_only_mailbox, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(marking_is_not_removing, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_here_and_flagged_there, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(flagged_here_and_removed_there, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_teardown(a_server_without_condstore, rig_end_open),
        cmocka_unit_test_teardown(a_server_with_condstore, rig_end_open),
        cmocka_unit_test_teardown(a_server_with_qresync, rig_end_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
