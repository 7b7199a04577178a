/* What is shown lies below what is shown: mailboxes that stay, come or come back below one that was removed.
 */
#include "rig.h"

static void fill(struct rig *r, const char *box, unsigned n)
{
    model_create(r->model, box);
    model_append(r->model, box, mail_wire(n), FLAG_SEEN, 1600000000 + n);
    rig_agree(r);
}

/* Two mailboxes, one below the other, known on both sides; the engine sleeps. */
static void begin(struct rig *r)
{
    fill(r, "Work", 1);
    fill(r, "Work/Sub", 2);
    rig_stop(r);
    rig_open(r);
}

static void go_on(struct rig *r)
{
    rig_start(r);
    rig_agree(r);
}

/* Case 82, and the one above was deleted there: a level stays for what came back. */
static void back_below_one_that_was_deleted_there(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_remove_box(r, "Work/Sub");
    model_delete(r->model, "Work");
    model_append(r->model, "Work/Sub", mail_wire(3), 0, 1600000003);
    go_on(r);
    rig_assert_once(r, "Work/Sub", mail_wire(3));
    assert_int_equal(file_count(r, "Work/Sub"), 1);
    assert_int_equal(rig_copies(r, NULL, mail_wire(2)), 0);
}

static void make_work_anew(void *arg)
{
    model_create(arg, "Work");
}

/* The same, and it is made anew before what is below it is looked into: a row of its own. */
static void back_below_one_that_was_made_anew(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_remove_box(r, "Work/Sub");
    model_delete(r->model, "Work");
    model_append(r->model, "Work/Sub", mail_wire(3), 0, 1600000003);
    model_between(r->model, MODEL_SCAN, 2, make_work_anew, r->model);
    go_on(r);
    rig_assert_once(r, "Work/Sub", mail_wire(3));
    assert_int_equal(file_count(r, "Work/Sub"), 1);
    assert_int_equal(rig_copies(r, NULL, mail_wire(2)), 0);
}

/* Case 82 at both levels: each has its name still. */
static void both_levels_come_back(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_remove_box(r, "Work");
    model_append(r->model, "Work", mail_wire(3), 0, 1600000003);
    model_append(r->model, "Work/Sub", mail_wire(4), 0, 1600000004);
    go_on(r);
    rig_assert_once(r, "Work", mail_wire(3));
    rig_assert_once(r, "Work/Sub", mail_wire(4));
    assert_int_equal(file_count(r, "Work"), 1);
    assert_int_equal(file_count(r, "Work/Sub"), 1);
    assert_false(file_has_box(r, "Work~2"));
}

/* Case 82 below one that is deleted. */
static void the_lower_one_comes_back(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_remove_box(r, "Work");
    model_append(r->model, "Work/Sub", mail_wire(4), 0, 1600000004);
    go_on(r);
    assert_false(model_has_box(r->model, "Work"));
    rig_assert_once(r, "Work/Sub", mail_wire(4));
    assert_int_equal(file_count(r, "Work/Sub"), 1);
}

/* A server may refuse to delete what has something below it: that is shown all the same. */
static void made_below_one_that_cannot_be_deleted(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_remove_box(r, "Work");
    model_create(r->model, "Work/New");
    model_append(r->model, "Work/New", mail_wire(3), 0, 1600000003);
    model_refuse(r->model, 1u << WORKER_DELETE);
    rig_start(r);
    assert_true(rig_settles(r, 8 * RIG_PATIENCE));
    assert_true(file_has_box(r, "Work/New"));
    assert_int_equal(file_count(r, "Work/New"), 1);
    assert_true(model_has_box(r->model, "Work"));
}

