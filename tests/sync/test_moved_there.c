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
    struct rig r;
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
    struct rig r;
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
    struct rig r;
    (void)state;
    int64_t id = begin(&r, &model_full);
    model_move(r.model, "INBOX", 1, "Archive");
    rig_agree(&r);
    assert_int_equal(file_find(&r, "Archive", mail_file(1)), id);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moved_by_another_client_keeps_its_inode),
        cmocka_unit_test(moved_to_different_places),
        cmocka_unit_test(moved_to_the_same_place_by_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
