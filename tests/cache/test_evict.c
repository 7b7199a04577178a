/* Keeping the bodies below a limit: which of them go, in what order, and which never do. */
#include "rows.h"
#include "body_store.h"
#include "private.h"
#include "work_table.h"

#define OCTETS 1000

/* A body of 1,000 octets that was used so many days ago, and its row, which the server has when uid is set.
 */
static struct message make(struct scratch *s, int64_t mailbox, unsigned char first, int days, uint32_t uid)
{
    struct body_writer *w;
    struct body_info info;
    char text[OCTETS], name[BODY_NAME_MAX];
    memset(text, first, sizeof(text));
    assert_int_equal(body_writer_open(s->c, &w), 0);
    assert_int_equal(body_writer_write(w, text, sizeof(text)), 0);
    assert_int_equal(body_writer_finish(w, &info), 0);
    struct message m = {.mailbox = mailbox, .sub = SUB_CUR, .state = MESSAGE_PRESENT, .has_hash = true};
    m.size = m.wire_size = OCTETS;
    memcpy(m.hash, info.hash, sizeof(m.hash));
    snprintf(m.name, sizeof(m.name), "%c-%u", first, uid);
    server_does(s, put_message, &m);
    if (uid) {
        struct base_state b = {.mailbox = mailbox, .uid = uid, .message = m.id};
        server_does(s, put_base, &b);
    }
    body_name(m.hash, BODY_FILE_LF, name);
    time_t at = time(NULL) - days * 86400;
    struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    assert_int_equal(utimensat(s->c->bodies->dirfd, name, times, 0), 0);
    return m;
}

static int64_t evict(struct scratch *s, int64_t limit)
{
    int64_t size = -1;
    assert_int_equal(body_evict(s->c, limit, &size), 0);
    return size;
}

static bool is_here(struct scratch *s, const struct message *m)
{
    return body_is_here(s->c, m);
}

static void the_oldest_go_until_there_is_room(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Box");
    struct message m[100];
    for (int i = 0; i < 100; i++)
        m[i] = make(s, box.id, (unsigned char)('!' + i), i, (uint32_t)i + 1);
    assert_int_equal(evict(s, 100 * OCTETS), 100 * OCTETS);
    assert_int_equal(evict(s, 50 * OCTETS), 45 * OCTETS);
    for (int i = 0; i < 100; i++)
        assert_int_equal(is_here(s, &m[i]), i < 45);
    assert_int_equal(row(s, m[99].id).state, MESSAGE_PRESENT);
    assert_int_equal(body_open(s->c, &m[99]), -ENOENT);
}

static void what_was_opened_lately_stays(void **state)
{
    struct scratch *s = *state;
    s->c->bodies->note_use = true;
    struct mailbox box = make_box(s, 0, "Box");
    struct message old = make(s, box.id, 'o', 400, 1), older = make(s, box.id, 'p', 500, 2);
    make(s, box.id, 'n', 1, 3);
    int fd = body_open(s->c, &older);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(evict(s, 2 * OCTETS + 500), 2 * OCTETS);
    assert_true(is_here(s, &older));
    assert_false(is_here(s, &old));
}

static int make_dirty(cache_tx *tx, void *arg)
{
    struct message *m = arg;
    m->dirty = true;
    return message_put(tx, m);
}

static void what_the_server_lacks_never_goes(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Box");
    struct message unsent = make(s, box.id, 'u', 900, 0);
    struct message gone = make(s, box.id, 'g', 900, 1), edited = make(s, box.id, 'e', 900, 2);
    struct message two = make(s, box.id, 't', 900, 3), copy = make(s, box.id, 't', 900, 0);
    struct message noted = make(s, box.id, 'n', 900, 4), plain = make(s, box.id, 'p', 1, 5);
    struct unsent *note = calloc(1, sizeof(*note));
    gone.state = MESSAGE_GONE;
    server_does(s, put_message, &gone);
    server_does(s, make_dirty, &edited);
    note->m = noted;
    strcpy(note->mailbox, "Box");
    assert_int_equal(unsent_write(s->c, note), 0);
    free(note);
    assert_int_equal(evict(s, OCTETS), 5 * OCTETS);
    const struct message *stay[] = {&unsent, &gone, &edited, &two, &copy, &noted};
    for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++)
        assert_true(is_here(s, stay[i]));
    assert_false(is_here(s, &plain));
}

static int give_another_name(cache_tx *tx, void *arg)
{
    const struct message *m = arg;
    return message_link(tx, m->id, m->mailbox, SUB_TMP, "another");
}

/* The name that made it mail, and with that its place on the server, may go before the text is asked for. */
static void what_may_lose_its_address_never_goes(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Box");
    struct message linked = make(s, box.id, 'l', 900, 1), backup = make(s, box.id, 'b', 900, 2);
    struct message plain = make(s, box.id, 'p', 1, 3);
    server_does(s, give_another_name, &linked);
    strcpy(backup.name, "plain~");
    server_does(s, put_message, &backup);
    assert_true(row(s, backup.id).scratch);
    assert_int_equal(evict(s, OCTETS), 2 * OCTETS);
    assert_true(is_here(s, &linked));
    assert_true(is_here(s, &backup));
    assert_false(is_here(s, &plain));
}

static void nothing_goes_while_a_file_is_being_settled(void **state)
{
    struct scratch *s = *state;
    struct mailbox box = make_box(s, 0, "Box");
    struct message m = make(s, box.id, 'm', 900, 1);
    s->c->bodies->settling = 1;
    assert_int_equal(evict(s, 1), OCTETS);
    s->c->bodies->settling = 0;
    assert_true(is_here(s, &m));
    assert_int_equal(evict(s, 1), 0);
    assert_false(is_here(s, &m));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(the_oldest_go_until_there_is_room),          T(what_was_opened_lately_stays),
        T(what_the_server_lacks_never_goes),           T(what_may_lose_its_address_never_goes),
        T(nothing_goes_while_a_file_is_being_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
