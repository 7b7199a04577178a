/* COMPRESS: when it is asked for, what goes over the line then, and servers that get it wrong. */
#include "script.h"
#include <time.h>
#include "clock.h"

#define OFFERS " IMAP4rev1 IDLE UNSELECT COMPRESS=DEFLATE"
#define FAR "S:* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi"
#define LOGGED_IN FAR, "C:m1 AUTHENTICATE", "S:m1 OK [CAPABILITY" OFFERS "] in"
#define COMPRESSED LOGGED_IN, "C:m2 COMPRESS DEFLATE", "S:m2 OK", "Z", "C:m3 NOOP", "S:m3 OK"
#define STATUS_OF_ONE "S:* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 UNSEEN 0)"

/* The server counts as far away, however fast it is. */
static void begin_with(const char *const *script, bool works)
{
    begin(script);
    rig.memory = works;
    imap_of(rig.w)->idle_ms = 1000;
    imap_of(rig.w)->far_ms = 0;
}

static struct worker_description described(void)
{
    struct worker_description d;
    rig.w->ops->describe(rig.w, &d);
    return d;
}

static enum worker_result status(uint32_t *ret_messages)
{
    struct worker_box box = {0};
    enum worker_result r = rig.w->ops->status(rig.w, "INBOX", &box, &rig.e);
    if (r != WORKER_DONE)
        print_message("%d: %s\n", r, rig.e.text);
    *ret_messages = box.messages;
    return r;
}

static void assert_one_message(void)
{
    uint32_t messages;
    assert_int_equal(status(&messages), WORKER_DONE);
    assert_int_equal(messages, 1);
}

static void far_away_it_is_asked_for(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED, "C:STATUS", STATUS_OF_ONE, "S:$ OK", BYE};
    begin_with(script, false);
    assert_one_message();
    assert_true(described().compressed && described().deflates);
    end();
}

/* Octets that come one by one, and blocks without any text, are as good. */
static void as_it_comes(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED,
                                         "C:STATUS",
                                         "E:3",
                                         "1:"
                                         "* STATUS INBOX (MESSAGES 1)",
                                         "E:1",
                                         "1:$ OK",
                                         "E:1",
                                         BYE};
    begin_with(script, false);
    assert_one_message();
    end();
}

static void far_is_what_takes_time(void **state)
{
    (void)state;
    static const char *const script[] = {"D:40", COMPRESSED, BYE};
    struct fault f = {0};
    begin(script);
    assert_int_equal(rig.w->ops->open(rig.w, &f), WORKER_DONE);
    assert_true(described().compressed);
    end();
}

static void near_by_it_is_not(void **state)
{
    (void)state;
    static const char *const script[] = {"S:* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi",
                                         "C:m1 AUTHENTICATE",
                                         "S:m1 OK [CAPABILITY" OFFERS "] in",
                                         "C:STATUS",
                                         STATUS_OF_ONE,
                                         "S:$ OK",
                                         BYE};
    begin_with(script, true);
    imap_of(rig.w)->far_ms = 60000;
    assert_one_message();
    assert_true(!described().compressed && described().deflates);
    end();
}

static void nor_where_it_is_not_offered(void **state)
{
    (void)state;
    static const char *const script[] = {FAR,        "C:m1 AUTHENTICATE", "S:m1 OK [CAPABILITY IMAP4rev1] in",
                                         "C:STATUS", STATUS_OF_ONE,       "S:$ OK",
                                         BYE};
    begin_with(script, false);
    assert_one_message();
    assert_true(!described().compressed && !described().deflates);
    end();
}

/* One round trip less. What the server says at once, behind its OK, is compressed, and may come with it. */
static void it_travels_with_the_login(void **state)
{
    (void)state;
    static const char *const script[] = {FAR,
                                         "C:m1 AUTHENTICATE",
                                         "C:m2 COMPRESS DEFLATE",
                                         "K:1",
                                         "S:m1 OK [CAPABILITY" OFFERS "] in",
                                         "S:m2 OK",
                                         "Z",
                                         "S:* OK welcome",
                                         "K:0",
                                         "C:STATUS",
                                         STATUS_OF_ONE,
                                         "S:$ OK",
                                         BYE};
    begin_with(script, true);
    assert_one_message();
    assert_true(described().compressed);
    end();
}

static void with_a_login_in_literals_too(void **state)
{
    (void)state;
    static const char *const script[] = {"S:* OK [CAPABILITY IMAP4rev1] hi",
                                         "C:m1 CAPABILITY",
                                         "S:* CAPABILITY IMAP4rev1",
                                         "S:$ OK",
                                         "C:m2 LOGIN \"jane\" {",
                                         "S:+ go on",
                                         "N:7",
                                         "C:",
                                         "C:m3 COMPRESS DEFLATE",
                                         "S:m2 OK [CAPABILITY" OFFERS "] in",
                                         "S:m3 OK",
                                         "Z",
                                         "C:STATUS",
                                         STATUS_OF_ONE,
                                         "S:$ OK",
                                         BYE};
    begin(script);
    rig.account.password = (char *)"s\xc3\xa9"
                                   "cret";
    rig.memory = 1;
    imap_of(rig.w)->far_ms = 0;
    assert_one_message();
    assert_true(described().compressed);
    end();
}

