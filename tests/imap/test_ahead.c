/* What travels behind something else: first looks at several mailboxes, and bodies behind the SELECT. The
 * scripts have the later commands come before the earlier ones are answered. */
#include "script.h"
#include <stdlib.h>

#define ROW(n, uid)                                                                                          \
    "S:* " n " FETCH (UID " uid " FLAGS (\\Seen) INTERNALDATE \"01-Jan-2024 00:00:00 +0000\" RFC822.SIZE 5)"
#define NUMBERS(exists, validity, next)                                                                      \
    "S:* " exists " EXISTS", "S:* OK [UIDVALIDITY " validity "] x", "S:* OK [UIDNEXT " next "] x"

static void expect(const char *mailbox)
{
    char name[16]; /* which is gone when the answer comes */
    snprintf(name, sizeof name, "%s", mailbox);
    rig.w->ops->expect(rig.w, name);
    memset(name, 'x', sizeof name);
}

static enum worker_result first_look(const char *mailbox)
{
    worker_scan_finish(&scan);
    scan = (struct worker_scan){0};
    return rig.w->ops->scan(rig.w, mailbox, NULL, WORKER_CHANGES, &scan, &rig.e);
}

static void open_it(void)
{
    struct fault f = {0};
    assert_int_equal(rig.w->ops->open(rig.w, &f), WORKER_DONE);
}

static void check_scan(uint32_t validity, size_t n, uint32_t uid)
{
    assert_true(scan.full && !scan.nothing && !scan.uidvalidity_changed);
    assert_int_equal(scan.token.uidvalidity, validity);
    assert_int_equal(scan.n, n);
    if (n > 0) {
        assert_int_equal(scan.message[0].uid, uid);
        assert_true(scan.message[0].has_flags && scan.message[0].has_details &&
                    scan.message[0].flags == FLAG_SEEN);
    }
}

static void test_two_at_once(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" UIDPLUS"),
                                         "C:SELECT \"A\"",
                                         "C:UID FETCH 1:* (UID FLAGS",
                                         "C:SELECT \"B\"",
                                         "C:UID FETCH 1:* (UID FLAGS",
                                         NUMBERS("1", "7", "10"),
                                         "S:m2 OK [READ-ONLY] x",
                                         ROW("1", "9"),
                                         "S:m3 OK",
                                         NUMBERS("2", "8", "30"),
                                         "S:m4 OK",
                                         ROW("1", "20"),
                                         ROW("2", "21"),
                                         "S:m5 OK",
                                         BYE};
    begin(script);
    open_it();
    expect("A");
    expect("B");
    assert_int_equal(first_look("A"), WORKER_DONE);
    check_scan(7, 1, 9);
    assert_true(scan.read_only);
    assert_int_equal(scan.token.uidnext, 10);
    assert_int_equal(first_look("B"), WORKER_DONE);
    check_scan(8, 2, 20);
    assert_false(scan.read_only);
    end();
}

/* What was told before a change of ours is forgotten: the scan asks again. So is what was never asked for. */
static void test_a_change_in_between(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" UIDPLUS"),
                                         "C:SELECT \"A\"",
                                         "C:UID FETCH 1:* (UID FLAGS",
                                         NUMBERS("1", "7", "10"),
                                         "S:m2 OK",
                                         ROW("1", "9"),
                                         "S:m3 OK",
                                         "C:UID STORE 9 +FLAGS.SILENT (\\Flagged)",
                                         "S:$ OK",
                                         "C:SELECT \"A\"",
                                         NUMBERS("0", "7", "10"),
                                         "S:$ OK",
                                         BYE};
    struct uidset uids = {0};
    struct worker_outcome got = {0};
    assert_int_equal(uidset_add(&uids, 9), 0);
    struct worker_op op = {
        .verb = WORKER_STORE, .mailbox = "A", .uidvalidity = 7, .uids = &uids, .add = FLAG_FLAGGED};
    begin(script);
    open_it();
    expect("A");
    assert_int_equal(rig.w->ops->apply(rig.w, &op, &got, &rig.e), WORKER_DONE);
    assert_int_equal(first_look("A"), WORKER_DONE);
    check_scan(7, 0, 0);
    uidset_finish(&uids);
    end();
}

