/* The verbs, against scripted servers: the lies of design's list, the limits, the ways a session ends. */
#include "script.h"
#include <unistd.h>
#include "clock.h"

static const struct worker_token known = {.uidvalidity = 7, .uidnext = 10, .exists = 3, .modseq = 50};

static void test_qresync(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN_QRESYNC, SELECTED("3", "7", "12"), MODSEQ("60"), "S:* VANISHED (EARLIER) 2,4",
        "S:* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (55))", "S:* 3 FETCH (MODSEQ (58) UID 11 FLAGS ())",
        "S:$ OK [READ-WRITE] x",
        "C:UID FETCH 10:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])",
        "S:* 2 FETCH (UID 10 FLAGS () RFC822.SIZE 5)",
        "S:* 3 FETCH (UID 11 FLAGS (\\Draft) RFC822.SIZE 6 BODY[HEADER.FIELDS (MESSAGE-ID)] {2}\r\n\r\n)",
        "S:$ OK",
        /* Nothing new. */
        "C:SELECT \"INBOX\" (QRESYNC (7 60))", "S:* OK [CLOSED] x", "S:* 3 EXISTS",
        "S:* OK [UIDVALIDITY 7] x", "S:* OK [UIDNEXT 12] x", MODSEQ("60"), "S:$ OK [READ-ONLY] x", BYE};
    begin(script);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_true(!scan.full && !scan.nothing && scan.n == 3 && uidset_count(&scan.vanished) == 2);
    assert_int_equal(scan.message[0].flags, FLAG_SEEN);
    assert_false(scan.message[0].has_details);
    assert_true(scan.message[1].uid == 10 && scan.message[1].has_details && scan.message[1].size == 5);
    assert_true(scan.message[2].uid == 11 && scan.message[2].flags == FLAG_DRAFT);
    assert_true(scan.token.modseq == 60 && scan.token.uidnext == 12 && scan.token.exists == 3);
    assert_true(scan.permanent == ~(flags_t)0 && scan.keywords_allowed); /* nothing said about them */
    const struct worker_token next = scan.token;
    assert_int_equal(look(&next, WORKER_CHANGES), WORKER_DONE);
    assert_true(scan.nothing && scan.read_only);
    end();
}

/* A VANISHED that is malformed, that says too much, or that names mail which is there: SEARCH decides, and
 * removes nothing that exists. */
static void test_vanished_lies(void **state)
{
    (void)state;
    static const char *const malformed[] = {OPEN_QRESYNC,
                                            SELECTED("2", "7", "10"),
                                            MODSEQ("60"),
                                            "S:* VANISHED (EARLIER) 1:",
                                            "S:$ OK",
                                            "C:UID SEARCH RETURN (ALL) ALL",
                                            "S:* ESEARCH (TAG \"$\") UID ALL 1,3",
                                            "S:$ OK",
                                            BYE};
    static const char *const lie[] = {OPEN_QRESYNC,
                                      SELECTED("3", "7", "10"),
                                      MODSEQ("60"),
                                      "S:* VANISHED (EARLIER) 3",
                                      "S:$ OK",
                                      "C:UID SEARCH",
                                      "S:* ESEARCH (TAG \"$\") UID ALL 1:3",
                                      "S:$ OK",
                                      BYE};
    static const char *const both[] = {OPEN_QRESYNC,
                                       SELECTED("2", "7", "10"),
                                       MODSEQ("60"),
                                       "S:* VANISHED (EARLIER) 3",
                                       "S:* 1 FETCH (UID 3 FLAGS ())",
                                       "S:$ OK",
                                       "C:UID SEARCH",
                                       "S:* ESEARCH (TAG \"$\") UID ALL 1,3",
                                       "S:$ OK",
                                       BYE};
    static const char *const few[] = {OPEN_QRESYNC,
                                      SELECTED("3", "7", "10"),
                                      MODSEQ("60"),
                                      "S:* VANISHED (EARLIER) 3",
                                      "S:$ OK",
                                      "C:UID SEARCH",
                                      "S:* ESEARCH (TAG \"$\") UID",
                                      "S:$ OK",
                                      BYE};
    static const char *const *const all[] = {malformed, lie, both};
    static const size_t n[] = {2, 3, 2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        begin(all[i]);
        assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
        assert_true(scan.full && scan.n == n[i] && scan.vanished.n == 0 && scan.number == 74);
        assert_true(scan.message[scan.n - 1].uid == 3 && scan.token.exists == n[i]);
        end();
    }
    /* Even the list falls short of EXISTS: nothing is removed, and the token does not hold. */
    begin(few);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_true(!scan.full && scan.vanished.n == 0 && scan.token.modseq == 0 && scan.token.exists == 0);
    end();
}

