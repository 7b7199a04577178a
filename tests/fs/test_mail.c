/* File operations in cur, new and tmp, as changes of rows. */
#include "mail_tests.h"

struct world {
    struct scratch s;
    struct mailbox inbox, other;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    scratch_begin(&w->s);
    scratch_open(&w->s, false);
    w->inbox = make_box(&w->s, 0, "INBOX");
    w->other = make_box(&w->s, 0, "Other");
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    scratch_end(&w->s);
    free(w);
    return 0;
}

static struct message create(struct world *w, struct mail_place at)
{
    struct mail_call c = {.to = at};
    files_do(&w->s, call_create, &c);
    return row(&w->s, c.made.id);
}

static struct mail_left move(struct world *w, struct mail_place from, struct mail_place to)
{
    struct mail_call c = {.from = from, .to = to};
    files_do(&w->s, call_rename, &c);
    return c.left;
}

static struct mail_left remove_name(struct world *w, struct mail_place at)
{
    struct mail_call c = {.from = at};
    files_do(&w->s, call_unlink, &c);
    return c.left;
}

static void settle(struct world *w, int64_t id)
{
    files_do(&w->s, put_settled, &id);
}

/* ---- create ---- */

static void test_create(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,FS"));
    assert_int_equal(m.state, MESSAGE_WRITING);
    assert_int_equal(m.flags, FLAG_FLAGGED | FLAG_SEEN);
    assert_int_equal(create(w, AT(w->inbox, SUB_TMP, "1:2,S")).flags, 0);
    assert_true(create(w, AT(w->inbox, SUB_CUR, ".x.swp")).scratch);
    struct mail_call again = {.to = AT(w->inbox, SUB_CUR, "1:2,FS")};
    assert_int_equal(files_try(&w->s, call_create, &again), -EEXIST);
    char longer[300];
    memset(longer, 'x', sizeof longer);
    longer[256] = '\0';
    struct mail_call too_long = {.to = AT(w->inbox, SUB_CUR, longer)};
    assert_int_equal(files_try(&w->s, call_create, &too_long), -ENAMETOOLONG);
}

static void test_places_that_refuse(void **state)
{
    struct world *w = *state;
    w->other.attributes |= MAILBOX_READ_ONLY;
    server_does(&w->s, put_mailbox, &w->other);
    struct mail_call c = {.to = AT(w->other, SUB_CUR, "1:2,")};
    assert_int_equal(files_try(&w->s, call_create, &c), -EACCES);
    create(w, AT(w->other, SUB_TMP, "1"));
    w->other.removed = true;
    server_does(&w->s, put_mailbox, &w->other);
    assert_int_equal(files_try(&w->s, call_create, &c), -ENOENT);
}

/* ---- delivery ---- */

static void test_deliver_by_rename(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_TMP, "1"));
    move(w, AT(w->inbox, SUB_TMP, "1"), AT(w->other, SUB_CUR, "1:2,S"));
    struct message now = row(&w->s, m.id);
    assert_int_equal(now.mailbox, w->other.id);
    assert_int_equal(now.sub, SUB_CUR);
    assert_int_equal(now.flags, FLAG_SEEN);
    assert_true(now.dirty);
}

static void test_deliver_by_link(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_TMP, "1"));
    struct mail_call c = {.id = m.id, .to = AT(w->inbox, SUB_NEW, "1")};
    files_do(&w->s, call_link, &c);
    assert_int_equal(c.made.id, m.id);
    assert_int_equal(row(&w->s, m.id).links, 1);
    assert_int_equal(row(&w->s, m.id).sub, SUB_NEW);
    assert_true(has_name(&w->s, AT(w->inbox, SUB_TMP, "1")));
    assert_int_equal(files_try(&w->s, call_link, &c), -EEXIST);
    assert_int_equal(remove_name(w, AT(w->inbox, SUB_TMP, "1")).id, 0);
    assert_int_equal(row(&w->s, m.id).links, 0);
    assert_false(has_name(&w->s, AT(w->inbox, SUB_TMP, "1")));
}

