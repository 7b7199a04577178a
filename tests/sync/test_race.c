/*
 * Other clients come between two operations of a round: what was scanned is not what is there any more.
 * Everything that the engine sends names UIDs under a UIDVALIDITY, or it hits the wrong message.
 */
#include "rig.h"

struct between {
    struct rig *r;
    unsigned what;
};

enum { MAIL = 12 };

static void fill(struct rig *r)
{
    model_create(r->model, "Archive");
    for (unsigned i = 1; i <= MAIL; i++)
        model_append(r->model, "INBOX", mail_wire(i), FLAG_SEEN, 1600000000 + i);
    r->account.connections = 1;
    rig_start(r);
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
}

/* What came between is news for the next round. */
static void agree(struct rig *r)
{
    rig_settles(r, 8);
    rig_agree(r);
}

/* All messages but one are there once. */
static void check_rest(struct rig *r, unsigned gone)
{
    for (unsigned i = 1; i <= MAIL; i++)
        if (i != gone && rig_copies(r, NULL, mail_wire(i)) != 1)
            fail_msg("message %u: %u copies", i, rig_copies(r, NULL, mail_wire(i)));
}

/* The first three go, and the rest is numbered from 1 again: what was UID 5 is UID 2 now. */
static void renumber(void *arg)
{
    struct rig *r = arg;
    for (uint32_t uid = 1; uid <= 3; uid++)
        model_move(r->model, "INBOX", uid, "Archive");
    model_renumber(r->model, "INBOX", 1);
}

static void expunge_after_renumbering(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_remove(r, file_find(r, "INBOX", mail_file(5)));
    model_between(r->model, MODEL_APPLY, 1, renumber, r);
    rig_start(r);
    agree(r);
    check_rest(r, 5);
    assert_int_equal(rig_copies(r, NULL, mail_wire(5)), 0);
}

static void move_after_renumbering(void **state)
{
    struct rig *r = *state;
    fill(r);
    int64_t id = file_find(r, "INBOX", mail_file(5));
    file_move(r, id, "Archive");
    model_between(r->model, MODEL_APPLY, 1, renumber, r);
    rig_start(r);
    agree(r);
    check_rest(r, 0);
    rig_assert_once(r, "Archive", mail_wire(5));
}

static void seen_only(void *arg, const struct model_view *v)
{
    struct between *b = arg;
    if (v->flags & FLAG_FLAGGED)
        b->what += strcmp(v->wire, mail_wire(5)) == 0 ? 1 : 100;
}

static void store_after_renumbering(void **state)
{
    struct rig *r = *state;
    struct between b = {.r = r};
    fill(r);
    file_flag(r, file_find(r, "INBOX", mail_file(5)), FLAG_FLAGGED, 0);
    model_between(r->model, MODEL_APPLY, 1, renumber, r);
    rig_start(r);
    agree(r);
    model_each(r->model, NULL, seen_only, &b);
    assert_int_equal(b.what, 1);
}

/* A move without MOVE, whose end (the expunge) comes after a break and a renumbering. */
static void rest_of_a_move_after_renumbering(void **state)
{
    static struct rig r;
    struct model_features f = model_full;
    (void)state;
    f.move = false;
    rig_begin(&r, &f);
    fill(&r);
    file_move(&r, file_find(&r, "INBOX", mail_file(5)), "Archive");
    model_plan(r.model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .effect = true});
    model_between(r.model, MODEL_OPEN, 2, renumber, &r);
    rig_start(&r);
    agree(&r);
    for (unsigned i = 1; i <= MAIL; i++)
        if (i != 5)
            assert_int_equal(rig_copies(&r, NULL, mail_wire(i)), 1);
    assert_true(rig_copies(&r, "Archive", mail_wire(5)) == 1);
    rig_end(&r);
}

static void replace_inbox_mail(void *arg)
{
    struct rig *r = arg;
    model_expunge(r->model, "INBOX", 5);
}

static void gone_before_it_is_changed(void **state)
{
    struct rig *r = *state;
    for (unsigned way = 0; way < 3; way++) {
        if (way == 0)
            fill(r);
        unsigned n = way ? 200 + way : 5;
        if (way) {
            model_append(r->model, "INBOX", mail_wire(n), FLAG_SEEN, 1600000200);
            agree(r);
            rig_stop(r);
            rig_open(r);
        }
        int64_t id = file_find(r, "INBOX", mail_file(n));
        if (way == 0)
            file_flag(r, id, FLAG_ANSWERED, 0);
        else if (way == 1)
            file_remove(r, id);
        else
            file_replace(r, id, mail_file(300));
        model_between(r->model, MODEL_APPLY, 1, replace_inbox_mail, r);
        rig_start(r);
        agree(r);
    }
    check_rest(r, 5);
    rig_assert_once(r, "INBOX", mail_wire(300));
    assert_int_equal(rig_copies(r, NULL, mail_wire(201)) + rig_copies(r, NULL, mail_wire(202)), 0);
}

