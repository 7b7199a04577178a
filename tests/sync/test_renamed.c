/* Mailboxes that are known again under another name (cases 71, 85, 86): by their id, or by UIDVALIDITY and
 * messages. */
#include "rig.h"

static struct rig rigs;

static const struct model_features ids = {
    .speed = WORKER_SPEED_QRESYNC, .uidplus = true, .move = true, .list_status = true, .objectid = true};
static const struct model_features bare = {.speed = WORKER_SPEED_NONE};
static const struct model_features *const servers[] = {&model_full, &ids, &bare};

static struct rig *begin(const struct model_features *f)
{
    rig_begin(&rigs, f);
    rig_start(&rigs);
    rig_agree(&rigs);
    return &rigs;
}

static int64_t fill(struct rig *r, const char *box, unsigned n)
{
    if (!model_has_box(r->model, box))
        model_create(r->model, box);
    model_append(r->model, box, mail_wire(n), FLAG_SEEN, 1600000000 + n);
    rig_agree(r);
    record_clear(&r->record);
    return file_find(r, box, mail_file(n));
}

static void apart(struct rig *r)
{
    rig_stop(r);
    rig_open(r);
    record_clear(&r->record);
}

static void together(struct rig *r)
{
    rig_start(r);
    rig_agree(r);
}

static void check_kept(struct rig *r, const char *box, unsigned n, int64_t id)
{
    rig_assert_once(r, box, mail_wire(n));
    assert_int_equal(file_find(r, box, mail_file(n)), id);
}

static void renamed_there(struct rig *r)
{
    int64_t id = fill(r, "Lists", 1), child = fill(r, "Lists/c", 2), box = file_box(r, "Lists");
    model_create(r->model, "Lists/empty");
    rig_agree(r);
    int64_t empty = file_box(r, "Lists/empty");
    apart(r);
    model_rename(r->model, "Lists", "Old");
    together(r);
    assert_false(file_has_box(r, "Lists"));
    check_kept(r, "Old", 1, id);
    check_kept(r, "Old/c", 2, child);
    assert_int_equal(file_box(r, "Old"), box);
    assert_int_equal(file_box(r, "Old/empty"), empty);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_assert_changes(r, "");
}

/* Another client deletes a mailbox, and gives its name to another one (cases 71 and 85). */
static void name_given_away(struct rig *r)
{
    int64_t id = fill(r, "Lists", 1);
    fill(r, "Other", 2);
    apart(r);
    model_delete(r->model, "Other");
    model_rename(r->model, "Lists", "Other");
    together(r);
    assert_false(file_has_box(r, "Lists"));
    check_kept(r, "Other", 1, id);
    assert_int_equal(file_count(r, "Other"), 1);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_assert_changes(r, "");
}

/* What was done here meanwhile goes to where it is now. */
static void renamed_there_and_worked_on_here(struct rig *r)
{
    int64_t id = fill(r, "Lists", 1), other = fill(r, "INBOX", 2);
    apart(r);
    model_rename(r->model, "Lists", "Deep/Old");
    file_flag(r, id, FLAG_FLAGGED, 0);
    file_deliver(r, "Lists", SUB_CUR, mail_file(3), FLAG_SEEN, 1600000003);
    file_move(r, other, "Lists");
    together(r);
    assert_false(file_has_box(r, "Lists"));
    check_kept(r, "Deep/Old", 1, id);
    check_kept(r, "Deep/Old", 2, other);
    rig_assert_once(r, "Deep/Old", mail_wire(3));
    assert_int_equal(record_fetched(&r->record), 0);
}

static void its_old_name_is_used_again_there(struct rig *r)
{
    int64_t id = fill(r, "Lists", 1);
    apart(r);
    model_rename(r->model, "Lists", "Old");
    model_create(r->model, "Lists");
    model_append(r->model, "Lists", mail_wire(2), 0, 1600000002);
    together(r);
    check_kept(r, "Old", 1, id);
    rig_assert_once(r, "Lists", mail_wire(2));
    assert_int_equal(file_count(r, "Lists"), 1);
}

static void exchanged_there(struct rig *r)
{
    int64_t a = fill(r, "A", 1), b = fill(r, "B", 2), below = fill(r, "A/x", 3);
    apart(r);
    model_rename(r->model, "A", "T");
    model_rename(r->model, "B", "A");
    model_rename(r->model, "T", "B");
    together(r);
    check_kept(r, "B", 1, a);
    check_kept(r, "A", 2, b);
    check_kept(r, "B/x", 3, below);
    assert_int_equal(record_fetched(&r->record), 0);
    rig_assert_changes(r, "");
}

static void exchange_here(struct rig *r)
{
    file_rename_box(r, "A", "T");
    file_rename_box(r, "B", "A");
    file_rename_box(r, "T", "B");
}

static void exchanged_here(struct rig *r)
{
    int64_t a = fill(r, "A", 1), b = fill(r, "B", 2);
    apart(r);
    exchange_here(r);
    together(r);
    check_kept(r, "B", 1, a);
    check_kept(r, "A", 2, b);
    assert_int_equal(record_fetched(&r->record), 0);
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 3);
}