/* Refused, too few, cut: each is asked again in the usual way, and says why. */
static void test_doubts(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" UIDPLUS"),
                                         "C:SELECT \"gone\"",
                                         "C:UID FETCH",
                                         "C:SELECT \"few\"",
                                         "C:UID FETCH",
                                         "C:SELECT \"empty\"",
                                         "C:UID FETCH",
                                         "S:m2 NO [NONEXISTENT] no such mailbox",
                                         "S:m3 BAD nothing selected",
                                         "C:SELECT \"gone\"",
                                         NUMBERS("2", "5", "10"),
                                         "S:m4 OK",
                                         ROW("1", "9"),
                                         "S:m5 OK",
                                         NUMBERS("0", "6", "1"),
                                         "S:m6 OK",
                                         "S:m7 BAD there is none",
                                         "S:$ NO [NONEXISTENT] no such mailbox",
                                         "C:LIST \"\" \"gone\"",
                                         "S:$ OK",
                                         "C:SELECT \"few\"",
                                         NUMBERS("2", "5", "10"),
                                         "S:$ OK",
                                         "C:UID FETCH 1:* (UID FLAGS",
                                         ROW("1", "8"),
                                         ROW("2", "9"),
                                         "S:$ OK",
                                         BYE};
    begin(script);
    open_it();
    expect("gone");
    expect("few");
    expect("empty");
    assert_int_equal(first_look("gone"), WORKER_GONE);
    assert_int_equal(first_look("few"), WORKER_DONE);
    check_scan(5, 2, 8);
    assert_int_equal(first_look("empty"), WORKER_DONE);
    check_scan(6, 0, 0);
    end();
    static const char *const cut[] = {
        OPEN(""), "C:SELECT \"A\"", "C:UID FETCH", NUMBERS("1", "7", "10"), "S:m2 OK", "H", NULL};
    begin(cut);
    open_it();
    expect("A");
    assert_int_equal(first_look("A"), WORKER_BROKEN);
    assert_int_equal(first_look("A"), WORKER_BROKEN);
    end();
}

/* A SELECT that is refused leaves nothing selected, whatever was selected by what came before it. */
static void test_refused_behind(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         "C:SELECT \"A\"",
                                         "C:UID FETCH",
                                         "C:SELECT \"B\"",
                                         NUMBERS("1", "7", "10"),
                                         "S:m2 OK",
                                         ROW("1", "9"),
                                         "S:m3 OK",
                                         "S:m4 NO [NONEXISTENT] gone",
                                         "C:LIST",
                                         "S:$ OK",
                                         "C:SELECT \"A\"",
                                         "C:UID FETCH 9 (UID BODY.PEEK[])",
                                         NUMBERS("1", "7", "10"),
                                         "S:m6 OK",
                                         "S:* 1 FETCH (UID 9 BODY[] {1}\r\nx)",
                                         "S:1 OK done",
                                         BYE};
    struct basket b = {0};
    begin(script);
    open_it();
    expect("A");
    assert_int_equal(first_look("B"), WORKER_GONE);
    assert_int_equal(rig_fetch(&rig, "A", 7, "9", &b), WORKER_DONE);
    assert_int_equal(b.n, 1);
    basket_finish(&b);
    end();
}

/* ---- bodies ---- */

static void test_bodies_behind_select(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         "C:SELECT \"A\"",
                                         "C:1 UID FETCH 1:2 (UID BODY.PEEK[])",
                                         NUMBERS("2", "7", "10"),
                                         "S:m2 OK",
                                         "S:* 1 FETCH (UID 1 BODY[] {3}\r\nabc)",
                                         "S:* 2 FETCH (UID 2 BODY[] {3}\r\ndef)",
                                         "S:1 OK done",
                                         "C:2 UID FETCH 5 (UID BODY.PEEK[])",
                                         "S:* 5 FETCH (UID 5 BODY[] {1}\r\nx)",
                                         "S:2 OK done",
                                         BYE};
    struct basket b = {0};
    begin(script);
    assert_int_equal(rig_fetch(&rig, "A", 7, "1:2", &b), WORKER_DONE);
    assert_int_equal(rig_fetch(&rig, "A", 7, "5", &b), WORKER_DONE);
    assert_int_equal(b.n, 3);
    assert_memory_equal(b.mail[1].data, "def", 3);
    basket_finish(&b);
    end();
}

/* More than any answer but a body may have, with its beginning in one read with the end of SELECT's answer.
 */
