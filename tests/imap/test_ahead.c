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

/* ---- bodies out of several mailboxes ---- */

static struct worker_fetch asked[3];
static struct uidset asked_uids[3];

/* "A" with UIDVALIDITY 7, "B" with 8, "C" with 9, of each these UIDs. */
static enum worker_result fetch_of(size_t n, const char *const *uids, struct basket *b)
{
    static const char *const name[] = {"A", "B", "C"};
    const struct worker_sink sink = {b, basket_data, basket_end};
    for (size_t i = 0; i < n; i++) {
        uidset_finish(&asked_uids[i]);
        assert_int_equal(uidset_parse(&asked_uids[i], uids[i], strlen(uids[i])), 0);
        asked[i] = (struct worker_fetch){
            .mailbox = name[i], .uidvalidity = 7 + (uint32_t)i, .uids = &asked_uids[i], .result = 99};
    }
    enum worker_result r = rig.w->ops->fetch(rig.w, asked, n, &sink);
    for (size_t i = 0; i < n; i++)
        uidset_finish(&asked_uids[i]);
    return r;
}

static const char *const one_each[] = {"1", "1", "1"};

#define ASKED(name, tag) "C:SELECT \"" name "\"", "C:" tag " UID FETCH 1 (UID BODY.PEEK[])"
#define BODY(uid, text) "S:* 1 FETCH (UID " uid " BODY[] {3}\r\n" text ")"

static void check_mail(const struct basket *b, unsigned i, const char *text)
{
    assert_true(b->n > i && b->mail[i].whole && b->mail[i].length == 3);
    assert_memory_equal(b->mail[i].data, text, 3);
}

static void test_a_flight(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN(""), ASKED("A", "1"), ASKED("B", "2"), ASKED("C", "3"), NUMBERS("1", "7", "10"), "S:m2 OK",
        BODY("1", "abc"), "S:1 OK done", NUMBERS("1", "8", "10"), "S:m3 OK", BODY("1", "def"), "S:2 OK done",
        NUMBERS("1", "9", "10"),
        /* of C, and of one that was not asked for */
        "R:m4 OK x\r\n* 1 FETCH (UID 5 BODY[] {3}\r\nxyz)\r\n", BODY("1", "ghi"), "S:3 OK done",
        /* C is what is selected now. */
        "C:4 UID FETCH 1 (UID BODY.PEEK[])", BODY("1", "ghi"), "S:4 OK done", BYE};
    struct basket b = {0};
    begin(script);
    assert_int_equal(fetch_of(3, one_each, &b), WORKER_DONE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(asked[i].result, WORKER_DONE);
    assert_int_equal(b.n, 4);
    assert_int_equal(b.from, 2);
    check_mail(&b, 0, "abc");
    check_mail(&b, 1, "def");
    assert_false(b.mail[2].whole);
    check_mail(&b, 3, "ghi");
    assert_int_equal(rig_fetch(&rig, "C", 9, "1", &b), WORKER_DONE);
    basket_finish(&b);
    end();
}

/* Refused, or missing: told of that mailbox only, and asked again alone, to learn why. */
static void test_refusals_in_a_flight(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         ASKED("A", "1"),
                                         ASKED("B", "2"),
                                         ASKED("C", "3"),
                                         "S:m2 NO [NONEXISTENT] gone",
                                         "S:1 BAD nothing selected",
                                         NUMBERS("1", "8", "10"),
                                         "S:m3 OK",
                                         "S:2 NO [SERVERBUG] cannot be read",
                                         NUMBERS("1", "9", "10"),
                                         "S:m4 OK",
                                         BODY("1", "ghi"),
                                         "S:3 OK done",
                                         ASKED("A", "4"),
                                         "S:m5 NO [NONEXISTENT] gone",
                                         "S:4 BAD nothing selected",
                                         "C:SELECT \"A\"",
                                         "S:$ NO [NONEXISTENT] gone",
                                         "C:LIST",
                                         "S:$ OK",
                                         BYE};
    struct basket b = {0};
    begin(script);
    assert_int_equal(fetch_of(3, one_each, &b), WORKER_DONE);
    assert_int_equal(asked[0].result, WORKER_GONE);
    assert_int_equal(asked[1].result, WORKER_REFUSED);
    assert_non_null(strstr(asked[1].error.text, "cannot be read"));
    assert_int_equal(asked[2].result, WORKER_DONE);
    assert_int_equal(b.n, 1);
    assert_int_equal(b.from, 2);
    basket_finish(&b);
    end();
}

