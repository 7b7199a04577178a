/* How much of a mailbox is looked at, and when removals are held. */
#include "check.h"
#include "brain.h"

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
        cmocka_unit_test(case_74_exists),
        cmocka_unit_test(case_75_the_brake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