static void test_condstore(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" CONDSTORE"),
                                         "C:SELECT \"INBOX\" (CONDSTORE)",
                                         "S:$ BAD no parameters",
                                         "C:SELECT \"INBOX\"\r",
                                         "S:* 3 EXISTS",
                                         "S:* OK [UIDVALIDITY 7] x",
                                         "S:* OK [UIDNEXT 10] x",
                                         MODSEQ("51"),
                                         "S:* OK [PERMANENTFLAGS (\\Seen \\*)] x",
                                         "S:$ OK",
                                         "C:UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 50)",
                                         "S:* 2 FETCH (UID 2 FLAGS (\\Answered))",
                                         "S:$ OK",
                                         "C:SELECT \"INBOX\"\r",
                                         "S:* 2 EXISTS",
                                         "S:* OK [UIDVALIDITY 7] x",
                                         "S:* OK [UIDNEXT 10] x",
                                         MODSEQ("52"),
                                         "S:* OK [PERMANENTFLAGS (\\Seen work)] x",
                                         "S:$ OK",
                                         "C:UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 51)",
                                         "S:$ OK",
                                         "C:UID SEARCH ALL",
                                         "S:* SEARCH 9 1 9",
                                         "S:$ OK",
                                         BYE};
    begin(script);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_true(!scan.full && scan.n == 1 && scan.message[0].uid == 2 &&
                scan.message[0].flags == FLAG_ANSWERED);
    assert_true((scan.permanent & FLAGS_SYSTEM) == (FLAG_SEEN | FLAG_FORWARDED) && scan.keywords_allowed);
    const struct worker_token next = scan.token;
    assert_int_equal(look(&next, WORKER_CHANGES), WORKER_DONE);
    assert_true(scan.full && scan.n == 2 && scan.message[0].uid == 1 && scan.message[1].uid == 9 &&
                !scan.message[1].has_flags);
    assert_true(scan.permanent == (FLAG_SEEN | (flags_t)1 << FLAGS_FIRST_KEYWORD) && !scan.keywords_allowed);
    end();
}

/* One script each, against the same token: which look it makes, and by which case. */
static void one_look(const char *const *script, int number, bool full, size_t n)
{
    begin(script);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_int_equal(scan.number, number);
    assert_int_equal(scan.full, full);
    assert_int_equal(scan.n, n);
    end();
}

#define THREE                                                                                                \
    "S:* 1 FETCH (UID 1 FLAGS ())", "S:* 2 FETCH (UID 2 FLAGS ())", "S:* 3 FETCH (UID 3 FLAGS ())", "S:$ OK"

