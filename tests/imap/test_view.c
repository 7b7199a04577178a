/* What a session was told since its last scan: the next one asks about no more than that, if all of it is
 * known (sync/imap/view.c). */
#include "script.h"

static const struct worker_token known = {.uidvalidity = 7, .uidnext = 10, .exists = 3, .modseq = 50};

/* A scan after which all is known, with m1 to m3; the next command is m4. */
#define SCANNED                                                                                              \
    OPEN(" ENABLE QRESYNC ESEARCH UIDPLUS MOVE UNSELECT LIST-EXTENDED LIST-STATUS"), "C:ENABLE QRESYNC",     \
        "S:* ENABLED QRESYNC", "S:$ OK", SELECTED("3", "7", "10"), MODSEQ("50"), "S:$ OK [READ-WRITE] x"
#define LISTED(numbers) "S:* LIST () \"/\" INBOX", "S:* STATUS INBOX (" numbers ")"
#define AS_BEFORE "MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7 HIGHESTMODSEQ 50"
/* LIST is m4, and NOOP, which is sent first, and here answered first, m5. */
#define LOOKED(news, numbers) "C:m5 NOOP", "C:m4 LIST", news, "S:m5 OK", LISTED(numbers), "S:m4 OK"
#define AGAIN(modseq) "C:SELECT \"INBOX\" (QRESYNC (7 " modseq "))"

static struct worker_box inbox;

static int on_box(void *arg, const struct worker_box *b)
{
    (void)arg;
    inbox = *b;
    return 0;
}

static void tree(void)
{
    inbox = (struct worker_box){0};
    enum worker_result r = rig.w->ops->tree(rig.w, on_box, NULL, &rig.e);
    if (r != WORKER_DONE)
        print_message("%s; %s\n", rig.e.text, server.wrong);
    assert_int_equal(r, WORKER_DONE);
}

/* Plays it: a scan, the tree, another scan. Has the mailbox numbers in the tree, by which nothing changed? */
static bool play(const char *const *script, enum worker_result expected)
{
    begin(script);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_true(scan.nothing);
    tree();
    bool same = inbox.has_status;
    assert_int_equal(look(&known, WORKER_CHANGES), expected);
    return same;
}

static void it_asks_about_flags(void **state)
{
    (void)state;
    static const char *const script[] = {
        SCANNED, LOOKED("S:* 2 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (51))", AS_BEFORE),
        "C:m6 UID FETCH 4 (UID FLAGS MODSEQ)", "S:* 2 FETCH (UID 4 FLAGS (\\Seen \\Draft) MODSEQ (52))",
        "S:$ OK",
        /* And on: what was told is no news; the token is as SELECT told it. */
        "C:m8 NOOP", "C:m7 LIST", LISTED("MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7 HIGHESTMODSEQ 52"), "S:m8 OK",
        "S:m7 OK", BYE};
    assert_false(play(script, WORKER_DONE));
    assert_true(scan.n == 1 && scan.message[0].uid == 4 && !scan.full && scan.vanished.n == 0);
    assert_int_equal(scan.message[0].flags, FLAG_SEEN | FLAG_DRAFT);
    assert_true(scan.token.modseq == 50 && scan.token.uidnext == 10 && scan.token.exists == 3);
    assert_true(scan.token.uidvalidity == 7);
    tree();
    assert_true(inbox.has_status && inbox.modseq == 50 && inbox.messages == 3 && inbox.uidnext == 10);
    end();
}

static void it_asks_about_new_mail(void **state)
{
    (void)state;
    static const char *const script[] = {SCANNED,
                                         LOOKED("S:* 4 EXISTS", AS_BEFORE),
                                         "C:m6 UID FETCH 10:* (UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE "
                                         "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])",
                                         "S:* 4 FETCH (UID 10 FLAGS () MODSEQ (60) RFC822.SIZE 6)",
                                         "S:* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (61))", /* meanwhile */
                                         "S:$ OK",
                                         BYE};
    assert_false(play(script, WORKER_DONE));
    assert_true(scan.n == 2 && scan.message[1].uid == 10 && scan.message[1].has_details);
    assert_int_equal(scan.message[0].flags, FLAG_FLAGGED);
    assert_true(scan.token.modseq == 50 && scan.token.uidnext == 11 && scan.token.exists == 4);
    end();
}

