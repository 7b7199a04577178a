/* What is too much for the server: of one message, or in sum (cases 60 and 61). */
#include "rig.h"
#include "pending.h"

static bool is_refused(struct rig *r, int64_t id, const char *why)
{
    struct failure f;
    return failure_get(cache_reader(r->cache), id, 0, &f) == 0 && strstr(f.why, why);
}

/* Case 61: of all that waits for room one is tried; other roots, flags and removals go on; and room is used.
 */
static void over_quota(void **state)
{
    struct rig *r = *state;
    int64_t id[5];
    model_create(r->model, "Archive");
    model_create(r->model, "Other");
    model_append(r->model, "Archive", mail_wire(1), 0, 1600000001);
    model_append(r->model, "Archive", mail_wire(2), 0, 1600000002);
    model_quota(r->model, "Archive", 'a', true);
    model_quota(r->model, "INBOX", 'a', true);
    model_quota(r->model, "Other", 'b', false);
    rig_start(r);
    rig_agree(r);
    record_clear(&r->record);
    rig_stop(r);
    rig_open(r);
    for (unsigned i = 0; i < 4; i++)
        id[i] = file_deliver(r, i % 2 ? "INBOX" : "Archive", SUB_CUR, mail_file(10 + i), FLAG_SEEN,
                             1600000010 + i);
    file_deliver(r, "Other", SUB_CUR, mail_file(20), FLAG_SEEN, 1600000020);
    file_flag(r, file_find(r, "Archive", mail_file(1)), FLAG_FLAGGED, 0);
    rig_start(r);
    assert_true(rig_settles(r, 3));
    rig_assert_once(r, "Other", mail_wire(20));
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 3); /* STORE, APPEND refused, APPEND */
    for (unsigned i = 0; i < 4; i++) {
        assert_true(is_refused(r, id[i], "over quota") || is_refused(r, id[i], "OVERQUOTA"));
        file_assert_content(r, id[i], mail_file(10 + i));
    }
    model_quota(r->model, "Archive", 'a', false);
    model_quota(r->model, "INBOX", 'a', false);
    file_remove(r, file_find(r, "Archive", mail_file(2)));
    rig_settles(r, 3);
    assert_int_equal(rig_copies(r, "Archive", mail_wire(2)), 0);
    int64_t more = file_deliver(r, "INBOX", SUB_CUR, mail_file(21), FLAG_SEEN, 1600000021);
    rig_settles(r, 3);
    rig_assert_once(r, "INBOX", mail_wire(21));
    assert_false(is_refused(r, more, ""));
    rig_stop(r);
}

/* What is much smaller than the one that was refused is tried, though that one is tried before it each time.
 */
static void a_small_one_may_fit(void **state)
{
    struct rig *r = *state;
    static char text[4000];
    size_t length = (size_t)snprintf(text, sizeof text, "%s", mail_file(1));
    memset(text + length, 'x', sizeof text - length - 2);
    text[sizeof text - 2] = '\n';
    model_quota(r->model, "INBOX", 'a', true);
    rig_start(r);
    rig_agree(r);
    int64_t large = file_deliver(r, "INBOX", SUB_CUR, text, FLAG_SEEN, 1600000001);
    rig_settles(r, 3);
    assert_true(is_refused(r, large, "OVERQUOTA"));
    int64_t small = file_deliver(r, "INBOX", SUB_CUR, mail_file(2), FLAG_SEEN, 1600000002);
    rig_settles(r, 3);
    assert_true(is_refused(r, small, "OVERQUOTA")); /* by the server, which was asked */
    rig_stop(r);
}

/* Case 60: it does not go over the line to be refused there. */
static void too_big(void **state)
{
    struct rig *r = *state;
    model_append_limit(r->model, (int64_t)strlen(mail_wire(1)));
    rig_start(r);
    rig_agree(r);
    record_clear(&r->record);
    assert_int_equal(cache_meta_get(cache_reader(r->cache), "append_limit", 0), strlen(mail_wire(1)));
    char text[512];
    snprintf(text, sizeof text, "%sand a line more\n", mail_file(1));
    int64_t large = file_deliver(r, "INBOX", SUB_CUR, text, FLAG_SEEN, 1600000001);
    file_deliver(r, "INBOX", SUB_CUR, mail_file(1), FLAG_SEEN, 1600000001);
    assert_true(rig_settles(r, 3));
    rig_assert_once(r, "INBOX", mail_wire(1));
    assert_int_equal(record_count(&r->record, RECORD_APPLY), 1);
    assert_true(is_refused(r, large, "at most"));
    file_assert_content(r, large, text);
    rig_stop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(over_quota, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(a_small_one_may_fit, rig_setup_stopped, rig_teardown),
        cmocka_unit_test_setup_teardown(too_big, rig_setup_stopped, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