static void test_deliver_a_copy(void **state)
{
    struct world *w = *state;
    struct message old = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,F"), FLAG_SEEN, 1);
    struct mail_call c = {.to = AT(w->inbox, SUB_CUR, "1:2,F"), .noreplace = true}, second = c;
    files_do(&w->s, call_stage, &c);
    files_do(&w->s, call_stage, &second); /* both at once: no name is used twice */
    assert_int_equal(row(&w->s, c.made.id).sub, SUB_TMP);
    assert_int_equal(files_try(&w->s, call_deliver, &c), -EEXIST);
    c.noreplace = false;
    files_do(&w->s, call_deliver, &c);
    struct message now = row(&w->s, c.made.id);
    assert_true(now.sub == SUB_CUR && now.flags == FLAG_FLAGGED && now.dirty);
    assert_int_equal(now.date_s, 1000); /* it is the same message to its readers */
    assert_int_equal(the_tomb(&w->s).id, old.id);
    assert_int_equal(the_tomb(&w->s).after, now.id);
}

static void test_deliver_a_copy_without_tmp(void **state)
{
    struct world *w = *state;
    struct mail_call c = {.to = AT(w->other, SUB_CUR, "1:2,")};
    w->other.dirs &= ~(1u << SUB_TMP);
    server_does(&w->s, put_mailbox, &w->other);
    files_do(&w->s, call_stage, &c);
    struct mail_call time = {.id = c.made.id, .size = 7000000000};
    files_do(&w->s, call_time, &time);
    files_do(&w->s, call_deliver, &c);
    assert_int_equal(row(&w->s, c.made.id).date_s, 7);
    w->other.attributes |= MAILBOX_READ_ONLY;
    server_does(&w->s, put_mailbox, &w->other);
    assert_int_equal(files_try(&w->s, call_stage, &c), -EACCES);
}

static void test_half_delivered_and_taken_back(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_TMP, "1"));
    struct mail_call c = {.id = m.id, .to = AT(w->inbox, SUB_NEW, "1")};
    files_do(&w->s, call_link, &c);
    remove_name(w, AT(w->inbox, SUB_NEW, "1"));
    struct message now = row(&w->s, m.id);
    assert_int_equal(now.sub, SUB_TMP);
    assert_int_equal(now.links, 0);
    assert_int_equal(now.state, MESSAGE_WRITING);
    assert_false(has_name(&w->s, AT(w->inbox, SUB_NEW, "1")));
}

static void test_extra_names_move_in_tmp_only(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_TMP, "1"));
    struct mail_call c = {.id = m.id, .to = AT(w->inbox, SUB_NEW, "1")};
    files_do(&w->s, call_link, &c);
    move(w, AT(w->inbox, SUB_TMP, "1"), AT(w->inbox, SUB_TMP, "2"));
    assert_true(has_name(&w->s, AT(w->inbox, SUB_TMP, "2")));
    assert_int_equal(row(&w->s, m.id).links, 1);
    struct mail_call out = {.from = AT(w->inbox, SUB_TMP, "2"), .to = AT(w->inbox, SUB_CUR, "2:2,")};
    assert_int_equal(files_try(&w->s, call_rename, &out), -EPERM);
}

/* ---- removal ---- */

static void test_unlink_keeps_mail(void **state)
{
    struct world *w = *state;
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,"), 0, 1);
    assert_int_equal(remove_name(w, AT(w->inbox, SUB_CUR, "1:2,")).fate, MAIL_FATE_NONE);
    struct message gone = row(&w->s, m.id);
    assert_int_equal(gone.state, MESSAGE_GONE);
    assert_true(gone.dirty && gone.gone_at > 0 && gone.after == 0);
    assert_true(is_based(&w->s, m.id));
}

static void test_unlink_leaves_what_never_was_mail(void **state)
{
    struct world *w = *state;
    struct mail_place places[] = {AT(w->inbox, SUB_TMP, "1"), AT(w->inbox, SUB_CUR, "4913"),
                                  AT(w->inbox, SUB_NEW, "empty")};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct message m = create(w, places[i]);
        struct mail_left left = remove_name(w, places[i]);
        assert_int_equal(left.id, m.id);
        assert_int_equal(left.fate, MAIL_FATE_FORGET);
        struct mail_call c = {.id = m.id};
        files_do(&w->s, call_forget, &c);
        assert_int_equal(message_get(cache_reader(w->s.c), m.id, &m), -ENOENT);
        files_do(&w->s, call_forget, &c); /* once more is nothing */
    }
}

