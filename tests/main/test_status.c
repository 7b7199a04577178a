/* Status as text, from the JSON that a daemon answers: what must be there, and what must never be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "status.h"

static char *render(const json_t *status, bool colour)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    status_print(status, out, colour);
    fclose(out);
    return text;
}

static char *render_text(const char *json, bool colour)
{
    json_t *status = json_loads(json, 0, NULL);
    assert_non_null(status);
    char *text = render(status, colour);
    json_decref(status);
    return text;
}

static const char mounted[] =
    "{\"account\":\"work\",\"mounted\":true,\"mountpoint\":\"/home/me/"
    "Mail\",\"online\":true,\"problem\":\"\","
    "\"doing\":\"INBOX: fetching\",\"rate\":14200000.0,\"bodies_left\":11000,\"bodies_done\":9000,"
    "\"octets_left\":142000000,\"last_sync\":0,"
    "\"totals\":{\"messages\":20003,\"unread\":12,\"waiting\":1,\"wanted\":11000,\"failed\":1},"
    "\"mailboxes\":[{\"name\":\"Sent\",\"messages\":3,\"unread\":0,\"waiting\":1,\"wanted\":0,\"failed\":1,"
    "\"last_sync\":0},{\"name\":\"INBOX\",\"messages\":20000,\"unread\":12,\"waiting\":0,\"wanted\":11000,"
    "\"failed\":0,\"last_sync\":0}],"
    "\"failures\":[{\"mailbox\":\"Sent\",\"what\":\"append\",\"why\":\"over "
    "\\u001b[2Jquota\",\"attempts\":3}]}";

static void test_a_mounted_account(void **state)
{
    (void)state;
    char *text = render_text(mounted, false);
    assert_non_null(strstr(text, "work        mounted on /home/me/Mail, on line\n"));
    assert_non_null(strstr(text, "9,000 of 20,000 messages, 14.2 MB/s, 0:10 left\n"));
    assert_non_null(strstr(text, "INBOX          20,000        12         0    11,000         0         0  never\n"));
    assert_true(strstr(text, "INBOX  ") < strstr(text, "Sent  ")); /* in order of name */
    assert_non_null(strstr(text, "all            20,003"));
    assert_non_null(strstr(text, "refused     Sent: append: over ?[2Jquota (3 attempts)\n"));
    assert_null(strchr(text, '\033'));
    free(text);
}

static void test_colour_only_when_asked_for(void **state)
{
    (void)state;
    char *text = render_text(mounted, true);
    assert_non_null(strstr(text, "\033[1mwork"));
    assert_null(strstr(text, "\033[2J"));
    free(text);
}

static void test_an_account_off_line(void **state)
{
    (void)state;
    char *text = render_text("{\"account\":\"work\",\"mounted\":true,\"mountpoint\":\"/m\",\"online\":false,"
                             "\"problem\":\"no route to host\",\"retry_s\":75}",
                             false);
    assert_non_null(strstr(text, "off line\n"));
    assert_non_null(strstr(text, "problem     no route to host\n"));
    assert_non_null(strstr(text, "next try    in 1:15\n"));
    free(text);
}

static void test_no_cache_yet(void **state)
{
    (void)state;
    json_t *status = status_json(&(struct status_source){.account = "work", .data_dir = "/d"});
    assert_non_null(status);
    assert_true(json_is_false(json_object_get(status, "mounted")));
    assert_true(json_is_null(json_object_get(status, "mountpoint")));
    assert_true(json_is_array(json_object_get(status, "mailboxes")));
    assert_true(json_is_array(json_object_get(status, "failures")));
    assert_true(json_is_object(json_object_get(status, "totals")));
    char *text = render(status, false);
    assert_string_equal(text, "work        not mounted\nlast sync   never\n");
    free(text);
    json_decref(status);
}

static void test_hostile_or_missing_fields_do_no_harm(void **state)
{
    (void)state;
    free(render_text("{}", true));
    free(render_text("{\"mailboxes\":3,\"failures\":{},\"totals\":[],\"account\":7,\"rate\":\"x\"}", true));
    free(render_text("{\"mailboxes\":[1,null,{\"name\":5}],\"failures\":[[],{}],\"bodies_left\":-1}", true));
    json_t *text = status_string("no \xff UTF-8");
    assert_string_equal(json_string_value(text), "no ? UTF-8");
    json_decref(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mounted_account),
        cmocka_unit_test(test_colour_only_when_asked_for),
        cmocka_unit_test(test_an_account_off_line),
        cmocka_unit_test(test_no_cache_yet),
        cmocka_unit_test(test_hostile_or_missing_fields_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
