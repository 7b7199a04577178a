/*
 * Mail that another client files, or both sides do (cases 43 to 45): recognised, so that nothing is
 * downloaded again and there is one copy.
 */
#include "rig.h"

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

/* Case 45 */
static void moved_to_the_same_place_by_both(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    record_clear(&r.record);
    rig_open(&r);
    model_move(r.model, "INBOX", 1, "Archive");
    file_move(&r, id, "Archive");
    rig_start(&r);
    rig_agree(&r);
    rig_assert_once(&r, "Archive", mail_wire(1));
    rig_end(&r);
}

/* Case 44: one copy, whichever place wins. */
static void moved_to_different_places(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    model_create(r.model, "Other");
    rig_agree(&r);
    rig_stop(&r);
    rig_open(&r);
    model_move(r.model, "INBOX", 1, "Other");
    file_move(&r, id, "Archive");
    rig_start(&r);
    rig_agree(&r);
    assert_int_equal(rig_copies(&r, NULL, mail_wire(1)), 1);
    rig_end(&r);
}

/* Case 43, all of it: the same row, nothing downloaded. */
static void moved_by_another_client_keeps_its_inode(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    model_move(r.model, "INBOX", 1, "Archive");
    rig_agree(&r);
    assert_int_equal(file_find(&r, "Archive", mail_file(1)), id);
    rig_end(&r);
}

/* Case 85: the mailbox is known again by its UIDVALIDITY and UIDs. */
static void a_mailbox_renamed_there_keeps_its_inodes(void **state)
{
    static struct rig r;
    int64_t id[21];
    (void)state;
    begin(&r, &model_full);
    model_create(r.model, "Lists");
    for (unsigned i = 1; i <= 20; i++)
        model_append(r.model, "Lists", mail_wire(100 + i), 0, 1600000100 + i);
    rig_agree(&r);
    for (unsigned i = 1; i <= 20; i++)
        id[i] = file_find(&r, "Lists", mail_file(100 + i));
    record_clear(&r.record);
    model_rename(r.model, "Lists", "Old/lists");
    rig_agree(&r);
    for (unsigned i = 1; i <= 20; i++)
        assert_int_equal(file_find(&r, "Old/lists", mail_file(100 + i)), id[i]);
    assert_int_equal(record_fetched(&r.record), 0);
    assert_false(file_has_box(&r, "Lists"));
    rig_end(&r);
}

/* Case 45 with 84: the mailbox has another name here, and is looked into before anything is sent all the
 * same. */
static void moved_by_both_into_a_mailbox_renamed_here(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    rig_open(&r);
    file_rename_box(&r, "Archive", "Old");
    file_move(&r, id, "Old");
    model_move(r.model, "INBOX", 1, "Archive");
    rig_start(&r);
    rig_agree(&r);
    rig_assert_once(&r, "Old", mail_wire(1));
    rig_end(&r);
}

/* Cases 11, 43 and 83: filed and its mailbox removed there, flagged or filed here meanwhile: one copy, where
 * it is there, whichever of the two was seen first. */
static void check_filed_with_its_mailbox_removed(bool move_here, bool arrival_first)
{
    static struct rig r;
    print_message("%s here, %s first\n", move_here ? "moved" : "flagged",
                  arrival_first ? "arrival" : "removal");
    begin(&r, &model_full);
    model_create(r.model, "Doomed");
    model_append(r.model, "Doomed", mail_wire(2), FLAG_SEEN, 1600000002);
    model_append(r.model, "Doomed", mail_wire(3), FLAG_SEEN, 1600000003);
    rig_agree(&r);
    if (arrival_first) {
        model_append(r.model, "Archive", mail_wire(2), FLAG_SEEN, 1600000002);
        rig_agree(&r);
    }
    rig_stop(&r);
    rig_open(&r);
    int64_t id = file_find(&r, "Doomed", mail_file(2));
    if (move_here)
        file_move(&r, id, "INBOX");
    else
        file_flag(&r, id, FLAG_FLAGGED, 0);
    if (!arrival_first)
        model_move(r.model, "Doomed", 1, "Archive");
    model_delete(r.model, "Doomed");
    rig_start(&r);
    rig_agree(&r);
    rig_assert_once(&r, "Archive", mail_wire(2));
    assert_int_equal(file_find(&r, "Archive", mail_file(2)), id);
    assert_int_equal(file_row(&r, id).flags, move_here ? FLAG_SEEN : FLAG_SEEN | FLAG_FLAGGED);
    assert_int_equal(rig_copies(&r, NULL, mail_wire(3)), 0);
    rig_end(&r);
}

static void filed_there_with_its_mailbox_removed(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        check_filed_with_its_mailbox_removed(i & 1, i & 2);
}

/* Cases 43 and 70: flags that changed here are no reason to send a message that another client filed. */
static void flagged_here_and_moved_there_from_a_renumbered_mailbox(void **state)
{
    static struct rig r;
    struct model_view v;
    (void)state;
    int64_t id = begin(&r, &model_full);
    for (unsigned i = 20; i < 30; i++)
        model_append(r.model, "INBOX", mail_wire(i), 0, 1600000000 + i);
    rig_agree(&r);
    rig_stop(&r);
    rig_open(&r);
    file_flag(&r, id, FLAG_FLAGGED, 0);
    model_move(r.model, "INBOX", 1, "Archive");
    model_renumber(r.model, "INBOX", 1);
    rig_start(&r);
    rig_agree(&r);
    rig_assert_once(&r, "Archive", mail_wire(1));
    assert_true(model_find(r.model, "Archive", 4, &v));
    rig_end(&r);
}

/* Case 44 where the numbers of the server's choice change, too. */
static void moved_to_different_places_one_of_them_renumbered(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    model_create(r.model, "Other");
    for (unsigned i = 20; i < 30; i++)
        model_append(r.model, "Other", mail_wire(i), 0, 1600000000 + i);
    rig_agree(&r);
    rig_stop(&r);
    rig_open(&r);
    file_move(&r, id, "Archive");
    model_renumber(r.model, "Other", 1);
    model_move(r.model, "INBOX", 1, "Other");
    rig_start(&r);
    rig_agree(&r);
    assert_int_equal(rig_copies(&r, NULL, mail_wire(1)), 1);
    rig_end(&r);
}

/* Another client gave it a new UID in its own mailbox, as some do when they rewrite it. */
static void moved_here_and_given_a_new_uid_there(void **state)
{
    static struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    rig_stop(&r);
    rig_open(&r);
    file_move(&r, id, "Archive");
    model_move(r.model, "INBOX", 1, "INBOX");
    rig_start(&r);
    rig_agree(&r);
    assert_int_equal(rig_copies(&r, NULL, mail_wire(1)), 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(moved_by_another_client_keeps_its_inode, rig_end_open),
        cmocka_unit_test_teardown(moved_to_different_places, rig_end_open),
        cmocka_unit_test_teardown(moved_to_the_same_place_by_both, rig_end_open),
        cmocka_unit_test_teardown(a_mailbox_renamed_there_keeps_its_inodes, rig_end_open),
        cmocka_unit_test_teardown(moved_by_both_into_a_mailbox_renamed_here, rig_end_open),
        cmocka_unit_test_teardown(filed_there_with_its_mailbox_removed, rig_end_open),
        cmocka_unit_test_teardown(flagged_here_and_moved_there_from_a_renumbered_mailbox, rig_end_open),
        cmocka_unit_test_teardown(moved_to_different_places_one_of_them_renumbered, rig_end_open),
        cmocka_unit_test_teardown(moved_here_and_given_a_new_uid_there, rig_end_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