static void test_unlink_of_an_edited_one_drops_the_edit(void **state)
{
    struct world *w = *state;
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,"), 0, 1);
    struct mail_call c = {.id = m.id};
    files_do(&w->s, call_edit, &c);
    assert_int_equal(row(&w->s, m.id).state, MESSAGE_WRITING);
    struct mail_left left = remove_name(w, AT(w->inbox, SUB_CUR, "1:2,"));
    assert_int_equal(left.fate, MAIL_FATE_DROP);
    assert_true(row(&w->s, m.id).has_hash);
    assert_int_equal(files_try(&w->s, call_edit, &c), -ENOENT);
}

static void test_forgetting_needs_a_row_that_is_gone(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,"));
    struct mail_call c = {.id = m.id};
    files_do(&w->s, call_forget, &c);
    assert_int_equal(row(&w->s, m.id).state, MESSAGE_WRITING);
}

/* ---- renames ---- */

static void test_rename_stores_the_name_as_given(void **state)
{
    struct world *w = *state;
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "other,U=5:2,SFz"));
    struct message now = row(&w->s, m.id);
    assert_string_equal(now.name, "other,U=5:2,SFz");
    assert_int_equal(now.flags, FLAG_SEEN | FLAG_FLAGGED);
    assert_true(is_based(&w->s, m.id));
}

static void test_move(void **state)
{
    struct world *w = *state;
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->other, SUB_CUR, "1:2,S"));
    struct message now = row(&w->s, m.id);
    assert_int_equal(now.mailbox, w->other.id);
    assert_true(now.dirty && is_based(&w->s, m.id));
}

static void test_noreplace(void **state)
{
    struct world *w = *state;
    create(w, AT(w->inbox, SUB_CUR, "1:2,"));
    create(w, AT(w->inbox, SUB_CUR, "2:2,"));
    struct mail_call c = {
        .from = AT(w->inbox, SUB_CUR, "1:2,"), .to = AT(w->inbox, SUB_CUR, "2:2,"), .noreplace = true};
    assert_int_equal(files_try(&w->s, call_rename, &c), -EEXIST);
    c.from.name = "no such";
    assert_int_equal(files_try(&w->s, call_rename, &c), -ENOENT);
}

static void test_detached(void **state)
{
    struct world *w = *state;
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_TMP, "1"));
    struct message now = row(&w->s, m.id), tomb = the_tomb(&w->s);
    assert_int_equal(now.sub, SUB_TMP);
    assert_int_equal(now.state, MESSAGE_PRESENT);
    assert_false(is_based(&w->s, m.id));
    assert_int_equal(tomb.after, 0);
    assert_true(tomb.dirty);
    assert_string_equal(tomb.name, "1:2,S");
}

/* ---- replacement (case 12) ---- */

static void test_rename_over(void **state)
{
    struct world *w = *state;
    flags_t keyword = (flags_t)1 << 20;
    struct message old = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN | keyword, 1);
    struct message m = create(w, AT(w->inbox, SUB_CUR, "sedAbC123"));
    assert_true(m.scratch);
    move(w, AT(w->inbox, SUB_CUR, "sedAbC123"), AT(w->inbox, SUB_CUR, "1:2,S"));
    struct message now = row(&w->s, m.id), gone = row(&w->s, old.id);
    assert_int_equal(now.flags, FLAG_SEEN | keyword);
    assert_int_equal(now.date_s, 1000);
    assert_int_equal(now.zone_min, 60);
    assert_false(now.scratch);
    assert_int_equal(gone.state, MESSAGE_GONE);
    assert_int_equal(gone.after, m.id);
    assert_true(is_based(&w->s, old.id));
}

static void test_rename_over_scratch(void **state)
{
    struct world *w = *state;
    struct message stale = create(w, AT(w->inbox, SUB_CUR, "1:2,S~"));
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    struct mail_left left = move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S~"));
    assert_int_equal(left.id, stale.id);
    assert_int_equal(left.fate, MAIL_FATE_FORGET);
    assert_int_equal(row(&w->s, m.id).flags, FLAG_SEEN);
    assert_true(is_based(&w->s, m.id));
}