static void test_tokens(void **state)
{
    (void)state;
    static const char *const lower[] = {OPEN_QRESYNC, SELECTED("3", "7", "10"),        MODSEQ("49"),
                                        "S:$ OK",     "C:UID FETCH 1:* (UID FLAGS)\r", THREE,
                                        BYE};
    static const char *const none[] = {OPEN_QRESYNC, SELECTED("3", "7", "10"),        "S:* OK [NOMODSEQ] x",
                                       "S:$ OK",     "C:UID FETCH 1:* (UID FLAGS)\r", THREE,
                                       BYE};
    static const char *const rewound[] = {OPEN_QRESYNC,
                                          SELECTED("3", "7", "9"),
                                          MODSEQ("60"),
                                          "S:$ OK",
                                          "C:UID FETCH 1:* (UID FLAGS INTERNALDATE",
                                          THREE,
                                          BYE};
    static const char *const no_next[] = {OPEN_QRESYNC,
                                          "C:SELECT",
                                          "S:* 3 EXISTS",
                                          "S:* OK [UIDVALIDITY 7] x",
                                          MODSEQ("60"),
                                          "S:$ OK",
                                          "C:UID FETCH 1:* (UID FLAGS)\r",
                                          THREE,
                                          BYE};
    static const char *const no_validity[] = {OPEN_QRESYNC,
                                              "C:SELECT",
                                              "S:* 3 EXISTS",
                                              "S:* OK [UIDNEXT 10] x",
                                              MODSEQ("60"),
                                              "S:$ OK",
                                              "C:UID FETCH 1:* (UID FLAGS)\r",
                                              THREE,
                                              BYE};
    static const char *const empty[] = {OPEN_QRESYNC, SELECTED("0", "7", "10"), MODSEQ("0"), "S:$ OK", BYE};
    static const char *const changed[] = {OPEN_QRESYNC, SELECTED("3", "8", "10"), MODSEQ("60"), "S:$ OK",
                                          BYE};
    static const char *const plain_same[] = {OPEN(""), SELECTED("3", "7", "10"), "S:$ OK", BYE};
    static const char *const plain_more[] = {
        OPEN(""),
        SELECTED("4", "7", "11"),
        "S:$ OK",
        "C:UID FETCH 1:* (UID FLAGS)\r",
        "S:* 4 FETCH (UID 10 FLAGS ())",
        THREE,
        "C:UID FETCH 10:* (UID FLAGS INTER",
        "S:* 4 FETCH (UID 10 FLAGS (\\Seen) RFC822.SIZE NIL INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\")",
        "S:$ OK",
        BYE};
    one_look(lower, 35, true, 3);
    one_look(none, 35, true, 3);
    one_look(rewound, 72, true, 3);
    one_look(no_next, 72, true, 3);
    one_look(no_validity, 72, true, 3);
    one_look(empty, 35, true, 0);
    one_look(plain_same, 0, false, 0);
    one_look(plain_more, 0, true, 4);
    begin(changed);
    assert_int_equal(look(&known, WORKER_CHANGES), WORKER_DONE);
    assert_true(scan.uidvalidity_changed && scan.token.uidvalidity == 8 && scan.number == 70);
    end();
}

/* FETCH lists fewer than EXISTS says; a message's answer is beyond reading. What SEARCH knows is there. */
static void test_short_listing(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         SELECTED("3", "7", "10"),
                                         "S:$ OK",
                                         "C:UID FETCH 1:* (UID FLAGS INTERNALDATE",
                                         "S:* 1 FETCH (UID 1 FLAGS ())",
                                         "S:* 2 FETCH (UID 2 FLAGS oops)",
                                         "S:* 3 FETCH (FLAGS ())",
                                         "S:$ OK",
                                         "C:UID SEARCH ALL",
                                         "S:* SEARCH 1 2 3",
                                         "S:$ OK",
                                         BYE};
    begin(script);
    assert_int_equal(look(NULL, WORKER_CHANGES), WORKER_DONE);
    assert_true(scan.full && scan.n == 3 && scan.message[0].has_flags && !scan.message[1].has_flags &&
                scan.token.uidnext == 10);
    end();
}

/* Mail that arrives while flags are told is not known before its details are, also where SEARCH has it
 * already. */
