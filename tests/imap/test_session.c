/* Opening a session, against scripted servers: greetings, capabilities, logins, and servers that mean harm.
 */
#include "rig.h"
#include "clock.h"
#include "fake.h"
#include "session.h"

#define LOGIN                                                                                                \
    "S:* OK hi", "C:CAPABILITY", "S:* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR", "S:$ OK",                    \
        "C:AUTHENTICATE PLAIN AGphbmUAc2VjcmV0", "S:$ OK in"

static struct fake server;
static struct rig rig;

static enum worker_result open_with(const char *const *script, enum config_tls tls, struct fault *f)
{
    fake_start(&server, script);
    rig_init(&rig, "127.0.0.1", server.port, tls);
    imap_of(rig.w)->idle_ms = 400;
    return rig.w->ops->open(rig.w, f);
}

static void close_all(void)
{
    rig_finish(&rig);
    assert_string_equal(fake_stop(&server), "");
}

static void refused(const char *const *script, enum config_tls tls, enum fault_exit exit, const char *words)
{
    struct fault f = {0};
    assert_int_equal(open_with(script, tls, &f), WORKER_BROKEN);
    if (f.exit != exit || strstr(f.text, words) == NULL)
        print_error("%d: %s\n", f.exit, f.text);
    assert_int_equal(f.exit, exit);
    assert_non_null(strstr(f.text, words));
    assert_null(strstr(f.text, "secret"));
    close_all();
}

static void test_greetings(void **state)
{
    (void)state;
    static const char
        *const bye[] = {"S:* BYE too many connections", NULL},
               *const nothing[] = {NULL}, *const silent[] = {"H", NULL},
               *const web[] = {"S:HTTP/1.1 400 Bad Request", "H", NULL}, *const half[] = {"R:* O", NULL},
               *const noise[] = {"A:20000000", "H", NULL}, *const zero[] = {"S:###", "H", NULL},
               *const preauth[] = {"S:* PREAUTH welcome", "H", NULL},
               *const none[] = {"S:* OK hi", "C:CAPABILITY", "S:* CAPABILITY IMAP4rev1", "S:$ OK", "H", NULL};
    refused(bye, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "too many connections");
    refused(nothing, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "closed the connection");
    refused(half, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "closed the connection");
    refused(silent, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "does not answer");
    refused(web, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "no IMAP server");
    refused(noise, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "no IMAP server");
    refused(zero, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "no IMAP server");
    refused(preauth, CONFIG_TLS_STARTTLS, FAULT_DENIED, "PREAUTH");
    refused(none, CONFIG_TLS_STARTTLS, FAULT_DENIED, "no STARTTLS");
    static const char *const plain[] = {"S:* OK hi", "H", NULL};
    refused(plain, CONFIG_TLS_IMPLICIT, FAULT_UNAVAILABLE, "does not speak TLS");
}

static void test_unreachable(void **state)
{
    (void)state;
    struct rig r;
    struct fault f = {0};
    struct fake nobody;
    static const char *const nothing[] = {NULL};
    fake_start(&nobody, nothing);
    rig_init(&r, "127.0.0.1", nobody.port, CONFIG_TLS_NONE);
    assert_int_equal(r.w->ops->open(r.w, &f), WORKER_BROKEN); /* ends the fake */
    fake_stop(&nobody);
    assert_int_equal(r.w->ops->open(r.w, &f), WORKER_BROKEN); /* not dead: tried again */
    assert_int_equal(f.exit, FAULT_UNAVAILABLE);
    assert_non_null(strstr(f.text, "connection refused (is the server running?"));
    r.w->ops->cancel(r.w);
    assert_int_equal(r.w->ops->open(r.w, &f), WORKER_CANCELLED);
    rig_finish(&r);
}