static void without_news_nothing_changed(void **state)
{
    (void)state;
    static const char *const script[] = {SCANNED,
                                         LOOKED("S:* OK still here", AS_BEFORE), /* asked all the same: */
                                         AGAIN("50"),
                                         "S:* 3 EXISTS",
                                         "S:* OK [UIDVALIDITY 7] x",
                                         "S:* OK [UIDNEXT 10] x",
                                         MODSEQ("50"),
                                         "S:$ OK",
                                         BYE};
    assert_true(play(script, WORKER_DONE));
    assert_true(scan.nothing);
    end();
}

/* What is not understood, or is about removals, or does not fit: then SELECT tells all. */
static void otherwise_it_selects_again(void **state)
{
    (void)state;
#define THEN_SELECTS                                                                                         \
    AGAIN("50"), "S:* 3 EXISTS", "S:* OK [UIDVALIDITY 7] x", "S:* OK [UIDNEXT 10] x", MODSEQ("50"),          \
        "S:$ OK", BYE
    static const char *const vanished[] = {SCANNED, LOOKED("S:* VANISHED 4", AS_BEFORE), THEN_SELECTS};
    static const char *const expunged[] = {SCANNED, LOOKED("S:* 1 EXPUNGE", AS_BEFORE), THEN_SELECTS};
    static const char *const no_uid[] = {SCANNED, LOOKED("S:* 2 FETCH (FLAGS ())", AS_BEFORE), THEN_SELECTS};
    static const char *const garbage[] = {SCANNED, LOOKED("S:* 2 FETCH (UID 4 FLAGS", AS_BEFORE),
                                          THEN_SELECTS};
    static const char *const fewer[] = {SCANNED, LOOKED("S:* 2 EXISTS", AS_BEFORE), THEN_SELECTS};
    static const char *const permanent[] = {SCANNED, LOOKED("S:* OK [PERMANENTFLAGS (\\Seen)] x", AS_BEFORE),
                                            THEN_SELECTS};
    static const char *const trouble[] = {SCANNED, LOOKED("S:* NO Internal error", AS_BEFORE), THEN_SELECTS};
    static const char *const overflow[] = {SCANNED, LOOKED("S:* OK [NOTIFICATIONOVERFLOW] x", AS_BEFORE),
                                           THEN_SELECTS};
    /* STATUS knows more than was told. */
    static const char *const untold[] = {
        SCANNED, LOOKED("S:* OK x", "MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7 HIGHESTMODSEQ 51"), THEN_SELECTS};
    /* The NOOP fails. */
    static const char *const refused[] = {SCANNED,   "C:m5 NOOP", "C:m4 LIST",
                                          "S:m4 OK", "S:m5 NO x", THEN_SELECTS};
    static const char *const *const all[] = {vanished,  expunged, no_uid,   garbage, fewer,
                                             permanent, trouble,  overflow, untold,  refused};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_false(play(all[i], WORKER_DONE));
        assert_true(scan.nothing);
        end();
    }
}