static void test_arrives_meanwhile(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN(""), SELECTED("1", "7", "10"), "S:$ OK", "C:UID FETCH 1:* (UID FLAGS)",
        "S:* 1 FETCH (UID 1 FLAGS ())", "S:* 2 EXISTS", "S:$ OK", "C:UID SEARCH ALL", "S:* SEARCH 1 10",
        "S:* 2 FETCH (UID 10 FLAGS (\\Seen))", "S:$ OK",
        /* The next one. */
        SELECTED("2", "7", "11"), "S:$ OK", "C:UID FETCH 1:* (UID FLAGS)", "S:* 1 FETCH (UID 1 FLAGS ())",
        "S:* 2 FETCH (UID 10 FLAGS (\\Seen))", "S:$ OK", "C:UID FETCH 10:* (UID FLAGS INTERNALDATE",
        "S:* 2 FETCH (UID 10 FLAGS (\\Seen) RFC822.SIZE 5)", "S:$ OK", BYE};
    begin(script);
    const struct worker_token since = {.uidvalidity = 7, .uidnext = 10, .exists = 1};
    assert_int_equal(look(&since, WORKER_FLAGS), WORKER_DONE);
    assert_true(scan.full && scan.n == 2 && scan.message[1].uid == 10 && !scan.message[1].has_flags);
    assert_int_equal(scan.token.uidnext, 10);
    assert_int_equal(scan.token.exists, 1);
    const struct worker_token next = scan.token;
    assert_int_equal(look(&next, WORKER_FLAGS), WORKER_DONE);
    assert_true(scan.full && scan.n == 2 && scan.message[1].has_flags && scan.message[1].has_details);
    assert_true(scan.token.uidnext == 11 && scan.token.exists == 2);
    end();
}

static void test_list(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         SELECTED("3", "7", "10"),
                                         "S:$ OK",
                                         "C:UID FETCH 9:* (",
                                         "S:* 3 FETCH (UID 8 FLAGS ())",
                                         "S:$ OK",
                                         "C:SELECT",
                                         "S:$ NO [NONEXISTENT] no",
                                         "C:LIST \"\" \"INBOX\"",
                                         "S:$ OK",
                                         "C:SELECT",
                                         "S:$ NO no right",
                                         "C:LIST",
                                         "S:* LIST () \"/\" inbox",
                                         "S:$ OK",
                                         BYE};
    begin(script);
    assert_int_equal(rig.w->ops->list(rig.w, "INBOX", 9, &scan, &rig.e), WORKER_DONE);
    assert_int_equal(scan.n, 0); /* n:* answered an older one */
    assert_int_equal(look(NULL, WORKER_CHANGES), WORKER_GONE);
    assert_int_equal(look(NULL, WORKER_CHANGES), WORKER_REFUSED);
    assert_string_equal(rig.e.text, "no right");
    end();
}

#define FETCHING OPEN(""), SELECTED("3", "7", "10"), "S:$ OK", "C:UID FETCH 1:5 (UID BODY.PEEK[])"

