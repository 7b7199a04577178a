/*
 * The program dies at each operation in turn, before it took effect and after; and at any moment (SIGKILL).
 * The server lives on in shared memory. Started again, it finds out what became of everything.
 */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "story.h"

/* In a child: sync until both sides agree, and end. */
static void run_engine(struct rig *r)
{
    if (rig_try_start(r) < 0)
        _exit(1);
    _exit(rig_settles(r, 20 * RIG_PATIENCE) ? 0 : 2);
}

static int status_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void prepare(struct rig *r, const struct model_features *f)
{
    story_begin(r, f);
    rig_open(r);
    story_work(r);
    rig_stop(r);
}

static void recover(struct rig *r)
{
    model_after_death(r->model);
    rig_start(r);
    rig_agree(r);
    story_check(r);
    rig_end(r);
}

static bool dies_at(const struct model_features *f, const struct model_trouble *t)
{
    static struct rig r;
    prepare(&r, f);
    model_plan(r.model, t);
    pid_t pid = fork();
    if (pid == 0)
        run_engine(&r);
    int status = status_of(pid);
    if (status != MODEL_DEATH && status != 0)
        fail_msg("operation %u: the child ended with %d", t->nth, status);
    recover(&r);
    return status == MODEL_DEATH;
}

static void die_everywhere(const struct model_features *f, struct model_trouble t)
{
    t.blow = MODEL_DIES;
    for (t.nth = 1; dies_at(f, &t); t.nth += RIG_STEP)
        ;
    if (t.nth <= 10)
        fail_msg("only %u deaths", t.nth - 1);
}

static const struct model_features poor = {.speed = WORKER_SPEED_CONDSTORE, .list_status = true};

static void before_the_effect(void **state)
{
    (void)state;
    die_everywhere(&model_full, (struct model_trouble){.events = MODEL_ALL});
}

static void after_the_effect(void **state)
{
    (void)state;
    die_everywhere(&model_full, (struct model_trouble){.events = MODEL_APPLY, .effect = true});
}

static void half_way(void **state)
{
    (void)state;
    die_everywhere(&model_full, (struct model_trouble){.events = MODEL_APPLY | MODEL_FETCH, .half = true});
}

static void after_the_effect_without_uidplus_and_move(void **state)
{
    (void)state;
    die_everywhere(&poor, (struct model_trouble){.events = MODEL_APPLY, .effect = true});
}

/* Dies at the second change after each start, until it gets through: each life must bring it on by one. */
static void again_and_again(void **state)
{
    static struct rig r;
    int status;
    unsigned deaths = 0;
    (void)state;
    prepare(&r, &poor);
    do {
        model_plan(r.model, &(struct model_trouble){
                                .events = MODEL_APPLY, .nth = 2, .effect = deaths % 2, .blow = MODEL_DIES});
        pid_t pid = fork();
        if (pid == 0)
            run_engine(&r);
        status = status_of(pid);
        model_after_death(r.model);
        deaths += status == MODEL_DEATH;
    } while (status == MODEL_DEATH && deaths < 60);
    assert_int_equal(status, 0);
    assert_true(deaths >= 8);
    recover(&r);
}

static void at_any_moment(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 25; i++) {
        static struct rig r;
        prepare(&r, i % 2 ? &poor : &model_full);
        for (unsigned k = 0; k < 3; k++) {
            pid_t pid = fork();
            if (pid == 0)
                run_engine(&r);
            long us = (long)(i * 2 + k * 7) * 700 * RIG_PATIENCE;
            nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
            model_kill(r.model, pid);
        }
        recover(&r);
    }
}

/* Cases 11, 43 and 44: the next process finds where went what this one saw leave. */
static bool dies_among_moves(unsigned nth)
{
    static struct rig r;
    rig_begin(&r, &model_full);
    model_create(r.model, "Other");
    model_create(r.model, "Archive");
    for (unsigned i = 1; i <= 2; i++)
        model_append(r.model, "INBOX", mail_wire(i), 0, 1600000000 + i);
    rig_start(&r);
    rig_agree(&r);
    rig_stop(&r);
    rig_open(&r);
    for (unsigned i = 1; i <= 2; i++)
        model_move(r.model, "INBOX", i, "Other");
    file_move(&r, file_find(&r, "INBOX", mail_file(1)), "Archive");
    file_flag(&r, file_find(&r, "INBOX", mail_file(2)), FLAG_FLAGGED, 0);
    rig_stop(&r);
    model_plan(r.model, &(struct model_trouble){.events = MODEL_ALL, .nth = nth, .blow = MODEL_DIES});
    pid_t pid = fork();
    if (pid == 0)
        run_engine(&r);
    int status = status_of(pid);
    model_after_death(r.model);
    rig_start(&r);
    rig_agree(&r);
    for (unsigned i = 1; i <= 2; i++)
        if (rig_copies(&r, NULL, mail_wire(i)) != 1)
            fail_msg("after a death at operation %u, message %u is there %u times", nth, i,
                     rig_copies(&r, NULL, mail_wire(i)));
    rig_end(&r);
    return status == MODEL_DEATH;
}

static void moved_on_both_sides(void **state)
{
    unsigned nth = 1;
    (void)state;
    while (dies_among_moves(nth))
        nth += RIG_STEP;
    assert_true(nth > 5);
}

/* One part, by its number, or all. */
int main(int argc, char **argv)
{
    const struct CMUnitTest before[] = {
        cmocka_unit_test_teardown(before_the_effect, rig_end_open),
    };
    const struct CMUnitTest half[] = {
        cmocka_unit_test_teardown(half_way, rig_end_open),
    };
    const struct CMUnitTest after[] = {
        cmocka_unit_test_teardown(after_the_effect, rig_end_open),
        cmocka_unit_test_teardown(after_the_effect_without_uidplus_and_move, rig_end_open),
    };
    const struct CMUnitTest often[] = {
        cmocka_unit_test_teardown(moved_on_both_sides, rig_end_open),
        cmocka_unit_test_teardown(again_and_again, rig_end_open),
        cmocka_unit_test_teardown(at_any_moment, rig_end_open),
    };
    int part = argc > 1 ? atoi(argv[1]) : 0, failed = 0;
    if (part == 0 || part == 1)
        failed += cmocka_run_group_tests(before, NULL, NULL);
    if (part == 0 || part == 2)
        failed += cmocka_run_group_tests(after, NULL, NULL);
    if (part == 0 || part == 3)
        failed += cmocka_run_group_tests(often, NULL, NULL);
    if (part == 0 || part == 4)
        failed += cmocka_run_group_tests(half, NULL, NULL);
    return failed;
}
