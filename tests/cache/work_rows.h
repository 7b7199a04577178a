#pragma once
/*
 * What the tests of work files and of unsent notes share: rows with files behind them, and a child that dies
 * at a step. Included once a program, for it replaces the library's body_step.
 */
#include <openssl/sha.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/wait.h>
#include "scratch_cache.h"
#include "base_state.h"
#include "mailbox.h"
#include "private.h"
#include "work_table.h"

/* Replaces the library's: what a test wants to happen at a step. */
static void (*at_step)(const char *step);

void body_step(const char *step)
{
    if (at_step)
        at_step(step);
}

/* ---- rows and files ---- */

struct row {
    struct message m;
    uint32_t uid; /* 0: no base */
};

static inline int make_box(cache_tx *tx, int64_t parent, const char *name, int64_t *ret)
{
    struct mailbox box;
    int r = mailbox_find(cache_tx_rd(tx), parent, name, &box);
    if (r == -ENOENT) {
        box = (struct mailbox){.parent = parent, .dirs = MAILBOX_ALL_DIRS};
        snprintf(box.name, sizeof(box.name), "%s", name);
        r = mailbox_put(tx, &box);
    }
    *ret = box.id;
    return r;
}

/* In "Work/50%\n", a path that a note has to escape. */
static inline int put_row(cache_tx *tx, void *arg)
{
    struct row *row = arg;
    int64_t top;
    int r = make_box(tx, 0, "Work", &top);
    if (r == 0)
        r = make_box(tx, top, "50%\n", &row->m.mailbox);
    if (r == 0)
        r = message_put(tx, &row->m);
    struct base_state base = {row->m.mailbox, row->uid, row->m.id, 0};
    return r == 0 && row->uid ? base_put(tx, &base) : r;
}

static inline int clean_row(cache_tx *tx, void *arg)
{
    return message_clean(tx, *(int64_t *)arg);
}

static inline struct message get(struct cache *c, int64_t id)
{
    struct message m;
    assert_int_equal(message_get(cache_reader(c), id, &m), 0);
    return m;
}

static inline void write_work(struct cache *c, int64_t id, const char *content)
{
    CLEANUP(io_close) int fd = work_open(c, id, O_RDWR | O_CREAT | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, content, strlen(content)), 0);
}

static inline int64_t deliver(struct cache *c, const char *name, const char *content)
{
    struct row row = {.m = {.sub = SUB_NEW, .state = MESSAGE_WRITING}};
    snprintf(row.m.name, sizeof(row.m.name), "%s", name);
    assert_int_equal(cache_write(c, CACHE_FROM_FILES, CACHE_NOW, put_row, &row), 0);
    write_work(c, row.m.id, content);
    return row.m.id;
}

/* A message that both sides have. */
static inline int64_t synced(struct cache *c, const char *name, const char *content, uint32_t uid)
{
    int64_t id = deliver(c, name, content);
    assert_int_equal(work_settle(c, id), 0);
    struct row row = {.m = get(c, id), .uid = uid};
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, put_row, &row), 0);
    assert_int_equal(cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, clean_row, &id), 0);
    assert_int_equal(work_sent(c, id), 0);
    return id;
}

/* As fs does it at a truncating open: copy, then the row. */
static inline void start_edit(struct cache *c, int64_t id, bool keep_content)
{
    struct row row = {.m = get(c, id)};
    int fd = work_from_body(c, &row.m, keep_content);
    assert_true(fd >= 0);
    close(fd);
    row.m.state = MESSAGE_WRITING;
    row.m.size = 0;
    assert_int_equal(cache_write(c, CACHE_FROM_FILES, CACHE_NOW, put_row, &row), 0);
}

static inline void check_served(struct cache *c, const struct message *m, const char *want)
{
    char have[1000] = "";
    CLEANUP(io_close) int fd = body_open(c, m);
    if (fd < 0)
        fail_msg("body_open: %d", fd);
    assert_int_equal(io_read_full(fd, have, sizeof(have) - 1), strlen(want));
    assert_string_equal(have, want);
}

static inline void check_wire(struct cache *c, const struct message *m, const char *want)
{
    struct body_reader *r;
    char have[1000] = "";
    uint8_t hash[32];
    assert_int_equal(m->wire_size, strlen(want));
    assert_int_equal(body_reader_open(c, m, &r), 0);
    assert_int_equal(body_reader_read(r, have, sizeof(have)), strlen(want));
    assert_int_equal(body_reader_read(r, have + 900, 10), 0);
    body_reader_close(r);
    assert_string_equal(have, want);
    SHA256((const unsigned char *)want, strlen(want), hash);
    assert_memory_equal(m->hash, hash, sizeof(hash));
    assert_int_equal(body_verify(c, m), 0);
}

static inline bool exists(struct cache *c, const char *dir, int64_t id)
{
    char path[80];
    snprintf(path, sizeof(path), "%s/%lld", dir, (long long)id);
    return faccessat(cache_dirfd(c), path, F_OK, 0) == 0;
}

static inline unsigned entries(int fd)
{
    unsigned n = 0;
    assert_int_equal(dir_each(fd, scratch_count_one, &n), 0);
    return n;
}

struct find {
    unsigned n;
    struct message m;
};

static inline int find_one(void *arg, const struct message *m)
{
    struct find *f = arg;
    f->n++;
    f->m = *m;
    return 0;
}

/* ---- crashes ---- */

static const char *crash_at;

static inline void crash(const char *step)
{
    if (strcmp(step, crash_at) == 0)
        _exit(9);
}

/* The child does it and dies at the step; anything else is a failure of the test. */
static inline void crash_in_child(struct scratch *s, const char *step,
                                  void (*act)(struct cache *c, int64_t id), int64_t id)
{
    int status;
    scratch_close(s);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        crash_at = step;
        at_step = crash;
        scratch_open(s, false);
        act(s->c, id);
        _exit(1); /* never came by the step */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 9);
    scratch_open(s, false);
}

static inline void settle_only(struct cache *c, int64_t id)
{
    work_settle(c, id);
}

static inline void recover_only(struct cache *c, int64_t id)
{
    (void)id;
    work_recover(c);
}