/* What it was told is not enough after all: the answers do not fit. */
static void answers_that_do_not_fit(void **state)
{
    (void)state;
#define FLAG_NEWS LOOKED("S:* 2 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (51))", AS_BEFORE), "C:m6 UID FETCH 4"
#define THEN_TELLS_ALL                                                                                       \
    AGAIN("50"), "S:* 3 EXISTS", "S:* OK [UIDVALIDITY 7] x", "S:* OK [UIDNEXT 10] x", MODSEQ("53"),          \
        "S:* 2 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (53))", "S:$ OK", BYE
    static const char *const no_modseq[] = {SCANNED, FLAG_NEWS, "S:* 2 FETCH (UID 4 FLAGS (\\Seen))",
                                            "S:$ OK", THEN_TELLS_ALL};
    static const char *const another[] = {
        SCANNED, FLAG_NEWS, "S:* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (51))", "S:$ OK", THEN_TELLS_ALL};
    static const char *const no_flags[] = {SCANNED,
                                           FLAG_NEWS,
                                           "S:* 2 FETCH (UID 4 MODSEQ (51))",
                                           "S:* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (51))",
                                           "S:$ OK",
                                           THEN_TELLS_ALL};
    static const char *const nothing[] = {SCANNED, FLAG_NEWS, "S:$ OK", THEN_TELLS_ALL};
    static const char *const refused[] = {SCANNED, FLAG_NEWS, "S:$ BAD what", THEN_TELLS_ALL};
    static const char *const removed[] = {
        SCANNED,          FLAG_NEWS, "S:* 2 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (51))",
        "S:* VANISHED 5", "S:$ OK",  THEN_TELLS_ALL};
    /* New mail that is announced and not told. */
    static const char *const untold[] = {SCANNED,
                                         LOOKED("S:* 4 EXISTS", AS_BEFORE),
                                         "C:m6 UID FETCH 10:*",
                                         "S:* 3 FETCH (UID 9 FLAGS () MODSEQ (51))",
                                         "S:$ OK",
                                         THEN_TELLS_ALL};
    static const char *const *const all[] = {no_modseq, another, no_flags, nothing, refused, removed, untold};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_false(play(all[i], WORKER_DONE));
        assert_true(scan.n == 1 && scan.message[0].uid == 4 && scan.token.modseq == 53);
        end();
    }
}

/* libetpan reads the bodies: as long as nothing else comes with them the view stays whole. */
static void bodies_and_news(void **state)
{
    (void)state;
#define BODY "S:* 1 FETCH (UID 1 BODY[] {2}\r\nhi)"
    static const char *const whole[] = {SCANNED,
                                        "C:UID FETCH 1",
                                        BODY,
                                        "S:$ OK done",
                                        "C:NOOP",
                                        "C:LIST",
                                        "S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))",
                                        "S:m5 OK",
                                        LISTED(AS_BEFORE),
                                        "S:m4 OK",
                                        "C:UID FETCH 4 (UID FLAGS MODSEQ)",
                                        "S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))",
                                        "S:$ OK",
                                        BYE};
#define LOST(news)                                                                                           \
    SCANNED, "C:UID FETCH 1", BODY, news, "S:$ OK done", "C:UNSELECT", "C:LIST", "S:m5 OK",                  \
        LISTED(AS_BEFORE), "S:m4 OK", THEN_SELECTS
    static const char *const flags[] = {LOST("S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))")};
    static const char *const exists[] = {LOST("S:* 4 EXISTS")};
    static const char *const vanished[] = {LOST("S:* VANISHED 4")};
    static const char *const status[] = {LOST("S:* OK [PERMANENTFLAGS ()] x")};
    static const char *const *const all[] = {whole, flags, exists, vanished, status};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct basket b = {0};
        begin(all[i]);
        assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
        assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1", &b), WORKER_DONE);
        assert_true(b.n == 1 && b.mail[0].whole);
        basket_finish(&b);
        tree();
        assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
        assert_int_equal(scan.nothing, i > 0);
        end();
    }
}

/* The server asks for a pause: what it had told of is asked about after that, and not forgotten. */
static void a_pause(void **state)
{
    (void)state;
    static const char *const script[] = {SCANNED,
                                         LOOKED("S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))", AS_BEFORE),
                                         "C:m6 UID FETCH 4",
                                         "S:$ NO Suggested Backoff Time: 5000 milliseconds",
                                         "C:UNSELECT",
                                         "C:LIST",
                                         "S:m8 OK",
                                         LISTED("MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7 HIGHESTMODSEQ 51"),
                                         "S:m7 OK",
                                         THEN_TELLS_ALL};
    assert_false(play(script, WORKER_REFUSED));
    assert_true(rig.e.retry_ms == 5000);
    tree();
    assert_true(inbox.has_status && inbox.modseq == 51);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_int_equal(scan.n, 1);
    end();
}

/* Another client may rename any mailbox but the inbox, and give its name away. */
static void only_the_inbox(void **state)
{
    (void)state;
    static const char *const script[] = {SCANNED,           "C:m5 UNSELECT", "C:m4 LIST", "S:m5 OK",
                                         LISTED(AS_BEFORE), "S:m4 OK",       BYE};
    begin(script);
    assert_int_equal(rig.w->ops->scan(rig.w, "Lists", &known, WORKER_CHANGES, &scan, &rig.e), WORKER_DONE);
    tree();
    assert_true(inbox.has_status);
    end();
}