static void an_exchange_that_breaks_off(struct rig *r)
{
    for (unsigned nth = 1; nth <= 3; nth++)
        for (int effect = 0; effect < 2; effect++) {
            char x[8], y[8];
            snprintf(x, sizeof x, "A%u%d", nth, effect);
            snprintf(y, sizeof y, "B%u%d", nth, effect);
            int64_t a = fill(r, x, 10 * nth + 2 * effect), b = fill(r, y, 10 * nth + 2 * effect + 1);
            apart(r);
            file_rename_box(r, x, "T");
            file_rename_box(r, y, x);
            file_rename_box(r, "T", y);
            model_plan(r->model,
                       &(struct model_trouble){
                           .events = MODEL_APPLY, .nth = nth, .effect = effect, .blow = MODEL_BREAKS});
            together(r);
            assert_true(model_struck(r->model));
            check_kept(r, y, 10 * nth + 2 * effect, a);
            check_kept(r, x, 10 * nth + 2 * effect + 1, b);
        }
}

static void renamed_differently(struct rig *r)
{
    int64_t id = fill(r, "Lists", 1);
    apart(r);
    file_rename_box(r, "Lists", "Mine");
    file_deliver(r, "Mine", SUB_CUR, mail_file(2), FLAG_SEEN, 1600000002);
    model_rename(r->model, "Lists", "Theirs");
    together(r);
    check_kept(r, "Theirs", 1, id);
    rig_assert_once(r, "Theirs", mail_wire(2));
    assert_false(file_has_box(r, "Mine"));
    assert_false(model_has_box(r->model, "Mine"));
    assert_int_equal(record_fetched(&r->record), 0);
}

/* Two mailboxes to one name: the server's stays, the other one goes back to what it was. */
static void one_name_for_two(struct rig *r)
{
    int64_t a = fill(r, "A", 1), b = fill(r, "B", 2);
    apart(r);
    file_rename_box(r, "A", "C");
    model_rename(r->model, "B", "C");
    together(r);
    check_kept(r, "A", 1, a);
    check_kept(r, "C", 2, b);
}

/* The name of one that was made here: they are one from now on, and nothing of the renamed one is lost. */
static void renamed_there_to_what_was_made_here(struct rig *r)
{
    fill(r, "A", 1);
    apart(r);
    file_make_box(r, "C");
    file_deliver(r, "C", SUB_CUR, mail_file(2), FLAG_SEEN, 1600000002);
    model_rename(r->model, "A", "C");
    together(r);
    rig_assert_once(r, "C", mail_wire(1));
    rig_assert_once(r, "C", mail_wire(2));
    assert_false(file_has_box(r, "A"));
}

static void on_each_server(void (*test)(struct rig *r))
{
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        /* Of these numbers alone nothing is recognised. */
        if (servers[i] == &bare && test != renamed_there_to_what_was_made_here && test != exchanged_here &&
            test != an_exchange_that_breaks_off)
            continue;
        test(begin(servers[i]));
        rig_end(&rigs);
    }
}

#define ON_EACH(test)                                                                                        \
    static void all_##test(void **state)                                                                     \
    {                                                                                                        \
        (void)state;                                                                                         \
        on_each_server(test);                                                                                \
    }
ON_EACH(renamed_there)
ON_EACH(renamed_there_and_worked_on_here)
ON_EACH(name_given_away)
ON_EACH(its_old_name_is_used_again_there)
ON_EACH(exchanged_there)
ON_EACH(exchanged_here)
ON_EACH(an_exchange_that_breaks_off)
ON_EACH(renamed_differently)
ON_EACH(one_name_for_two)
ON_EACH(renamed_there_to_what_was_made_here)

/* Case 71: nothing but its id says that it is another one; the UIDs are used again. */
static void replaced_by_another_one(void **state)
{
    struct rig *r = begin(&ids);
    (void)state;
    int64_t id = fill(r, "Lists", 1), both = fill(r, "Lists", 3);
    apart(r);
    model_replace(r->model, "Lists");
    model_append(r->model, "Lists", mail_wire(2), FLAG_ANSWERED, 1600000002);
    model_append(r->model, "Lists", mail_wire(3), FLAG_SEEN, 1600000003);
    int64_t unsent = file_deliver(r, "Lists", SUB_CUR, mail_file(4), FLAG_SEEN, 1600000004);
    together(r);
    assert_int_equal(file_count(r, "Lists"), 3);
    rig_assert_once(r, "Lists", mail_wire(2));
    check_kept(r, "Lists", 3, both);
    check_kept(r, "Lists", 4, unsent);
    assert_int_equal(file_row(r, id).state, MESSAGE_GONE);
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
    rig_check_quiet(r);
    rig_end(r);
}

/* Another mailbox with the same UIDVALIDITY and as many messages, which are others: it was not renamed. */
static void a_look_alike(void **state)
{
    struct rig *r = begin(&model_full);
    (void)state;
    int64_t id = fill(r, "Lists", 1);
    apart(r);
    model_rename(r->model, "Lists", "Other");
    model_replace(r->model, "Other");
    model_append(r->model, "Other", mail_wire(2), 0, 1600000002);
    together(r);
    assert_int_equal(file_row(r, id).state, MESSAGE_GONE);
    rig_assert_once(r, "Other", mail_wire(2));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
    rig_end(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_end_open)
    const struct CMUnitTest tests[] = {
        TEST(all_renamed_there),
        TEST(all_renamed_there_and_worked_on_here),
        TEST(all_name_given_away),
        TEST(all_its_old_name_is_used_again_there),
        TEST(all_exchanged_there),
        TEST(all_exchanged_here),
        TEST(all_an_exchange_that_breaks_off),
        TEST(all_renamed_differently),
        TEST(all_one_name_for_two),
        TEST(all_renamed_there_to_what_was_made_here),
        TEST(replaced_by_another_one),
        TEST(a_look_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
