/* Mailboxes: made, renamed and removed on either side. */
#include <unistd.h>
#include "rig.h"

static int64_t fill(struct rig *r, const char *box, unsigned n)
{
    model_create(r->model, box);
    model_append(r->model, box, mail_wire(n), FLAG_SEEN, 1600000000 + n);
    rig_agree(r);
    record_clear(&r->record);
    return file_find(r, box, mail_file(n));
}

static void made_there(void **state)
{
    struct rig *r = *state;
    model_create(r->model, "Archive/2024");
    model_create(r->model, "Lists");
    rig_agree(r);
    assert_true(file_has_box(r, "Archive/2024"));
    assert_true(file_has_box(r, "Lists"));
    rig_assert_changes(r, "");
}

static void made_here(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    record_clear(&r->record);
    file_make_box(r, "Lists");
    file_deliver(r, "Lists", SUB_NEW, mail_file(1), 0, 0);
    rig_agree(r);
    assert_true(model_has_box(r->model, "Lists"));
    rig_assert_once(r, "Lists", mail_wire(1));
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 3);
    rig_check_quiet(r);
}

/* Case 80 */
static void made_on_both_sides(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    model_create(r->model, "Lists");
    model_append(r->model, "Lists", mail_wire(2), 0, 1600000000);
    file_make_box(r, "Lists");
    file_deliver(r, "Lists", SUB_NEW, mail_file(1), 0, 0);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "Lists"), 2);
    assert_int_equal(file_count(r, "Lists"), 2);
}

static void a_directory_without_mailbox_is_not_sent(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    record_clear(&r->record);
    file_make_box(r, "Level/Below");
    rig_agree(r);
    assert_true(model_has_box(r->model, "Level/Below"));
    rig_assert_changes(r, "CREATE Level/Below\nSUBSCRIBE Level/Below");
}

/* Case 84: one command, and nothing is moved or downloaded. */
static void renamed_here(void **state)
{
    struct rig *r = *state;
    int64_t id = fill(r, "Lists", 1);
    file_rename_box(r, "Lists", "Old");
    rig_agree(r);
    rig_assert_changes(r, "RENAME Lists Old");
    assert_int_equal(record_fetched(&r->record), 0);
    assert_int_equal(file_find(r, "Old", mail_file(1)), id);
    assert_false(model_has_box(r->model, "Lists"));
    rig_check_quiet(r);
}

static void renamed_with_children(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    int64_t child = fill(r, "Lists/c", 2), deeper = fill(r, "Lists/c/d", 3);
    fill(r, "Listsother", 4);
    file_rename_box(r, "Lists", "Old");
    rig_agree(r);
    rig_assert_changes(r, "RENAME Lists Old");
    assert_int_equal(record_fetched(&r->record), 0);
    assert_int_equal(file_find(r, "Old/c", mail_file(2)), child);
    assert_int_equal(file_find(r, "Old/c/d", mail_file(3)), deeper);
    assert_true(model_has_box(r->model, "Listsother"));
    rig_check_quiet(r);
}

static void parent_and_child_renamed(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    int64_t child = fill(r, "Lists/c", 2);
    rig_stop(r);
    rig_open(r);
    record_clear(&r->record);
    file_rename_box(r, "Lists", "Old");
    file_rename_box(r, "Old/c", "Old/b");
    rig_start(r);
    rig_agree(r);
    assert_int_equal(file_find(r, "Old/b", mail_file(2)), child);
    assert_int_equal(record_fetched(&r->record), 0);
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 2);
}

static void renamed_to_and_fro(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    record_clear(&r->record);
    file_rename_box(r, "Lists", "Old");
    file_rename_box(r, "Old", "Lists");
    rig_start(r);
    rig_agree(r);
    rig_assert_changes(r, "");
}

static void into_another_mailbox(void **state)
{
    struct rig *r = *state;
    int64_t id = fill(r, "Lists", 1);
    fill(r, "Archive", 2);
    file_rename_box(r, "Lists", "Archive/Lists");
    rig_agree(r);
    rig_assert_changes(r, "RENAME Lists Archive/Lists");
    assert_int_equal(file_find(r, "Archive/Lists", mail_file(1)), id);
}

