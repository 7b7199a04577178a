/* Octets: what one side wrote is what the other one has; and mail that both have is one message. */
#include <unistd.h>
#include "rig.h"

static char *large(const char *end)
{
    enum { LINES = 40000 };
    char *text = malloc(LINES * 64 + 256);
    int n = sprintf(text, "Message-ID: <large@example.org>%s%s", end, end);
    assert_non_null(text);
    for (unsigned i = 0; i < LINES; i++)
        n += sprintf(text + n, "Line %u of quite some, so that it comes in pieces.%s", i, end);
    return text;
}

static void files_become_wire_form(void **state)
{
    static const struct {
        const char *file, *wire;
    } form[] = {
        {"Subject: a\n\nText\n", "Subject: a\r\n\r\nText\r\n"},
        {"Subject: a\r\n\r\nText\r\n", "Subject: a\r\n\r\nText\r\n"},
        {"Subject: b\n\nmixed\r\nends\n", "Subject: b\r\n\r\nmixed\r\nends\r\n"},
        {"Subject: c\n\nno end", "Subject: c\r\n\r\nno end"},
        {"Subject: d\n\nbare\rreturn\n\r\n", "Subject: d\r\n\r\nbare\rreturn\r\n\r\n"},
        {"no header at all\n", "no header at all\r\n"},
        {"\n", "\r\n"},
        {"Subject: \xff\xfe\n\n\x80\xc3\n", "Subject: \xff\xfe\r\n\r\n\x80\xc3\r\n"},
    };
    struct rig *r = *state;
    rig_agree(r);
    for (size_t i = 2; i < sizeof form / sizeof *form; i++) {
        int64_t id = file_deliver(r, "INBOX", SUB_CUR, form[i].file, 0, 0);
        rig_agree(r);
        rig_assert_once(r, "INBOX", form[i].wire);
        file_assert_content(r, id, form[i].file);
    }
    int64_t lf = file_deliver(r, "INBOX", SUB_CUR, form[0].file, 0, 0);
    rig_agree(r);
    int64_t crlf = file_deliver(r, "INBOX", SUB_CUR, form[1].file, 0, 0);
    rig_agree(r);
    assert_int_equal(rig_copies(r, "INBOX", form[0].wire), 2);
    file_assert_content(r, lf, form[0].file);
    file_assert_content(r, crlf, form[1].file);
    rig_check_quiet(r);
}

static void wire_form_becomes_files(void **state)
{
    static const struct {
        const char *wire, *file;
    } form[] = {
        {"Subject: a\r\n\r\nText\r\n", "Subject: a\n\nText\n"},
        {"Subject: b\r\n\r\nbare\nfeed\r\n", "Subject: b\n\nbare\nfeed\n"},
        {"Subject: c\r\n\r\nno end", "Subject: c\n\nno end"},
        {"Subject: d\r\n\r\nbare\rreturn\r\r\n", "Subject: d\n\nbare\rreturn\r\n"},
        {"Subject: e\r\n\r\n\r", "Subject: e\n\n\r"},
    };
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        model_append(r->model, "INBOX", form[i].wire, 0, 1600000000);
    rig_agree(r);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        if (!file_find(r, "INBOX", form[i].file))
            fail_msg("form %zu is not as it should be", i);
    record_clear(&r->record);
    model_create(r->model, "Archive");
    rig_agree(r);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        file_copy(r, file_find(r, "INBOX", form[i].file), "Archive");
    rig_agree(r);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        assert_int_equal(rig_copies(r, "Archive", form[i].wire), 1);
}

/* The newest cannot be had, more of them than are asked for at a time: the others come all the same. */
static void what_does_not_come_holds_up_nothing(void **state)
{
    enum { THERE = 30, WITHHELD = 1700 }; /* two fetchers take 500 at a time */
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    model_withhold(r->model, THERE + 1);
    for (unsigned i = 1; i <= THERE + WITHHELD; i++)
        model_append(r->model, "INBOX", mail_wire(i), 0, 1500000000 + i);
    rig_start(r);
    for (int i = 0; i < 1000 && file_count(r, "INBOX") < THERE; i++)
        usleep(10000);
    assert_int_equal(file_count(r, "INBOX"), THERE);
}

/* There are more of them than are settled at a time. */
static void what_cannot_be_settled_holds_up_nothing(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    for (unsigned i = 0; i < 70; i++) {
        char path[220];
        int64_t id = file_deliver(r, "INBOX", SUB_CUR, mail_file(i), 0, 0);
        snprintf(path, sizeof path, "%s/work/%lld", r->cache_dir, (long long)id);
        assert_int_equal(unlink(path), 0);
    }
    file_deliver(r, "INBOX", SUB_CUR, mail_file(99), 0, 0);
    rig_start(r);
    for (int i = 0; i < 1000 && rig_copies(r, "INBOX", mail_wire(99)) == 0; i++)
        usleep(10000);
    rig_assert_once(r, "INBOX", mail_wire(99));
}

