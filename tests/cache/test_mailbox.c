/* Mailboxes: places, events, times, names at the server, letters, counts. */
#include "ino.h"
#include "rows.h"

static int64_t mtime(struct scratch *s, int64_t id, enum sub sub)
{
    int64_t ns;
    assert_int_equal(mailbox_mtime(cache_reader(s->c), id, sub, &ns), 0);
    return ns;
}

static int forget_box(cache_tx *tx, void *arg)
{
    return mailbox_forget(tx, *(int64_t *)arg);
}

static void what_is_shown_makes_events_and_moves_times(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    cache_listen(s->c, told_listen, &told);
    int64_t root = mtime(s, 0, SUB_BOX);
    struct mailbox m = {.name = "Archive"};
    files_do(s, put_mailbox, &m);
    assert_told(&told, "+Archive w|");
    assert_true(mtime(s, 0, SUB_BOX) > root);

    int64_t box = mtime(s, m.id, SUB_BOX);
    root = mtime(s, 0, SUB_BOX);
    m.dirs = MAILBOX_CUR | MAILBOX_TMP;
    files_do(s, put_mailbox, &m);
    assert_told(&told, "+tmp +cur w|");
    assert_true(mtime(s, m.id, SUB_BOX) > box);
    assert_int_equal(mtime(s, 0, SUB_BOX), root);

    snprintf(m.name, sizeof m.name, "Old");
    m.dirs = MAILBOX_CUR;
    server_does(s, put_mailbox, &m);
    assert_told(&told, "-Archive +Old -tmp|");

    m.removed = true;
    files_do(s, put_mailbox, &m);
    assert_told(&told, "-Old -cur w|");
    struct mailbox found;
    assert_int_equal(mailbox_find(cache_reader(s->c), 0, "Old", &found), -ENOENT);
    assert_int_equal(mailbox_get(cache_reader(s->c), m.id, &found), 0);
    server_does(s, forget_box, &m.id);
    assert_told(&told, "");
    assert_int_equal(mailbox_get(cache_reader(s->c), m.id, &found), -ENOENT);
}

static void moving_touches_both_parents(void **state)
{
    struct scratch *s = *state;
    struct mailbox a = make_box(s, 0, "a"), b = make_box(s, 0, "b"), x = make_box(s, a.id, "x");
    int64_t before_a = mtime(s, a.id, SUB_BOX), before_b = mtime(s, b.id, SUB_BOX),
            root = mtime(s, 0, SUB_BOX);
    x.parent = b.id;
    files_do(s, put_mailbox, &x);
    assert_true(mtime(s, a.id, SUB_BOX) > before_a);
    assert_true(mtime(s, b.id, SUB_BOX) > before_b);
    assert_int_equal(mtime(s, 0, SUB_BOX), root);
    assert_int_equal(mailbox_children(cache_reader(s->c), a.id), 0);
    assert_int_equal(mailbox_children(cache_reader(s->c), b.id), 1);
    assert_int_equal(mailbox_children(cache_reader(s->c), 0), 2);
}

static void a_place_is_taken_once(void **state)
{
    struct scratch *s = *state;
    struct mailbox a = make_box(s, 0, "a"), b = make_box(s, 0, "b");
    struct mailbox again = {.name = "a"};
    assert_int_equal(by(s, CACHE_FROM_FILES, put_mailbox, &again), -EEXIST);
    snprintf(b.name, sizeof b.name, "a");
    assert_int_equal(by(s, CACHE_FROM_FILES, put_mailbox, &b), -EEXIST);
    a.removed = true;
    files_do(s, put_mailbox, &a);
    files_do(s, put_mailbox, &b);
    files_do(s, put_mailbox, &(struct mailbox){.name = "b"});
}

static void no_directory_comes_to_lie_below_itself(void **state)
{
    struct scratch *s = *state;
    struct mailbox a = make_box(s, 0, "a"), b = make_box(s, a.id, "b"), c = make_box(s, b.id, "c");
    a.parent = c.id;
    assert_int_equal(by(s, CACHE_FROM_SERVER, put_mailbox, &a), -EINVAL);
    a.parent = a.id;
    assert_int_equal(by(s, CACHE_FROM_SERVER, put_mailbox, &a), -EINVAL);
    struct mailbox nowhere = {.parent = 4711, .name = "x"};
    assert_int_equal(by(s, CACHE_FROM_SERVER, put_mailbox, &nowhere), -ENOENT);
}

