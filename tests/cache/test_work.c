/* Work files: settling, who may write when, and that a crash at any step loses no mail. */
#include <sqlite3.h>
#include "work_rows.h"

/* ---- settling ---- */

static void test_settle_forms(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    static const struct {
        const char *name, *file, *wire;
        enum message_form form;
    } t[] = {
        {"plain", "A: b\n\nbody\n", "A: b\r\n\r\nbody\r\n", MESSAGE_LF},
        {"crlf", "A: b\r\n\r\nbody\r\n", "A: b\r\n\r\nbody\r\n", MESSAGE_WIRE},
        {"mixed", "A: b\r\n\nbody\n", "A: b\r\n\r\nbody\r\n", MESSAGE_OWN},
        {"mixed-again", "A: b\n\r\nbody\n", "A: b\r\n\r\nbody\r\n", MESSAGE_WIRE}, /* OWN is taken */
        {"bare-cr", "a\rb\nc\r", "a\rb\r\nc\r", MESSAGE_LF},
        {"cr-cr-lf", "a\r\r\nb\n", "a\r\r\nb\r\n", MESSAGE_OWN},
        {"no-end", "a", "a", MESSAGE_LF},
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
        int64_t id = deliver(c, t[i].name, t[i].file);
        assert_int_equal(work_settle(c, id), 0);
        struct message m = get(c, id);
        assert_int_equal(m.state, MESSAGE_PRESENT);
        assert_int_equal(m.form, t[i].form);
        assert_true(m.dirty);
        check_served(c, &m, t[i].form == MESSAGE_WIRE ? t[i].wire : t[i].file);
        check_wire(c, &m, t[i].wire);
        assert_false(exists(c, "work", id));
        assert_true(exists(c, "unsent", id));
    }
    assert_int_equal(entries(c->bodies->tmpfd), 0);
}

static void test_settle_wire_bodies(void **state)
{
    struct scratch *s = *state;
    scratch_close(s);
    scratch_open(s, true);
    int64_t lf = deliver(s->c, "lf", "a\nb\n"), crlf = deliver(s->c, "crlf", "c\r\nd\r\n");
    assert_int_equal(work_settle(s->c, lf), 0);
    assert_int_equal(work_settle(s->c, crlf), 0);
    struct message m = get(s->c, lf);
    assert_int_equal(m.form, MESSAGE_OWN);
    check_served(s->c, &m, "a\nb\n");
    check_wire(s->c, &m, "a\r\nb\r\n");
    m = get(s->c, crlf);
    assert_int_equal(m.form, MESSAGE_WIRE);
    check_wire(s->c, &m, "c\r\nd\r\n");
}

static void test_settle_refuses(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    assert_int_equal(work_settle(c, 4711), -ENOENT);
    int64_t id = deliver(c, "empty", "");
    assert_int_equal(work_settle(c, id), -ENODATA);
    assert_int_equal(get(c, id).state, MESSAGE_WRITING);
    assert_true(exists(c, "work", id));
    write_work(c, id, "x\n");
    work_writer_begin(c, id);
    assert_true(work_has_writer(c, id));
    assert_int_equal(work_settle(c, id), -EAGAIN);
    work_writer_begin(c, id);
    work_writer_end(c, id);
    assert_int_equal(work_settle(c, id), -EAGAIN);
    work_writer_end(c, id);
    assert_false(work_has_writer(c, id));
    assert_int_equal(work_settle(c, id), 0);
    assert_int_equal(work_settle(c, id), -ENOENT); /* it is PRESENT */
}

static void test_unchanged_edit(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    struct find gone = {0};
    struct base_state base;
    int64_t id = synced(c, "mail", "a\nb\n", 5);
    assert_false(exists(c, "unsent", id));
    start_edit(c, id, true);
    struct message m = get(c, id);
    check_served(c, &m, "a\nb\n");
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, clean_row, &id), 0);
    assert_int_equal(work_settle(c, id), 0);
    m = get(c, id);
    assert_false(m.dirty);
    check_served(c, &m, "a\nb\n");
    assert_int_equal(base_of_message(cache_reader(c), id, &base), 0);
    assert_int_equal(message_each_gone(cache_reader(c), find_one, &gone), 0);
    assert_int_equal(gone.n, 0);
    assert_false(exists(c, "unsent", id));
}

