/*
 * The line breaks at each operation in turn, before it took effect, after, and half-way; and at every few
 * operations all the time. Exactly once, and nothing lost.
 */
#include "story.h"

static const struct model_features poor = {.speed = WORKER_SPEED_CONDSTORE, .list_status = true};

/* One run with the session breaking at the nth operation; false when there were fewer. */
static bool broken_at(const struct model_features *f, const struct model_trouble *t)
{
    static struct rig r;
    story_begin(&r, f);
    rig_open(&r);
    story_work(&r);
    model_plan(r.model, t);
    rig_start(&r);
    rig_agree(&r);
    bool struck = model_struck(r.model);
    story_check(&r);
    rig_end(&r);
    return struck;
}

static void break_everywhere(const struct model_features *f, struct model_trouble t)
{
    unsigned least = t.events == MODEL_ALL ? 15 : 12;
    for (t.nth = 1; broken_at(f, &t); t.nth += RIG_STEP)
        ;
    if (t.nth <= least)
        fail_msg("only %u operations were broken", t.nth - 1);
}

static void before_the_effect(void **state)
{
    (void)state;
    break_everywhere(&model_full, (struct model_trouble){.events = MODEL_ALL});
}

static void after_the_effect(void **state)
{
    (void)state;
    break_everywhere(&model_full, (struct model_trouble){.events = MODEL_APPLY, .effect = true});
}

static void half_way(void **state)
{
    (void)state;
    break_everywhere(&model_full, (struct model_trouble){.events = MODEL_APPLY | MODEL_FETCH, .half = true});
}

static void before_the_effect_without_uidplus_and_move(void **state)
{
    (void)state;
    break_everywhere(&poor, (struct model_trouble){.events = MODEL_ALL});
}

static void after_the_effect_without_uidplus_and_move(void **state)
{
    (void)state;
    break_everywhere(&poor, (struct model_trouble){.events = MODEL_APPLY, .effect = true});
}

static void half_way_without_uidplus_and_move(void **state)
{
    (void)state;
    break_everywhere(&poor, (struct model_trouble){.events = MODEL_APPLY | MODEL_FETCH, .half = true});
}

/* A line that breaks all the time still brings everything through, in the end. */
static void over_and_over(const struct model_features *f, bool effect)
{
    static struct rig r;
    story_begin(&r, f);
    rig_open(&r);
    story_work(&r);
    model_plan(r.model, &(struct model_trouble){.events = MODEL_ALL, .nth = 4, .every = 5, .effect = effect});
    rig_start(&r);
    rig_settles(&r, 3);
    model_plan(r.model, NULL);
    rig_agree(&r);
    story_check(&r);
    rig_end(&r);
}

static void every_few_operations(void **state)
{
    (void)state;
    over_and_over(&model_full, false);
    over_and_over(&model_full, true);
    over_and_over(&poor, false);
    over_and_over(&poor, true);
}

/* One part, by its number, or all. */
int main(int argc, char **argv)
{
    const struct CMUnitTest one[] = {
        cmocka_unit_test_teardown(before_the_effect, rig_end_open),
    };
    const struct CMUnitTest two[] = {
        cmocka_unit_test_teardown(after_the_effect, rig_end_open),
        cmocka_unit_test_teardown(half_way, rig_end_open),
    };
    const struct CMUnitTest three[] = {
        cmocka_unit_test_teardown(before_the_effect_without_uidplus_and_move, rig_end_open),
    };
    const struct CMUnitTest four[] = {
        cmocka_unit_test_teardown(after_the_effect_without_uidplus_and_move, rig_end_open),
        cmocka_unit_test_teardown(half_way_without_uidplus_and_move, rig_end_open),
    };
    const struct CMUnitTest five[] = {
        cmocka_unit_test_teardown(every_few_operations, rig_end_open),
    };
    int part = argc > 1 ? atoi(argv[1]) : 0, failed = 0;
    if (part == 0 || part == 1)
        failed += cmocka_run_group_tests(one, NULL, NULL);
    if (part == 0 || part == 2)
        failed += cmocka_run_group_tests(two, NULL, NULL);
    if (part == 0 || part == 3)
        failed += cmocka_run_group_tests(three, NULL, NULL);
    if (part == 0 || part == 4)
        failed += cmocka_run_group_tests(four, NULL, NULL);
    if (part == 0 || part == 5)
        failed += cmocka_run_group_tests(five, NULL, NULL);
    return failed;
}
