/* Notes of unsent mail: with them a lost database loses none. */
#include "work_rows.h"

static void test_note_goes_when_sent(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t id = deliver(c, "mail", "text\n");
    assert_int_equal(work_settle(c, id), 0);
    assert_int_equal(work_sent(c, id), 0); /* it was not: no base */
    assert_true(exists(c, "unsent", id));
    struct row row = {.m = get(c, id), .uid = 8};
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, put_row, &row), 0);
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, clean_row, &id), 0);
    assert_int_equal(work_sent(c, id), 0);
    assert_false(exists(c, "unsent", id));
}

static ino_t inode_of_note(struct cache *c, int64_t id)
{
    char name[WORK_NAME_MAX];
    struct stat st;
    work_name(id, name);
    assert_int_equal(fstatat(c->work->unsentfd, name, &st, 0), 0);
    return st.st_ino;
}

/* A file that is new each time would be slower to make each time (spare.c). */
static void test_notes_are_used_again(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t one = deliver(c, "with-a-name-that-is-rather-long", "text\n"),
            two = deliver(c, "b", "more text\n");
    assert_int_equal(work_settle(c, one), 0);
    ino_t inode = inode_of_note(c, one);
    unsent_forget(c, one);
    assert_false(exists(c, "unsent", one));
    assert_int_equal(entries(c->work->sparefd), 1);
    assert_int_equal(work_settle(c, two), 0);
    assert_int_equal(inode_of_note(c, two), inode);
    assert_int_equal(entries(c->work->sparefd), 0);
    /* And nothing of what it held before is in it. */
    struct unsent *u = calloc(1, sizeof(*u));
    char name[WORK_NAME_MAX];
    work_name(two, name);
    assert_int_equal(unsent_read(c, name, u), 0);
    assert_string_equal(u->m.name, "b");
    free(u);
    /* A copy that somebody has made by a hard link is not written to. */
    assert_int_equal(linkat(c->work->unsentfd, name, c->work->workfd, "copy", 0), 0);
    unsent_forget(c, two);
    unsent_forget(c, two); /* that is gone already */
    int64_t three = deliver(c, "c", "other text\n");
    assert_int_equal(work_settle(c, three), 0);
    assert_int_not_equal(inode_of_note(c, three), inode);
    unsent_forget(c, three);
    assert_int_equal(entries(c->work->sparefd), 1);
}

/* They are this process's own: their names may be those of notes, after a loss of power. */
static void test_spares_of_another_process(void **state)
{
    struct scratch *s = *state;
    char path[256];
    int64_t id = deliver(s->c, "mail", "text\n");
    assert_int_equal(work_settle(s->c, id), 0);
    unsent_forget(s->c, id);
    scratch_close(s);
    snprintf(path, sizeof(path), "%s/spare/0", s->cache);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(io_write_file_atomic(AT_FDCWD, path, "x", 1), 0); /* had it been killed */
    scratch_open(s, false);
    assert_int_equal(access(path, F_OK), -1);
}

/* A row that was removed and forgotten must not come back by its note. */
static int forget_row(cache_tx *tx, void *arg)
{
    return message_forget(tx, *(int64_t *)arg);
}

static void test_note_of_a_forgotten_row(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
    int64_t id = deliver(c, "mail", "text\n");
    assert_int_equal(work_settle(c, id), 0);
    assert_int_equal(cache_write(c, CACHE_FROM_FILES, CACHE_NOW, forget_row, &id), 0);
    assert_true(exists(c, "unsent", id));
    assert_int_equal(work_recover(c), 0);
    assert_false(exists(c, "unsent", id));
    struct message m;
    assert_int_equal(message_get(cache_reader(c), id, &m), -ENOENT);
}

static void lose_database(struct scratch *s)
{
    static const char *const file[] = {"mail.db", "mail.db-wal", "mail.db-shm"};
    char path[256];
    scratch_close(s);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", s->cache, file[i]);
        unlink(path);
    }
}

static int64_t find_path(struct cache *c)
{
    struct mailbox top, box;
    assert_int_equal(mailbox_find(cache_reader(c), 0, "Work", &top), 0);
    assert_int_equal(mailbox_find(cache_reader(c), top.id, "50%\n", &box), 0);
    assert_int_equal(box.dirs, MAILBOX_ALL_DIRS);
    return box.id;
}