static void check_edited(struct cache *c, int64_t id)
{
    struct find gone = {0};
    struct base_state base;
    struct message m = get(c, id);
    assert_true(m.dirty);
    check_served(c, &m, "new\n");
    check_wire(c, &m, "new\r\n");
    assert_int_equal(base_of_message(cache_reader(c), id, &base), -ENOENT);
    assert_int_equal(message_each_gone(cache_reader(c), find_one, &gone), 0);
    assert_int_equal(gone.n, 1);
    assert_int_equal(gone.m.after, id);
    assert_true(gone.m.dirty);
    assert_string_equal(gone.m.name, m.name);
    check_served(c, &gone.m, "old\n");
    check_wire(c, &gone.m, "old\r\n");
    assert_int_equal(base_of_message(cache_reader(c), gone.m.id, &base), 0);
    assert_int_equal(base.uid, 5);
}

static void test_edit_leaves_a_tombstone(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t id = synced(c, "mail", "old\n", 5);
    start_edit(c, id, false);
    write_work(c, id, "new\n");
    assert_int_equal(work_settle(c, id), 0);
    check_edited(c, id);
    assert_true(exists(c, "unsent", id));
    /* The base is with the tombstone: a second edit before the server knows of the first makes no other one.
     */
    start_edit(c, id, false);
    write_work(c, id, "newer\n");
    assert_int_equal(work_settle(c, id), 0);
    struct find gone = {0};
    assert_int_equal(message_each_gone(cache_reader(c), find_one, &gone), 0);
    assert_int_equal(gone.n, 1);
}

/* Settled and not committed, a work file is a name of the body: writing on must not change that. */
static int64_t stopped_id;
static struct cache *stopped_cache;

static void remove_row_at_note(const char *step)
{
    if (strcmp(step, "note durable") != 0)
        return;
    struct row row = {.m = get(stopped_cache, stopped_id)};
    row.m.state = MESSAGE_GONE;
    assert_int_equal(cache_write(stopped_cache, CACHE_FROM_FILES, CACHE_NOW, put_row, &row), 0);
}

static void test_removed_while_settling(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    stopped_cache = c;
    int64_t id = stopped_id = deliver(c, "mail", "text\n");
    at_step = remove_row_at_note;
    int r = work_settle(c, id);
    at_step = NULL;
    assert_int_equal(r, -ENOENT);
    assert_int_equal(get(c, id).state, MESSAGE_GONE);
    assert_false(exists(c, "unsent", id));

    /* The body that lies there shares its inode with the work file. */
    struct body_info info;
    assert_int_equal(work_store(c, id, &info), 0);
    struct message body = {.state = MESSAGE_PRESENT, .has_hash = true, .size = info.size, .form = info.form};
    memcpy(body.hash, info.hash, sizeof(body.hash));
    write_work(c, id, "TEXT, and more\n");
    check_served(c, &body, "text\n");
}

/* ---- writers against settling ---- */

static sem_t settling, go_on;
static atomic_bool writer_in;

static void stop_at_body(const char *step)
{
    if (strcmp(step, "body durable") != 0)
        return;
    sem_post(&settling);
    sem_wait(&go_on);
}

struct race {
    struct cache *c;
    int64_t id;
};

static void *settle_thread(void *arg)
{
    struct race *r = arg;
    return (void *)(intptr_t)work_settle(r->c, r->id);
}

static void *writer_thread(void *arg)
{
    struct race *r = arg;
    work_writer_begin(r->c, r->id);
    atomic_store(&writer_in, true);
    work_writer_end(r->c, r->id);
    return NULL;
}

