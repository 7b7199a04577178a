/* What the brake holds, what people decide about it and about refusals, and bringing deleted mail back. */
#include "held.h"
#include "hold.h"
#include "restore.h"
#include "rows.h"

struct scene {
    struct scratch *s;
    struct mailbox box;
    struct message m;
};

struct hold {
    int64_t mailbox, message;
    int side;
};

static int hold_it(cache_tx *tx, void *arg)
{
    const struct hold *h = arg;
    return held_add(tx, h->mailbox, h->side, HELD_ASKS, h->message);
}

static int restore_it(cache_tx *tx, void *arg)
{
    return restore_row(tx, *(int64_t *)arg);
}

/* A message with content, known to the server under this UID (0: not known). */
static struct message known(struct scratch *s, int64_t mailbox, const char *name, uint32_t uid,
                            enum message_state state)
{
    struct message m = make_message(s, mailbox, SUB_CUR, name, MESSAGE_PRESENT);
    m.has_hash = true;
    m.hash[0] = (uint8_t)(uid + 1);
    m.state = state;
    make_body(s, &m);
    server_does(s, put_message, &m);
    struct base_state base = {.mailbox = mailbox, .uid = uid, .message = m.id};
    if (uid)
        server_does(s, put_base, &base);
    return m;
}

static int64_t hold_of(struct scratch *s, int64_t message)
{
    struct held h;
    return held_of_message(cache_reader(s->c), message, &h) == 0 ? h.id : 0;
}

static struct scene begin(void **state, uint32_t uid, enum message_state row, int side)
{
    struct scene x = {.s = *state};
    x.box = make_box(x.s, 0, "INBOX");
    x.m = known(x.s, x.box.id, "a:2,S", uid, row);
    struct hold h = {x.box.id, x.m.id, side};
    server_does(x.s, hold_it, &h);
    assert_int_not_equal(hold_of(x.s, x.m.id), 0);
    assert_true(held_in(cache_reader(x.s->c), x.box.id));
    return x;
}

static void it_is_one_hold_a_mailbox_and_side(void **state)
{
    struct scene x = begin(state, 1, MESSAGE_GONE, HELD_THERE);
    struct message other = known(x.s, x.box.id, "b:2,S", 2, MESSAGE_GONE);
    struct hold h = {x.box.id, other.id, HELD_THERE};
    server_does(x.s, hold_it, &h);
    assert_int_equal(hold_of(x.s, other.id), hold_of(x.s, x.m.id));
    struct held held;
    assert_int_equal(held_get(cache_reader(x.s->c), hold_of(x.s, x.m.id), &held), 0);
    assert_int_equal(held.messages, 2);
    struct mailbox_counts counts;
    assert_int_equal(mailbox_count(cache_reader(x.s->c), x.box.id, &counts), 0);
    assert_int_equal(counts.held, 2);
}

/* Filed, edited or removed here meanwhile: that is another matter than what was held. Flags are not. */
static void what_changes_leaves_its_hold(void **state)
{
    struct scene x = begin(state, 0, MESSAGE_PRESENT, HELD_HERE);
    struct mailbox other = make_box(x.s, 0, "Other");
    x.m.flags |= FLAG_FLAGGED;
    files_do(x.s, put_message, &x.m);
    assert_int_not_equal(hold_of(x.s, x.m.id), 0);
    x.m.mailbox = other.id;
    files_do(x.s, put_message, &x.m);
    assert_int_equal(hold_of(x.s, x.m.id), 0);
    assert_false(held_any(cache_reader(x.s->c)));
}

static void approved_here_is_restorable(void **state)
{
    struct scene x = begin(state, 0, MESSAGE_PRESENT, HELD_HERE);
    assert_int_equal(hold_approve(x.s->c, hold_of(x.s, x.m.id)), 0);
    struct message m = row(x.s, x.m.id);
    assert_int_equal(m.state, MESSAGE_GONE);
    assert_false(m.dirty);
    assert_true(m.gone_at > 0);
    assert_false(held_any(cache_reader(x.s->c)));
    assert_true(restore_can(cache_reader(x.s->c), &m));
}

