/* The schema: from every earlier version to this one, not from later ones; and every query that may run often
 * uses an index. */
#include <sys/socket.h>
#include <sys/wait.h>
#include "private.h"
#include "rows.h"

static void open_raw(struct scratch *s, struct cache_rd *rd)
{
    char path[256];
    snprintf(path, sizeof path, "%s/mail.db", s->cache);
    assert_int_equal(connection_open(NULL, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL, rd), 0);
}

static void make_version(struct scratch *s, int version)
{
    struct cache_rd rd;
    assert_int_equal(mkdir(s->cache, 0700), 0);
    open_raw(s, &rd);
    assert_int_equal(schema_migrate(&rd, version), 0);
    connection_close(&rd);
}

static int add_line(void *arg, int columns, char **value, char **name)
{
    (void)columns;
    (void)name;
    char *text = arg;
    size_t have = strlen(text);
    snprintf(text + have, 16384 - have, "%s\n", value[0]);
    return 0;
}

static void read_schema(struct scratch *s, char text[16384])
{
    struct cache_rd rd;
    text[0] = '\0';
    open_raw(s, &rd);
    assert_int_equal(sqlite3_exec(rd.db, "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY type, name",
                                  add_line, text, NULL),
                     SQLITE_OK);
    connection_close(&rd);
}

static void every_earlier_version_becomes_this_one(void **state)
{
    (void)state;
    static char expected[16384], got[16384];
    for (int version = 0; version <= SCHEMA_VERSION; version++) {
        struct scratch s;
        scratch_begin(&s);
        make_version(&s, version);
        scratch_open(&s, false);
        make_message(&s, make_box(&s, 0, "INBOX").id, SUB_CUR, "a", MESSAGE_PRESENT);
        scratch_close(&s);
        read_schema(&s, version ? got : expected);
        if (version)
            assert_string_equal(got, expected);
        scratch_end(&s);
    }
}

static void what_was_agreed_on_is_counted_once(void **state)
{
    (void)state;
    struct scratch s;
    struct cache_rd rd;
    scratch_begin(&s);
    make_version(&s, 6);
    open_raw(&s, &rd);
    assert_int_equal(connection_run(&rd,
                                    "PRAGMA foreign_keys = OFF;"
                                    "INSERT INTO mailbox (id, parent, name, mtime_tmp, mtime_new, mtime_cur,"
                                    " mtime_box) VALUES (7, 0, 'A', 0, 0, 0, 0), (8, 0, 'B', 0, 0, 0, 0);"
                                    "INSERT INTO base (mailbox, uid, message, flags) VALUES (7, 1, 100, 0),"
                                    " (7, 2, 101, 0)"),
                     0);
    connection_close(&rd);
    scratch_open(&s, false);
    assert_int_equal(base_count(cache_reader(s.c), 7), 2);
    assert_int_equal(base_count(cache_reader(s.c), 8), 0);
    scratch_end(&s);
}

static void a_newer_version_is_refused_and_left_alone(void **state)
{
    struct scratch *s = *state;
    struct cache_rd rd;
    struct fault f = {0};
    struct cache *c;
    int version;
    scratch_close(s);
    open_raw(s, &rd);
    assert_int_equal(connection_run(&rd, "PRAGMA user_version = 99"), 0);
    connection_close(&rd);
    for (int look_only = 0; look_only < 2; look_only++) {
        struct cache_options o = {.dir = s->cache, .look_only = look_only};
        assert_int_equal(cache_open(&o, &c, &f), -EPROTO);
        assert_int_equal(f.exit, FAULT_DATA);
        assert_non_null(strstr(f.text, "newer"));
    }
    open_raw(s, &rd);
    assert_int_equal(schema_version(&rd, &version), 0);
    assert_int_equal(version, 99);
    assert_int_equal(schema_migrate(&rd, SCHEMA_VERSION), -EPROTO);
    connection_close(&rd);
}

static void a_file_that_is_no_database_is_said_to_be_damaged(void **state)
{
    struct scratch *s = *state;
    struct cache *c;
    struct fault f = {0};
    struct cache_options o = {.dir = s->cache};
    static const char junk[4096] = "this is no database";
    scratch_close(s);
    int dir = open(s->cache, O_RDONLY | O_DIRECTORY);
    assert_int_equal(io_write_file_atomic(dir, "mail.db", junk, sizeof junk), 0);
    close(dir);
    assert_int_equal(cache_open(&o, &c, &f), -EIO);
    assert_non_null(strstr(f.text, "damaged"));
}

/* A process of its own, for SQLite shares within one; it looks when it is told so. */
static void look_and_tell(int socket, const char *dir)
{
    char go;
    while (read(socket, &go, 1) == 1) {
        struct fault f = {0};
        struct cache *c = NULL;
        struct cache_options o = {.dir = dir, .look_only = true};
        int r = cache_open(&o, &c, &f);
        cache_close(c);
        if (write(socket, &r, sizeof r) != sizeof r)
            break;
    }
    _exit(0);
}

static int look(int socket)
{
    int r;
    assert_int_equal(write(socket, "", 1), 1);
    assert_int_equal(read(socket, &r, sizeof r), sizeof r);
    return r;
}