static void test_writer_waits_for_settling(void **state)
{
    struct race race = {.c = ((struct scratch *)*state)->c};
    race.id = deliver(race.c, "mail", "text\n");
    int64_t other = deliver(race.c, "other", "text\n");
    pthread_t settler, writer;
    void *result;
    sem_init(&settling, 0, 0);
    sem_init(&go_on, 0, 0);
    atomic_store(&writer_in, false);
    at_step = stop_at_body;
    pthread_create(&settler, NULL, settle_thread, &race);
    sem_wait(&settling);
    assert_int_equal(work_settle(race.c, race.id), -EAGAIN);
    work_writer_begin(race.c, other); /* of another row: at once */
    work_writer_end(race.c, other);
    pthread_create(&writer, NULL, writer_thread, &race);
    usleep(50000);
    bool early = atomic_load(&writer_in);
    sem_post(&go_on);
    pthread_join(settler, &result);
    pthread_join(writer, NULL);
    at_step = NULL;
    assert_false(early);
    assert_true(atomic_load(&writer_in));
    assert_null(result);
    assert_int_equal(get(race.c, race.id).state, MESSAGE_PRESENT);
}

/* ---- the disk is full ---- */

static void test_settle_write_error(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    char *text = malloc(300001);
    memset(text, 'x', 300000);
    strcpy(text + 299990, "\r\nmixed\n");
    int64_t first = deliver(c, "first", text);
    assert_int_equal(work_settle(c, first), 0);
    /* The same mail with other line ends: this one needs a copy, and that does not fit. */
    strcpy(text + 299990, "\nmixed\r\n");
    int64_t id = deliver(c, "mail", text);
    struct rlimit before, small;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, was;
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){150000, before.rlim_max};
    sigaction(SIGXFSZ, &ignore, &was);
    setrlimit(RLIMIT_FSIZE, &small);
    int r = work_settle(c, id);
    setrlimit(RLIMIT_FSIZE, &before);
    sigaction(SIGXFSZ, &was, NULL);
    free(text);
    assert_int_equal(r, -EFBIG);
    assert_int_equal(get(c, id).state, MESSAGE_WRITING);
    assert_true(exists(c, "work", id));
    assert_int_equal(entries(c->bodies->tmpfd), 0);
    assert_int_equal(work_settle(c, id), 0);
}

/* ---- crashes ---- */

static const char *const steps[] = {"body placed", "body durable", "note durable", "row durable"};
#define STEPS (sizeof(steps) / sizeof(*steps))

static void test_crash_while_settling_new_mail(void **state)
{
    struct scratch *s = *state;
    for (size_t i = 0; i < STEPS; i++) {
        char text[64];
        snprintf(text, sizeof(text), "mail %zu\n", i);
        int64_t id = deliver(s->c, steps[i], text);
        crash_in_child(s, steps[i], settle_only, id);
        assert_int_equal(work_recover(s->c), 0);
        struct message m = get(s->c, id);
        check_served(s->c, &m, text);
        int r = work_settle(s->c, id);
        assert_int_equal(r, i + 1 == STEPS ? -ENOENT : 0);
        m = get(s->c, id);
        assert_int_equal(m.state, MESSAGE_PRESENT);
        check_served(s->c, &m, text);
        assert_false(exists(s->c, "work", id));
        assert_true(exists(s->c, "unsent", id));
    }
    struct find gone = {0};
    assert_int_equal(message_each_gone(cache_reader(s->c), find_one, &gone), 0);
    assert_int_equal(gone.n, 0);
    assert_int_equal(entries(s->c->bodies->tmpfd), 0);
}

/* As fs does it at a close: the row has the file's size. */
static void write_whole(struct cache *c, int64_t id, const char *content)
{
    struct row row = {.m = get(c, id)};
    write_work(c, id, content);
    row.m.size = (int64_t)strlen(content);
    assert_int_equal(cache_write(c, CACHE_FROM_FILES, CACHE_NOW, put_row, &row), 0);
}