static int collect_box(void *arg, const struct mailbox *m)
{
    char *text = arg;
    size_t have = strlen(text);
    snprintf(text + have, 256 - have, "%s%s", have ? " " : "", m->name);
    return strcmp(m->name, "stop") == 0 ? 99 : 0;
}

static void listings_come_in_the_order_of_ids(void **state)
{
    struct scratch *s = *state;
    struct mailbox z = make_box(s, 0, "z"), a = make_box(s, 0, "a"), in = make_box(s, z.id, "in");
    char text[256] = "";
    a.removed = true;
    files_do(s, put_mailbox, &a);
    make_box(s, 0, "b");
    cache_rd *rd = cache_reader(s->c);
    assert_int_equal(mailbox_each(rd, 0, 0, collect_box, text), 0);
    assert_string_equal(text, "z b");
    text[0] = '\0';
    assert_int_equal(mailbox_each(rd, -1, z.id, collect_box, text), 0);
    assert_string_equal(text, "a in b");
    make_box(s, 0, "stop");
    make_box(s, 0, "never");
    text[0] = '\0';
    assert_int_equal(mailbox_each(rd, 0, in.id, collect_box, text), 99);
    assert_string_equal(text, "b stop");
}

struct walk {
    cache_rd *rd;
    unsigned seen;
};

static int walk_down(void *arg, const struct mailbox *m)
{
    struct walk *w = arg;
    w->seen++;
    return mailbox_each(w->rd, m->id, 0, walk_down, w);
}

static void a_listing_can_run_within_itself(void **state)
{
    struct scratch *s = *state;
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        struct mailbox top = make_box(s, 0, name);
        for (int j = 0; j < 3; j++) {
            snprintf(name, sizeof name, "%d", j);
            make_box(s, make_box(s, top.id, name).id, "leaf");
        }
    }
    struct walk w = {.rd = cache_reader(s->c)};
    assert_int_equal(mailbox_each(w.rd, 0, 0, walk_down, &w), 0);
    assert_int_equal(w.seen, 3 + 9 + 9);
}

static void names_at_the_server(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    char name[MAILBOX_REMOTE_MAX], path[64];
    struct mailbox top = make_box(s, 0, "Büro"), mid = make_box(s, top.id, "2024");
    assert_int_equal(mailbox_remote_name(rd, &mid, '.', name), 0);
    assert_string_equal(name, "B&APw-ro.2024");
    assert_int_equal(mailbox_path(rd, &mid, path, sizeof path), 0);
    assert_string_equal(path, "Büro/2024");
    assert_int_equal(mailbox_path(rd, &mid, path, strlen("Büro/2024")), -ENAMETOOLONG);
    assert_int_equal(mailbox_remote_name(rd, &mid, 0, name), -EINVAL);
    assert_int_equal(mailbox_remote_name(rd, &top, 0, name), 0);

    /* What the server says of a level above beats what is said of new ones. */
    top.on_server = true;
    top.delimiter = '/';
    snprintf(top.remote, sizeof top.remote, "B&APw-ro");
    server_does(s, put_mailbox, &top);
    assert_int_equal(mailbox_remote_name(rd, &mid, '.', name), 0);
    assert_string_equal(name, "B&APw-ro/2024");
    struct mailbox found;
    assert_int_equal(mailbox_find_remote(rd, "B&APw-ro", &found), 0);
    assert_int_equal(found.id, top.id);
    assert_true(found.on_server);
    assert_int_equal(found.delimiter, '/');
}

static void the_servers_leaf_goes_when_a_person_renames(void **state)
{
    struct scratch *s = *state;
    char name[MAILBOX_REMOTE_MAX];
    struct mailbox m = make_box(s, 0, "cut%~0");
    snprintf(m.leaf, sizeof m.leaf, "the-long-one");
    server_does(s, put_mailbox, &m);
    assert_int_equal(mailbox_remote_name(cache_reader(s->c), &m, '/', name), 0);
    assert_string_equal(name, "the-long-one");
    snprintf(m.name, sizeof m.name, "short");
    files_do(s, put_mailbox, &m);
    assert_string_equal(m.leaf, "");
    assert_int_equal(mailbox_remote_name(cache_reader(s->c), &m, '/', name), 0);
    assert_string_equal(name, "short");
}