static void check_imported(struct cache *c, const char *name, const char *text)
{
    struct message m;
    assert_int_equal(message_find(cache_reader(c), find_path(c), SUB_NEW, name, &m), 0);
    assert_int_equal(m.state, MESSAGE_PRESENT);
    assert_true(m.dirty);
    assert_true(m.flags == FLAG_FLAGGED);
    check_served(c, &m, text);
    assert_true(exists(c, "unsent", m.id));
}

#define UNSENT_MAILS 4

static void deliver_unsent(struct cache *c)
{
    for (int i = 0; i < UNSENT_MAILS; i++) {
        char name[40], text[40];
        snprintf(name, sizeof(name), "mail\t%d:2,F", i);
        snprintf(text, sizeof(text), "text %d\n", i);
        assert_int_equal(work_settle(c, deliver(c, name, text)), 0);
    }
}

static void check_all_imported(struct cache *c)
{
    struct find all = {0};
    for (int i = 0; i < UNSENT_MAILS; i++) {
        char name[40], text[40];
        snprintf(name, sizeof(name), "mail\t%d:2,F", i);
        snprintf(text, sizeof(text), "text %d\n", i);
        check_imported(c, name, text);
    }
    assert_int_equal(message_each(cache_reader(c), find_path(c), SUB_NEW, 0, find_one, &all), 0);
    assert_int_equal(all.n, UNSENT_MAILS);
    assert_int_equal(entries(c->work->unsentfd), UNSENT_MAILS);
}

static void test_lost_database(void **state)
{
    struct scratch *s = *state;
    synced(s->c, "on the server", "sent\n", 3);
    deliver_unsent(s->c);
    lose_database(s);
    scratch_open(s, false);
    assert_int_equal(work_recover(s->c), 0);
    check_all_imported(s->c);
    scratch_close(s);
    scratch_open(s, false);
    assert_int_equal(work_recover(s->c), 0);
    check_all_imported(s->c);
}

static void test_crash_while_importing(void **state)
{
    static const char *const import_steps[] = {"notes set aside", "note imported"};
    struct scratch *s = *state;
    deliver_unsent(s->c);
    lose_database(s);
    for (size_t i = 0; i < 2; i++)
        crash_in_child(s, import_steps[i], recover_only, 0);
    assert_int_equal(work_recover(s->c), 0);
    check_all_imported(s->c);
}

static void test_lost_database_and_work_files(void **state)
{
    struct scratch *s = *state;
    deliver(s->c, "unsettled", "not settled\n");
    lose_database(s);
    scratch_open(s, false);
    assert_int_equal(work_recover(s->c), 0);
    struct find gone = {0};
    message_each_gone(cache_reader(s->c), find_one, &gone);
    assert_int_equal(gone.n, 1);
    check_served(s->c, &gone.m, "not settled\n");
}

static void write_note(struct cache *c, const char *text)
{
    assert_int_equal(io_write_file_atomic(c->work->unsentfd, UNSENT_LOST "1-1", text, strlen(text)), 0);
}

static void test_broken_notes(void **state)
{
    struct cache *c = ((struct scratch *)*state)->c;
#define HASH "hash 0000000000000000000000000000000000000000000000000000000000000000\n"
    static const char *const text[] = {"",
                                       "\n",
                                       "mailbox",
                                       "mailbox \n",
                                       "mailbox a\nname b\n",
                                       "mailbox a\nname b/c\n" HASH,
                                       "mailbox %0\n",
                                       "mailbox %00\nname b\n" HASH,
                                       "mailbox a\nname b\nhash 00\n",
                                       "mailbox a\nname %\n" HASH,
                                       "size x\n",
                                       "mailbox a\nname b\nsub old\n" HASH,
                                       "mailbox a\nname b\n" HASH /* has no body */};
    for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++) {
        struct mailbox box;
        write_note(c, text[i]);
        assert_int_equal(work_recover(c), 0);
        assert_int_equal(mailbox_find(cache_reader(c), 0, "a", &box), -ENOENT);
        assert_int_equal(entries(c->work->unsentfd), 1); /* kept, for a person to look at */
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_notes_are_used_again),
        T(test_spares_of_another_process),
        T(test_note_goes_when_sent),
        T(test_note_of_a_forgotten_row),
        T(test_lost_database),
        T(test_crash_while_importing),
        T(test_lost_database_and_work_files),
        T(test_broken_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