/* Case 42, in the smallest window: between the scan and the move. */
static void gone_before_it_is_moved(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_move(r, file_find(r, "INBOX", mail_file(5)), "Archive");
    model_between(r->model, MODEL_APPLY, 1, replace_inbox_mail, r);
    rig_start(r);
    agree(r);
    check_rest(r, 5);
    rig_assert_once(r, "Archive", mail_wire(5));
}

static void delete_archive(void *arg)
{
    struct rig *r = arg;
    model_delete(r->model, "Archive");
}

/* Case 47: the target goes before the move. The mail stays, and the mailbox is made again. */
static void target_gone_before_the_move(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_move(r, file_find(r, "INBOX", mail_file(5)), "Archive");
    model_between(r->model, MODEL_APPLY, 1, delete_archive, r);
    rig_start(r);
    agree(r);
    check_rest(r, 0);
}

static void target_gone_before_the_append(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_deliver(r, "Archive", SUB_CUR, mail_file(50), FLAG_SEEN, 1600000050);
    model_between(r->model, MODEL_APPLY, 1, delete_archive, r);
    rig_start(r);
    agree(r);
    rig_assert_once(r, "Archive", mail_wire(50));
}

static void expunge_new(void *arg)
{
    struct rig *r = arg;
    model_expunge(r->model, "INBOX", MAIL + 1);
}

/* Case 17: never an empty file, and nothing is left of it, no complaint either. */
static void gone_while_it_is_fetched(void **state)
{
    struct rig *r = *state;
    fill(r);
    model_append(r->model, "INBOX", mail_wire(50), 0, 1600000050);
    model_append(r->model, "INBOX", mail_wire(51), 0, 1600000051);
    model_between(r->model, MODEL_FETCH, 1, expunge_new, r);
    rig_start(r);
    agree(r);
    assert_int_equal(file_count(r, "INBOX"), MAIL + 1);
    rig_assert_once(r, "INBOX", mail_wire(51));
}

static void renumber_alone(void *arg)
{
    struct rig *r = arg;
    model_renumber(r->model, "INBOX", 1);
}

/* APPENDUID is of another UIDVALIDITY than was announced: the mail is there all the same. */
static void renumbered_before_the_append(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(50), FLAG_SEEN, 1600000050);
    model_between(r->model, MODEL_APPLY, 1, renumber_alone, r);
    rig_start(r);
    agree(r);
    rig_assert_once(r, "INBOX", mail_wire(50));
    check_rest(r, 0);
}

/* The answer is lost, and the numbers with it. */
static void renumbered_while_the_outcome_is_unknown(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(50), FLAG_SEEN, 1600000050);
    model_plan(r->model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .effect = true});
    model_between(r->model, MODEL_OPEN, 2, renumber_alone, r);
    rig_start(r);
    agree(r);
    rig_assert_once(r, "INBOX", mail_wire(50));
    check_rest(r, 0);
}

static void renumber_archive(void *arg)
{
    struct rig *r = arg;
    model_renumber(r->model, "Archive", 1);
}

static const struct model_features kind[] = {
    {.speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true},
    {.speed = WORKER_SPEED_CONDSTORE, .uidplus = true, .list_status = true},
    {.speed = WORKER_SPEED_CONDSTORE, .move = true, .list_status = true},
    {.speed = WORKER_SPEED_NONE},
};

enum { KINDS = sizeof kind / sizeof *kind };

static void move_into_renumbered(const struct model_features *f, bool unknown)
{
    static struct rig r;
    rig_begin(&r, f);
    fill(&r);
    for (unsigned i = 20; i < 25; i++)
        model_append(r.model, "Archive", mail_wire(i), 0, 1600000000 + i);
    int64_t id = file_find(&r, "INBOX", mail_file(5));
    file_move(&r, id, "Archive");
    if (unknown)
        model_plan(r.model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .effect = true});
    model_between(r.model, unknown ? MODEL_OPEN : MODEL_APPLY, unknown ? 2 : 1, renumber_archive, &r);
    rig_start(&r);
    agree(&r);
    check_rest(&r, 0);
    rig_assert_once(&r, "Archive", mail_wire(5));
    assert_int_equal(file_find(&r, "Archive", mail_file(5)), id);
    rig_end(&r);
}

static void target_renumbered_before_the_move(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        move_into_renumbered(&kind[i], false);
}

static void target_renumbered_while_the_move_is_unknown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        move_into_renumbered(&kind[i], true);
}

