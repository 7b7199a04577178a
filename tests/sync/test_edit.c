/* Edited mail (cases 12 to 15) and clients that move by rewriting (50): nothing goes before its successor is
 * there. */
#include "rig.h"

/* One message, read and flagged, agreed on; the engine does not run. */
static int64_t begin(struct rig *r)
{
    model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN | FLAG_DRAFT, 1600000001);
    model_create(r->model, "Archive");
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", mail_file(1));
    rig_stop(r);
    record_clear(&r->record);
    rig_open(r);
    return id;
}

static void check_replaced(struct rig *r, unsigned n, flags_t flags)
{
    struct model_view v;
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), 1);
    rig_assert_once(r, "INBOX", mail_wire(n));
    assert_true(model_find(r->model, "INBOX", 2, &v));
    assert_int_equal(v.flags, flags);
    assert_int_equal(v.date_s, 1600000001);
}

static void replaced_by_another_file(void **state)
{
    struct rig *r = *state;
    char expected[64];
    int64_t heir = file_replace(r, begin(r), mail_file(2));
    check_replaced(r, 2, FLAG_SEEN | FLAG_DRAFT);
    assert_int_equal(file_find(r, "INBOX", mail_file(2)), heir);
    snprintf(expected, sizeof expected, "APPEND INBOX %zu +\\Seen +\\Draft\nEXPUNGE INBOX 1",
             strlen(mail_wire(2)));
    rig_assert_changes(r, expected);
    rig_check_quiet(r);
}

static void rewritten_in_place(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_rewrite(r, id, mail_file(2));
    check_replaced(r, 2, FLAG_SEEN | FLAG_DRAFT);
    assert_int_equal(file_find(r, "INBOX", mail_file(2)), id);
    rig_check_quiet(r);
}

static void rewritten_with_what_it_was(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_rewrite(r, id, mail_file(1));
    rig_start(r);
    rig_agree(r);
    rig_assert_changes(r, "");
    assert_int_equal(file_find(r, "INBOX", mail_file(1)), id);
}

static void saved_three_times(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    id = file_replace(r, id, mail_file(2));
    id = file_replace(r, id, mail_file(3));
    id = file_replace(r, id, mail_file(4));
    check_replaced(r, 4, FLAG_SEEN | FLAG_DRAFT);
    assert_int_equal(file_find(r, "INBOX", mail_file(4)), id);
}

static void saved_again_between_rounds(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    rig_start(r);
    for (unsigned i = 2; i < 8; i++) {
        id = i % 2 ? file_replace(r, id, mail_file(i)) : (file_rewrite(r, id, mail_file(i)), id);
        if (i % 3 == 0)
            rig_agree(r);
    }
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), 1);
    rig_assert_once(r, "INBOX", mail_wire(7));
}

/* Case 13 */
static void edited_here_and_removed_there(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_replace(r, id, mail_file(2));
    model_expunge(r->model, "INBOX", 1);
    check_replaced(r, 2, FLAG_SEEN | FLAG_DRAFT);
}

static void rewritten_here_and_removed_there(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_rewrite(r, id, mail_file(2));
    model_expunge(r->model, "INBOX", 1);
    check_replaced(r, 2, FLAG_SEEN | FLAG_DRAFT);
}

/* Case 14: the new text gets what the old one was marked with, and the old one does not come back for it. */
static void edited_here_and_marked_there(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_replace(r, id, mail_file(2));
    model_store(r->model, "INBOX", 1, FLAG_FLAGGED, FLAG_DRAFT);
    check_replaced(r, 2, FLAG_SEEN | FLAG_FLAGGED);
    rig_check_quiet(r);
}

/* ... but not that another client deletes the old text. */
static void edited_here_and_marked_as_deleted_there(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_replace(r, id, mail_file(2));
    model_store(r->model, "INBOX", 1, FLAG_DELETED | FLAG_FLAGGED, 0);
    check_replaced(r, 2, FLAG_SEEN | FLAG_DRAFT | FLAG_FLAGGED);
}

/* ... nor was it unmarked there while its new text was under way, of which the server knows nothing. */
static void edited_and_marked_on_both_sides(void **state)
{
    struct rig *r = *state;
    int64_t heir = file_replace(r, begin(r), mail_file(2));
    file_flag(r, heir, FLAG_ANSWERED, FLAG_DRAFT);
    model_store(r->model, "INBOX", 1, FLAG_FLAGGED, FLAG_SEEN);
    check_replaced(r, 2, FLAG_ANSWERED | FLAG_FLAGGED);
}

static void mark_the_old(void *arg)
{
    struct rig *r = arg;
    model_store(r->model, "INBOX", 1, FLAG_FLAGGED, 0);
}

/* ... also between the append of the new text and the removal of the old one. */
static void marked_there_while_the_edit_is_sent(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_replace(r, id, mail_file(2));
    model_between(r->model, MODEL_APPLY, 2, mark_the_old, r);
    model_plan(r->model,
               &(struct model_trouble){.events = MODEL_APPLY, .nth = 2, .blow = MODEL_BREAKS_CLEANLY});
    check_replaced(r, 2, FLAG_SEEN | FLAG_DRAFT | FLAG_FLAGGED);
}

static void put_the_old_text_back(void *arg)
{
    struct rig *r = arg;
    model_append(r->model, "INBOX", "Message-ID: <same@example.org>\r\n\r\nold\r\n", FLAG_SEEN, 1600000001);
}