/* Renamed before the server knew of it, and filled on the way. */
static void new_one_renamed_before_it_was_sent(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    record_clear(&r->record);
    file_make_box(r, "Untitled");
    file_deliver(r, "Untitled", SUB_CUR, mail_file(1), 0, 0);
    file_rename_box(r, "Untitled", "Titled");
    rig_start(r);
    rig_agree(r);
    assert_false(model_has_box(r->model, "Untitled"));
    rig_assert_once(r, "Titled", mail_wire(1));
}

static void removed_here(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    file_remove_box(r, "Lists");
    rig_agree(r);
    assert_false(model_has_box(r->model, "Lists"));
    assert_false(file_has_box(r, "Lists"));
    rig_assert_changes(r, "EXPUNGE Lists 1\nUNSUBSCRIBE Lists\nDELETE Lists");
    rig_check_quiet(r);
}

static void removed_here_with_children(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    fill(r, "Lists/c", 2);
    file_remove_box(r, "Lists");
    rig_agree(r);
    assert_false(model_has_box(r->model, "Lists"));
    assert_false(model_has_box(r->model, "Lists/c"));
    rig_check_quiet(r);
}

static void removed_there(void **state)
{
    struct rig *r = *state;
    int64_t id = fill(r, "Lists", 1);
    model_delete(r->model, "Lists");
    rig_agree(r);
    assert_false(file_has_box(r, "Lists"));
    assert_int_equal(file_row(r, id).state, MESSAGE_GONE);
    rig_assert_changes(r, "");
    rig_check_quiet(r);
}

/* Case 83: what the server never had is not lost with it. */
static void removed_there_with_unsent_mail_here(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_deliver(r, "Lists", SUB_CUR, mail_file(2), 0, 0);
    model_delete(r->model, "Lists");
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    assert_int_equal(model_count(r->model, "Lists"), 1);
}

