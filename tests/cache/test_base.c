/* What both sides agreed on, operations that are under way, failures; and what goes with a row. */
#include "rows.h"

static int forget(cache_tx *tx, void *arg)
{
    return message_forget(tx, *(int64_t *)arg);
}

struct give {
    int64_t from, to;
};

static int give_base(cache_tx *tx, void *arg)
{
    struct give *g = arg;
    return base_give(tx, g->from, g->to);
}

static int set_base_flags(cache_tx *tx, void *arg)
{
    return base_set_flags(tx, arg);
}

static int add_uid(void *arg, const struct base_state *b)
{
    char *text = arg;
    size_t have = strlen(text);
    snprintf(text + have, 256 - have, "%u ", b->uid);
    return 0;
}

static void a_base_belongs_to_one_message_and_one_uid(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    int64_t box = make_box(s, 0, "INBOX").id;
    int64_t a = make_message(s, box, SUB_CUR, "a", MESSAGE_PRESENT).id;
    int64_t b = make_message(s, box, SUB_CUR, "b", MESSAGE_PRESENT).id;
    struct base_state got;
    server_does(s, put_base, (&(struct base_state){box, 4294967295u, a, ~(flags_t)0}));
    server_does(s, put_base, (&(struct base_state){box, 2, b, 0}));
    assert_int_equal(base_of_uid(rd, box, 4294967295u, &got), 0);
    assert_true(got.message == a && got.flags == ~(flags_t)0);
    char uids[256] = "";
    assert_int_equal(base_each(rd, box, 0, add_uid, uids), 0);
    assert_string_equal(uids, "2 4294967295 ");
    server_does(s, set_base_flags, (&(struct base_state){box, 2, b, ~(flags_t)1}));
    assert_int_equal(base_of_message(rd, b, &got), 0);
    assert_true(got.mailbox == box && got.uid == 2 && got.flags == ~(flags_t)1);
    assert_int_equal(by(s, CACHE_FROM_SERVER, set_base_flags, (&(struct base_state){box, 3, b, 0})), -ENOENT);
    assert_int_equal(base_count(rd, box), 2);
    server_does(s, put_base, (&(struct base_state){box, 2, a, 0})); /* replaces both */
    assert_int_equal(base_count(rd, box), 1);
    assert_int_equal(base_of_message(rd, b, &got), -ENOENT);
    server_does(s, give_base, (&(struct give){a, b}));
    assert_int_equal(base_of_message(rd, b, &got), 0);
    assert_int_equal(got.uid, 2);
    assert_int_equal(by(s, CACHE_FROM_SERVER, give_base, (&(struct give){a, b})), -ENOENT);
    server_does(s, forget, &b);
    assert_int_equal(base_count(rd, box), 0);
    assert_int_equal(by(s, CACHE_FROM_SERVER, put_base, (&(struct base_state){box, 3, 4711, 0})), -ENOENT);
}

static int count_base(void *arg, const struct base_state *b)
{
    (void)b;
    ++*(uint64_t *)arg;
    return 0;
}

static int forget_base(cache_tx *tx, void *arg)
{
    return base_forget(tx, *(int64_t *)arg);
}

static int forget_base_of_box(cache_tx *tx, void *arg)
{
    return base_forget_mailbox(tx, *(int64_t *)arg);
}

/* One of the things that are done to bases, any of which may replace others, or come to nothing. */
static void do_to_bases(struct scratch *s, const int64_t box[3], int64_t message[12])
{
    int64_t *one = &message[rand() % 12], *other = &message[rand() % 12];
    struct base_state b = {box[rand() % 3], 1 + (uint32_t)rand() % 8, *one, 0};
    int what = rand() % 20;
    if (what < 12)
        by(s, CACHE_FROM_SERVER, put_base, &b);
    else if (what < 15)
        by(s, CACHE_FROM_SERVER, give_base, (&(struct give){*one, *other}));
    else if (what < 18)
        by(s, CACHE_FROM_SERVER, forget_base, one);
    else if (what < 19)
        by(s, CACHE_FROM_SERVER, forget_base_of_box, (int64_t[]){box[rand() % 3]});
    else if (by(s, CACHE_FROM_SERVER, forget, one) == 0)
        *one =
            make_message(s, box[0], SUB_CUR, (char[]){'n', (char)('a' + (one - message)), 0}, MESSAGE_PRESENT)
                .id;
}

