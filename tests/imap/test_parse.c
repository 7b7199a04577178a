/* The guard and the reply parser: octets in, values out. */
#include "rig.h"
#include "guard.h"
#include "header.h"
#include "reply.h"

static int feed(const char *text)
{
    struct guard whole = {0}, split = {0};
    int r = guard_feed(&whole, text, strlen(text)), s = 0;
    for (size_t i = 0; s == 0 && text[i] != '\0'; i++)
        s = guard_feed(&split, text + i, 1);
    assert_int_equal(r, s); /* however the packets fall */
    return r;
}

static void test_guard(void **state)
{
    (void)state;
    char deep[256] = "* 1 FETCH ";
    memset(deep + strlen(deep), '(', 100);
    assert_int_equal(feed("* OK hello (((\r\n* 2 EXISTS\r\nm1 OK done\r\n"), 0);
    assert_int_equal(feed(deep), -EPROTO);
    memcpy(deep, "* OK text ", 10);
    assert_int_equal(feed(deep), 0);
    /* In quotes and in literals they count for nothing. */
    memcpy(deep, "* LIST () \"", 11);
    assert_int_equal(feed(deep), 0);
    strcpy(deep, "* 1 FETCH (BODY[] {100}\r\n");
    memset(deep + strlen(deep), '(', 100);
    assert_int_equal(feed(deep), 0);
    assert_int_equal(feed("* 1 FETCH (BODY[] {99999999}\r\n"), -EMSGSIZE);
    assert_int_equal(feed("* 1 FETCH (BODY[] {99999999999999999999999}\r\n"), -EMSGSIZE);
    assert_int_equal(feed("* OK what {99999999}\r\n"), 0); /* words, no literal */
    struct guard g = {.streaming = true};
    assert_int_equal(guard_feed(&g, "* 1 FETCH (BODY[] {99999999}\r\n", 30), 0);
    assert_true(g.literal == 99999999);
    struct guard nul = {0};
    assert_int_equal(guard_feed(&nul, "* \0", 3), -EPROTO);
}

static void test_guard_limits(void **state)
{
    (void)state;
    static char block[65536];
    struct guard g = {0};
    int r = 0;
    size_t n = 0;
    memset(block, 'a', sizeof block);
    for (; r == 0 && n < 2 * GUARD_RESPONSE_MAX; n += sizeof block)
        r = guard_feed(&g, block, sizeof block);
    assert_int_equal(r, -EMSGSIZE);
    assert_true(n <= GUARD_RESPONSE_MAX + sizeof block);
    /* Many responses: a command's allowance, renewed with the next command. */
    struct guard many = {.command = GUARD_COMMAND_MAX - 10};
    assert_int_equal(guard_feed(&many, "* 12345678 EXISTS\r\n", 19), -EMSGSIZE);
    many = (struct guard){.command = GUARD_COMMAND_MAX - 10};
    guard_next_command(&many);
    assert_int_equal(guard_feed(&many, "* 12345678 EXISTS\r\n", 19), 0);
}

static struct reply parse(const char *text)
{
    struct reply r;
    assert_int_equal(reply_parse(text, strlen(text), &r), 0);
    return r;
}

