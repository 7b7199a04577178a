/* Messages that are in view before their bodies are here: what becomes of them when either side moves on. */
#include <unistd.h>
#include "rig.h"

static struct rig rigs;

static struct rig *begin(const struct model_features *f)
{
    struct rig *r = &rigs;
    rig_begin(r, f);
    r->account.bodies_s = 0;
    model_create(r->model, "Archive");
    model_append(r->model, "INBOX", mail_wire(1), FLAG_SEEN, 1600000001);
    rig_start(r);
    assert_true(rig_settles(r, 20));
    record_clear(&r->record);
    return r;
}

static size_t mail_there(struct rig *r)
{
    return model_count(r->model, "INBOX") + model_count(r->model, "Archive");
}

static int first(void *arg, const struct message *m)
{
    *(struct message *)arg = *m;
    return 1;
}

/* The only message in view of a mailbox; id 0: none. */
static struct message only(struct rig *r, const char *box)
{
    struct message m = {0};
    cache_rd *rd = cache_reader(r->cache);
    assert_true(file_count(r, box) < 2);
    for (int sub = SUB_NEW; sub <= SUB_CUR && !m.id; sub++)
        message_each(rd, file_box(r, box), (enum sub)sub, 0, first, &m);
    return m;
}

static void answered(void *arg, int err)
{
    atomic_store((atomic_int *)arg, err);
}

static int open_it(struct rig *r, int64_t id)
{
    atomic_int answer = 1;
    assert_int_equal(cache_want(r->cache, id, answered, &answer), 0);
    for (int i = 0; i < 1000 && atomic_load(&answer) == 1; i++)
        usleep(10000);
    return atomic_load(&answer);
}

static void is_fetched_when_it_is_wanted(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    struct message m = only(r, "INBOX");
    assert_true(message_is_bare(&m));
    assert_int_equal(m.size, strlen(mail_wire(1)));
    assert_int_equal(open_it(r, m.id), 0);
    file_assert_content(r, m.id, mail_file(1));
    assert_int_equal(record_fetched(&r->record), 1);
    rig_agree(r);
    rig_assert_changes(r, "");
    rig_end(r);
}

/* A session that was idle turns out to be dead: that is no reason to refuse an open. */
static void is_tried_once_more(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    struct message m = only(r, "INBOX");
    model_plan(r->model, &(struct model_trouble){.events = MODEL_FETCH, .nth = 1});
    assert_int_equal(open_it(r, m.id), 0);
    assert_true(model_struck(r->model));
    rig_end(r);
}

static void but_not_for_ever(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    struct message m = only(r, "INBOX");
    model_plan(r->model, &(struct model_trouble){.events = MODEL_FETCH, .nth = 1, .every = 1});
    assert_int_equal(open_it(r, m.id), -ENETDOWN);
    rig_end(r);
}

static int want_it(void *arg, const struct message *m)
{
    struct {
        struct cache *cache;
        atomic_int *answer;
        unsigned n;
    } *all = arg;
    atomic_store(&all->answer[all->n], 1);
    assert_int_equal(cache_want(all->cache, m->id, answered, &all->answer[all->n]), 0);
    all->n++;
    return 0;
}

/* One that does not answer is not waited for by all others, one after the other. */
static void a_silent_server_is_told_apart(void **state)
{
    enum { MANY = 20 };
    (void)state;
    struct rig *r = begin(&model_full);
    for (unsigned n = 2; n <= MANY; n++)
        model_append(r->model, "INBOX", mail_wire(n), FLAG_SEEN, 1600000000 + n);
    assert_true(rig_settles(r, 20));
    atomic_int answer[MANY];
    struct {
        struct cache *cache;
        atomic_int *answer;
        unsigned n;
    } all = {r->cache, answer, 0};
    model_plan(r->model,
               &(struct model_trouble){.events = MODEL_FETCH, .nth = 1, .every = 1, .err = -ETIMEDOUT});
    assert_int_equal(message_each(cache_reader(r->cache), file_box(r, "INBOX"), SUB_CUR, 0, want_it, &all),
                     0);
    assert_int_equal(all.n, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        for (int k = 0; k < 500 && atomic_load(&answer[i]) == 1; k++)
            usleep(10000);
        assert_int_equal(atomic_load(&answer[i]), -ETIMEDOUT);
    }
    model_plan(r->model, NULL);
    assert_true(rig_settles(r, 20));
    rig_end(r);
}