static void test_vim(void **state)
{
    struct world *w = *state;
    struct message old = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S~"));
    assert_true(row(&w->s, old.id).scratch && is_based(&w->s, old.id));
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    struct message tomb = the_tomb(&w->s);
    assert_int_equal(tomb.after, m.id);
    assert_string_equal(tomb.name, "1:2,S");
    assert_int_equal(m.date_s, 1000);
    struct mail_left left = remove_name(w, AT(w->inbox, SUB_CUR, "1:2,S~"));
    assert_int_equal(left.id, old.id);
    assert_int_equal(left.fate, MAIL_FATE_FORGET);
}

static void test_vim_saves_twice(void **state)
{
    struct world *w = *state;
    make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S~"));
    struct message first = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_int_equal(the_tomb(&w->s).after, first.id);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S~"));
    struct message second = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_int_equal(the_tomb(&w->s).after, second.id);
    assert_int_equal(second.date_s, 1000);
}

static void test_old_backup_is_nobodys(void **state)
{
    struct world *w = *state;
    create(w, AT(w->inbox, SUB_CUR, "1:2,S~"));
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_int_equal(m.date_s, 0);
}

static void test_numbered_backups(void **state)
{
    struct world *w = *state;
    make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S.~9~"));
    struct message first = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_int_equal(the_tomb(&w->s).after, first.id);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S.~10~"));
    struct message second = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_int_equal(the_tomb(&w->s).after, second.id);
    assert_int_equal(second.date_s, 1000);
    size_t stem;
    assert_true(mail_is_backup("a~", &stem) && stem == 1);
    assert_true(mail_is_backup("a.~12~", &stem) && stem == 1);
    assert_true(mail_is_backup("a.12~", &stem) && stem == 4);
    assert_true(mail_is_backup("a.~~", &stem) && stem == 3);
    assert_true(mail_is_backup(".~1~", &stem) && stem == 3);
    assert_false(mail_is_backup("~", &stem) || mail_is_backup("a", &stem) || mail_is_backup("", &stem));
}

static void test_vim_gives_up(void **state)
{
    struct world *w = *state;
    struct message old = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN, 1);
    move(w, AT(w->inbox, SUB_CUR, "1:2,S"), AT(w->inbox, SUB_CUR, "1:2,S~"));
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    struct mail_left left = move(w, AT(w->inbox, SUB_CUR, "1:2,S~"), AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_int_equal(left.id, m.id);
    assert_int_equal(left.fate, MAIL_FATE_FORGET);
    assert_int_equal(the_tomb(&w->s).after, old.id);
    assert_int_equal(row(&w->s, old.id).state, MESSAGE_PRESENT);
    assert_false(row(&w->s, old.id).scratch);
}

static void test_backup_removed_after_another_way(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    settle(w, m.id);
    struct message backup = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S~"), FLAG_SEEN, 1);
    remove_name(w, AT(w->inbox, SUB_CUR, "1:2,S~"));
    assert_int_equal(row(&w->s, backup.id).after, m.id);
    assert_string_equal(row(&w->s, backup.id).name, "1:2,S");
    assert_int_equal(row(&w->s, m.id).date_s, 1000);
}

static void test_chain_is_kept_short(void **state)
{
    struct world *w = *state;
    make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,"), 0, 1);
    struct message m = {0};
    for (int i = 0; i < 3; i++) {
        m = create(w, AT(w->inbox, SUB_CUR, ".rsync.1"));
        settle(w, m.id);
        move(w, AT(w->inbox, SUB_CUR, ".rsync.1"), AT(w->inbox, SUB_CUR, "1:2,"));
    }
    assert_int_equal(the_tomb(&w->s).after, m.id);
    assert_int_equal(row(&w->s, m.id).date_s, 1000);
}

/* ---- copies ---- */

static void test_copy(void **state)
{
    struct world *w = *state;
    flags_t keyword = (flags_t)1 << 20;
    struct message m = make_known(&w->s, AT(w->inbox, SUB_CUR, "1:2,S"), FLAG_SEEN | keyword, 1);
    struct mail_call c = {.id = m.id, .to = AT(w->other, SUB_CUR, "2:2,F")};
    files_do(&w->s, call_link, &c);
    struct message copy = row(&w->s, c.made.id);
    assert_int_not_equal(copy.id, m.id);
    assert_int_equal(copy.flags, FLAG_FLAGGED | keyword);
    assert_int_equal(copy.state, MESSAGE_PRESENT);
    assert_memory_equal(copy.hash, m.hash, sizeof m.hash);
    assert_int_equal(copy.date_s, 1000);
    assert_true(copy.dirty);
    assert_false(is_based(&w->s, copy.id));
}