static void test_logins(void **state)
{
    (void)state;
    static const char *const sasl_ir[] = {LOGIN,    "C:CAPABILITY", "S:* CAPABILITY IMAP4rev1 IDLE",
                                          "S:$ OK", "C:LOGOUT",     NULL};
    static const char *const challenge[] = {"S:* OK [CAPABILITY X] hi",
                                            "C:CAPABILITY",
                                            "S:* CAPABILITY IMAP4rev1 AUTH=PLAIN",
                                            "S:$ OK",
                                            "C:AUTHENTICATE PLAIN\r",
                                            "S:* OK wait",
                                            "S:+ ",
                                            "C:AGphbmUAc2VjcmV0\r",
                                            "S:$ NO x",
                                            "S:m2 OK in",
                                            "H",
                                            NULL};
    static const char *const login[] = {"S:* OK hi",
                                        "C:CAPABILITY",
                                        "S:* CAPABILITY IMAP4rev1",
                                        "S:$ OK",
                                        "C:LOGIN \"jane\" \"secret\"",
                                        "S:* CAPABILITY junk",
                                        "S:$ OK in",
                                        "C:CAPABILITY",
                                        "S:* CAPABILITY IMAP4rev1 ID ENABLE QRESYNC",
                                        "S:$ OK",
                                        "C:ID (\"name\" \"mailmount\"",
                                        "S:* ID NIL",
                                        "S:$ OK",
                                        "C:ENABLE QRESYNC",
                                        "S:* ENABLED",
                                        "S:$ OK",
                                        "C:LOGOUT",
                                        NULL};
    static const char *const slow[] = {"1:* OK hi",
                                       "C:CAPABILITY",
                                       "1:* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR",
                                       "1:$ OK",
                                       "C:AUTHENTICATE",
                                       "1:$ OK in",
                                       "C:CAPABILITY",
                                       "1:* CAPABILITY MOVE",
                                       "1:$ OK",
                                       "C:LOGOUT",
                                       NULL};
    struct fault f = {0};
    struct worker_description d;
    assert_int_equal(open_with(sasl_ir, CONFIG_TLS_NONE, &f), WORKER_DONE);
    rig.w->ops->describe(rig.w, &d);
    assert_string_equal(d.capabilities, "IMAP4rev1 IDLE");
    assert_true(d.idle && !d.move && d.speed == WORKER_SPEED_NONE);
    close_all();
    assert_int_equal(open_with(login, CONFIG_TLS_NONE, &f), WORKER_DONE);
    assert_int_equal(rig.w->ops->ping(rig.w, &rig.e), WORKER_DONE);
    rig.w->ops->describe(rig.w, &d);
    assert_int_equal(d.speed, WORKER_SPEED_CONDSTORE); /* offered, but ENABLED came empty */
    assert_string_equal(d.login, "LOGIN");
    close_all();
    assert_int_equal(open_with(slow, CONFIG_TLS_NONE, &f), WORKER_DONE);
    rig.w->ops->describe(rig.w, &d);
    assert_true(d.move);
    close_all();
    /* The challenge comes, and then an answer out of turn: the session is not trusted. */
    assert_int_equal(open_with(challenge, CONFIG_TLS_NONE, &f), WORKER_BROKEN);
    assert_int_equal(f.exit, FAULT_UNAVAILABLE);
    rig_finish(&rig);
    fake_stop(&server);
}

static int count_boxes(void *arg, const struct worker_box *b)
{
    (void)b;
    ++*(int *)arg;
    return 0;
}

/* What a server tells by itself is not asked for, and of what has to be said after the login nothing is
 * waited for: the first command is there before the answers. */
static void test_one_round_trip(void **state)
{
    (void)state;
    static const char *const script[] = {
        "S:* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi",
        "C:AUTHENTICATE PLAIN",
        "S:$ OK [CAPABILITY IMAP4rev1 ID ENABLE QRESYNC LIST-STATUS] in",
        "C:ID (",
        "C:ENABLE QRESYNC",
        "C:LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ))",
        "S:* ID (\"name\" \"Fake\")",
        "S:m2 OK",
        "S:* ENABLED QRESYNC",
        "S:m3 OK",
        "S:* LIST () \"/\" INBOX",
        "S:* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1 UNSEEN 0 HIGHESTMODSEQ 1)",
        "S:m4 OK",
        "C:LOGOUT",
        NULL};
    struct fault f = {0};
    struct worker_description d;
    int n = 0;
    assert_int_equal(open_with(script, CONFIG_TLS_NONE, &f), WORKER_DONE);
    assert_int_equal(rig.w->ops->tree(rig.w, count_boxes, &n, &rig.e), WORKER_DONE);
    assert_int_equal(n, 1);
    rig.w->ops->describe(rig.w, &d);
    assert_string_equal(d.server, "Fake");
    assert_int_equal(d.speed, WORKER_SPEED_QRESYNC);
    close_all();
}

/* The session breaks within what is owed: the command that came behind it changed nothing. */
static void test_owed_and_broken(void **state)
{
    (void)state;
    static const char *const script[] = {"S:* PREAUTH [CAPABILITY IMAP4rev1 AUTH=PLAIN ID UIDPLUS] hi",
                                         "C:ID (", "H", NULL};
    struct fault f = {0};
    struct uidset uids = {0};
    struct worker_outcome got = {0};
    assert_int_equal(open_with(script, CONFIG_TLS_NONE, &f), WORKER_DONE);
    assert_int_equal(uidset_add(&uids, 7), 0);
    struct worker_op op = {.verb = WORKER_STORE, .mailbox = "INBOX", .uids = &uids, .add = FLAG_SEEN};
    assert_int_equal(rig.w->ops->apply(rig.w, &op, &got, &rig.e), WORKER_BROKEN);
    uidset_finish(&uids);
    close_all();
}

