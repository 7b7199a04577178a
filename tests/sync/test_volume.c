/* Much mail: bounded time, few commands, and the exact order of them. */
#include <time.h>
#include "clock.h"
#include "rig.h"

enum { MANY = 5000 };

static void fill(struct rig *r, unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        model_append(r->model, "INBOX", mail_wire(i), i % 3 ? FLAG_SEEN : 0, 1500000000 + i);
}

static void first_sync_of_five_thousand(void **state)
{
    struct rig *r = *state;
    fill(r, MANY);
    int64_t start = clock_boot_ms();
    rig_start(r);
    assert_true(rig_settles(r, 20 * RIG_PATIENCE));
    print_message("%d messages in %lld ms, %u fetches\n", MANY, (long long)(clock_boot_ms() - start),
                  record_count(&r->record, RECORD_FETCH));
    rig_check(r);
    assert_int_equal(record_fetched(&r->record), MANY);
    assert_true(record_count(&r->record, RECORD_FETCH) < 60);
    assert_true(record_count(&r->record, RECORD_SCAN) < 10);
    rig_check_quiet(r);
}

/* Sessions that take each other's leavings: whatever one has brought, no other one brings again. */
static void no_body_comes_twice(void **state)
{
    enum { BOXES = 40, EACH = 50 };
    struct rig *r = *state;
    char box[BOXES][16];
    r->account.connections = 8;
    for (unsigned i = 0; i < BOXES; i++) {
        snprintf(box[i], sizeof box[i], "Box%u", i);
        model_create(r->model, box[i]);
        for (unsigned k = 1; k <= EACH; k++)
            model_append(r->model, box[i], mail_wire(i * EACH + k), 0, 1500000000 + k);
    }
    rig_start(r);
    assert_true(rig_settles(r, 20 * RIG_PATIENCE));
    rig_check(r);
    assert_int_equal(record_fetched(&r->record), BOXES * EACH);
}

struct rows {
    int64_t id[10000];
    size_t n;
};

static int collect(void *arg, const struct message *m)
{
    struct rows *rows = arg;
    rows->id[rows->n++] = m->id;
    return 0;
}

static int flag_all(cache_tx *tx, void *arg)
{
    const struct rows *rows = arg;
    for (size_t i = 0; i < rows->n; i++) {
        struct message m;
        int err = message_get(cache_tx_rd(tx), rows->id[i], &m);
        if (err == 0)
            err = message_set_flags(tx, &m,
                                    i % 2 ? m.flags | FLAG_FLAGGED : (m.flags | FLAG_ANSWERED) & ~FLAG_SEEN);
        if (err < 0)
            return err;
    }
    return 0;
}

/* 10,000 flag changes, by groups of what is changed (case 37): the worker splits them by octets. */
static void ten_thousand_flag_changes(void **state)
{
    struct rig *r = *state;
    static struct rows rows;
    fill(r, 10000);
    rig_start(r);
    assert_true(rig_settles(r, 25 * RIG_PATIENCE));
    int64_t inbox = file_box(r, "INBOX");
    rows.n = 0;
    for (int sub = SUB_NEW; sub <= SUB_CUR; sub++)
        assert_int_equal(message_each(cache_reader(r->cache), inbox, (enum sub)sub, 0, collect, &rows), 0);
    assert_int_equal(rows.n, 10000);
    record_clear(&r->record);
    assert_int_equal(cache_write(r->cache, CACHE_FROM_FILES, CACHE_NOW, flag_all, &rows), 0);
    assert_true(rig_settles(r, 15 * RIG_PATIENCE));
    rig_check(r);
    assert_true(record_count(&r->record, RECORD_APPLY) <= 10);
}

/* The same in the other direction. */
static void five_thousand_flag_changes_there(void **state)
{
    struct rig *r = *state;
    fill(r, MANY);
    rig_start(r);
    assert_true(rig_settles(r, 20 * RIG_PATIENCE));
    record_clear(&r->record);
    for (uint32_t uid = 1; uid <= MANY; uid++)
        model_store(r->model, "INBOX", uid, FLAG_FLAGGED, FLAG_SEEN);
    assert_true(rig_settles(r, 10 * RIG_PATIENCE));
    rig_check(r);
    rig_assert_changes(r, "");
    assert_int_equal(record_fetched(&r->record), 0);
}

/* MOVE, STORE, APPEND, EXPUNGE, whatever the order in which it was done here. */
static void the_order_keeps_mail_safe(void **state)
{
    struct rig *r = *state;
    char expected[512];
    r->account.connections = 1;
    model_create(r->model, "Archive");
    for (unsigned i = 1; i <= 9; i++)
        model_append(r->model, "INBOX", mail_wire(i), i > 4 ? FLAG_SEEN : 0, 1600000000 + i);
    rig_start(r);
    rig_agree(r);
    rig_stop(r);
    record_clear(&r->record);
    rig_open(r);
    file_remove(r, file_find(r, "INBOX", mail_file(9)));
    file_remove(r, file_find(r, "INBOX", mail_file(8)));
    file_deliver(r, "INBOX", SUB_CUR, mail_file(100), FLAG_SEEN, 1600000100);
    for (unsigned i = 1; i <= 4; i++)
        file_flag(r, file_find(r, "INBOX", mail_file(i)), FLAG_SEEN, 0);
    file_flag(r, file_find(r, "INBOX", mail_file(6)), FLAG_FLAGGED, FLAG_SEEN);
    file_move(r, file_find(r, "INBOX", mail_file(5)), "Archive");
    file_move(r, file_find(r, "INBOX", mail_file(7)), "Archive");
    rig_start(r);
    rig_agree(r);
    snprintf(expected, sizeof expected,
             "MOVE INBOX 5,7 Archive\n"
             "STORE INBOX 1:4 +\\Seen\n"
             "STORE INBOX 6 +\\Flagged -\\Seen\n"
             "APPEND INBOX %zu +\\Seen\n"
             "EXPUNGE INBOX 8:9",
             strlen(mail_wire(100)));
    rig_assert_changes(r, expected);
    rig_check_quiet(r);
}

/* One part, by its number, or all. */
int main(int argc, char **argv)
{
    const struct CMUnitTest first[] = {
        cmocka_unit_test_setup_teardown(the_order_keeps_mail_safe, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(first_sync_of_five_thousand, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(no_body_comes_twice, rig_setup_stopped, rig_teardown),
    };
    const struct CMUnitTest flags[] = {
        cmocka_unit_test_setup_teardown(ten_thousand_flag_changes, rig_setup_stopped, rig_teardown),
    };
    const struct CMUnitTest there[] = {
        cmocka_unit_test_setup_teardown(five_thousand_flag_changes_there, rig_setup_stopped, rig_teardown),
    };
    int part = argc > 1 ? atoi(argv[1]) : 0, failed = 0;
    if (part == 0 || part == 1)
        failed += cmocka_run_group_tests(first, NULL, NULL);
    if (part == 0 || part == 2)
        failed += cmocka_run_group_tests(flags, NULL, NULL);
    if (part == 0 || part == 3)
        failed += cmocka_run_group_tests(there, NULL, NULL);
    return failed;
}