static void reverted_here_is_sent_anew(void **state)
{
    struct scene x = begin(state, 0, MESSAGE_PRESENT, HELD_HERE);
    assert_int_equal(hold_revert(x.s->c, hold_of(x.s, x.m.id)), 0);
    struct message m = row(x.s, x.m.id);
    assert_int_equal(m.state, MESSAGE_PRESENT);
    assert_true(m.dirty);
    assert_false(held_any(cache_reader(x.s->c)));
}

static void approved_there_is_left_to_the_engine(void **state)
{
    struct scene x = begin(state, 1, MESSAGE_GONE, HELD_THERE);
    struct held h;
    assert_int_equal(hold_approve(x.s->c, hold_of(x.s, x.m.id)), 0);
    assert_int_equal(held_of_message(cache_reader(x.s->c), x.m.id, &h), 0);
    assert_int_equal(h.state, HELD_APPROVED);
    assert_false(held_in(cache_reader(x.s->c), x.box.id));
}

static void reverted_there_is_shown_again(void **state)
{
    struct scene x = begin(state, 1, MESSAGE_GONE, HELD_THERE);
    struct base_state base;
    assert_int_equal(hold_revert(x.s->c, hold_of(x.s, x.m.id)), 0);
    assert_int_equal(row(x.s, x.m.id).state, MESSAGE_PRESENT);
    assert_int_equal(base_of_message(cache_reader(x.s->c), x.m.id, &base), 0);
    assert_false(held_any(cache_reader(x.s->c)));
}

static void unknown_ids(void **state)
{
    struct scratch *s = *state;
    int64_t id = 4711;
    assert_int_equal(hold_approve(s->c, id), -ENOENT);
    assert_int_equal(hold_revert(s->c, id), -ENOENT);
    assert_int_equal(refusal_retry(s->c, id), -ENOENT);
    assert_int_equal(refusal_revert(s->c, id), -ENOENT);
    assert_int_equal(by(s, CACHE_FROM_SERVER, restore_it, &id), -ENOENT);
}

/* The mailbox is made on the server again, with all that is here. */
static int add_whole(cache_tx *tx, void *arg)
{
    return held_add_mailbox(tx, *(int64_t *)arg);
}

static void a_mailbox_reverted_is_sent_anew(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Work");
    box.on_server = true;
    box.uidvalidity = 7;
    snprintf(box.remote, sizeof box.remote, "Work");
    server_does(s, put_mailbox, &box);
    struct message m = known(s, box.id, "a:2,S", 1, MESSAGE_PRESENT);
    server_does(s, add_whole, &box.id);
    struct held h;
    struct base_state base;
    assert_int_equal(held_of_mailbox(cache_reader(s->c), box.id, &h), 0);
    assert_int_equal(hold_revert(s->c, h.id), 0);
    assert_int_equal(mailbox_get(cache_reader(s->c), box.id, &box), 0);
    assert_false(box.on_server);
    assert_int_equal(base_of_message(cache_reader(s->c), m.id, &base), -ENOENT);
    assert_true(row(s, m.id).dirty);
    assert_false(held_any(cache_reader(s->c)));
}

/* ---- restoring ---- */

static void restored_where_it_was(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Work");
    struct message m = known(s, box.id, "a:2,ST", 0, MESSAGE_GONE);
    m.flags = FLAG_SEEN | FLAG_DELETED;
    server_does(s, put_message, &m);
    box.removed = true;
    server_does(s, put_mailbox, &box);
    server_does(s, restore_it, &m.id);
    struct message back = row(s, m.id);
    assert_int_equal(back.state, MESSAGE_PRESENT);
    assert_true(back.dirty);
    assert_true(back.flags == FLAG_SEEN);
    assert_int_equal(mailbox_get(cache_reader(s->c), box.id, &box), 0);
    assert_false(box.removed);
    assert_int_equal(box.dirs, MAILBOX_ALL_DIRS);
    assert_int_equal(by(s, CACHE_FROM_SERVER, restore_it, &m.id), -EALREADY);
}

/* Another mailbox has its place now: it comes into that one. */
static void restored_into_what_has_taken_its_place(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Work");
    struct message m = known(s, box.id, "a:2,S", 0, MESSAGE_GONE);
    box.removed = true;
    server_does(s, put_mailbox, &box);
    struct mailbox other = make_box(s, 0, "Work");
    server_does(s, restore_it, &m.id);
    assert_int_equal(row(s, m.id).mailbox, other.id);
}

