/* How much of a mailbox is looked at, and when removals are held. */
#include "check.h"
#include "brain.h"

static const struct brain_view known = {.known_uidvalidity = 9,
                                        .known_uidnext = 101,
                                        .known_modseq = 50,
                                        .known_exists = 40,
                                        .uidvalidity = 9,
                                        .uidnext = 101,
                                        .modseq = 50,
                                        .exists = 40,
                                        .has_modseq = true,
                                        .has_qresync = true};

static void expect(struct brain_view v, enum brain_scan scan, int number)
{
    int n = -1;
    assert_int_equal(brain_choose_scan(&v, &n), scan);
    assert_int_equal(n, number);
}

static void nothing_changed(void **state)
{
    struct brain_view v = known;
    (void)state;
    expect(v, BRAIN_SCAN_NONE, 0);
    v.has_qresync = false;
    expect(v, BRAIN_SCAN_NONE, 0);
}

static void never_seen(void **state)
{
    struct brain_view v = {.uidvalidity = 9, .uidnext = 1, .has_modseq = true};
    (void)state;
    expect(v, BRAIN_SCAN_FIRST, 1);
}

static void case_35_no_modseq_to_rely_on(void **state)
{
    struct brain_view v = known;
    (void)state;
    v.has_modseq = v.has_qresync = false;
    expect(v, BRAIN_SCAN_FLAGS, 35);
    v = known;
    v.modseq = 0;
    expect(v, BRAIN_SCAN_FLAGS, 35);
    v.modseq = 49;
    expect(v, BRAIN_SCAN_FLAGS, 35);
    v = known;
    v.known_modseq = 0;
    expect(v, BRAIN_SCAN_FLAGS, 35);
}

static void an_empty_mailbox_has_no_flags_to_change(void **state)
{
    struct brain_view v = known;
    (void)state;
    v.exists = v.known_exists = 0;
    v.modseq = 0;
    expect(v, BRAIN_SCAN_NONE, 0);
    v.uidnext++;
    expect(v, BRAIN_SCAN_FLAGS, 35);
}

static void case_70_another_uidvalidity(void **state)
{
    struct brain_view v = known;
    (void)state;
    v.uidvalidity = 10;
    expect(v, BRAIN_SCAN_PAIR, 70);
    v.uidnext = 1;
    v.modseq = 0;
    expect(v, BRAIN_SCAN_PAIR, 70);
}

static void case_72_numbers_that_went_back_or_are_missing(void **state)
{
    struct brain_view v = known;
    (void)state;
    v.uidvalidity = 0;
    expect(v, BRAIN_SCAN_FLAGS, 72);
    v = known;
    v.uidnext = 0;
    expect(v, BRAIN_SCAN_FLAGS, 72);
    v.uidnext = 100;
    expect(v, BRAIN_SCAN_FLAGS, 72);
}

static void changes_with_qresync(void **state)
{
    struct brain_view v = known;
    (void)state;
    v.modseq = 60;
    v.exists = 12;
    expect(v, BRAIN_SCAN_CHANGES, 7);
    v.modseq = known.modseq; /* nothing happened, and yet mail is missing */
    expect(v, BRAIN_SCAN_CHANGES_AND_UIDS, 74);
}

static void changes_without_qresync(void **state)
{
    struct brain_view v = known;
    (void)state;
    v.has_qresync = false;
    v.modseq = 60;
    expect(v, BRAIN_SCAN_CHANGES, 7);
    v.uidnext += 2;
    v.exists += 2;
    expect(v, BRAIN_SCAN_CHANGES, 7);
    v.exists -= 1; /* a gap, or a removal: the server does not say */
    expect(v, BRAIN_SCAN_CHANGES_AND_UIDS, 74);
    v.exists += 5;
    expect(v, BRAIN_SCAN_CHANGES_AND_UIDS, 74);
}

/* Whatever a server says, some scan is chosen, with its number; and NONE only when its numbers are the known
 * ones. */
static void all_small_views(void **state)
{
    size_t none = 0;
    (void)state;

    for (int i = 0; i < 6561 * 4; i++) {
        int n = -1, k = i / 4;
        struct brain_view v = {.known_uidvalidity = k % 3,
                               .known_uidnext = k / 3 % 3,
                               .known_modseq = k / 9 % 3,
                               .known_exists = k / 27 % 3,
                               .uidvalidity = k / 81 % 3,
                               .uidnext = k / 243 % 3,
                               .modseq = k / 729 % 3,
                               .exists = k / 2187 % 3,
                               .has_modseq = i & 1,
                               .has_qresync = (i & 3) == 3};
        enum brain_scan scan = brain_choose_scan(&v, &n);
        assert_true(scan <= BRAIN_SCAN_FIRST && n >= 0);
        assert_int_equal(n == 0, scan == BRAIN_SCAN_NONE);
        if (scan == BRAIN_SCAN_NONE) {
            assert_true(v.uidvalidity && v.uidvalidity == v.known_uidvalidity &&
                        v.uidnext == v.known_uidnext);
            assert_true(v.exists == v.known_exists && (!v.exists || v.modseq == v.known_modseq));
            none++;
        }
    }
    assert_true(none > 0);
}

static void case_74_exists(void **state)
{
    (void)state;
    assert_true(brain_exists_adds_up(10, 3, 2, 9));
    assert_false(brain_exists_adds_up(10, 3, 2, 8));
    assert_false(brain_exists_adds_up(0, 1, 0, 0));
    assert_true(brain_exists_adds_up(UINT32_MAX, UINT32_MAX, 7, 7));
}

static void case_75_the_brake(void **state)
{
    (void)state;
    assert_true(brain_brake_passes(100, 300, 25, 100, false, false));  /* not more than the number */
    assert_true(brain_brake_passes(110, 1000, 25, 100, false, false)); /* not more than the share */
    assert_true(brain_brake_passes(250, 1000, 25, 100, false, false));
    assert_false(brain_brake_passes(251, 1000, 25, 100, false, false)); /* more than both */
    assert_false(brain_brake_passes(20, 20, 25, 100, false, false));    /* emptied */
    assert_true(brain_brake_passes(19, 19, 25, 100, false, false));
    assert_true(brain_brake_passes(19, 20, 25, 100, false, false));
    assert_true(brain_brake_passes(1000, 1000, 25, 100, true, false));
    assert_true(brain_brake_passes(1000, 1000, 25, 100, false, true));
    assert_true(brain_brake_passes(0, 0, 0, 0, false, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changed),
        cmocka_unit_test(never_seen),
        cmocka_unit_test(case_35_no_modseq_to_rely_on),
        cmocka_unit_test(an_empty_mailbox_has_no_flags_to_change),
        cmocka_unit_test(case_70_another_uidvalidity),
        cmocka_unit_test(case_72_numbers_that_went_back_or_are_missing),
        cmocka_unit_test(changes_with_qresync),
        cmocka_unit_test(changes_without_qresync),
        cmocka_unit_test(all_small_views),
        cmocka_unit_test(case_74_exists),
        cmocka_unit_test(case_75_the_brake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