static void a_tree_can_be_too_deep_for_the_server(void **state)
{
    struct scratch *s = *state;
    char name[256], remote[MAILBOX_REMOTE_MAX];
    struct mailbox m = {.id = 0};
    memset(name, 'x', sizeof name - 1);
    name[255] = '\0';
    for (int i = 0; i < 4; i++)
        m = make_box(s, m.id, name);
    assert_int_equal(mailbox_remote_name(cache_reader(s->c), &m, '/', remote), 0);
    m = make_box(s, m.id, "y");
    assert_int_equal(mailbox_remote_name(cache_reader(s->c), &m, '/', remote), -ENAMETOOLONG);
}

static int put_token_only(cache_tx *tx, void *arg)
{
    return mailbox_put_token(tx, arg);
}

static void the_token_is_kept_and_makes_no_events(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    struct mailbox m = make_box(s, 0, "INBOX"), found;
    cache_listen(s->c, told_listen, &told);
    m.uidvalidity = 4000000000u;
    m.uidnext = 4294967295u;
    m.modseq = (uint64_t)1 << 63;
    m.exists = 7;
    m.permanent = ~(flags_t)0;
    m.keywords_allowed = true;
    m.synced_at = 12345;
    snprintf(m.name, sizeof m.name, "not this");
    server_does(s, put_token_only, &m);
    assert_told(&told, "");
    assert_int_equal(mailbox_get(cache_reader(s->c), m.id, &found), 0);
    assert_true(found.uidvalidity == m.uidvalidity && found.uidnext == m.uidnext && found.modseq == m.modseq);
    assert_true(found.exists == 7 && found.permanent == m.permanent && found.keywords_allowed);
    assert_int_equal(found.synced_at, 12345);
    assert_string_equal(found.name, "INBOX");
}

struct time_set {
    int64_t id, ns;
};

static int set_time(cache_tx *tx, void *arg)
{
    struct time_set *t = arg;
    int err = mailbox_touch(tx, t->id, SUB_NEW);
    return err ? err : mailbox_set_mtime(tx, t->id, SUB_NEW, t->ns);
}

static int touch_new(cache_tx *tx, void *arg)
{
    return mailbox_touch(tx, *(int64_t *)arg, SUB_NEW);
}

static void times_can_be_set_and_then_go_on(void **state)
{
    struct scratch *s = *state;
    struct mailbox m = make_box(s, 0, "INBOX");
    int64_t before = m.mtime_ns[SUB_NEW];
    struct time_set t = {m.id, 1000000001};
    files_do(s, set_time, &t);
    assert_int_equal(mtime(s, m.id, SUB_NEW), t.ns);
    m.attributes = MAILBOX_READ_ONLY;
    server_does(s, put_mailbox, &m); /* with an old time in its struct */
    assert_int_equal(mtime(s, m.id, SUB_NEW), t.ns);
    for (int i = 0; i < 100; i++) {
        int64_t last = i ? mtime(s, m.id, SUB_NEW) : before;
        files_do(s, touch_new, &m.id);
        assert_true(mtime(s, m.id, SUB_NEW) > last);
    }
}

struct lettered {
    int64_t id;
    flags_t flags;
    struct maildir_letters letters;
};

static int letters_for(cache_tx *tx, void *arg)
{
    struct lettered *l = arg;
    return mailbox_letters_for(tx, l->id, l->flags, &l->letters);
}

