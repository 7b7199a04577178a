/* Which bodies are read ahead, for whom (ahead.h). That they are is only noted, and how long that takes is up
 * to the test: the linker puts functions of its own in the place of body_read_ahead and of clock_gettime. */
#include "ahead.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "body.h"
#include "mail_tests.h"

#define MANY 400
#define SLOW_NS 1000000
#define PATIENCE_S 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned n; /* protected by lock, as what follows */
static int64_t read_ids[MANY];
static bool held;

static atomic_bool takes_long;
static atomic_llong clock_ns;

static struct ahead *ahead;
static struct message mail[MANY], other[MANY]; /* of two mailboxes, in the order of ids */

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    if (clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, t);
    long long ns = atomic_fetch_add(&clock_ns, atomic_load(&takes_long) ? SLOW_NS : 0);
    *t = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    return 0;
}

void __wrap_body_read_ahead(struct cache *c, const struct message *m);
void __wrap_body_read_ahead(struct cache *c, const struct message *m)
{
    (void)c;
    pthread_mutex_lock(&lock);
    if (n < MANY)
        read_ids[n] = m->id;
    n++;
    pthread_cond_broadcast(&changed);
    while (held)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void hold(bool hold)
{
    pthread_mutex_lock(&lock);
    held = hold;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* A whole mailbox in one change. */
struct filling {
    int64_t mailbox;
    struct message *made;
};

static int fill_change(cache_tx *tx, void *arg)
{
    struct filling *f = arg;
    for (unsigned i = 0; i < MANY; i++) {
        struct message m = {.mailbox = f->mailbox,
                            .sub = SUB_CUR,
                            .state = MESSAGE_PRESENT,
                            .has_hash = true,
                            .hash = {(uint8_t)i, (uint8_t)(i >> 8)},
                            .size = 5,
                            .wire_size = 6,
                            .date_s = 1000};
        snprintf(m.name, sizeof(m.name), "m%u:2,", i);
        int r = message_put(tx, &m);
        if (r < 0)
            return r;
        f->made[i] = m;
    }
    return 0;
}

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    struct scratch *s = *state;
    struct filling one = {make_box(s, 0, "one").id, mail}, two = {make_box(s, 0, "two").id, other};
    server_does(s, fill_change, &one);
    server_does(s, fill_change, &two);
    n = 0;
    atomic_store(&takes_long, true);
    return ahead_new(s->c, &ahead);
}

static int teardown(void **state)
{
    ahead_free(ahead);
    return scratch_teardown(state);
}

static void open_each(const struct message *m, unsigned first, unsigned count, int64_t took_ns)
{
    for (unsigned i = first; i < first + count; i++)
        ahead_opened(ahead, &m[i], took_ns);
}

static void wait_for(unsigned count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int r = 0;
    pthread_mutex_lock(&lock);
    while (n < count && r == 0)
        r = pthread_cond_timedwait(&changed, &lock, &until);
    pthread_mutex_unlock(&lock);
    assert_int_equal(r, 0);
}

/* As long as it could take. */
static void expect_no_more_than(unsigned count)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    pthread_mutex_lock(&lock);
    unsigned have = n;
    pthread_mutex_unlock(&lock);
    assert_int_equal(have, count);
}

/* In whatever order: each of them once, and nothing else. */
static void expect_read(const struct message *m, unsigned first, unsigned count)
{
    unsigned missing = 0;
    wait_for(count);
    expect_no_more_than(count);
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < count; i++) {
        unsigned times = 0;
        for (unsigned j = 0; j < count; j++)
            times += read_ids[j] == m[first + i].id;
        missing += times != 1;
    }
    n = 0;
    pthread_mutex_unlock(&lock);
    assert_int_equal(missing, 0);
}