static void append_same(void *arg)
{
    struct rig *r = arg;
    model_append(r->model, "INBOX", mail_wire(50), FLAG_FLAGGED, 1600000050);
}

/* The outcome is unknown, and meanwhile another client appended the very same octets: which one is ours
 * cannot be known, but nothing is lost. */
static void a_twin_comes_while_the_outcome_is_unknown(void **state)
{
    struct rig *r = *state;
    fill(r);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(50), FLAG_SEEN, 1600000050);
    model_plan(r->model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .effect = true});
    model_between(r->model, MODEL_APPLY, 1, append_same, r);
    rig_start(r);
    agree(r);
    assert_int_equal(rig_copies(r, "INBOX", mail_wire(50)), 2);
    check_rest(r, 0);
}

/* New mail while UIDs are awaited: APPENDUID is ours, and theirs is not taken for it. */
static void others_append_at_the_same_time(void **state)
{
    static struct rig r;
    (void)state;
    for (unsigned uidplus = 0; uidplus < 2; uidplus++) {
        struct model_features f = model_full;
        f.uidplus = uidplus;
        rig_begin(&r, &f);
        fill(&r);
        int64_t id = file_deliver(&r, "INBOX", SUB_CUR, mail_file(60), FLAG_SEEN, 1600000050);
        model_between(r.model, MODEL_APPLY, 1, append_same, &r);
        rig_start(&r);
        agree(&r);
        rig_assert_once(&r, "INBOX", mail_wire(60));
        rig_assert_once(&r, "INBOX", mail_wire(50));
        assert_int_equal(file_find(&r, "INBOX", mail_file(60)), id);
        rig_end(&r);
    }
}

/* A person changes what is being sent: the flags follow (case 36), the file is what it is here. */
static struct {
    struct rig *r;
    int64_t id;
} person;

static void flag_it(void *arg)
{
    (void)arg;
    file_flag(person.r, person.id, FLAG_FLAGGED, 0);
}

static void remove_it(void *arg)
{
    (void)arg;
    file_remove(person.r, person.id);
}

static void move_it(void *arg)
{
    (void)arg;
    file_move(person.r, person.id, "Archive");
}

static void rewrite_it(void *arg)
{
    (void)arg;
    file_rewrite(person.r, person.id, mail_file(51));
}

static int64_t while_appending(struct rig *r, void (*act)(void *arg))
{
    fill(r);
    person.r = r;
    person.id = file_deliver(r, "INBOX", SUB_CUR, mail_file(50), FLAG_SEEN, 1600000050);
    model_between(r->model, MODEL_APPLY, 1, act, NULL);
    rig_start(r);
    agree(r);
    return person.id;
}

static void flagged_while_it_is_sent(void **state)
{
    struct rig *r = *state;
    int64_t id = while_appending(r, flag_it);
    assert_int_equal(file_row(r, id).flags, FLAG_SEEN | FLAG_FLAGGED);
    rig_assert_once(r, "INBOX", mail_wire(50));
}

static void removed_while_it_is_sent(void **state)
{
    struct rig *r = *state;
    while_appending(r, remove_it);
    assert_int_equal(rig_copies(r, NULL, mail_wire(50)), 0);
}

static void moved_while_it_is_sent(void **state)
{
    struct rig *r = *state;
    int64_t id = while_appending(r, move_it);
    rig_assert_once(r, "Archive", mail_wire(50));
    assert_int_equal(file_find(r, "Archive", mail_file(50)), id);
}

static void rewritten_while_it_is_sent(void **state)
{
    struct rig *r = *state;
    while_appending(r, rewrite_it);
    rig_assert_once(r, "INBOX", mail_wire(51));
    assert_int_equal(rig_copies(r, NULL, mail_wire(50)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(expunge_after_renumbering, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(move_after_renumbering, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(store_after_renumbering, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_teardown(rest_of_a_move_after_renumbering, rig_end_open),
        cmocka_unit_test_setup_teardown(gone_before_it_is_changed, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(gone_before_it_is_moved, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(target_gone_before_the_move, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(target_gone_before_the_append, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(gone_while_it_is_fetched, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_before_the_append, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(renumbered_while_the_outcome_is_unknown, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_teardown(target_renumbered_before_the_move, rig_end_open),
        cmocka_unit_test_teardown(target_renumbered_while_the_move_is_unknown, rig_end_open),
        cmocka_unit_test_setup_teardown(a_twin_comes_while_the_outcome_is_unknown, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_teardown(others_append_at_the_same_time, rig_end_open),
        cmocka_unit_test_setup_teardown(flagged_while_it_is_sent, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_while_it_is_sent, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(moved_while_it_is_sent, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(rewritten_while_it_is_sent, rig_setup_stopped, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