static void bases_are_counted_as_they_come_and_go(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    int64_t message[12], box[3];
    srand(1);
    for (int i = 0; i < 3; i++)
        box[i] = make_box(s, 0, (char[]){'B', (char)('0' + i), 0}).id;
    for (int i = 0; i < 12; i++)
        message[i] =
            make_message(s, box[i % 3], SUB_CUR, (char[]){'m', (char)('a' + i), 0}, MESSAGE_PRESENT).id;
    uint64_t most = 0;
    for (int i = 0; i < 1000; i++) {
        do_to_bases(s, box, message);
        for (int k = 0; k < 3; k++) {
            uint64_t exact = 0;
            assert_int_equal(base_each(rd, box[k], 0, count_base, &exact), 0);
            assert_int_equal(base_count(rd, box[k]), exact);
            most = exact > most ? exact : most;
        }
    }
    assert_true(most > 3);
}

static int put_pending(cache_tx *tx, void *arg)
{
    return pending_put(tx, arg);
}

static int count_pending(void *arg, const struct pending *p)
{
    (void)p;
    ++*(int *)arg;
    return 0;
}

static void a_message_has_one_pending_operation(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    int64_t box = make_box(s, 0, "INBOX").id;
    int64_t a = make_message(s, box, SUB_CUR, "a", MESSAGE_PRESENT).id;
    struct pending p = {.kind = PENDING_APPEND, .message = a, .mailbox = box, .uidnext = 7, .hash = {9}}, got;
    server_does(s, put_pending, &p);
    p.uidnext = 8;
    p.kind = PENDING_MOVE;
    server_does(s, put_pending, &p);
    assert_int_equal(pending_of_message(rd, a, &got), 0);
    assert_true(got.id == p.id && got.kind == PENDING_MOVE && got.uidnext == 8 && got.hash[0] == 9);
    int n = 0;
    assert_int_equal(pending_each(rd, 0, count_pending, &n), 0);
    assert_int_equal(pending_each(rd, box, count_pending, &n), 0);
    assert_int_equal(pending_each(rd, box + 1, count_pending, &n), 0);
    assert_int_equal(n, 2);
}

static int put_failure(cache_tx *tx, void *arg)
{
    return failure_put(tx, arg);
}

static void failures_count_their_attempts(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    int64_t box = make_box(s, 0, "INBOX").id;
    int64_t a = make_message(s, box, SUB_CUR, "a", MESSAGE_PRESENT).id;
    struct failure f = {.message = a, .what = "append", .why = "[LIMIT]"}, got;
    struct failure g = {.mailbox = box, .what = "create", .why = "no"};
    server_does(s, put_failure, &f);
    server_does(s, put_failure, &g);
    int64_t id = f.id;
    snprintf(f.why, sizeof f.why, "other");
    server_does(s, put_failure, &f);
    assert_true(f.id == id && f.attempts == 2);
    assert_int_equal(failure_get(rd, a, box, &got), 0);
    assert_string_equal(got.why, "other");
    assert_int_equal(got.mailbox, box);
    assert_int_equal(failure_get(rd, 0, box, &got), 0);
    assert_string_equal(got.what, "create");
    assert_int_equal(got.attempts, 1);
    server_does(s, forget, &a);
    assert_int_equal(failure_get(rd, a, box, &got), -ENOENT);
}

static void a_forgotten_rows_work_file_goes_with_the_commit(void **state)
{
    struct scratch *s = *state;
    char path[256];
    int64_t box = make_box(s, 0, "INBOX").id;
    struct message m = make_message(s, box, SUB_CUR, "a", MESSAGE_GONE);
    snprintf(path, sizeof path, "%s/work/%lld", s->cache, (long long)m.id);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    server_does(s, forget, &m.id);
    assert_int_equal(access(path, F_OK), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_base_belongs_to_one_message_and_one_uid),
        T(bases_are_counted_as_they_come_and_go),
        T(a_message_has_one_pending_operation),
        T(failures_count_their_attempts),
        T(a_forgotten_rows_work_file_goes_with_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