/* Then all goes on as it was, with what came behind the refusal. */
static void it_may_be_refused(void **state)
{
    (void)state;
    static const char *const with_login[] = {FAR,
                                             "C:m1 AUTHENTICATE",
                                             "C:m2 COMPRESS DEFLATE",
                                             "K:1",
                                             "S:m1 OK in",
                                             "S:m2 NO no room",
                                             "S:* OK x",
                                             "K:0",
                                             "C:m3 CAPABILITY",
                                             "S:* CAPABILITY" OFFERS,
                                             "S:$ OK",
                                             "C:STATUS",
                                             STATUS_OF_ONE,
                                             "S:$ OK",
                                             BYE};
    static const char *const after_it[] = {
        LOGGED_IN, "C:m2 COMPRESS DEFLATE", "S:m2 BAD what?", "C:STATUS", STATUS_OF_ONE, "S:$ OK", BYE};
    begin_with(with_login, true);
    assert_one_message();
    assert_true(!described().compressed && described().memory == 0); /* NO: asked for again, behind a login */
    end();
    begin_with(after_it, false);
    assert_one_message();
    assert_true(!described().compressed && described().deflate_fails); /* BAD: not for a while */
    end();
}

static void breaks(const char *const *script, bool works)
{
    uint32_t messages;
    begin_with(script, works);
    assert_int_equal(status(&messages), WORKER_BROKEN);
    assert_false(described().deflate_fails);
    end();
}

/* The session ends, and the next one does without. Nobody tries it again, of other processes neither. */
static void it_may_not_work(void **state)
{
    (void)state;
#define WITHOUT                                                                                              \
    FAR, "C:AUTHENTICATE", "S:$ OK [CAPABILITY" OFFERS "] in", "C:STATUS", STATUS_OF_ONE, "S:$ OK",          \
        "C:LOGOUT", "X", WITHOUT_AGAIN
#define WITHOUT_AGAIN                                                                                        \
    FAR, "C:AUTHENTICATE", "S:$ OK [CAPABILITY" OFFERS "] in", "C:STATUS", STATUS_OF_ONE, "S:$ OK", BYE
#define WITH_LOGIN FAR, "C:m1 AUTHENTICATE", "C:m2 COMPRESS"
    static const char *const no_answer[] = {WITH_LOGIN, "S:m1 OK in", "H", "X", WITHOUT};
    static const char *const hangs_up[] = {WITH_LOGIN, "S:m1 OK in", "X", WITHOUT};
    static const char *const not_understood[] = {WITH_LOGIN, "S:m1 BAD eh?", "H", "X", WITHOUT};
    static const char *const no_stream[] = {
        LOGGED_IN, "C:m2 COMPRESS", "S:m2 OK", "N:10", "S:* this is no DEFLATE", "H", "X", WITHOUT};
    static const char *const end_of_stream[] = {
        LOGGED_IN, "C:m2 COMPRESS", "S:m2 OK", "N:10", "S:\003##", "H", "X", WITHOUT};
    static const char *const *const all[] = {no_answer, hangs_up, not_understood, no_stream, end_of_stream};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        begin_with(all[i], i < 3);
        assert_one_message();
        assert_true(described().deflate_fails && !described().compressed);
        int64_t memory = described().memory;
        rig.w->ops->destroy(rig.w);
        rig.w = imap_worker_new(&rig.account, &rig.keywords, &rig.memory);
        imap_of(rig.w)->far_ms = 0;
        assert_one_message();
        assert_true(described().memory == memory && described().deflates);
        end();
    }
}

/* For a month. */
static void it_gets_another_chance(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED, "C:STATUS", STATUS_OF_ONE, "S:$ OK", BYE};
    begin_with(script, false);
    rig.memory = time(NULL);
    assert_one_message();
    assert_true(described().compressed && described().memory == 1);
    end();
}

/* That was somebody else's fault. */
static void a_line_may_break_all_the_same(void **state)
{
    (void)state;
    static const char *const denied[] = {WITH_LOGIN, "S:m1 NO [AUTHENTICATIONFAILED] who?", "H", NULL};
    static const char *const later[] = {COMPRESSED, "C:STATUS", NULL};
    static const char *const strange[] = {COMPRESSED, "C:STATUS", "S:nobody OK", "H", NULL};
    static const char *const pause[] = {WITH_LOGIN, "S:* BYE Suggested Backoff Time: 5000 milliseconds",
                                        NULL};
    static const char *const twice[] = {WITH_LOGIN,
                                        "X",
                                        FAR,
                                        "C:m3 AUTHENTICATE",
                                        "X",
                                        FAR,
                                        "C:m4 AUTHENTICATE",
                                        "C:m5 COMPRESS",
                                        "S:m4 OK [CAPABILITY" OFFERS "] in",
                                        "S:m5 OK",
                                        "Z",
                                        "C:STATUS",
                                        STATUS_OF_ONE,
                                        "S:$ OK",
                                        BYE};
    struct fault f = {0};
    begin_with(denied, true);
    assert_int_equal(rig.w->ops->open(rig.w, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_DENIED);
    assert_false(described().deflate_fails);
    end();
    breaks(later, false);
    breaks(strange, false);
    breaks(pause, true);
    begin_with(twice, true);
    assert_int_equal(rig.w->ops->open(rig.w, &f), WORKER_BROKEN);
    assert_one_message();
    assert_true(described().compressed);
    end();
}

/* As at the end of a session of some servers: what they said last is heard. */
static void a_stream_may_end(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED, "C:STATUS", "F:* BYE down for maintenance\r\n", NULL};
    breaks(script, false);
    assert_string_equal(rig.e.text, "down for maintenance");
}