static void test_bodies(void **state)
{
    (void)state;
    static const char *const script[] = {FETCHING,
                                         "S:* 1 FETCH (UID 1 BODY[] {11}\r\na\rb\nc#d\r\n.\r)",
                                         "S:* 2 FETCH (BODY[] \"quoted \\\"x\\\"\" UID 2)",
                                         "S:* 9 EXISTS",
                                         "S:* 3 FETCH (FLAGS (\\Seen))",
                                         "S:* 3 FETCH (UID 3 BODY[] NIL)",
                                         "S:* 4 FETCH (UID 4 BODY[] {0}\r\n)",
                                         "S:* 5 FETCH (UID 77 BODY[] {2}\r\nhi)",
                                         "S:* 5 FETCH (UID 5 BODY[TEXT] {2}\r\nhi)",
                                         "S:* 5 FETCH (BODY[] {2}\r\nhi)",
                                         "S:$ OK done",
                                         BYE};
    static const struct {
        uint32_t uid;
        bool whole;
        const char *data;
        size_t length;
    } want[] = {{1, true, "a\rb\nc\0d\r\n.\r", 11},
                {2, true, "quoted \"x\"", 10},
                {3, false, "", 0},
                {4, false, "", 0},
                {77, false, "hi", 2},
                {5, false, "hi", 2},
                {0, false, "hi", 2}};
    struct basket b = {0};
    begin(script);
    assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1:5", &b), WORKER_DONE);
    assert_int_equal(b.n, sizeof want / sizeof *want);
    for (size_t i = 0; i < b.n; i++) {
        assert_int_equal(b.mail[i].uid, want[i].uid);
        assert_int_equal(b.mail[i].whole, want[i].whole);
        assert_int_equal(b.mail[i].length, want[i].length);
        if (want[i].length > 0)
            assert_memory_equal(b.mail[i].data, want[i].data, want[i].length);
    }
    basket_finish(&b);
    end();
}

static void test_broken_bodies(void **state)
{
    (void)state;
    static const char *const cut[] = {FETCHING, "R:* 1 FETCH (UID 1 BODY[] {1000}\r\n", "A:500", NULL};
    static const char *const garbage[] = {FETCHING, "S:* 1 FETCH (UID 1 BODY[] what)", "H", NULL};
    static const char *const deep[] = {FETCHING, "R:* 1 FETCH (UID 1 BODY ", "(:1000000", "H", NULL};
    static const char *const structure[] = {FETCHING, "R:* 1 FETCH (UID 1 BODYSTRUCTURE ", "(:1000000", "H",
                                            NULL};
    static const char *const line[] = {FETCHING, "R:* 1 FETCH (UID 1 BODY[] \"", "A:20000000", "H", NULL};
    static const char *const huge[] = {FETCHING, "S:* 1 FETCH (UID 1 BODY[] {4000000000}", "H", NULL};
    static const char *const bye[] = {FETCHING, "S:* BYE going down", NULL};
    static const char *const mute[] = {FETCHING, "R:* 1 FETCH (UID 1 BODY[] {1000}\r\n", "A:500", "H", NULL};
    static const char *const *const all[] = {cut, garbage, deep, structure, line, huge, bye, mute};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct basket b = {.count_only = true};
        begin(all[i]);
        imap_of(rig.w)->idle_ms = 500;
        assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1:5", &b), WORKER_BROKEN);
        assert_int_equal(b.ends, b.octets > 0); /* what was begun is ended: not whole */
        assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1:5", &b), WORKER_BROKEN);
        end();
    }
    static const char *const no[] = {FETCHING, "S:* 1 FETCH (UID 1 BODY[] {1}\r\na)",
                                     "S:$ NO [EXPUNGEISSUED] some are gone", BYE};
    static const char *const throttled[] = {
        FETCHING, "S:$ BAD Request is throttled. Suggested Backoff Time: 1500 milliseconds", BYE};
    struct basket b = {.count_only = true};
    begin(no);
    assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1:5", &b), WORKER_REFUSED);
    assert_string_equal(rig.e.text, "some are gone");
    assert_int_equal(b.ends, 1);
    end();
    begin(throttled);
    assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1:5", &b), WORKER_REFUSED);
    assert_int_equal(rig.e.retry_ms, 1500);
    end();
}

