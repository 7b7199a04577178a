/* The Message-ID of a header that streams by. */
#include "check.h"

#include <openssl/sha.h>

#include "buf.h"
#include "header.h"

static int64_t hash(const char *value)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)value, strlen(value), digest);
    int64_t number = digest[0] & 0x7f;
    for (int i = 1; i < 8; i++)
        number = number << 8 | digest[i];
    return number;
}

static int64_t scan(const char *data, size_t length)
{
    struct header_scan s;
    header_scan_init(&s);
    header_scan_feed(&s, data, length);
    return header_scan_message_id(&s);
}

static int64_t scan_in_pieces(const char *data, size_t length)
{
    struct header_scan s;
    header_scan_init(&s);
    for (size_t at = 0, piece; at < length; at += piece) {
        piece = check_random(8);
        piece = piece < length - at ? piece : length - at;
        header_scan_feed(&s, data + at, piece);
    }
    return header_scan_message_id(&s);
}

/* The same text with CRLF line ends. */
static char *with_crlf(const char *text)
{
    struct buf b = {0};
    for (; *text; text++)
        buf_add(&b, *text == '\n' ? "\r\n" : text, *text == '\n' ? 2 : 1);
    return buf_take(&b);
}

static const struct {
    const char *header, *value; /* NULL: none */
} rows[] = {
    {"Message-ID: <a@b>\n\nbody", "<a@b>"},
    {"message-id:<a@b>\n\n", "<a@b>"},
    {"MESSAGE-ID \t: \t<a@b> \t\n\n", "<a@b>"},
    {"Message-ID: <a@b>", "<a@b>"},
    {"Subject: x\nMessage-ID: <a@b>\nTo: y\n\n", "<a@b>"},
    {"Message-ID:\n <a@b>\n\n", "<a@b>"},
    {"Message-ID: <a\n\t@b>\n\n", "<a\t@b>"},
    {"Message-ID: <a@b>\n \nTo: x\n\n", "<a@b>"},
    {"Message-ID: <a@b>\nMessage-ID: <c@d>\n\n", "<a@b>"},
    {"Message-ID: no brackets\n\n", "no brackets"},
    {"Subject: x\n Message-ID: <a@b>\n\n", NULL},
    {"Subject: Message-ID: <a@b>\n\n", NULL},
    {"X-Message-ID: <a@b>\n\n", NULL},
    {"Message-IDs: <a@b>\n\n", NULL},
    {"Message-I\nMessage-ID: <a@b>\n\n", "<a@b>"},
    {"Message-ID\nMessage-ID: <a@b>\n\n", "<a@b>"},
    {"Message-ID x: <c@d>\nMessage-ID: <a@b>\n\n", "<a@b>"},
    {"Subject: x\n\nMessage-ID: <a@b>\n\n", NULL},
    {"\nMessage-ID: <a@b>\n\n", NULL},
    {"Message-ID:\n\n", NULL},
    {"Message-ID: \nTo: x\n\n", NULL},
    {"", NULL},
    {"\n", NULL},
};

static void headers_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t want = rows[i].value ? hash(rows[i].value) : 0;
        char *crlf = with_crlf(rows[i].header);
        assert_int_equal(scan(rows[i].header, strlen(rows[i].header)), want);
        assert_int_equal(scan(crlf, strlen(crlf)), want);
        for (int n = 0; n < 50; n++) {
            assert_int_equal(scan_in_pieces(rows[i].header, strlen(rows[i].header)), want);
            assert_int_equal(scan_in_pieces(crlf, strlen(crlf)), want);
        }
        free(crlf);
    }
}

static void blocks_and_values_hash_the_same(void **state)
{
    (void)state;
    const char *const block[] = {"Message-ID: <a@b>\r\n\r\n", "Message-Id:\r\n <a@b>\r\n\r\n", "<a@b>",
                                 " <a@b> \r\n"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(header_message_id_of_block(block[i], strlen(block[i])), hash("<a@b>"));
    assert_int_equal(header_message_id_of_block("\r\n", 2), 0);
    assert_int_equal(header_message_id_of_block("", 0), 0);
    assert_int_equal(header_message_id_of_block("Message-ID:\r\n\r\n", 15), 0);
}

static void any_octets_pass(void **state)
{
    (void)state;
    const char nul[] = "Sub\0ject: \0\377\nMessage-ID: <a\0b>\n\n";
    const char other[] = "Message-ID: <a\0c>\n\n";
    int64_t id = scan(nul, sizeof(nul) - 1);
    assert_true(id > 0);
    assert_true(scan(other, sizeof(other) - 1) != id);
    for (int round = 0; round < 2000; round++) {
        char data[200];
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = check_random(3) ? "\r\n :message-id"[check_random(14)] : (char)check_random(256);
        assert_int_equal(scan_in_pieces(data, sizeof(data)), scan(data, sizeof(data)));
    }
}

/* A megabyte of header, and of Message-ID: the work stays linear, the memory fixed, and what is beyond 1000
 * octets does not count. */
static void size_does_not_matter(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 20000; i++)
        buf_adds(&b, "X-Padding: 0123456789012345678901234567890123456789\r\n");
    buf_adds(&b, "Message-ID: <a@b>\r\n\r\n");
    assert_true(b.length > 1000000);
    assert_int_equal(scan(b.data, b.length), hash("<a@b>"));
    buf_clear(&b);
    buf_adds(&b, "Message-ID: ");
    for (int i = 0; i < 100000; i++)
        buf_adds(&b, "0123456789");
    char first[1001];
    snprintf(first, sizeof(first), "%s", b.data + 12);
    assert_int_equal(scan(b.data, b.length), hash(first));
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(blocks_and_values_hash_the_same),
        cmocka_unit_test(any_octets_pass),
        cmocka_unit_test(size_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
