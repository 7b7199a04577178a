/* The queue to the kernel, and the marks around the mount's own changes. */
#include "mail_tests.h"
#include "notes.h"
#include "own.h"

static void test_notes(void **state)
{
    (void)state;
    struct notes q = {0};
    struct cache_event e = {.kind = CACHE_ENTRY_ADDED, .parent = 5, .ino = 6, .name = "first"};
    notes_add(&q, &e);
    snprintf(e.name, sizeof e.name, "second");
    notes_add(&q, &e);
    notes_add(&q, &(struct cache_event){.kind = CACHE_WORK});
    assert_int_equal(q.n, 2);
    assert_string_equal(q.names.data + q.note[0].name, "first");
    assert_string_equal(q.names.data + q.note[1].name, "second");
    notes_clear(&q);
    assert_int_equal(q.n, 0);
    notes_finish(&q);
}

static void test_overflow(void **state)
{
    (void)state;
    struct notes q = {0};
    struct cache_event e = {.kind = CACHE_ATTRIBUTES, .ino = 6};
    for (int i = 0; i < 100000 && !q.overflow; i++)
        notes_add(&q, &e);
    assert_true(q.overflow);
    assert_int_equal(q.n, 0);
    notes_add(&q, &e);
    assert_int_equal(q.n, 0);
    notes_clear(&q);
    notes_add(&q, &e);
    assert_int_equal(q.n, 1);
    notes_finish(&q);
}

struct heard {
    unsigned ours, theirs;
    bool inside;
};

static void hear(void *arg, const struct cache_event *events, size_t n)
{
    struct heard *h = arg;
    for (size_t i = 0; i < n; i++) {
        if (own_mark(&events[i], &h->inside))
            continue;
        *(h->inside ? &h->ours : &h->theirs) += events[i].kind != CACHE_WORK;
    }
    assert_false(h->inside);
}

static void test_own_changes_are_known(void **state)
{
    struct scratch *s = *state;
    struct heard h = {0};
    struct mailbox box = make_box(s, 0, "INBOX");
    assert_int_equal(cache_listen(s->c, hear, &h), 0);
    struct mail_call mine = {.to = AT(box, SUB_CUR, "1:2,")};
    assert_int_equal(own_write(s->c, CACHE_SOON, call_create, &mine), 0);
    assert_true(h.ours > 0 && h.theirs == 0);
    unsigned before = h.ours;
    assert_int_equal(own_write(s->c, CACHE_SOON, call_create, &mine), -EEXIST);
    assert_int_equal(h.ours, before);
    make_message(s, box.id, SUB_CUR, "2:2,", MESSAGE_PRESENT);
    assert_true(h.theirs > 0 && h.ours == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test_setup_teardown(test_own_changes_are_known, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("notes", tests, NULL, NULL);
}