static void test_append(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" BINARY UIDPLUS"),
                                         "C:APPEND \"INBOX\" (\\Seen) \"14-Nov-2023 23:13:20 +0100\" {5}\r",
                                         "S:* 7 EXISTS",
                                         "S:* OK still there",
                                         "S:+ go",
                                         "N:7",
                                         "S:* 8 EXISTS",
                                         "S:$ OK [APPENDUID 9 12] x",
                                         "C:APPEND",
                                         "S:$ NO [TOOBIG] too large",
                                         "C:APPEND",
                                         "S:+ go",
                                         "N:7",
                                         "S:$ NO [OVERQUOTA] full",
                                         "C:APPEND",
                                         "S:$ NO [TRYCREATE] none such",
                                         "C:~{3}\r",
                                         "S:+ go",
                                         "N:5",
                                         "S:$ OK [APPENDUID 9 13:14] x",
                                         "C:APPEND {3}\r",
                                         "S:+ name",
                                         "C:\xc3\xa4z () \"14-Nov-2023 23:13:20 +0100\" {5}",
                                         "S:+ go",
                                         "N:7",
                                         "S:m7 OK",
                                         BYE};
    static const char *const plus[] = {OPEN(" LITERAL+"), "C:{5+}\r", "N:7", "S:$ OK", BYE};
    static const char *const no_binary[] = {OPEN(""), BYE};
    struct worker_outcome got = {0};
    begin(script);
    assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, FLAG_SEEN, &got), WORKER_DONE);
    assert_true(got.uidvalidity == 9 && got.uid == 12);
    assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, 0, &got), WORKER_REFUSED);
    assert_int_equal(rig.e.err, -EFBIG);
    assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, 0, &got), WORKER_REFUSED);
    assert_int_equal(rig.e.err, -EDQUOT);
    assert_string_equal(rig.e.text, "full");
    assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, 0, &got), WORKER_REFUSED);
    assert_true(rig.e.try_create);
    assert_int_equal(rig_append(&rig, "INBOX", "a\0b", 3, 0, &got), WORKER_DONE);
    assert_int_equal(got.uid, 0); /* a set is no UID */
    assert_int_equal(rig_append(&rig, "\xc3\xa4z", "hello", 5, 0, &got), WORKER_DONE);
    end();
    begin(plus);
    assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, 0, &got), WORKER_DONE);
    end();
    begin(no_binary);
    assert_int_equal(rig_append(&rig, "INBOX", "a\0b", 3, 0, &got), WORKER_REFUSED);
    assert_int_equal(rig.e.err, -EINVAL);
    assert_int_equal(rig.w->ops->ping(rig.w, &rig.e), WORKER_DONE);
    end();
}

/* From the first octet to the answer nobody knows. */
static void test_unknown(void **state)
{
    (void)state;
    static const char *const before[] = {OPEN(""), "C:APPEND", NULL},
                             *const inside[] = {OPEN(""), "C:APPEND", "S:+ go", "N:3", NULL},
                             *const after[] = {OPEN(""), "C:APPEND", "S:+ go", "N:7", NULL},
                             *const mute[] = {OPEN(""), "C:APPEND", "S:+ go", "N:7", "H", NULL},
                             *const store[] = {OPEN(""), SELECTED("3", "7", "10"), "S:$ OK", "C:UID STORE",
                                               NULL};
    static const char *const *const all[] = {before, inside, after, mute};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        begin(all[i]);
        imap_of(rig.w)->idle_ms = 300;
        assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, 0, NULL), WORKER_UNKNOWN);
        assert_int_equal(rig_append(&rig, "INBOX", "hello", 5, 0, NULL), WORKER_BROKEN);
        end();
    }
    begin(store);
    assert_int_equal(rig_apply(&rig, WORKER_STORE, "INBOX", "1", NULL, FLAG_SEEN, 0, NULL), WORKER_UNKNOWN);
    end();
}