/* The line is cut within the second body. */
static void test_a_flight_that_is_cut(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         ASKED("A", "1"),
                                         ASKED("B", "2"),
                                         ASKED("C", "3"),
                                         NUMBERS("1", "7", "10"),
                                         "S:m2 OK",
                                         BODY("1", "abc"),
                                         "S:1 OK done",
                                         NUMBERS("1", "8", "10"),
                                         "S:m3 OK",
                                         "R:* 1 FETCH (UID 1 BODY[] {300}\r\nhalf",
                                         NULL};
    struct basket b = {0};
    begin(script);
    assert_int_equal(fetch_of(3, one_each, &b), WORKER_BROKEN);
    assert_int_equal(asked[0].result, WORKER_DONE);
    assert_int_equal(asked[1].result, WORKER_BROKEN);
    assert_int_equal(asked[2].result, WORKER_BROKEN);
    assert_true(asked[1].error.err < 0 && asked[2].error.err == 0);
    assert_int_equal(b.n, 2);
    check_mail(&b, 0, "abc");
    assert_false(b.mail[1].whole);
    assert_int_equal(fetch_of(1, one_each, &b), WORKER_BROKEN);
    basket_finish(&b);
    end();
}

/* Who asks for a pause is asked nothing more: neither why A is refused, nor for what does not fit in. */
static void test_a_pause_in_a_flight(void **state)
{
    (void)state;
    static char many[4000];
    const char *uids[] = {"1", "1", many};
    for (int i = 1; i < 300; i++)
        sprintf(many + strlen(many), "%s%d", i == 1 ? "" : ",", 2 * i);
    static const char *const script[] = {OPEN(""),
                                         ASKED("A", "1"),
                                         ASKED("B", "2"),
                                         NUMBERS("1", "7", "10"),
                                         "S:m2 OK",
                                         BODY("1", "abc"),
                                         "S:1 OK done",
                                         NUMBERS("1", "8", "10"),
                                         "S:m3 OK",
                                         "S:2 NO Suggested Backoff Time: 30000 Milliseconds",
                                         BYE};
    struct basket b = {0};
    begin(script);
    assert_int_equal(fetch_of(3, uids, &b), WORKER_DONE);
    assert_int_equal(asked[0].result, WORKER_DONE);
    assert_int_equal(asked[1].result, WORKER_REFUSED);
    assert_int_equal(asked[1].error.retry_ms, 30000);
    assert_int_equal(asked[2].result, WORKER_BROKEN);
    assert_int_equal(b.n, 1);
    basket_finish(&b);
    end();
}

/* Nor is it asked why a mailbox is refused, whether that or the pause is told first. */
static void test_a_pause_and_a_refusal_in_a_flight(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         ASKED("A", "1"),
                                         ASKED("B", "2"),
                                         ASKED("C", "3"),
                                         "S:m2 NO [NONEXISTENT] gone",
                                         "S:1 BAD nothing selected",
                                         NUMBERS("1", "8", "10"),
                                         "S:m3 OK",
                                         "S:2 NO Suggested Backoff Time: 30000 Milliseconds",
                                         "S:m4 NO throttled",
                                         "S:3 BAD nothing selected",
                                         BYE};
    struct basket b = {0};
    begin(script);
    assert_int_equal(fetch_of(3, one_each, &b), WORKER_DONE);
    assert_int_equal(asked[0].result, WORKER_REFUSED);
    assert_int_equal(asked[1].result, WORKER_REFUSED);
    assert_int_equal(asked[1].error.retry_ms, 30000);
    assert_int_equal(asked[2].result, WORKER_REFUSED);
    assert_int_equal(b.n, 0);
    end();
}

/* Of a server that goes on with what was selected before: what it said to the FETCH counts for nothing. */
static void test_refused_and_then_cut(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         ASKED("A", "1"),
                                         ASKED("B", "2"),
                                         "S:m2 NO [NONEXISTENT] gone",
                                         "S:1 OK done",
                                         "S:m3 NO [NONEXISTENT] gone",
                                         "S:2 OK done",
                                         ASKED("A", "3"),
                                         NULL};
    struct basket b = {0};
    begin(script);
    assert_int_equal(fetch_of(2, one_each, &b), WORKER_BROKEN);
    assert_int_equal(asked[0].result, WORKER_BROKEN);
    assert_int_equal(asked[1].result, WORKER_REFUSED);
    end();
}

/* The cache cannot take more: nothing more is read, and the session is another one then. */
static void test_a_full_disk_in_a_flight(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN(""), ASKED("A", "1"), ASKED("B", "2"), NUMBERS("1", "7", "10"), "S:m2 OK", BODY("1", "abc"), "H",
        NULL};
    struct basket b = {.fail = -ENOSPC};
    begin(script);
    assert_int_equal(fetch_of(2, one_each, &b), WORKER_LOCAL);
    assert_int_equal(asked[0].result, WORKER_LOCAL);
    assert_int_equal(asked[0].error.err, -ENOSPC);
    assert_int_equal(asked[1].result, WORKER_BROKEN);
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
        cmocka_unit_test(test_a_flight),
        cmocka_unit_test(test_refusals_in_a_flight),
        cmocka_unit_test(test_a_flight_that_is_cut),
        cmocka_unit_test(test_a_pause_in_a_flight),
        cmocka_unit_test(test_a_full_disk_in_a_flight),
        cmocka_unit_test(test_a_pause_and_a_refusal_in_a_flight),
        cmocka_unit_test(test_refused_and_then_cut),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