static void test_odd_secrets(void **state)
{
    (void)state;
    static const char *const literal[] = {"S:* OK hi",
                                          "C:CAPABILITY",
                                          "S:* CAPABILITY IMAP4rev1",
                                          "S:$ OK",
                                          "C:LOGIN \"j\\\"\\\\\" {4}\r",
                                          "S:+ go",
                                          "C:\xc3\xa4x\x01\r",
                                          "S:m2 OK",
                                          "C:CAPABILITY",
                                          "S:* CAPABILITY IMAP4rev1",
                                          "S:$ OK",
                                          "C:LOGOUT",
                                          NULL};
    struct fault f = {0};
    fake_start(&server, literal);
    rig_init(&rig, "127.0.0.1", server.port, CONFIG_TLS_NONE);
    rig.account.user = (char *)"j\"\\";
    rig.account.password = (char *)"\xc3\xa4x\x01";
    assert_int_equal(rig.w->ops->open(rig.w, &f), WORKER_DONE);
    close_all();
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const wrong[] = {"S:* OK hi",
                                        "C:CAPABILITY",
                                        "S:* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR",
                                        "S:$ OK",
                                        "C:AUTHENTICATE",
                                        "S:$ NO [AUTHENTICATIONFAILED] no such\001",
                                        "H",
                                        NULL};
    static const char *const later[] = {"S:* OK hi",
                                        "C:CAPABILITY",
                                        "S:* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR",
                                        "S:$ OK",
                                        "C:AUTHENTICATE",
                                        "S:$ NO [UNAVAILABLE] database",
                                        "H",
                                        NULL};
    static const char *const disabled[] = {
        "S:* OK hi", "C:CAPABILITY", "S:* CAPABILITY IMAP4rev1 LOGINDISABLED", "S:$ OK", "H", NULL};
    static const char *const gone[] = {
        "S:* OK hi", "C:CAPABILITY",   "S:* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR",
        "S:$ OK",    "C:AUTHENTICATE", "S:* BYE overloaded",
        NULL};
    refused(wrong, CONFIG_TLS_NONE, FAULT_DENIED, "login refused: no such? (check user and password)");
    refused(later, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "database");
    refused(disabled, CONFIG_TLS_NONE, FAULT_DENIED, "disabled LOGIN without TLS");
    refused(gone, CONFIG_TLS_NONE, FAULT_UNAVAILABLE, "overloaded");
}

static void test_cancel(void **state)
{
    (void)state;
    static const char *const script[] = {
        "S:* PREAUTH hi", "C:CAPABILITY", "S:* CAPABILITY IMAP4rev1", "S:$ OK", "C:SELECT", "H", NULL};
    struct worker_scan s;
    struct fault f = {0};
    assert_int_equal(open_with(script, CONFIG_TLS_NONE, &f), WORKER_DONE);
    rig.w->ops->cancel(rig.w);
    assert_int_equal(rig.w->ops->scan(rig.w, "INBOX", NULL, WORKER_CHANGES, &s, &rig.e), WORKER_CANCELLED);
    assert_int_equal(rig.w->ops->scan(rig.w, "INBOX", NULL, WORKER_CHANGES, &s, &rig.e), WORKER_BROKEN);
    rig_finish(&rig);
    fake_stop(&server); /* it never saw a SELECT */
}

/* A server that stops in the middle of anything: within the idle time the verb is over. */
static void test_silence(void **state)
{
    (void)state;
    static const char *const mute[] = {"S:* PREAUTH hi",
                                       "C:CAPABILITY",
                                       "S:* CAPABILITY IMAP4rev1",
                                       "S:$ OK",
                                       "C:SELECT",
                                       "R:* 1 EXI",
                                       "H",
                                       NULL};
    static const char *const flood[] = {"S:* PREAUTH hi",
                                        "C:CAPABILITY",
                                        "S:* CAPABILITY IMAP4rev1",
                                        "S:$ OK",
                                        "C:SELECT",
                                        "A:20000000",
                                        "H",
                                        NULL};
    static const char *const tags[] = {"S:* PREAUTH hi",
                                       "C:CAPABILITY",
                                       "S:* CAPABILITY IMAP4rev1",
                                       "S:$ OK",
                                       "C:SELECT",
                                       "S:m99 OK",
                                       "H",
                                       NULL};
    static const char *const literal[] = {"S:* PREAUTH hi",
                                          "C:CAPABILITY",
                                          "S:* CAPABILITY IMAP4rev1",
                                          "S:$ OK",
                                          "C:SELECT",
                                          "S:* LIST () NIL {10}",
                                          "R:abc",
                                          NULL};
    static const char *const *const all[] = {mute, flood, tags, literal};
    static const int err[] = {-ETIMEDOUT, -EMSGSIZE, -EPROTO, -ECONNRESET};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct worker_scan s;
        struct fault f = {0};
        assert_int_equal(open_with(all[i], CONFIG_TLS_NONE, &f), WORKER_DONE);
        int64_t from = clock_boot_ms();
        assert_int_equal(rig.w->ops->scan(rig.w, "INBOX", NULL, WORKER_CHANGES, &s, &rig.e), WORKER_BROKEN);
        assert_int_equal(rig.e.err, err[i]);
        assert_true(clock_boot_ms() - from < 5000);
        rig.w->ops->reset(rig.w);
        close_all();
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greetings),       cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_logins),          cmocka_unit_test(test_one_round_trip),
        cmocka_unit_test(test_owed_and_broken), cmocka_unit_test(test_odd_secrets),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_silence),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