static void large_mail_both_ways(void **state)
{
    struct rig *r = *state;
    char *wire = large("\r\n"), *file = large("\n");
    model_create(r->model, "Archive");
    model_append(r->model, "INBOX", wire, 0, 1600000000);
    rig_agree(r);
    file_deliver(r, "Archive", SUB_CUR, file, 0, 0);
    rig_agree(r);
    assert_int_equal(rig_copies(r, "Archive", wire), 1);
    assert_int_equal(rig_copies(r, "INBOX", wire), 1);
    free(wire);
    free(file);
}

/* An empty file is not mail. */
static void an_empty_file_is_not_sent(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    int64_t id = file_deliver(r, "INBOX", SUB_CUR, "", 0, 0);
    assert_true(rig_settles(r, 5));
    assert_int_equal(model_count(r->model, "INBOX"), 0);
    file_rewrite(r, id, mail_file(1));
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(1));
}

/* Cases 3 and 22: filed by the client and by the server. */
static void the_same_mail_on_both_sides_is_one(void **state)
{
    struct rig *r = *state;
    struct model_view v;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    int64_t id = file_deliver(r, "INBOX", SUB_CUR, mail_file(1), FLAG_SEEN, 1600000001);
    model_append(r->model, "INBOX", mail_wire(1), FLAG_ANSWERED, 1600000001);
    record_clear(&r->record);
    rig_start(r);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(1));
    assert_int_equal(file_find(r, "INBOX", mail_file(1)), id);
    assert_true(model_find(r->model, "INBOX", 1, &v));
    assert_int_equal(v.flags, FLAG_SEEN | FLAG_ANSWERED);
}

/* Case 23: the Message-ID alone proves nothing. */
static void same_message_id_other_content(void **state)
{
    struct rig *r = *state;
    rig_agree(r);
    rig_stop(r);
    rig_open(r);
    file_deliver(r, "INBOX", SUB_CUR, "Message-ID: <same@x>\n\nmine, of that length\n", FLAG_SEEN,
                 1600000001);
    model_append(r->model, "INBOX", "Message-ID: <same@x>\r\n\r\nyour, of that length\r\n", 0, 1600000001);
    rig_start(r);
    rig_agree(r);
    assert_int_equal(model_count(r->model, "INBOX"), 2);
    assert_int_equal(file_count(r, "INBOX"), 2);
}

/* The same content twice on one side is two messages on the other. */
static void twins_stay_twins(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 3; i++)
        model_append(r->model, "INBOX", mail_wire(1), 0, 1600000001);
    rig_agree(r);
    assert_int_equal(file_count(r, "INBOX"), 3);
    for (unsigned i = 0; i < 2; i++)
        file_deliver(r, "INBOX", SUB_CUR, mail_file(1), 0, 1600000001);
    rig_agree(r);
    assert_int_equal(rig_copies(r, "INBOX", mail_wire(1)), 5);
    rig_check_quiet(r);
}

/* Case 64: the second delivery of the same text is the message that is there, with the marks of both. */
static void a_server_that_keeps_one_of_each(void **state)
{
    static const struct model_features features[] = {
        {.speed = WORKER_SPEED_QRESYNC,
         .uidplus = true,
         .move = true,
         .list_status = true,
         .one_of_each = true},
        {.speed = WORKER_SPEED_NONE, .one_of_each = true},
    };
    static struct rig rig;
    (void)state;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        struct rig *r = &rig;
        struct model_view v;
        rig_begin(r, &features[i]);
        uint32_t uid = model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN, 1600000001);
        rig_start(r);
        rig_agree(r);
        int64_t id = file_find(r, "INBOX", mail_file(1));
        record_clear(&r->record);
        file_deliver(r, "INBOX", SUB_CUR, mail_file(1), FLAG_FLAGGED, 1600000005);
        rig_settles(r, 5);
        rig_agree(r);
        rig_assert_once(r, "INBOX", mail_wire(1));
        assert_int_equal(file_find(r, "INBOX", mail_file(1)), id);
        assert_true(model_find(r->model, "INBOX", uid, &v));
        assert_int_equal(v.flags, FLAG_SEEN | FLAG_FLAGGED);
        char expected[80];
        snprintf(expected, sizeof expected, "APPEND INBOX %zu +\\Flagged\nSTORE INBOX %u +\\Flagged",
                 strlen(mail_wire(1)), uid);
        rig_assert_changes(r, expected);
        rig_end(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_server_that_keeps_one_of_each, rig_end_open),
        cmocka_unit_test_setup_teardown(files_become_wire_form, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(wire_form_becomes_files, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(what_does_not_come_holds_up_nothing, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_settled_holds_up_nothing, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(large_mail_both_ways, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(an_empty_file_is_not_sent, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(the_same_mail_on_both_sides_is_one, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(same_message_id_other_content, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(twins_stay_twins, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