static void test_crash_while_settling_an_edit(void **state)
{
    struct scratch *s = *state;
    for (size_t i = 0; i < STEPS; i++) {
        int64_t id = synced(s->c, "mail", "old\n", 5);
        start_edit(s->c, id, false);
        write_whole(s->c, id, "new\n");
        crash_in_child(s, steps[i], settle_only, id);
        assert_int_equal(work_recover(s->c), 0);
        int r = work_settle(s->c, id);
        assert_int_equal(r, i + 1 == STEPS ? -ENOENT : 0);
        check_edited(s->c, id);
        scratch_end(s);
        scratch_begin(s);
        scratch_open(s, false);
    }
}

/* ---- many at once ---- */

#define TOGETHER 6

static void deliver_together(struct cache *c, int64_t id[TOGETHER])
{
    for (int i = 0; i < TOGETHER; i++) {
        char name[16], text[32];
        snprintf(name, sizeof(name), "m%d", i);
        snprintf(text, sizeof(text), "mail %d\n", i / 2 * 2); /* two have the same text */
        id[i] = deliver(c, name, text);
    }
}

static void check_together(struct cache *c, const int64_t id[TOGETHER])
{
    for (int i = 0; i < TOGETHER; i++) {
        char text[32];
        snprintf(text, sizeof(text), "mail %d\n", i / 2 * 2);
        struct message m = get(c, id[i]);
        assert_int_equal(m.state, MESSAGE_PRESENT);
        check_served(c, &m, text);
        assert_false(exists(c, "work", id[i]));
        assert_true(exists(c, "unsent", id[i]));
    }
    assert_int_equal(entries(c->bodies->tmpfd), 0);
}

/* Each row's result is its own: what one is not ready for, or lacks, keeps no other from being settled. */
static void test_many(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t id[TOGETHER + 4];
    int result[TOGETHER + 4];
    deliver_together(c, id);
    int64_t edited = synced(c, "edited", "old\n", 5);
    start_edit(c, edited, false);
    write_work(c, edited, "new\n");
    id[TOGETHER] = edited;
    id[TOGETHER + 1] = deliver(c, "empty", "");
    id[TOGETHER + 2] = 4711;
    id[TOGETHER + 3] = deliver(c, "open", "not yet\n");
    work_writer_begin(c, id[TOGETHER + 3]);
    work_settle_many(c, id, TOGETHER + 4, result);
    for (int i = 0; i <= TOGETHER; i++)
        assert_int_equal(result[i], 0);
    assert_int_equal(result[TOGETHER + 1], -ENODATA);
    assert_int_equal(result[TOGETHER + 2], -ENOENT);
    assert_int_equal(result[TOGETHER + 3], -EAGAIN);
    check_together(c, id);
    check_edited(c, edited);
    work_writer_end(c, id[TOGETHER + 3]);
    assert_int_equal(work_settle(c, id[TOGETHER + 3]), 0);
    work_settle_many(c, NULL, 0, NULL);
}

static int64_t together[TOGETHER];

static void settle_together(struct cache *c, int64_t id)
{
    int result[TOGETHER];
    (void)id;
    work_settle_many(c, together, TOGETHER, result);
}

static void test_crash_while_settling_many(void **state)
{
    struct scratch *s = *state;
    for (size_t i = 0; i < STEPS; i++) {
        int result[TOGETHER];
        deliver_together(s->c, together);
        crash_in_child(s, steps[i], settle_together, 0);
        assert_int_equal(work_recover(s->c), 0);
        work_settle_many(s->c, together, TOGETHER, result);
        for (int j = 0; j < TOGETHER; j++)
            assert_int_equal(result[j], i + 1 == STEPS ? -ENOENT : 0);
        check_together(s->c, together);
        scratch_end(s);
        scratch_begin(s);
        scratch_open(s, false);
    }
}