/* Flagged here and removed there: nobody has the text, and nothing is sent. */
static void goes_with_the_servers_copy(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    struct message m = only(r, "INBOX");
    rig_stop(r);
    rig_open(r);
    file_flag(r, m.id, FLAG_FLAGGED, 0);
    model_expunge(r->model, "INBOX", 1);
    rig_start(r);
    assert_true(rig_settles(r, 20));
    assert_int_equal(file_count(r, "INBOX"), 0);
    assert_int_equal(mail_there(r), 0);
    rig_assert_changes(r, "");
    rig_end(r);
}

static void is_followed(void **state)
{
    (void)state;
    static const struct model_features bare = {.speed = WORKER_SPEED_NONE};
    const struct model_features *const servers[] = {&model_full, &bare};
    for (size_t i = 0; i < 2; i++)
        for (int here_too = 0; here_too <= 1; here_too++) {
            struct rig *r = begin(servers[i]);
            struct message m = only(r, "INBOX");
            rig_stop(r);
            rig_open(r);
            if (here_too)
                file_flag(r, m.id, FLAG_FLAGGED, 0);
            model_move(r->model, "INBOX", 1, "Archive");
            rig_start(r);
            assert_true(rig_settles(r, 20));
            assert_int_equal(only(r, "INBOX").id, 0);
            assert_int_equal(only(r, "Archive").id, m.id);
            assert_int_equal(only(r, "Archive").flags, FLAG_SEEN | (here_too ? FLAG_FLAGGED : 0));
            assert_int_equal(record_fetched(&r->record), 0);
            assert_int_equal(open_it(r, m.id), 0);
            rig_agree(r);
            rig_assert_once(r, "Archive", mail_wire(1));
            rig_end(r);
        }
}

static void is_moved_without_its_body(void **state)
{
    (void)state;
    static const struct model_features bare = {.speed = WORKER_SPEED_NONE},
                                       blind = {.speed = WORKER_SPEED_NONE, .move = true};
    const struct model_features *const servers[] = {&model_full, &bare, &blind};
    for (size_t i = 0; i < 3; i++) {
        struct rig *r = begin(servers[i]);
        struct message m = only(r, "INBOX");
        file_move(r, m.id, "Archive");
        assert_true(rig_settles(r, 20));
        assert_int_equal(only(r, "Archive").id, m.id);
        assert_int_equal(mail_there(r), 1);
        assert_int_equal(open_it(r, m.id), 0);
        rig_agree(r);
        rig_assert_once(r, "Archive", mail_wire(1));
        rig_end(r);
    }
}

/* Case 70: its mailbox is numbered anew, while it was flagged here. */
static void outlives_new_numbers(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    struct message m = only(r, "INBOX");
    rig_stop(r);
    rig_open(r);
    file_flag(r, m.id, FLAG_FLAGGED, 0);
    model_renumber(r->model, "INBOX", 77);
    rig_start(r);
    assert_true(rig_settles(r, 20));
    assert_int_equal(only(r, "INBOX").id, m.id);
    assert_int_equal(open_it(r, m.id), 0);
    rig_agree(r);
    rig_assert_once(r, "INBOX", mail_wire(1));
    rig_end(r);
}

/* Case 73 */
static void outlives_the_database(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    rig_stop(r);
    rig_lose_database(r);
    rig_start(r);
    assert_true(rig_settles(r, 20));
    struct message m = only(r, "INBOX");
    assert_true(message_is_bare(&m));
    assert_int_equal(mail_there(r), 1);
    rig_end(r);
}

/* Cases 3 and 22: what was delivered here is there already, or comes there meanwhile, and its text is
 * compared. */
static void is_compared_with_what_was_delivered_here(void **state)
{
    (void)state;
    struct rig *r = begin(&model_full);
    rig_stop(r);
    rig_open(r);
    int64_t mine = file_deliver(r, "INBOX", SUB_CUR, mail_file(2), FLAG_SEEN, 1600000002);
    model_append(r->model, "INBOX", mail_wire(2), FLAG_SEEN, 1600000002);
    rig_start(r);
    assert_true(rig_settles(r, 20));
    assert_int_equal(mail_there(r), 2);
    assert_int_equal(file_count(r, "INBOX"), 2);
    file_assert_content(r, mine, mail_file(2));
    rig_end(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_end_open)
    const struct CMUnitTest tests[] = {
        TEST(is_fetched_when_it_is_wanted),
        TEST(is_tried_once_more),
        TEST(but_not_for_ever),
        TEST(a_silent_server_is_told_apart),
        TEST(goes_with_the_servers_copy),
        TEST(is_followed),
        TEST(is_moved_without_its_body),
        TEST(outlives_new_numbers),
        TEST(outlives_the_database),
        TEST(is_compared_with_what_was_delivered_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