static void test_large_body_behind_select(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         "C:SELECT \"A\"",
                                         "C:1 UID FETCH 1 (UID BODY.PEEK[])",
                                         NUMBERS("1", "7", "10"),
                                         "R:m2 OK x\r\n* 1 FETCH (UID 1 BODY[] {9000000}\r\n",
                                         "A:9000000",
                                         "S:)",
                                         "S:1 OK done",
                                         BYE};
    struct basket b = {.count_only = true};
    begin(script);
    assert_int_equal(rig_fetch(&rig, "A", 7, "1", &b), WORKER_DONE);
    assert_int_equal(b.octets, 9000000);
    basket_finish(&b);
    end();
    /* Nor may anything else be so large meanwhile. */
    static const char *const lie[] = {OPEN(""),
                                      "C:SELECT \"A\"",
                                      "C:1 UID FETCH 1 (UID BODY.PEEK[])",
                                      "R:* LIST () \"/\" {9000000}\r\n",
                                      "A:9000000",
                                      "H",
                                      NULL};
    begin(lie);
    assert_int_equal(rig_fetch(&rig, "A", 7, "1", &b), WORKER_BROKEN);
    end();
}

/* The first thing that a session does: what it enabled is known before it asks since a token. */
static void test_token_behind_enable(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" ENABLE QRESYNC"),
                                         "C:ENABLE QRESYNC",
                                         "S:* ENABLED QRESYNC",
                                         "S:$ OK",
                                         "C:SELECT \"A\" (QRESYNC (7 5))",
                                         NUMBERS("1", "7", "10"),
                                         "S:* OK [HIGHESTMODSEQ 6] x",
                                         "S:* 1 FETCH (UID 9 FLAGS (\\Seen) MODSEQ (6))",
                                         "S:$ OK",
                                         BYE};
    static const struct worker_token since = {.uidvalidity = 7, .uidnext = 10, .exists = 1, .modseq = 5};
    begin(script);
    scan = (struct worker_scan){0};
    assert_int_equal(rig.w->ops->scan(rig.w, "A", &since, WORKER_CHANGES, &scan, &rig.e), WORKER_DONE);
    assert_int_equal(scan.n, 1);
    end();
}

/* Another mailbox has the name: its bodies are none of ours, and nothing of them is read. */
static void test_bodies_of_another(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         "C:SELECT \"A\"",
                                         "C:1 UID FETCH 1:2 (UID BODY.PEEK[])",
                                         NUMBERS("2", "8", "10"),
                                         "S:m2 OK",
                                         "S:* 1 FETCH (UID 1 BODY[] {3}\r\nabc)",
                                         "S:1 OK done",
                                         "H",
                                         NULL};
    struct basket b = {0};
    begin(script);
    assert_int_equal(rig_fetch(&rig, "A", 7, "1:2", &b), WORKER_GONE);
    assert_int_equal(b.n, 0);
    assert_int_equal(rig.e.err, -ESTALE);
    basket_finish(&b);
    end();
}

/* A server that refuses SELECT, and goes on with what was selected before: what it sends is dropped. */
static void test_bodies_after_a_refusal(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         "C:SELECT \"A\"",
                                         "C:1 UID FETCH 1 (UID BODY.PEEK[])",
                                         NUMBERS("2", "7", "10"),
                                         "S:m2 OK",
                                         "S:* 1 FETCH (UID 1 BODY[] {3}\r\nabc)",
                                         "S:1 OK done",
                                         "C:SELECT \"B\"",
                                         "C:2 UID FETCH 1 (UID BODY.PEEK[])",
                                         "S:m3 NO [NONEXISTENT] gone",
                                         "S:* 1 FETCH (UID 1 BODY[] {3}\r\nabc)",
                                         "S:2 OK done",
                                         "C:SELECT \"B\"",
                                         "S:$ NO [NONEXISTENT] gone",
                                         "C:LIST",
                                         "S:$ OK",
                                         BYE};
    struct basket b = {0};
    begin(script);
    assert_int_equal(rig_fetch(&rig, "A", 7, "1", &b), WORKER_DONE);
    assert_int_equal(rig_fetch(&rig, "B", 9, "1", &b), WORKER_GONE);
    assert_int_equal(b.n, 1);
    basket_finish(&b);
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_a_change_in_between),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_refused_behind),
        cmocka_unit_test(test_bodies_behind_select),
        cmocka_unit_test(test_bodies_of_another),
        cmocka_unit_test(test_large_body_behind_select),
        cmocka_unit_test(test_token_behind_enable),
        cmocka_unit_test(test_bodies_after_a_refusal),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