static void an_exclusive_cache_is_looked_into_by_nobody_else(void **state)
{
    struct scratch *s = *state;
    struct fault f = {0};
    struct cache_options shared = {.dir = s->cache}, exclusive = {.dir = s->cache, .exclusive = true};
    int pair[2];
    scratch_close(s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        look_and_tell(pair[1], s->cache);
    }
    close(pair[1]);
    assert_int_equal(cache_open(&shared, &s->c, &f), 0);
    assert_int_equal(look(pair[0]), 0);
    scratch_close(s);
    assert_int_equal(cache_open(&exclusive, &s->c, &f), 0);
    assert_int_equal(look(pair[0]), -EBUSY);
    assert_non_null(cache_reader(s->c));
    assert_int_equal(message_any(cache_reader(s->c), 1, true), 0);
    scratch_close(s);
    assert_int_equal(look(pair[0]), 0);
    close(pair[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- plans ---- */

static int nobody(void *arg, const struct message *m)
{
    (void)arg;
    (void)m;
    return 0;
}

static int no_base(void *arg, const struct base_state *b)
{
    (void)arg;
    (void)b;
    return 0;
}

static void run_queries(cache_rd *rd)
{
    struct message m;
    struct mailbox box;
    struct base_state base;
    struct pending pending;
    struct failure failure;
    message_get(rd, 17, &m);
    message_find(rd, 1, SUB_CUR, "x", &m);
    message_each(rd, 1, SUB_CUR, 0, nobody, NULL);
    message_any(rd, 1, true);
    message_any(rd, 1, false);
    message_each_dirty(rd, 0, nobody, NULL);
    message_each_dirty(rd, 1, nobody, NULL);
    message_each_wanted(rd, 0, 1, nobody, NULL);
    message_each_wanted(rd, 1, 1, nobody, NULL);
    message_each_unsettled(rd, nobody, NULL);
    message_append_waits(rd, 5, 6);
    message_find_hash(rd, (const uint8_t[32]){0}, &m);
    message_each_gone(rd, nobody, NULL);
    mailbox_get(rd, 1, &box);
    mailbox_find(rd, 0, "x", &box);
    mailbox_find_remote(rd, "x", &box);
    base_of_message(rd, 17, &base);
    base_of_uid(rd, 1, 1, &base);
    base_each(rd, 1, 0, no_base, NULL);
    pending_of_message(rd, 17, &pending);
    failure_get(rd, 17, 1, &failure);
}

static int check_plan(void *arg, int columns, char **value, char **name)
{
    (void)name;
    const char *sql = arg, *plan = value[columns - 1];
    /* Walking a partial index from its start is what such an index is for. */
    bool walks = strncmp(plan, "SCAN message", 12) == 0 && !strstr(plan, "USING INDEX message_") &&
                 !strstr(plan, "USING COVERING INDEX message_");
    bool sorts = strstr(plan, "TEMP B-TREE") && !strstr(sql, "link") && !strstr(sql, "dirty = 1 ORDER");
    if (walks || sorts || strncmp(plan, "SCAN base", 9) == 0)
        fail_msg("%s: %s", sql, plan);
    return 0;
}

/* How many queries of the reader were looked at. */
static unsigned check_plans(cache_rd *rd, int (*check)(void *arg, int columns, char **value, char **name))
{
    unsigned seen = 0;
    for (size_t i = 0; i < STATEMENTS_MAX; i++) {
        const char *sql = rd->table[i].sql;
        if (!sql || strncmp(sql, "SELECT", 6) != 0)
            continue;
        char explain[2048];
        snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
        assert_int_equal(sqlite3_exec(rd->db, explain, check, (void *)sql, NULL), SQLITE_OK);
        seen++;
    }
    return seen;
}

static void queries_use_their_indexes(void **state)
{
    struct scratch *s = *state;
    cache_rd *rd = cache_reader(s->c);
    run_queries(rd);
    assert_in_range(check_plans(rd, check_plan), 21, 30);
}

static int check_walks_no_messages(void *arg, int columns, char **value, char **name)
{
    (void)name;
    if (strncmp(value[columns - 1], "SCAN message", 12) == 0)
        fail_msg("%s: %s", (const char *)arg, value[columns - 1]);
    return 0;
}

/* Status asks for one mailbox after the other: what all of them have must not be walked for each. */
static void counts_of_a_mailbox_walk_that_mailbox(void **state)
{
    struct scratch *s = *state;
    struct mailbox_counts counts;
    cache_rd *rd = cache_reader(s->c);
    assert_int_equal(mailbox_count(rd, 1, &counts), 0);
    assert_in_range(check_plans(rd, check_walks_no_messages), 6, 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_earlier_version_becomes_this_one),
        cmocka_unit_test(what_was_agreed_on_is_counted_once),
        T(a_newer_version_is_refused_and_left_alone),
        T(a_file_that_is_no_database_is_said_to_be_damaged),
        T(an_exclusive_cache_is_looked_into_by_nobody_else),
        T(queries_use_their_indexes),
        T(counts_of_a_mailbox_walk_that_mailbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