/* What it told is believed for a while: then all since the last SELECT is told once more. */
static void all_of_it_now_and_then(void **state)
{
    (void)state;
    enum { LOOKS = 50, LINES = 9 };
    static const char *script[64 + LOOKS * (LINES + 1)];
    static const char *const first[] = {SCANNED, NULL};
    static const char *const each[LINES] = {"C:NOOP",
                                            "C:LIST",
                                            "S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))",
                                            NULL,
                                            LISTED(AS_BEFORE),
                                            NULL,
                                            "C:UID FETCH 4 (UID FLAGS MODSEQ)",
                                            "S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))"};
    static const char *const last[] = {"C:UNSELECT", "C:LIST", NULL, LISTED(AS_BEFORE), NULL, THEN_TELLS_ALL};
    static char tags[LOOKS + 1][3][16];
    size_t n = 0;
    for (size_t i = 0; first[i]; i++)
        script[n++] = first[i];
    for (unsigned i = 0; i <= LOOKS; i++) {
        snprintf(tags[i][0], sizeof tags[i][0], "S:m%u OK", 5 + 3 * i);
        snprintf(tags[i][1], sizeof tags[i][1], "S:m%u OK", 4 + 3 * i);
        for (size_t k = 0, null = 0; i < LOOKS && k < LINES; k++)
            script[n++] = each[k] ? each[k] : tags[i][null++];
        if (i < LOOKS)
            script[n++] = "S:$ OK";
    }
    for (size_t k = 0, null = 0; k < sizeof last / sizeof *last && (last[k] || null < 2); k++)
        script[n++] = last[k] ? last[k] : tags[LOOKS][null++];
    begin(script);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    for (unsigned i = 0; i < LOOKS; i++) {
        tree();
        assert_false(inbox.has_status);
        assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
        assert_true(scan.n == 1 && scan.token.modseq == 50);
    }
    tree();
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_int_equal(scan.token.modseq, 53);
    end();
}

/* A token that is not the last one's, or a deeper look: the view does not answer that. */
static void another_question(void **state)
{
    (void)state;
#define NEWS LOOKED("S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))", AS_BEFORE)
    static const char *const older[] = {SCANNED,
                                        NEWS,
                                        AGAIN("40"),
                                        "S:* 3 EXISTS",
                                        "S:* OK [UIDVALIDITY 7] x",
                                        "S:* OK [UIDNEXT 10] x",
                                        MODSEQ("51"),
                                        "S:* 2 FETCH (UID 4 FLAGS () MODSEQ (51))",
                                        "S:$ OK",
                                        BYE};
    static const char *const deeper[] = {SCANNED,
                                         NEWS,
                                         SELECTED("3", "7", "10"),
                                         MODSEQ("51"),
                                         "S:$ OK",
                                         "C:UID FETCH 1:* (UID FLAGS)",
                                         "S:* 1 FETCH (UID 1 FLAGS ())",
                                         "S:* 2 FETCH (UID 4 FLAGS ())",
                                         "S:* 3 FETCH (UID 9 FLAGS ())",
                                         "S:$ OK",
                                         BYE};
    const struct worker_token before = {.uidvalidity = 7, .uidnext = 10, .exists = 3, .modseq = 40};
    begin(older);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    tree();
    assert_int_equal(look(&before, WORKER_CHANGES), WORKER_DONE);
    assert_int_equal(scan.n, 1);
    end();
    begin(deeper);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    tree();
    assert_int_equal(look(&known, WORKER_FLAGS), WORKER_DONE);
    assert_true(scan.full && scan.n == 3);
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_about_flags),
        cmocka_unit_test(it_asks_about_new_mail),
        cmocka_unit_test(without_news_nothing_changed),
        cmocka_unit_test(otherwise_it_selects_again),
        cmocka_unit_test(answers_that_do_not_fit),
        cmocka_unit_test(bodies_and_news),
        cmocka_unit_test(a_pause),
        cmocka_unit_test(only_the_inbox),
        cmocka_unit_test(all_of_it_now_and_then),
        cmocka_unit_test(another_question),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