/* From now on, or no longer, the database refuses that rows with ids up to this one become messages. */
static void refuse_rows(const struct scratch *s, int64_t last)
{
    char path[200], sql[300];
    sqlite3 *db;
    snprintf(path, sizeof(path), "%s/mail.db", s->cache);
    snprintf(sql, sizeof(sql),
             "DROP TRIGGER IF EXISTS refuse; CREATE TRIGGER refuse BEFORE UPDATE ON message WHEN NEW.id <= "
             "%lld AND "
             "NEW.hash IS NOT NULL BEGIN SELECT RAISE(ABORT, 'refused'); END",
             (long long)last);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* What the database does not take of one keeps no other from being settled; it loses nothing, and comes
 * later. */
static void test_one_of_many_is_refused(void **state)
{
    struct scratch *s = *state;
    int64_t id[TOGETHER];
    int result[TOGETHER];
    deliver_together(s->c, id);
    refuse_rows(s, id[0]);
    work_settle_many(s->c, id, TOGETHER, result);
    assert_true(result[0] < 0 && result[0] != -ENOENT);
    assert_int_equal(get(s->c, id[0]).state, MESSAGE_WRITING);
    assert_true(exists(s->c, "work", id[0]));
    for (int i = 1; i < TOGETHER; i++) {
        assert_int_equal(result[i], 0);
        assert_int_equal(get(s->c, id[i]).state, MESSAGE_PRESENT);
    }
    refuse_rows(s, 0);
    assert_int_equal(work_settle(s->c, id[0]), 0);
    check_together(s->c, id);
}

/* More than are taken at a time. */
static void test_the_refused_hold_up_nobody(void **state)
{
    struct scratch *s = *state;
    int64_t id = 0, last_refused = 0;
    for (int i = 0; i < 70; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        id = deliver(s->c, name, "text\n");
        struct row row = {.m = get(s->c, id)};
        row.m.size = 5;
        assert_int_equal(cache_write(s->c, CACHE_FROM_FILES, CACHE_NOW, put_row, &row), 0);
        last_refused = i < 66 ? id : last_refused;
    }
    refuse_rows(s, last_refused);
    work_settle_rest(s->c);
    assert_int_equal(get(s->c, last_refused).state, MESSAGE_WRITING);
    for (int64_t i = last_refused + 1; i <= id; i++)
        assert_int_equal(get(s->c, i).state, MESSAGE_PRESENT);
}

/* ---- what is found at the start ---- */

static void test_recover_work_files(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t present = synced(c, "present", "same\n", 1), writing = deliver(c, "writing", "kept\n");
    int64_t edited = synced(c, "edited", "before\n", 2), lost = deliver(c, "lost", "x\n");
    write_work(c, present, "same\n"); /* left over after the commit */
    write_work(c, 5001, "");
    write_work(c, 5002, "nobody's\n");
    start_edit(c, edited, false);
    work_remove(c, edited);
    work_remove(c, lost);
    assert_int_equal(work_recover(c), 0);

    assert_false(exists(c, "work", present));
    assert_int_equal(get(c, present).state, MESSAGE_PRESENT);
    assert_true(exists(c, "work", writing));
    assert_int_equal(get(c, writing).state, MESSAGE_WRITING);
    assert_false(exists(c, "work", 5001));
    assert_false(exists(c, "work", 5002));
    struct message m = get(c, edited);
    check_served(c, &m, "before\n");
    assert_int_equal(get(c, lost).state, MESSAGE_GONE);

    struct message salvaged;
    struct find gone = {0};
    message_each_gone(cache_reader(c), find_one, &gone);
    assert_int_equal(gone.n, 2);
    bool found = false;
    for (int64_t id = lost + 1; message_get(cache_reader(c), id, &salvaged) == 0; id++) {
        assert_int_equal(salvaged.state, MESSAGE_GONE);
        check_served(c, &salvaged, "nobody's\n");
        found = true;
    }
    assert_true(found);
}

/* What the row had, and what a crash left beside it, are not the same mail: neither goes. */
static void test_recover_an_edit_nobody_knew_of(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t id = synced(c, "mail", "known\n", 1);
    write_work(c, id, "unknown\n");
    assert_int_equal(work_recover(c), 0);
    struct message m = get(c, id);
    check_served(c, &m, "known\n");
    struct find gone = {0};
    message_each_gone(cache_reader(c), find_one, &gone);
    assert_int_equal(gone.n, 1);
    check_served(c, &gone.m, "unknown\n");
}

/* Half an edit is never sent; what was written of it can be restored. One that was closed counts. */
static void test_recover_an_unfinished_edit(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t half = synced(c, "half", "before it\n", 1), whole = synced(c, "whole", "before it\n", 2);
    start_edit(c, half, false);
    write_whole(c, half, "all of the new text\n");
    write_work(c, half, "all of\n");
    start_edit(c, whole, false);
    write_whole(c, whole, "new\n");
    assert_int_equal(work_recover(c), 0);
    struct message m = get(c, half);
    assert_int_equal(m.state, MESSAGE_PRESENT);
    check_served(c, &m, "before it\n");
    assert_int_equal(get(c, whole).state, MESSAGE_WRITING);
    assert_int_equal(work_settle(c, whole), 0);
    m = get(c, whole);
    check_served(c, &m, "new\n");
    struct message salvaged = {0};
    for (int64_t id = whole + 1; message_get(cache_reader(c), id, &m) == 0; id++)
        salvaged = m.after ? salvaged : m;
    assert_int_equal(salvaged.state, MESSAGE_GONE);
    check_served(c, &salvaged, "all of\n");
}

/* Emptied, and closed so (which a fork between open and the first write does, too): an empty mail is never
 * sent, and after the end of whoever was writing it never would be. */
static void test_recover_what_was_emptied(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t id = synced(c, "mail", "before it\n", 1);
    start_edit(c, id, false);
    write_whole(c, id, "");
    struct message m = get(c, id);
    assert_int_equal(m.state, MESSAGE_WRITING);
    assert_int_equal(m.size, 0);
    assert_int_equal(work_recover(c), 0);
    m = get(c, id);
    assert_int_equal(m.state, MESSAGE_PRESENT);
    check_served(c, &m, "before it\n");
    assert_false(exists(c, "work", id));
}

static int64_t removed_unsettled(struct cache *c, enum sub sub, const char *name, const char *content)
{
    struct row row = {.m = get(c, deliver(c, name, content))};
    row.m.sub = sub;
    row.m.state = MESSAGE_GONE;
    assert_int_equal(cache_write(c, CACHE_FROM_FILES, CACHE_NOW, put_row, &row), 0);
    return row.m.id;
}

static void test_recover_what_was_removed_unsettled(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t mail = removed_unsettled(c, SUB_NEW, "mail", "removed\n");
    int64_t tmp = removed_unsettled(c, SUB_TMP, "tmp", "nothing\n");
    int64_t scratch = removed_unsettled(c, SUB_CUR, ".mail.swp", "nothing\n");
    assert_int_equal(work_recover(c), 0);
    struct message m = get(c, mail);
    check_served(c, &m, "removed\n");
    check_wire(c, &m, "removed\r\n");
    assert_false(exists(c, "work", mail) || exists(c, "work", tmp) || exists(c, "work", scratch));
    struct find gone = {0};
    message_each_gone(cache_reader(c), find_one, &gone);
    assert_int_equal(gone.n, 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_settle_forms),
        T(test_settle_wire_bodies),
        T(test_settle_refuses),
        T(test_unchanged_edit),
        T(test_edit_leaves_a_tombstone),
        T(test_removed_while_settling),
        T(test_writer_waits_for_settling),
        T(test_settle_write_error),
        T(test_crash_while_settling_new_mail),
        T(test_crash_while_settling_an_edit),
        T(test_many),
        T(test_crash_while_settling_many),
        T(test_one_of_many_is_refused),
        T(test_the_refused_hold_up_nobody),
        T(test_recover_work_files),
        T(test_recover_an_edit_nobody_knew_of),
        T(test_recover_an_unfinished_edit),
        T(test_recover_what_was_emptied),
        T(test_recover_what_was_removed_unsettled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