static void letters_are_given_out_once_and_end_at_z(void **state)
{
    struct scratch *s = *state;
    struct lettered l = {.id = make_box(s, 0, "INBOX").id};
    l.flags = FLAG_SEEN | (flags_t)1 << 10 | (flags_t)1 << 8;
    files_do(s, letters_for, &l);
    assert_int_equal(l.letters.bit[0], 8);
    assert_int_equal(l.letters.bit[1], 10);
    assert_int_equal(l.letters.bit[2], -1);
    l.flags = (flags_t)1 << 63 | (flags_t)1 << 10;
    files_do(s, letters_for, &l);
    assert_int_equal(l.letters.bit[1], 10);
    assert_int_equal(l.letters.bit[2], 63);
    l.flags = ~FLAGS_SYSTEM;
    files_do(s, letters_for, &l);
    for (int i = 0; i < 26; i++)
        assert_in_range(l.letters.bit[i], FLAGS_FIRST_KEYWORD, 63);
    struct maildir_letters again;
    assert_int_equal(mailbox_letters(cache_reader(s->c), l.id, &again), 0);
    assert_memory_equal(&again, &l.letters, sizeof again);
    struct lettered other = {.id = make_box(s, 0, "Other").id, .flags = (flags_t)1 << 20};
    files_do(s, letters_for, &other);
    assert_int_equal(other.letters.bit[0], 20);
}

static void a_mailbox_with_mail_is_not_forgotten(void **state)
{
    struct scratch *s = *state;
    struct mailbox m = make_box(s, 0, "a"), child = make_box(s, m.id, "b");
    struct message mail = make_message(s, m.id, SUB_CUR, "x:2,", MESSAGE_PRESENT);
    assert_int_equal(by(s, CACHE_FROM_SERVER, forget_box, &m.id), -ENOTEMPTY);
    mail.state = MESSAGE_GONE;
    server_does(s, put_message, &mail);
    assert_int_equal(by(s, CACHE_FROM_SERVER, forget_box, &m.id), -ENOTEMPTY);
    server_does(s, forget_box, &child.id);
    server_does(s, forget_box, &m.id);
    /* What was removed stays restorable, though its mailbox is no more. */
    mail = row(s, mail.id);
    assert_int_equal(mail.state, MESSAGE_GONE);
    assert_int_equal(mail.mailbox, 0);
}

static int make_failure(cache_tx *tx, void *arg)
{
    struct failure f = {.message = *(int64_t *)arg, .what = "append", .why = "no"};
    return failure_put(tx, &f);
}

static void counts(void **state)
{
    struct scratch *s = *state;
    struct mailbox a = make_box(s, 0, "a"), b = make_box(s, 0, "b");
    struct message m = make_message(s, a.id, SUB_CUR, "1:2,S", MESSAGE_PRESENT);
    m.flags = FLAG_SEEN;
    files_do(s, put_message, &m);
    m = make_message(s, a.id, SUB_NEW, "2", MESSAGE_WRITING);
    make_message(s, a.id, SUB_CUR, "2~", MESSAGE_PRESENT);
    make_message(s, a.id, SUB_TMP, "3", MESSAGE_WRITING);
    make_message(s, a.id, SUB_NEW, "4", MESSAGE_WANTED);
    make_message(s, b.id, SUB_NEW, "5", MESSAGE_WANTED);
    make_message(s, b.id, SUB_NEW, "6", MESSAGE_GONE);
    files_do(s, make_failure, &m.id);
    struct mailbox_counts one, all;
    assert_int_equal(mailbox_count(cache_reader(s->c), a.id, &one), 0);
    assert_int_equal(mailbox_count(cache_reader(s->c), 0, &all), 0);
    assert_int_equal(one.messages, 2);
    assert_int_equal(one.unread, 1);
    assert_int_equal(one.waiting, 1);
    assert_int_equal(one.wanted, 1);
    assert_int_equal(one.wanted_bytes, 5);
    assert_int_equal(one.failed, 1);
    assert_int_equal(all.wanted, 2);
    assert_int_equal(all.wanted_bytes, 10);
    assert_int_equal(all.messages, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_shown_makes_events_and_moves_times),
        T(moving_touches_both_parents),
        T(a_place_is_taken_once),
        T(no_directory_comes_to_lie_below_itself),
        T(listings_come_in_the_order_of_ids),
        T(a_listing_can_run_within_itself),
        T(names_at_the_server),
        T(the_servers_leaf_goes_when_a_person_renames),
        T(a_tree_can_be_too_deep_for_the_server),
        T(the_token_is_kept_and_makes_no_events),
        T(times_can_be_set_and_then_go_on),
        T(letters_are_given_out_once_and_end_at_z),
        T(a_mailbox_with_mail_is_not_forgotten),
        T(counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