static void test_change(void **state)
{
    (void)state;
    static const char *const script[] = {
        OPEN(" MOVE"),
        SELECTED("3", "7", "10"),
        "S:$ OK",
        "C:UID STORE 1:2 +FLAGS.SILENT (\\Seen $Forwarded)",
        "S:$ OK",
        "C:UID STORE 1:2 -FLAGS.SILENT (\\Flagged)",
        "S:* 1 FETCH (FLAGS ())",
        "S:$ OK",
        "C:UID MOVE 1:2 \"Else\"",
        "S:* OK [COPYUID 8 1:2 4:5] x",
        "S:* 1 EXPUNGE",
        "S:* 1 EXPUNGE",
        "S:$ OK done",
        "C:UID MOVE 1 \"Else\"",
        "S:* OK [COPYUID 8 1 4:5] x",
        "S:$ OK",
        "C:UID MOVE 1 {2}\r",
        "S:+ go",
        "C:\xc3\xa4\r",
        "S:m7 OK [COPYUID 8 1 6] x",
        "C:UID MOVE",
        "S:$ BAD Request is throttled. Suggested Backoff Time: 2000 milliseconds",
        "C:UID MOVE",
        "S:$ NO [OVERQUOTA] full",
        BYE};
    struct worker_outcome got = {0};
    begin(script);
    assert_int_equal(
        rig_apply(&rig, WORKER_STORE, "INBOX", "1:2", NULL, FLAG_SEEN | FLAG_FORWARDED, FLAG_FLAGGED, NULL),
        WORKER_DONE);
    assert_int_equal(rig_apply(&rig, WORKER_MOVE, "INBOX", "1:2", "Else", 0, 0, &got), WORKER_DONE);
    assert_true(got.moved && got.uidvalidity == 8 && uidset_has(&got.source, 2) &&
                uidset_has(&got.target, 5));
    uidset_finish(&got.source);
    uidset_finish(&got.target);
    /* COPYUID that does not go up nth by nth is none (49). */
    assert_int_equal(rig_apply(&rig, WORKER_MOVE, "INBOX", "1", "Else", 0, 0, &got), WORKER_DONE);
    assert_true(got.moved && got.uidvalidity == 0 && got.source.n == 0);
    assert_int_equal(rig_apply(&rig, WORKER_MOVE, "INBOX", "1", "\xc3\xa4", 0, 0, &got), WORKER_DONE);
    assert_true(uidset_has(&got.target, 6));
    uidset_finish(&got.source);
    uidset_finish(&got.target);
    assert_int_equal(rig_apply(&rig, WORKER_MOVE, "INBOX", "1", "Else", 0, 0, &got), WORKER_REFUSED);
    assert_true(rig.e.retry_ms == 2000 && rig.e.err == -EAGAIN);
    assert_int_equal(rig_apply(&rig, WORKER_MOVE, "INBOX", "1", "Else", 0, 0, &got), WORKER_REFUSED);
    assert_int_equal(rig.e.err, -EDQUOT);
    end();
}

/* Without UIDPLUS: what others have marked stays. */
static void test_expunge(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),
                                         SELECTED("3", "7", "10"),
                                         "S:$ OK",
                                         "C:UID STORE 2 +FLAGS.SILENT (\\Deleted)",
                                         "S:$ OK",
                                         "C:UID SEARCH DELETED",
                                         "S:* SEARCH 5 2 4",
                                         "S:$ OK",
                                         "C:UID STORE 4:5 -FLAGS.SILENT (\\Deleted)",
                                         "S:$ OK",
                                         "C:EXPUNGE",
                                         "S:* 2 EXPUNGE",
                                         "S:$ OK",
                                         "C:UID STORE 4:5 +FLAGS.SILENT (\\Deleted)",
                                         "S:$ OK",
                                         BYE};
    static const char *const refused[] = {OPEN(" UIDPLUS"),
                                          SELECTED("3", "7", "10"),
                                          "S:$ OK",
                                          "C:UID STORE 2 +FLAGS",
                                          "S:$ OK",
                                          "C:UID EXPUNGE 2",
                                          "S:$ BAD what",
                                          "C:UID SEARCH DELETED",
                                          "S:* SEARCH 2 4",
                                          "S:$ OK",
                                          "C:UID STORE 4 -FLAGS",
                                          "S:$ OK",
                                          "C:EXPUNGE",
                                          "S:$ NO not now",
                                          "C:UID STORE 4 +FLAGS",
                                          "S:$ OK",
                                          BYE};
    static const char *const silent[] = {OPEN(""), SELECTED("3", "7", "10"), "S:$ OK", "C:UID STORE 2 +FLAGS",
                                         "S:$ OK", "C:UID SEARCH DELETED",   "S:$ OK", BYE};
    begin(script);
    assert_int_equal(rig_apply(&rig, WORKER_EXPUNGE, "INBOX", "2", NULL, 0, 0, NULL), WORKER_DONE);
    end();
    begin(refused);
    assert_int_equal(rig_apply(&rig, WORKER_EXPUNGE, "INBOX", "2", NULL, 0, 0, NULL), WORKER_REFUSED);
    assert_string_equal(rig.e.text, "not now");
    end();
    begin(silent); /* not told what else is marked: nothing is expunged */
    assert_int_equal(rig_apply(&rig, WORKER_EXPUNGE, "INBOX", "2", NULL, 0, 0, NULL), WORKER_REFUSED);
    end();
}