static void test_reply(void **state)
{
    (void)state;
    struct reply r = parse("* 12 Exists\r\n");
    assert_true(r.kind == REPLY_DATA && r.number == 12);
    assert_string_equal(r.name, "EXISTS");
    r = parse("* NO [ALERT] disk\r\n");
    assert_true(r.kind == REPLY_STATUS && r.condition == REPLY_NO && r.text_length == 4);
    assert_string_equal(r.name, "ALERT");
    r = parse("m7 OK [APPENDUID 38505 3955] done\r\n");
    assert_true(r.kind == REPLY_TAGGED && r.condition == REPLY_OK);
    assert_string_equal(r.tag, "m7");
    assert_true((size_t)(r.args.end - r.args.p) == 10 && memcmp(r.args.p, "38505 3955", 10) == 0);
    r = parse("m7 BAD [oops\r\n"); /* a bracket that never closes is text */
    assert_true(r.condition == REPLY_BAD && r.name[0] == '\0' && r.text_length == 5);
    r = parse("* OK [BADCHARSET (\"]\" x)] y");
    assert_int_equal(r.text_length, 1);
    assert_int_equal(parse("+\r\n").kind, REPLY_CONTINUE);
    assert_int_equal(parse("+ go\r\n").kind, REPLY_CONTINUE);
    assert_int_equal(parse("* OK\r\n").text_length, 0);
    static const char *const bad[] = {
        "",          "\r\n",   "*\r\n",       "* \r\n", "* 12\r\n",
        "* 12x\r\n", "m1\r\n", "m1 WHAT\r\n", "(\r\n",  "0123456789012345678 OK\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(reply_parse(bad[i], strlen(bad[i]), &r), -EPROTO);
}

static int fetch(const char *text, struct keywords *k, struct reply_fetch *ret)
{
    const struct cursor c = {text, text + strlen(text)};
    return reply_fetch(c, k, ret);
}

/* \Recent is no flag of ours (case 31). */
static void test_fetch(void **state)
{
    (void)state;
    struct keywords k;
    struct reply_fetch f;
    keywords_init(&k);
    assert_int_equal(fetch("(UID 7 FLAGS (\\Seen \\Recent $Forwarded x-Y) MODSEQ (12) RFC822.SIZE 99 "
                           "INTERNALDATE \" 7-Jul-1996 02:44:25 -0700\" "
                           "BODY[HEADER.FIELDS (MESSAGE-ID)] {23}\r\nMessage-ID: <a@b.c>\r\n\r\n)",
                           &k, &f),
                     0);
    assert_int_equal(f.uid, 7);
    assert_int_equal(f.flags, FLAG_SEEN | FLAG_FORWARDED | (flags_t)1 << FLAGS_FIRST_KEYWORD);
    assert_string_equal(keywords_name(&k, FLAGS_FIRST_KEYWORD), "x-Y");
    assert_true(f.size == 99 && f.has_size);
    assert_int_equal(f.date_s, 836732665);
    assert_int_equal(f.zone_min, -420);
    assert_int_equal(f.message_id, header_message_id_of_block("Message-ID: <a@b.c>\r\n\r\n", 23));
    assert_true(f.message_id != 0);
    /* What is not known, or not true, is stepped over. */
    assert_int_equal(fetch("(RFC822.SIZE NIL ENVELOPE (\"x)\" (((NIL))) {3}\r\n)))) INTERNALDATE "
                           "\"yesterday\" FLAGS () X-GM-LABELS (\"\\\\x\") UID 8)",
                           &k, &f),
                     0);
    assert_true(f.uid == 8 && !f.has_size && !f.has_date && f.has_flags && f.flags == 0);
    assert_int_equal(
        fetch("(UID 9 BODY[TEXT]<0> NIL BODY[HEADER.FIELDS (MESSAGE-ID)]<0> \"Message-ID: <q>\")", &k, &f),
        0);
    assert_true(f.uid == 9 && f.has_header && f.message_id != 0);
    static const char *const bad[] = {"",
                                      "(",
                                      "(UID",
                                      "(UID )",
                                      "(UID x)",
                                      "(FLAGS (\\Seen)",
                                      "(FLAGS \\Seen)",
                                      "(BODY[] {99}\r\nabc)",
                                      "(UID 1",
                                      "(X (()",
                                      "(UID 99999999999)",
                                      "(BODY[HEADER.FIELDS (X) {1}\r\n",
                                      "UID 1)"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(fetch(bad[i], &k, &f), -EPROTO);
    keywords_finish(&k);
}

static void test_dates(void **state)
{
    (void)state;
    char text[32];
    int64_t s;
    int zone;
    reply_format_date(836732665, -420, text);
    assert_string_equal(text, " 7-Jul-1996 02:44:25 -0700");
    for (int64_t at = -86400LL * 365 * 60; at < 86400LL * 365 * 80; at += 86400LL * 37 + 3601) {
        reply_format_date(at, 345, text);
        assert_int_equal(reply_parse_date(text, strlen(text), &s, &zone), 0);
        assert_true(s == at && zone == 345);
    }
    static const char *const bad[] = {"",
                                      "17-Foo-1996 02:44:25 -0700",
                                      "17-Jul-1996 02:44:25",
                                      "17-Jul-1996 02:44:25 0700",
                                      "17-Ju-1996 02:44:25 +0000",
                                      "17-Jul-1996 02:44:25 +0000 and much more text than that"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(reply_parse_date(bad[i], strlen(bad[i]), &s, &zone), -EPROTO);
}

static int copyuid(const char *text, struct uidset *source, struct uidset *target)
{
    uint32_t validity;
    const struct cursor c = {text, text + strlen(text)};
    return reply_copyuid(c, &validity, source, target);
}

static void test_codes(void **state)
{
    (void)state;
    struct uidset source = {0}, target = {0};
    assert_int_equal(copyuid("38505 304,319:320 3956:3958", &source, &target), 0);
    assert_true(uidset_count(&source) == 3 && uidset_has(&target, 3958));
    uidset_finish(&source);
    uidset_finish(&target);
    static const char *const bad[] = {"",          "1",         "1 2",   "1 2:3 4", "1 3,2 4:5",
                                      "1 2:3 5,4", "1 3:2 4:5", "1 * 4", "x 1 1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(copyuid(bad[i], &source, &target), -EPROTO);
    static const char words[] = "Request is throttled. Suggested Backoff Time: 92415 milliseconds";
    assert_int_equal(reply_backoff_ms(words, sizeof words - 1), 92415);
    assert_int_equal(reply_backoff_ms("Backoff Time: soon", 18), 0);
    assert_int_equal(reply_backoff_ms("Backoff Time: 99999999999", 25), 3600000);
}

static int quota(const char *text, int64_t *used, int64_t *limit)
{
    const struct cursor c = {text, text + strlen(text)};
    return reply_quota(c, used, limit);
}

static void test_quota(void **state)
{
    (void)state;
    int64_t used = 0, limit = 0;
    assert_int_equal(quota("\"User quota\" (STORAGE 10 512)", &used, &limit), 1);
    assert_true(used == 10240 && limit == 524288);
    assert_int_equal(quota("{3}\r\na)b (MESSAGE 9 99 storage 600 512 X-Y 1 2)", &used, &limit), 1);
    assert_true(used == 614400 && limit == 524288); /* more than there may be: so be it */
    used = limit = -1;
    static const char *const none[] = {"\"\" ()", "root (MESSAGE 5 7)", "\"\" (STORAGE 5 0)"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(quota(none[i], &used, &limit), 0);
    static const char *const bad[] = {"",
                                      "root",
                                      "root (",
                                      "root STORAGE 1 2",
                                      "root (STORAGE)",
                                      "root (STORAGE 1)",
                                      "root (STORAGE 1 2",
                                      "root (STORAGE 1 2x)",
                                      "root (STORAGE -1 2)",
                                      "root (STORAGE 1 NIL)",
                                      "root (STORAGE \"1\" 2)",
                                      "root ((STORAGE 1 2))",
                                      "root (STORAGE 1 18446744073709551615)",
                                      "root (STORAGE 9007199254740993 9007199254740993)",
                                      "root (STORAGE 1 99999999999999999999999999)"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(quota(bad[i], &used, &limit), -EPROTO);
    assert_true(used == -1 && limit == -1);
}

/* Any octets at all: nothing is read outside of them, nothing leaks, nothing hangs. The sanitizers watch. */
static void test_noise(void **state)
{
    (void)state;
    static const char *const piece[] = {"* ",
                                        "m1 ",
                                        "+ ",
                                        "OK ",
                                        "NO ",
                                        "[",
                                        "]",
                                        "(",
                                        ")",
                                        "\"",
                                        "\\",
                                        "{",
                                        "}",
                                        "{3}\r\n",
                                        "\r\n",
                                        " ",
                                        "FETCH ",
                                        "UID ",
                                        "FLAGS ",
                                        "BODY[",
                                        "HEADER.FIELDS ",
                                        "RFC822.SIZE ",
                                        "INTERNALDATE ",
                                        "1",
                                        "4294967296",
                                        ":",
                                        ",",
                                        "*",
                                        "NIL",
                                        "\xff",
                                        "a",
                                        "<0>"};
    unsigned seed = 1;
    struct keywords k;
    keywords_init(&k);
    for (unsigned round = 0; round < 100000; round++) {
        char text[256], *heap;
        size_t n = 0;
        for (unsigned i = 0; i < 20; i++) {
            seed = seed * 1664525u + 1013904223u;
            const char *p = piece[seed >> 16 & 31];
            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        heap = malloc(n);
        assert_non_null(heap);
        memcpy(heap, text, n);
        struct reply r;
        struct reply_fetch f;
        struct guard g = {0};
        struct uidset a = {0}, b = {0};
        uint32_t validity;
        int64_t used, limit;
        guard_feed(&g, heap, n);
        if (reply_parse(heap, n, &r) == 0 && reply_copyuid(r.args, &validity, &a, &b) == 0) {
            uidset_finish(&a);
            uidset_finish(&b);
        }
        reply_fetch((struct cursor){heap, heap + n}, &k, &f);
        reply_quota((struct cursor){heap, heap + n}, &used, &limit);
        free(heap);
    }
    keywords_finish(&k);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard), cmocka_unit_test(test_guard_limits), cmocka_unit_test(test_reply),
        cmocka_unit_test(test_fetch), cmocka_unit_test(test_dates),        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_quota), cmocka_unit_test(test_noise),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