/* Cases 83 and 89. */
static void removed_there_and_its_name_given_away(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    fill(r, "Other", 2);
    rig_stop(r);
    rig_open(r);
    int64_t id = file_deliver(r, "Lists", SUB_CUR, mail_file(3), 0, 0);
    model_delete(r->model, "Lists");
    model_rename(r->model, "Other", "Lists");
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    rig_assert_once(r, "Lists~2", mail_wire(3));
    assert_int_equal(file_find(r, "Lists~2", mail_file(3)), id);
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

/* Cases 86 and 89: what was renamed here has to take its old name back, and that was given to a new one. */
static void renamed_to_a_name_that_was_made_there(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_rename_box(r, "Lists", "Old");
    file_make_box(r, "Lists");
    file_deliver(r, "Lists", SUB_CUR, mail_file(2), 0, 0);
    model_create(r->model, "Old");
    model_append(r->model, "Old", mail_wire(3), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(1));
    rig_assert_once(r, "Lists~2", mail_wire(2));
    rig_assert_once(r, "Old", mail_wire(3));
}

/* Case 11, for a whole mailbox. */
static void removed_there_with_mail_flagged_here(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    model_append(r->model, "Lists", mail_wire(2), FLAG_SEEN, 1600000002);
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    int64_t id = file_find(r, "Lists", mail_file(2));
    file_flag(r, id, FLAG_FLAGGED, 0);
    model_delete(r->model, "Lists");
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    assert_int_equal(model_count(r->model, "Lists"), 1);
    assert_int_equal(file_row(r, id).flags, FLAG_FLAGGED | FLAG_SEEN);
}

/* Case 82: new mail is not deleted with a mailbox. */
static void removed_here_with_new_mail_there(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Lists");
    model_append(r->model, "Lists", mail_wire(2), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    assert_int_equal(model_count(r->model, "Lists"), 1);
    assert_int_equal(file_count(r, "Lists"), 1);
}

static void remove_lists(void *arg)
{
    file_remove_box(arg, "Lists");
}

/* Made here, and removed again while the server is being told: it does not come back. */
static void removed_here_while_it_is_created_there(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    file_make_box(r, "Lists");
    model_between(r->model, MODEL_APPLY, 1, remove_lists, r);
    rig_start(r);
    rig_agree(r);
    assert_false(file_has_box(r, "Lists"));
    assert_false(model_has_box(r->model, "Lists"));
}

/* But what another client files in it meanwhile does (case 82). */
static void remove_lists_and_append(void *arg)
{
    struct rig *r = arg;
    file_remove_box(r, "Lists");
    model_append(r->model, "Lists", mail_wire(1), 0, 1600000001);
}

static void removed_here_and_filled_there_while_it_is_created(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    file_make_box(r, "Lists");
    model_between(r->model, MODEL_APPLY, 2, remove_lists_and_append, r); /* before SUBSCRIBE */
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(1));
    assert_int_equal(file_count(r, "Lists"), 1);
}

static void removed_on_both_sides(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Lists");
    model_delete(r->model, "Lists");
    rig_start(r);
    rig_agree(r);
    assert_false(file_has_box(r, "Lists"));
    rig_check_quiet(r);
}

static void removed_and_made_again_here(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Lists");
    file_make_box(r, "Lists");
    file_deliver(r, "Lists", SUB_CUR, mail_file(2), 0, 0);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

/* The same by a rename: the name is free once the old one is deleted. */
static void removed_and_another_renamed_to_it(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    fill(r, "Other", 2);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Lists");
    file_rename_box(r, "Other", "Lists");
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    assert_false(file_has_box(r, "Other"));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

/* The answer to the rename is lost, and then it is removed here: nothing comes back. */
static void removed_when_its_rename_broke_off(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    model_plan(r->model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .effect = true});
    rig_stop(r);
    rig_open(r);
    file_rename_box(r, "Lists", "Old");
    rig_start(r);
    while (!model_struck(r->model))
        usleep(1000);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Old");
    rig_start(r);
    rig_agree(r);
    assert_false(file_has_box(r, "Old") || file_has_box(r, "Lists"));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

static void removed_here_and_renamed_there(void **state)
{
    static struct rig r;
    struct model_features with_ids = model_full;
    (void)state;
    with_ids.objectid = true;
    rig_begin(&r, &with_ids);
    rig_start(&r);
    fill(&r, "Lists", 1);
    rig_stop(&r);
    rig_open(&r);
    file_remove_box(&r, "Lists");
    model_rename(r.model, "Lists", "Old");
    rig_start(&r);
    rig_agree(&r);
    assert_int_equal(rig_copies(&r, NULL, mail_wire(1)), 0);
    rig_end(&r);
}

/* As logs are rotated: twelve archives, each gets the name of the next one, and there is a new first one. */
static void rotated_here(void **state)
{
    struct rig *r = *state;
    char from[16], to[16];
    for (unsigned i = 0; i < 12; i++) {
        snprintf(from, sizeof from, "old%u", i);
        fill(r, from, i + 1);
    }
    rig_stop(r);
    rig_open(r);
    for (unsigned i = 12; i-- > 0;) {
        snprintf(from, sizeof from, "old%u", i);
        snprintf(to, sizeof to, "old%u", i + 1);
        file_rename_box(r, from, to);
    }
    file_make_box(r, "old0");
    rig_start(r);
    rig_agree(r);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(to, sizeof to, "old%u", i + 1);
        rig_assert_once(r, to, mail_wire(i + 1));
    }
    assert_true(file_has_box(r, "old0"));
}

/* As people do at the end of a year. */
static void renamed_away_and_made_again_here(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_rename_box(r, "Lists", "Old");
    file_make_box(r, "Lists");
    file_deliver(r, "Lists", SUB_CUR, mail_file(2), 0, 0);
    model_append(r->model, "Lists", mail_wire(3), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    rig_assert_once(r, "Old", mail_wire(1));
    rig_assert_once(r, "Old", mail_wire(3));
}

/* Mail came into the mailbox that was removed here (case 82), and its name has been given to another one:
 * both stay. */
static void name_given_away(struct rig *r, bool made_here)
{
    fill(r, "Lists", 1);
    if (!made_here)
        fill(r, "Other", 2);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Lists");
    if (made_here) {
        file_make_box(r, "Other");
        file_deliver(r, "Other", SUB_CUR, mail_file(2), 0, 0);
    }
    file_rename_box(r, "Other", "Lists");
    model_append(r->model, "Lists", mail_wire(3), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Lists", mail_wire(2));
    rig_assert_once(r, "Lists~2", mail_wire(3));
    assert_false(file_has_box(r, "Other"));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

static void removed_and_its_name_given_to_a_new_one(void **state)
{
    name_given_away(*state, true);
}

static void removed_and_its_name_given_to_another_one(void **state)
{
    name_given_away(*state, false);
}

/* The same, and the mail came to one below it: nothing is lost, whatever they are called then. */
static void tree_removed_and_its_name_given_away(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    fill(r, "Lists/Sub", 2);
    fill(r, "Other", 3);
    rig_stop(r);
    rig_open(r);
    file_remove_box(r, "Lists/Sub");
    file_remove_box(r, "Lists");
    file_rename_box(r, "Other", "Lists");
    model_append(r->model, "Lists/Sub", mail_wire(4), 0, 1600000002);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, NULL, mail_wire(3));
    rig_assert_once(r, NULL, mail_wire(4));
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)) + rig_copies(r, NULL, mail_wire(2)), 0);
}

static void renamed_there(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    model_rename(r->model, "Lists", "Old");
    rig_agree(r);
    assert_false(file_has_box(r, "Lists"));
    rig_assert_once(r, "Old", mail_wire(1));
    rig_assert_changes(r, "");
    rig_check_quiet(r);
}

/* Case 86 */
static void renamed_differently_on_both_sides(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    rig_stop(r);
    rig_open(r);
    file_rename_box(r, "Lists", "Mine");
    model_rename(r->model, "Lists", "Theirs");
    rig_start(r);
    rig_agree(r);
    assert_true(rig_copies(r, NULL, mail_wire(1)) >= 1);
}

/* Case 90: kept here, and said. */
static void creation_refused(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    model_refuse(r->model, 1u << WORKER_CREATE);
    file_make_box(r, "Lists");
    int64_t id = file_deliver(r, "Lists", SUB_CUR, mail_file(1), 0, 0);
    rig_settles(r, 1);
    assert_true(file_has_box(r, "Lists"));
    assert_int_equal(file_row(r, id).state, MESSAGE_PRESENT);
    assert_int_equal(rig_copies(r, NULL, mail_wire(1)), 0);
}

/* Deleted and made again between two looks: the list shows nothing but another UIDVALIDITY. */
static void replaced_there_by_another_of_that_name(void **state)
{
    struct rig *r = *state;
    fill(r, "Lists", 1);
    model_delete(r->model, "Lists");
    model_create(r->model, "Lists");
    model_append(r->model, "Lists", mail_wire(2), 0, 1600000002);
    rig_agree(r);
    assert_int_equal(file_count(r, "Lists"), 1);
    rig_assert_once(r, "Lists", mail_wire(2));
    rig_assert_changes(r, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(made_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(made_on_both_sides, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_directory_without_mailbox_is_not_sent, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_with_children, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(parent_and_child_renamed, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_to_and_fro, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(into_another_mailbox, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(new_one_renamed_before_it_was_sent, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_here_with_children, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_there_with_unsent_mail_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_there_and_its_name_given_away, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_to_a_name_that_was_made_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_there_with_mail_flagged_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_here_with_new_mail_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_here_while_it_is_created_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_here_and_filled_there_while_it_is_created, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(removed_on_both_sides, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_and_made_again_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_and_another_renamed_to_it, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_when_its_rename_broke_off, rig_setup, rig_teardown),
        cmocka_unit_test_teardown(removed_here_and_renamed_there, rig_end_open),
        cmocka_unit_test_setup_teardown(rotated_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_away_and_made_again_here, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_and_its_name_given_to_a_new_one, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(removed_and_its_name_given_to_another_one, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(tree_removed_and_its_name_given_away, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_there, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(renamed_differently_on_both_sides, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(creation_refused, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(replaced_there_by_another_of_that_name, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