/* The new text keeps id, size and date, its append breaks off, and another client puts the old text there
 * meanwhile: that is not taken for ours. */
static void edited_with_a_look_alike_there(void **state)
{
    struct rig *r = *state;
    static const char old[] = "Message-ID: <same@example.org>\n\nold\n",
                      new[] = "Message-ID: <same@example.org>\n\nnew\n";
    static const char wire[] = "Message-ID: <same@example.org>\r\n\r\nnew\r\n";
    put_the_old_text_back(r);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_find(r, "INBOX", old);
    rig_stop(r);
    rig_open(r);
    file_replace(r, id, new);
    model_between(r->model, MODEL_APPLY, 1, put_the_old_text_back, r);
    model_plan(r->model, &(struct model_trouble){.events = MODEL_APPLY, .nth = 1, .blow = MODEL_BREAKS});
    rig_start(r);
    rig_settles(r, 5);
    rig_agree(r);
    rig_assert_once(r, "INBOX", wire);
}

static void copy_the_old_text_and_expunge_ours(void *arg)
{
    struct rig *r = arg;
    put_the_old_text_back(r);
    model_expunge(r->model, "INBOX", 2);
}

/* The new text was accepted, without telling its UID; when we look, another client has copied the old text
 * and expunged ours: that copy is not what the server made of ours (case 63). */
static void edited_and_the_old_text_copied_there(void **state)
{
    static struct rig r;
    struct model_features plain = model_full;
    (void)state;
    plain.uidplus = false;
    rig_begin(&r, &plain);
    put_the_old_text_back(&r);
    rig_start(&r);
    rig_agree(&r);
    int64_t id = file_find(&r, "INBOX", "Message-ID: <same@example.org>\n\nold\n");
    rig_stop(&r);
    rig_open(&r);
    file_replace(&r, id, "Message-ID: <same@example.org>\n\nquite new\n");
    model_between(r.model, MODEL_SCAN, 1, copy_the_old_text_and_expunge_ours, &r);
    rig_start(&r);
    assert_false(rig_settles(&r, 2)); /* it is sent again, after a pause */
    assert_int_equal(rig_copies(&r, "INBOX", "Message-ID: <same@example.org>\r\n\r\nold\r\n"), 2);
    assert_int_not_equal(file_find(&r, "INBOX", "Message-ID: <same@example.org>\n\nquite new\n"), 0);
    rig_end(&r);
}

/* Case 15, without the mark: both are kept. */
static void edited_by_both(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    file_replace(r, id, mail_file(2));
    model_append(r->model, "INBOX", mail_wire(3), FLAG_DRAFT, 1600000003);
    model_expunge(r->model, "INBOX", 1);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(2));
    rig_assert_once(r, "INBOX", mail_wire(3));
    assert_int_equal(model_count(r->model, "INBOX"), 2);
}

/* Case 50: the source goes only after the copy is there. The copy has the same Message-ID. */
static void moved_by_rewriting(void **state)
{
    struct rig *r = *state;
    char expected[64];
    int64_t id = begin(r);
    file_deliver(r, "Archive", SUB_CUR, mail_file(1), FLAG_SEEN, 1600000001);
    file_remove(r, id);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "Archive", mail_wire(1));
    snprintf(expected, sizeof expected, "APPEND Archive %zu +\\Seen\nEXPUNGE INBOX 1", strlen(mail_wire(1)));
    rig_assert_changes(r, expected);
}

/* ... and stays while the copy is refused. */
static void a_refused_successor_keeps_the_old_one(void **state)
{
    struct rig *r = *state;
    int64_t id = begin(r);
    model_refuse(r->model, 1u << WORKER_APPEND);
    file_deliver(r, "Archive", SUB_CUR, mail_file(1), FLAG_SEEN, 1600000001);
    file_remove(r, id);
    int64_t other = file_deliver(r, "INBOX", SUB_CUR, mail_file(5), 0, 1600000001);
    file_replace(r, other, mail_file(6));
    rig_start(r);
    rig_settles(r, 2);
    assert_int_equal(rig_copies(r, "INBOX", mail_wire(1)), 1);
}

/* Mail that is still being written is not sent, and then all of it. */
static void not_sent_before_it_is_at_rest(void **state)
{
    struct rig *r = *state;
    begin(r);
    rig_start(r);
    rig_agree(r);
    int64_t id = file_deliver(r, "INBOX", SUB_NEW, mail_file(5), 0, 0);
    file_rewrite(r, id, mail_file(6));
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(6));
    assert_int_equal(rig_copies(r, NULL, mail_wire(5)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaced_by_another_file, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(rewritten_in_place, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(rewritten_with_what_it_was, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(saved_three_times, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(saved_again_between_rounds, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(edited_here_and_removed_there, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(rewritten_here_and_removed_there, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(edited_here_and_marked_there, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(edited_here_and_marked_as_deleted_there, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(edited_and_marked_on_both_sides, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(marked_there_while_the_edit_is_sent, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(edited_with_a_look_alike_there, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_teardown(edited_and_the_old_text_copied_there, rig_end_open),
        cmocka_unit_test_setup_teardown(edited_by_both, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(moved_by_rewriting, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(a_refused_successor_keeps_the_old_one, rig_setup_stopped,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(not_sent_before_it_is_at_rest, rig_setup_stopped, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