/* What is above it was removed too, and another one has taken the place of that. */
static void restored_below_what_has_taken_its_parents_place(void **state)
{
    struct scratch *s = *state;
    struct mailbox top = make_box(s, 0, "Work"), box = make_box(s, top.id, "Sub"), second;
    struct message m = known(s, box.id, "a:2,S", 0, MESSAGE_GONE);
    struct message n = known(s, box.id, "b:2,S", 1, MESSAGE_GONE);
    box.removed = top.removed = true;
    server_does(s, put_mailbox, &box);
    server_does(s, put_mailbox, &top);
    struct mailbox other = make_box(s, 0, "Work");
    server_does(s, restore_it, &m.id);
    assert_int_equal(mailbox_find(cache_reader(s->c), other.id, "Sub", &second), 0);
    assert_int_equal(row(s, m.id).mailbox, second.id);
    second.removed = true;
    server_does(s, put_mailbox, &second);
    struct mailbox third = make_box(s, other.id, "Sub");
    server_does(s, restore_it, &n.id);
    assert_int_equal(row(s, n.id).mailbox, third.id);
}

static void what_was_edited_or_has_no_content_is_not_restored(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "INBOX");
    struct message heir = known(s, box.id, "a:2,S", 1, MESSAGE_PRESENT);
    struct message old = known(s, box.id, "b:2,S", 0, MESSAGE_GONE);
    struct message empty = make_message(s, box.id, SUB_CUR, "c:2,S", MESSAGE_GONE);
    old.after = heir.id;
    server_does(s, put_message, &old);
    assert_int_equal(by(s, CACHE_FROM_SERVER, restore_it, &old.id), -ENODATA);
    assert_int_equal(by(s, CACHE_FROM_SERVER, restore_it, &empty.id), -ENODATA);
}

/* ---- refusals ---- */

static int refuse(cache_tx *tx, void *arg)
{
    return failure_put(tx, arg);
}

static struct failure refusal(struct scratch *s, int64_t message, int64_t mailbox)
{
    struct failure f = {.message = message, .mailbox = mailbox, .at_s = 1000, .retry_s = 9000000000};
    snprintf(f.what, sizeof f.what, "append");
    snprintf(f.why, sizeof f.why, "no");
    server_does(s, refuse, &f);
    return f;
}

static void a_refusal_is_tried_again_or_taken_back(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "INBOX"), other = make_box(s, 0, "Other");
    struct message fresh = known(s, box.id, "a:2,S", 0, MESSAGE_PRESENT);
    struct message moved = known(s, box.id, "b:2,", 2, MESSAGE_PRESENT);
    struct failure f = refusal(s, fresh.id, box.id);
    assert_int_equal(refusal_retry(s->c, f.id), 0);
    assert_int_equal(failure_get(cache_reader(s->c), fresh.id, 0, &f), 0);
    assert_int_equal(f.retry_s, f.at_s);
    assert_int_equal(refusal_revert(s->c, f.id), 0);
    assert_int_equal(row(s, fresh.id).state, MESSAGE_GONE);
    assert_int_equal(failure_get(cache_reader(s->c), fresh.id, 0, &f), -ENOENT);

    moved.mailbox = other.id;
    files_do(s, put_message, &moved);
    f = refusal(s, moved.id, other.id);
    assert_int_equal(refusal_revert(s->c, f.id), 0);
    assert_int_equal(row(s, moved.id).mailbox, box.id);
    f = refusal(s, 0, other.id);
    assert_int_equal(refusal_revert(s->c, f.id), -ENOTSUP);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(it_is_one_hold_a_mailbox_and_side),
        T(what_changes_leaves_its_hold),
        T(approved_here_is_restorable),
        T(reverted_here_is_sent_anew),
        T(approved_there_is_left_to_the_engine),
        T(reverted_there_is_shown_again),
        T(unknown_ids),
        T(a_mailbox_reverted_is_sent_anew),
        T(restored_where_it_was),
        T(restored_into_what_has_taken_its_place),
        T(restored_below_what_has_taken_its_parents_place),
        T(what_was_edited_or_has_no_content_is_not_restored),
        T(a_refusal_is_tried_again_or_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