/* As with text that never ends a line. */
static void blocks_without_text_are_no_answer(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED, "C:STATUS", "E:1000", NULL};
    breaks(script, false);
    assert_int_equal(rig.e.err, -ETIMEDOUT); /* before the blocks were at their end */
}

/* What was compressed to next to nothing is as much as it is. */
static void a_bomb_is_refused(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED, "C:STATUS", "A:9000000", "H", NULL};
    breaks(script, false);
    assert_int_equal(rig.e.err, -EMSGSIZE);
}

/* The end of a block, on its own, is nothing that one could wait for the rest of. */
static void news_are_waited_for(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED,
                                         "C:STATUS",
                                         STATUS_OF_ONE,
                                         "S:$ OK",
                                         SELECTED("1", "7", "2"),
                                         "S:$ OK [READ-WRITE] x",
                                         "C:IDLE",
                                         "S:+ idling",
                                         "E:150",
                                         "S:* 2 EXISTS",
                                         "E:1",
                                         "C:DONE",
                                         "S:m6 OK",
                                         BYE};
    bool changed = false;
    begin_with(script, false);
    assert_one_message();
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 100, &changed, &rig.e), WORKER_DONE);
    assert_true(changed); /* the first time, for nothing is known of the time before */
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 5000, &changed, &rig.e), WORKER_DONE);
    assert_true(changed && imap_of(rig.w)->selected.exists == 2);
    end();
}

/* However much of that comes. */
static void news_are_not_waited_for_longer(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED, "C:NOOP", "S:$ OK", "E:1000", "H", NULL};
    begin_with(script, false);
    assert_int_equal(rig.w->ops->open(rig.w, NULL), WORKER_DONE);
    struct command c;
    command_begin(imap_of(rig.w), &c, "NOOP");
    assert_int_equal(imap_run(imap_of(rig.w), &c, NULL, NULL, &rig.e), WORKER_DONE);
    int64_t before_ms = clock_boot_ms();
    assert_int_equal(stream_wait(imap_of(rig.w)->stream, before_ms + 100), 0);
    assert_in_range(clock_boot_ms() - before_ms, 100, 5000);
    end();
}

static void who_waits_for_news_needs_none(void **state)
{
    (void)state;
    static const char *const script[] = {LOGGED_IN, SELECTED("1", "7", "2"), "S:$ OK [READ-WRITE] x", BYE};
    bool changed;
    begin_with(script, true);
    assert_int_equal(rig.w->ops->watch(rig.w, "INBOX", 100, &changed, &rig.e), WORKER_DONE);
    assert_false(described().compressed);
    end();
}

static void bodies_are_compressed(void **state)
{
    (void)state;
    static const char *const script[] = {COMPRESSED,
                                         "C:m4 SELECT",
                                         "C:1 UID FETCH 1 ",
                                         "S:* 2 EXISTS",
                                         "S:* OK [UIDVALIDITY 7] x",
                                         "S:m4 OK",
                                         "R:* 1 FETCH (UID 1 BODY[] {1200000}\r\n",
                                         "A:1200000",
                                         "S:)",
                                         "S:1 OK done",
                                         BYE};
    struct basket b = {.count_only = true};
    begin_with(script, false);
    assert_int_equal(rig_fetch(&rig, "INBOX", 7, "1", &b), WORKER_DONE);
    assert_int_equal(b.octets, 1200000);
    assert_in_range(described().octets_in, 1000, 100000);
    basket_finish(&b);
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(far_away_it_is_asked_for),
        cmocka_unit_test(as_it_comes),
        cmocka_unit_test(far_is_what_takes_time),
        cmocka_unit_test(near_by_it_is_not),
        cmocka_unit_test(nor_where_it_is_not_offered),
        cmocka_unit_test(it_travels_with_the_login),
        cmocka_unit_test(with_a_login_in_literals_too),
        cmocka_unit_test(it_may_be_refused),
        cmocka_unit_test(it_may_not_work),
        cmocka_unit_test(it_gets_another_chance),
        cmocka_unit_test(a_stream_may_end),
        cmocka_unit_test(a_line_may_break_all_the_same),
        cmocka_unit_test(blocks_without_text_are_no_answer),
        cmocka_unit_test(a_bomb_is_refused),
        cmocka_unit_test(news_are_waited_for),
        cmocka_unit_test(news_are_not_waited_for_longer),
        cmocka_unit_test(who_waits_for_news_needs_none),
        cmocka_unit_test(bodies_are_compressed),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