/* Case 37: 8,000 octets, and 4,000 where that is too much. */
static void test_long_sets(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(""),           SELECTED("3", "7", "10"),
                                         "S:$ OK",           "C:UID STORE 100001,",
                                         "S:$ BAD too long", "C:UID STORE 100001,",
                                         "S:$ OK",           "C:UID STORE",
                                         "S:$ OK",           "C:UID STORE",
                                         "S:$ OK",           BYE};
    struct buf set = {0};
    begin(script);
    for (unsigned uid = 100001; uid < 103001; uid += 2)
        buf_addf(&set, "%s%u", set.length > 0 ? "," : "", uid);
    assert_int_equal(rig_apply(&rig, WORKER_STORE, "INBOX", set.data, NULL, FLAG_SEEN, 0, NULL), WORKER_DONE);
    struct worker_description d;
    rig.w->ops->describe(rig.w, &d);
    assert_true(d.octets_out > 1500 * 7 + 7800 && d.octets_out < 1500 * 7 + 8400);
    buf_finish(&set);
    end();
}

static void test_watch(void **state)
{
    (void)state;
    static const char *const script[] = {OPEN(" IDLE"),
                                         SELECTED("3", "7", "10"),
                                         "S:$ OK",
                                         "C:IDLE",
                                         "S:* OK soon",
                                         "S:+ idling",
                                         "S:* OK still here",
                                         "S:* 3 EXISTS",
                                         "S:* 4 EXISTS",
                                         "C:DONE",
                                         "S:m3 OK",
                                         "C:IDLE",
                                         "S:+ x",
                                         "C:DONE",
                                         "S:m4 OK",
                                         "C:IDLE",
                                         "S:$ NO not for you",
                                         "C:NOOP",
                                         "S:* 2 EXPUNGE",
                                         "S:$ OK",
                                         "C:NOOP",
                                         "S:* BYE time is up",
                                         NULL};
    bool changed = false;
    begin(script);
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 1000, &changed, &rig.e), WORKER_DONE);
    assert_true(changed); /* the first time, nothing is known of before */
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 5000, &changed, &rig.e), WORKER_DONE);
    assert_true(changed);
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 50, &changed, &rig.e), WORKER_DONE);
    assert_false(changed);
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 50, &changed, &rig.e), WORKER_DONE);
    assert_true(changed);
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 50, &changed, &rig.e), WORKER_BROKEN);
    assert_string_equal(rig.e.text, "time is up");
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qresync),
        cmocka_unit_test(test_vanished_lies),
        cmocka_unit_test(test_condstore),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_short_listing),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_arrives_meanwhile),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_broken_bodies),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_expunge),
        cmocka_unit_test(test_long_sets),
        cmocka_unit_test(test_watch),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