static void test_copy_of_what_is_being_written(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    struct mail_call c = {.id = m.id, .to = AT(w->other, SUB_CUR, "2:2,F")};
    assert_int_equal(files_try(&w->s, call_link, &c), -EMLINK);
    files_do(&w->s, call_copy, &c);
    assert_int_equal(row(&w->s, c.made.id).state, MESSAGE_WRITING);
    assert_false(row(&w->s, c.made.id).has_hash);
}

/* ---- content and times ---- */

static void test_stored_size(void **state)
{
    struct world *w = *state;
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    struct mail_call c = {.id = m.id, .size = 77};
    files_do(&w->s, call_store, &c);
    assert_int_equal(row(&w->s, m.id).size, 77);
    assert_int_equal(row(&w->s, m.id).mtime_ns, 5000000000);
    settle(w, m.id);
    files_do(&w->s, call_store, &c);
    assert_int_equal(row(&w->s, m.id).size, 9);
}

static void test_time_is_the_date_before_the_append(void **state)
{
    struct world *w = *state;
    struct message mine = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    struct message known = make_known(&w->s, AT(w->inbox, SUB_CUR, "2:2,S"), FLAG_SEEN, 1);
    struct mail_call a = {.id = mine.id, .size = 7900000000}, b = {.id = known.id, .size = 7900000000};
    files_do(&w->s, call_time, &a);
    files_do(&w->s, call_time, &b);
    assert_int_equal(row(&w->s, mine.id).date_s, 7);
    assert_int_equal(row(&w->s, known.id).date_s, 1000);
    assert_int_equal(row(&w->s, known.id).mtime_ns, 7900000000);
    a.size = -1;
    files_do(&w->s, call_time, &a);
    assert_int_equal(row(&w->s, mine.id).date_s, -1);
}

static void test_what_is_settled_before_it_goes(void **state)
{
    struct world *w = *state;
    cache_rd *rd = cache_reader(w->s.c);
    struct message m = create(w, AT(w->inbox, SUB_CUR, "1:2,S"));
    assert_false(mail_wants_settling(rd, &m));
    m.size = 5;
    assert_true(mail_wants_settling(rd, &m));
    m.sub = SUB_TMP;
    assert_false(mail_wants_settling(rd, &m));
    struct message known = make_known(&w->s, AT(w->inbox, SUB_CUR, "2:2,S"), FLAG_SEEN, 1);
    known.state = MESSAGE_WRITING;
    assert_false(mail_wants_settling(rd, &known));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create),
        TEST(test_places_that_refuse),
        TEST(test_deliver_by_rename),
        TEST(test_deliver_by_link),
        TEST(test_deliver_a_copy),
        TEST(test_deliver_a_copy_without_tmp),
        TEST(test_half_delivered_and_taken_back),
        TEST(test_extra_names_move_in_tmp_only),
        TEST(test_unlink_keeps_mail),
        TEST(test_unlink_leaves_what_never_was_mail),
        TEST(test_unlink_of_an_edited_one_drops_the_edit),
        TEST(test_forgetting_needs_a_row_that_is_gone),
        TEST(test_rename_stores_the_name_as_given),
        TEST(test_move),
        TEST(test_noreplace),
        TEST(test_detached),
        TEST(test_rename_over),
        TEST(test_rename_over_scratch),
        TEST(test_vim),
        TEST(test_vim_saves_twice),
        TEST(test_old_backup_is_nobodys),
        TEST(test_numbered_backups),
        TEST(test_vim_gives_up),
        TEST(test_backup_removed_after_another_way),
        TEST(test_chain_is_kept_short),
        TEST(test_copy),
        TEST(test_copy_of_what_is_being_written),
        TEST(test_stored_size),
        TEST(test_time_is_the_date_before_the_append),
        TEST(test_what_is_settled_before_it_goes),
    };
    return cmocka_run_group_tests_name("mail", tests, NULL, NULL);
}