/* 16 are read behind the third; at the middle of them 32 more, and at the middle of those 64. */
static void test_who_goes_through(void **state)
{
    (void)state;
    open_each(mail, 0, 2, SLOW_NS);
    expect_no_more_than(0);
    open_each(mail, 2, 1, SLOW_NS);
    expect_read(mail, 3, 16);
    open_each(mail, 3, 8, 1000);
    expect_no_more_than(0);
    open_each(mail, 11, 1, 1000);
    expect_read(mail, 19, 32);
    open_each(mail, 12, 23, 1000);
    expect_no_more_than(0);
    open_each(mail, 35, 1, 1000);
    expect_read(mail, 51, 64);
}

static void test_what_is_in_memory(void **state)
{
    (void)state;
    open_each(mail, 0, MANY, 1000);
    expect_no_more_than(0);
    assert_int_equal(n, 0);
}

/* Once a part was in memory nobody is followed, until it is slow again. */
static void test_the_rest_is_in_memory(void **state)
{
    (void)state;
    atomic_store(&takes_long, false);
    open_each(mail, 0, 3, SLOW_NS);
    expect_read(mail, 3, 16);
    open_each(mail, 3, 97, 1000);
    expect_no_more_than(0);
    atomic_store(&takes_long, true);
    open_each(mail, 100, 3, SLOW_NS);
    expect_read(mail, 103, 16);
}

static void test_the_end_of_the_directory(void **state)
{
    (void)state;
    open_each(mail, MANY - 13, 3, SLOW_NS);
    expect_read(mail, MANY - 10, 10);
    open_each(mail, MANY - 10, 10, 1000);
    expect_no_more_than(0);
}

/* Backwards, in two mailboxes by turns, and here and there. */
static void test_who_does_not_go_through(void **state)
{
    (void)state;
    for (unsigned i = 100; i > 0; i--)
        open_each(mail, i, 1, SLOW_NS);
    for (unsigned i = 0; i < 100; i++) {
        open_each(mail, i, 1, SLOW_NS);
        open_each(other, i, 1, SLOW_NS);
    }
    expect_no_more_than(0);
    open_each(mail, 0, 1, SLOW_NS);
    open_each(mail, 100, 1, SLOW_NS);
    open_each(mail, 200, 1, SLOW_NS);
    expect_read(mail, 201, 16);
    open_each(mail, 300, 1, SLOW_NS);
    open_each(mail, 320, 1, SLOW_NS);
    expect_no_more_than(0);
}

/* New mail, say, which is in memory, long after. */
static void test_what_is_opened_far_behind_it(void **state)
{
    (void)state;
    open_each(mail, 0, 3, SLOW_NS);
    expect_read(mail, 3, 16);
    open_each(mail, 300, 50, 1000);
    expect_no_more_than(0);
    open_each(mail, 11, 1, 1000);
    expect_read(mail, 19, 32);
}

static void test_from_one_mailbox_to_the_next(void **state)
{
    (void)state;
    open_each(mail, 0, 3, SLOW_NS);
    expect_read(mail, 3, 16);
    open_each(other, 0, 3, SLOW_NS);
    expect_read(other, 3, 16);
    open_each(mail, 3, 16, 1000);
    expect_no_more_than(0);
}

/* What is behind him already is not read for him any more. */
static void test_who_is_faster(void **state)
{
    (void)state;
    hold(true);
    open_each(mail, 0, 3, SLOW_NS);
    expect_read(mail, 3, 4); /* as many as there are threads */
    open_each(mail, 3, 27, SLOW_NS);
    hold(false);
    expect_read(mail, 30, 32);
}

/* Threads that are reading are waited for. */
static void test_the_end_while_reading(void **state)
{
    (void)state;
    hold(true);
    open_each(mail, 0, 3, SLOW_NS);
    wait_for(1);
    hold(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_goes_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_rest_is_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_of_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_does_not_go_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_opened_far_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_one_mailbox_to_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_faster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_while_reading, setup, teardown),
    };
    return cmocka_run_group_tests_name("fs ahead", tests, NULL, NULL);
}