/* Another one is moved below it there. */
static void moved_below_one_that_was_removed(void **state)
{
    struct rig *r = *state;
    fill(r, "Other", 3);
    begin(r);
    file_remove_box(r, "Work");
    model_rename(r->model, "Other", "Work/Other");
    go_on(r);
    assert_false(model_has_box(r->model, "Work"));
    rig_assert_once(r, "Work/Other", mail_wire(3));
    assert_int_equal(file_count(r, "Work/Other"), 1);
}

/* The level that stands for it here meanwhile becomes it, when mail turns up in it. */
static void a_level_becomes_what_it_was(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_remove_box(r, "Work");
    model_create(r->model, "Work/New");
    model_append(r->model, "Work", mail_wire(3), 0, 1600000003);
    go_on(r);
    assert_true(file_has_box(r, "Work/New"));
    assert_false(file_has_box(r, "Work~2"));
    assert_int_equal(file_count(r, "Work"), 1);
    rig_assert_once(r, "Work", mail_wire(3));
}

/* A level of ours has the name that another client gives to a mailbox: that is it now, and what is below it
 * stays below it. */
static void a_mailbox_gets_the_name_of_a_level(void **state)
{
    struct rig *r = *state;
    fill(r, "Other", 3);
    rig_stop(r);
    rig_open(r);
    file_make_box(r, "Work/New");
    file_deliver(r, "Work/New", SUB_CUR, mail_file(4), 0, 1600000004);
    model_rename(r->model, "Other", "Work");
    go_on(r);
    assert_false(file_has_box(r, "Work%~2"));
    rig_assert_once(r, "Work", mail_wire(3));
    rig_assert_once(r, "Work/New", mail_wire(4));
}

/* The same, and both have something of one name below them. */
static void a_level_and_a_mailbox_become_one(void **state)
{
    struct rig *r = *state;
    fill(r, "Old/Sub", 5);
    begin(r);
    file_make_box(r, "Work/Sub/Deep");
    file_deliver(r, "Work/Sub/Deep", SUB_CUR, mail_file(6), 0, 1600000006);
    model_delete(r->model, "Old/Sub");
    model_rename(r->model, "Work", "Old");
    go_on(r);
    rig_assert_once(r, "Old", mail_wire(1));
    rig_assert_once(r, "Old/Sub", mail_wire(2));
    rig_assert_once(r, "Old/Sub/Deep", mail_wire(6));
    assert_int_equal(rig_copies(r, NULL, mail_wire(5)), 0);
}

/* A level that was renamed here, and is none there any more. */
static void a_level_is_called_otherwise(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_make_box(r, "Other");
    model_delete(r->model, "Work");
    go_on(r);
    rig_stop(r);
    rig_open(r);
    file_rename_box(r, "Work", "Play");
    model_delete(r->model, "Work/Sub");
    model_create(r->model, "Play/New");
    go_on(r);
    assert_true(file_has_box(r, "Play/New"));
    assert_false(file_has_box(r, "Work"));
}

/* Deleted there, but for its level; renamed here, and another one of that name was made there. */
static void another_one_has_its_new_name(void **state)
{
    struct rig *r = *state;
    begin(r);
    file_rename_box(r, "Work", "Play");
    file_deliver(r, "Play", SUB_CUR, mail_file(3), 0, 1600000003);
    model_delete(r->model, "Work");
    model_create(r->model, "Play");
    model_append(r->model, "Play", mail_wire(4), 0, 1600000004);
    go_on(r);
    rig_assert_once(r, "Play", mail_wire(3));
    rig_assert_once(r, "Play", mail_wire(4));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
    assert_int_equal(rig_copies(r, NULL, mail_wire(2)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(back_below_one_that_was_deleted_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(back_below_one_that_was_made_anew, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(both_levels_come_back, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(the_lower_one_comes_back, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(made_below_one_that_cannot_be_deleted, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(moved_below_one_that_was_removed, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_level_becomes_what_it_was, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_mailbox_gets_the_name_of_a_level, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_level_and_a_mailbox_become_one, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_level_is_called_otherwise, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(another_one_has_its_new_name, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
