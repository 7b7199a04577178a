/* The writer: one savepoint a caller, groups, events, durability, and what a failing disk does. */
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "clock.h"
#include "log.h"
#include "rows.h"
#include "body_store.h"

/* SQLite syncs by this function; the test looks on and can make it fail. */
static atomic_uint syncs;
static atomic_bool sync_fails;

int fdatasync(int fd)
{
    syncs++;
    if (sync_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* And it writes by this one. */
static atomic_bool disk_full;

static ssize_t full_pwrite(int fd, const void *data, size_t length, off_t at)
{
    if (disk_full) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(fd, data, length, at);
}

static void hook_pwrite(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)full_pwrite);
    vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)full_pwrite);
}

struct set {
    const char *key;
    int64_t value;
    int result;
};

static int set_and_tell(cache_tx *tx, void *arg)
{
    struct set *s = arg;
    struct cache_event e = {.kind = CACHE_ENTRY_ADDED, .parent = INO_ROOT};
    snprintf(e.name, sizeof e.name, "%s", s->key);
    cache_tx_event(tx, &e);
    int err = cache_meta_set(tx, s->key, s->value);
    return err ? err : s->result;
}

static int64_t value_of(struct scratch *s, const char *key)
{
    return cache_meta_get(cache_reader(s->c), key, -1);
}

static void a_negative_result_rolls_back_that_change_and_its_events(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    cache_listen(s->c, told_listen, &told);
    struct set good = {"good", 1, 7}, bad = {"bad", 1, -ENOTEMPTY};
    assert_int_equal(by(s, CACHE_FROM_FILES, set_and_tell, &good), 7);
    assert_int_equal(by(s, CACHE_FROM_FILES, set_and_tell, &bad), -ENOTEMPTY);
    assert_int_equal(value_of(s, "good"), 1);
    assert_int_equal(value_of(s, "bad"), -1);
    assert_told(&told, "+good|");
}

/* ---- groups ---- */

struct gate {
    sem_t inside, open;
};

static int wait_at_gate(cache_tx *tx, void *arg)
{
    (void)tx;
    struct gate *g = arg;
    sem_post(&g->inside);
    sem_wait(&g->open);
    return 0;
}

struct caller {
    struct scratch *s;
    struct set set;
    struct gate *gate;
    pthread_t thread;
    int result;
    bool told_before; /* the events were out when cache_write returned */
    struct told *told;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    if (c->gate)
        c->result = by(c->s, CACHE_FROM_FILES, wait_at_gate, c->gate);
    else
        c->result = by(c->s, CACHE_FROM_FILES, set_and_tell, &c->set);
    c->told_before = c->told && strstr(c->told->text, c->set.key);
    return NULL;
}

static void those_who_wait_are_one_commit(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    struct gate gate;
    sem_init(&gate.inside, 0, 0);
    sem_init(&gate.open, 0, 0);
    struct caller caller[4] = {{.s = s, .gate = &gate},
                               {.s = s, .set = {"a", 1, 0}, .told = &told},
                               {.s = s, .set = {"b", 1, -EPERM}},
                               {.s = s, .set = {"c", 1, 0}, .told = &told}};
    cache_listen(s->c, told_listen, &told);
    pthread_create(&caller[0].thread, NULL, call, &caller[0]);
    sem_wait(&gate.inside);
    for (int i = 1; i < 4; i++) {
        pthread_create(&caller[i].thread, NULL, call, &caller[i]);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* they queue in this order */
    }
    sem_post(&gate.open);
    for (int i = 0; i < 4; i++)
        pthread_join(caller[i].thread, NULL);
    assert_int_equal(caller[1].result, 0);
    assert_int_equal(caller[2].result, -EPERM);
    assert_int_equal(caller[3].result, 0);
    assert_int_equal(value_of(s, "a"), 1);
    assert_int_equal(value_of(s, "b"), -1);
    assert_int_equal(value_of(s, "c"), 1);
    assert_true(caller[1].told_before && caller[3].told_before);
    assert_told(&told, "+a +c|");
}

/* ---- glances ---- */

static void a_glance_uses_the_writers_connection_only_when_that_is_free(void **state)
{
    struct scratch *s = *state;
    struct gate gate;
    sem_init(&gate.inside, 0, 0);
    sem_init(&gate.open, 0, 0);
    struct caller slow = {.s = s, .gate = &gate};
    cache_rd *own = cache_reader(s->c), *rd = cache_glance(s->c);
    assert_ptr_not_equal(rd, own);
    cache_glance_end(s->c, rd);
    pthread_create(&slow.thread, NULL, call, &slow);
    sem_wait(&gate.inside);
    rd = cache_glance(s->c); /* and does not wait */
    assert_ptr_equal(rd, own);
    cache_glance_end(s->c, rd);
    sem_post(&gate.open);
    pthread_join(slow.thread, NULL);
    rd = cache_glance(s->c);
    assert_ptr_not_equal(rd, own);
    cache_glance_end(s->c, rd);
}

static void a_change_waits_for_a_glance(void **state)
{
    struct scratch *s = *state;
    struct caller caller[2] = {{.s = s, .set = {"a", 1, 0}}, {.s = s, .set = {"b", 1, 0}}};
    cache_rd *rd = cache_glance(s->c);
    for (int i = 0; i < 2; i++)
        pthread_create(&caller[i].thread, NULL, call, &caller[i]);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    assert_int_equal(cache_meta_get(rd, "a", -1), -1);
    assert_int_equal(value_of(s, "b"), -1);
    cache_glance_end(s->c, rd);
    for (int i = 0; i < 2; i++) {
        pthread_join(caller[i].thread, NULL);
        assert_int_equal(caller[i].result, 0);
    }
    rd = cache_glance(s->c);
    assert_int_equal(cache_meta_get(rd, "a", -1), 1);
    assert_int_equal(cache_meta_get(rd, "b", -1), 1);
    cache_glance_end(s->c, rd);
}

static int glance_inside(cache_tx *tx, void *arg)
{
    struct scratch *s = arg;
    int err = cache_meta_set(tx, "inside", 1);
    cache_rd *rd = cache_glance(s->c);
    int64_t seen = cache_meta_get(rd, "inside", -1);
    cache_glance_end(s->c, rd);
    return err ? err : seen == -1 ? 0 : -EINVAL;
}

static void a_glance_from_inside_a_change_is_the_threads_own_reader(void **state)
{
    struct scratch *s = *state;
    files_do(s, glance_inside, s);
}

#define THREADS 8
#define ROUNDS 150

struct hammer {
    struct scratch *s;
    int64_t box;
    int number, round;
    pthread_t thread;
    int failures;
};

static int add_one(cache_tx *tx, void *arg)
{
    struct hammer *h = arg;
    struct message m = {.mailbox = h->box, .sub = SUB_CUR, .state = MESSAGE_PRESENT};
    snprintf(m.name, sizeof m.name, "%d.%d", h->number, h->round);
    int err = cache_meta_set(tx, "sum", cache_meta_get(cache_tx_rd(tx), "sum", 0) + 1);
    if (!err)
        err = message_put(tx, &m);
    return err ? err : h->round % 3 == 2 ? -ECANCELED : 0;
}

static void *hammer(void *arg)
{
    struct hammer *h = arg;
    for (h->round = 0; h->round < ROUNDS; h->round++) {
        int expected = h->round % 3 == 2 ? -ECANCELED : 0;
        enum cache_durability d = h->round % 50 == 49 ? CACHE_NOW : CACHE_SOON;
        struct message m;
        char name[32];
        if (cache_write(h->s->c, CACHE_FROM_FILES, d, add_one, h) != expected)
            h->failures++;
        snprintf(name, sizeof name, "%d.%d", h->number, h->round);
        bool glances = h->round % 2;
        cache_rd *rd = glances ? cache_glance(h->s->c) : cache_reader(h->s->c);
        if (message_find(rd, h->box, SUB_CUR, name, &m) != (expected ? -ENOENT : 0))
            h->failures++;
        if (glances)
            cache_glance_end(h->s->c, rd);
    }
    return NULL;
}

static void eight_threads_lose_nothing_and_see_what_they_wrote(void **state)
{
    struct scratch *s = *state;
    struct hammer h[THREADS];
    int64_t box = make_box(s, 0, "INBOX").id;
    for (int i = 0; i < THREADS; i++) {
        h[i] = (struct hammer){.s = s, .box = box, .number = i};
        pthread_create(&h[i].thread, NULL, hammer, &h[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(h[i].thread, NULL);
        assert_int_equal(h[i].failures, 0);
    }
    struct mailbox_counts counts;
    assert_int_equal(mailbox_count(cache_reader(s->c), box, &counts), 0);
    assert_int_equal(counts.messages, THREADS * ROUNDS * 2 / 3);
    assert_int_equal(value_of(s, "sum"), THREADS * ROUNDS * 2 / 3);
}

/* ---- durability ---- */

static int write_set(struct scratch *s, enum cache_durability d, const char *key)
{
    struct set set = {key, 1, 0};
    return cache_write(s->c, CACHE_FROM_FILES, d, set_and_tell, &set);
}

static void what_is_wanted_now_is_synced_now(void **state)
{
    struct scratch *s = *state;
    assert_int_equal(write_set(s, CACHE_NOW, "first"), 0); /* a fresh log has its header synced, too */
    syncs = 0;
    assert_int_equal(write_set(s, CACHE_SOON, "soon"), 0);
    assert_int_equal(syncs, 0);
    assert_int_equal(write_set(s, CACHE_NOW, "now"), 0);
    assert_int_equal(syncs, 1);
    assert_int_equal(cache_sync(s->c), 0);
    assert_int_equal(syncs, 1); /* all is on disk already */
    assert_int_equal(write_set(s, CACHE_SOON, "later"), 0);
    assert_int_equal(cache_sync(s->c), 0);
    assert_int_equal(syncs, 2);
}

static void what_may_wait_is_synced_within_a_second(void **state)
{
    struct scratch *s = *state;
    assert_int_equal(write_set(s, CACHE_NOW, "first"), 0);
    syncs = 0;
    int64_t start_ms = clock_boot_ms();
    assert_int_equal(write_set(s, CACHE_SOON, "soon"), 0);
    while (!syncs && clock_boot_ms() - start_ms < 5000)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(syncs, 1);
    assert_in_range(clock_boot_ms() - start_ms, 500, 2000);
}

static void a_failing_sync_means_that_nothing_happened(void **state)
{
    struct scratch *s = *state;
    struct told told = {0};
    cache_listen(s->c, told_listen, &told);
    sync_fails = true;
    assert_int_equal(write_set(s, CACHE_NOW, "lost"), -EIO);
    sync_fails = false;
    assert_int_equal(value_of(s, "lost"), -1);
    assert_told(&told, "");
    assert_int_equal(write_set(s, CACHE_NOW, "kept"), 0);
    assert_int_equal(value_of(s, "kept"), 1);
    scratch_close(s);
    scratch_open(s, false);
    assert_int_equal(value_of(s, "lost"), -1);
    assert_int_equal(value_of(s, "kept"), 1);
}

static void a_full_disk_fails_the_change_and_leaves_the_rest(void **state)
{
    struct scratch *s = *state;
    hook_pwrite();
    assert_int_equal(write_set(s, CACHE_SOON, "before"), 0);
    disk_full = true;
    assert_int_equal(write_set(s, CACHE_SOON, "lost"), -ENOSPC);
    assert_int_equal(write_set(s, CACHE_NOW, "lost"), -ENOSPC);
    disk_full = false;
    assert_int_equal(value_of(s, "before"), 1);
    assert_int_equal(value_of(s, "lost"), -1);
    assert_int_equal(write_set(s, CACHE_SOON, "after"), 0);
    assert_int_equal(value_of(s, "after"), 1);
}

/* More than the page cache holds: SQLite writes to the log from within the change, fails, and rolls
 * everything back. */
static int write_much(cache_tx *tx, void *arg)
{
    int err = 0;
    disk_full = true;
    for (int i = 0; i < 30000 && !err; i++) {
        char key[256];
        snprintf(key, sizeof key, "%0200d", i);
        err = cache_meta_set(tx, key, i);
    }
    disk_full = false;
    int *ret = arg;
    ret[0] = err;
    ret[1] = cache_meta_set(tx, "goes on", 1); /* as a transaction of its own, if that were possible */
    return 0;                                  /* and nobody may believe that */
}

static void a_change_that_overlooks_a_full_disk_fails(void **state)
{
    struct scratch *s = *state;
    int err[2] = {0, 0};
    hook_pwrite();
    assert_int_equal(by(s, CACHE_FROM_FILES, write_much, err), -EIO);
    assert_int_equal(err[0], -ENOSPC);
    assert_int_equal(err[1], -EIO);
    assert_int_equal(value_of(s, "goes on"), -1);
    char key[256];
    snprintf(key, sizeof key, "%0200d", 0);
    assert_int_equal(value_of(s, key), -1);
    assert_int_equal(write_set(s, CACHE_SOON, "after"), 0);
    assert_int_equal(value_of(s, "after"), 1);
}

/* ---- opening ---- */

static int opened(struct scratch *s, bool look_only, struct cache **ret)
{
    struct fault f = {0};
    struct cache_options o = {.dir = s->cache, .host = "host", .look_only = look_only};
    int err = cache_open(&o, ret, &f);
    assert_int_equal(f.err, err);
    return err;
}

static void a_second_opening_is_refused_but_looking_is_not(void **state)
{
    struct scratch *s = *state;
    struct cache *other;
    assert_int_equal(write_set(s, CACHE_SOON, "a"), 0);
    assert_int_equal(opened(s, false, &other), -EBUSY);
    assert_int_equal(opened(s, true, &other), 0);
    assert_int_equal(cache_meta_get(cache_reader(other), "a", -1), 1);
    struct set set = {"b", 1, 0};
    assert_int_equal(cache_write(other, CACHE_FROM_FILES, CACHE_SOON, set_and_tell, &set), -EROFS);
    cache_close(other);
    assert_int_equal(write_set(s, CACHE_SOON, "c"), 0);
}

static void looking_at_nothing_makes_nothing(void **state)
{
    struct scratch *s = *state;
    struct cache *other;
    scratch_close(s);
    snprintf(s->cache, sizeof s->cache, "%s/none", s->dir);
    assert_int_equal(opened(s, true, &other), -ENOENT);
    assert_int_equal(access(s->cache, F_OK), -1);
    assert_int_equal(mkdir(s->cache, 0700), 0);
    assert_int_equal(opened(s, true, &other), -ENOENT);
    assert_int_equal(rmdir(s->cache), 0);
}

static void reopen(struct scratch *s)
{
    scratch_close(s);
    scratch_open(s, false);
}

static void remove_file(struct scratch *s, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", s->cache, name);
    assert_int_equal(unlink(path), 0);
}

static void clear_union(struct scratch *s)
{
    struct set set = {"union", 0, 0};
    assert_int_equal(by(s, CACHE_FROM_FILES, set_and_tell, &set), 0);
}

static void a_lost_database_is_noticed(void **state)
{
    struct scratch *s = *state;
    assert_true(value_of(s, "union") <= 0);
    int64_t generation = value_of(s, "generation");
    reopen(s);
    assert_true(value_of(s, "union") <= 0);
    assert_int_equal(value_of(s, "generation"), generation + 1);
    scratch_close(s);
    remove_file(s, "mail.db");
    scratch_open(s, false);
    assert_int_equal(value_of(s, "union"), 1);
    assert_int_equal(value_of(s, "generation"), generation + 2);
    clear_union(s);
    reopen(s);
    assert_int_equal(value_of(s, "union"), 0);
}

static void a_lost_generation_and_an_older_database_are_noticed(void **state)
{
    struct scratch *s = *state;
    char from[256], to[256], command[600];
    scratch_close(s);
    remove_file(s, "generation");
    scratch_open(s, false);
    assert_int_equal(value_of(s, "union"), 1);
    clear_union(s);
    scratch_close(s);

    snprintf(from, sizeof from, "%s/mail.db", s->cache);
    snprintf(to, sizeof to, "%s/backup", s->dir);
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
    scratch_open(s, false);
    scratch_close(s);
    assert_int_equal(rename(to, from), 0);
    scratch_open(s, false);
    assert_int_equal(value_of(s, "union"), 1);
}

/* Replaces the library's. */
static const char *die_at;

void body_step(const char *step)
{
    if (die_at && strcmp(step, die_at) == 0)
        _exit(9);
}

static void die_while_opening(struct scratch *s, const char *step)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        die_at = step;
        scratch_open(s, false);
        _exit(1); /* never came by the step */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

/* Killed while opening, before and after the file was written, and again and again. */
static void a_crash_while_opening_is_no_loss(void **state)
{
    static const char *const step[] = {"generation announced", "generation written"};
    struct scratch *s = *state;
    scratch_close(s);
    for (unsigned deaths = 0; deaths < 8; deaths++) {
        die_while_opening(s, step[deaths & 1]);
        die_while_opening(s, step[deaths >> 1 & 1]);
        die_while_opening(s, step[deaths >> 2 & 1]);
        scratch_open(s, false);
        assert_true(value_of(s, "union") <= 0);
        scratch_close(s);
    }
    scratch_open(s, false);
}

/* ---- the rest ---- */

static int read_clock(cache_tx *tx, void *arg)
{
    int64_t *time = arg;
    time[0] = cache_tx_now(tx);
    time[1] = cache_tx_now(tx);
    return 0;
}

struct future {
    int64_t box, ns;
};

static int set_future(cache_tx *tx, void *arg)
{
    struct future *f = arg;
    return mailbox_set_mtime(tx, f->box, SUB_CUR, f->ns);
}

static void the_clock_grows_across_openings(void **state)
{
    struct scratch *s = *state;
    int64_t time[2];
    struct future f = {make_box(s, 0, "INBOX").id, clock_now_ns() + (int64_t)3600 * 1000000000};
    files_do(s, read_clock, time);
    assert_true(time[1] > time[0]);
    files_do(s, set_future, &f);
    reopen(s);
    files_do(s, read_clock, time);
    assert_true(time[0] > f.ns);
}

static int learn(cache_tx *tx, void *arg)
{
    int bit = keywords_bit(cache_keywords(cache_tx_cache(tx)), arg);
    return bit < 0 ? -EINVAL : bit;
}

static void keywords_keep_their_bits(void **state)
{
    struct scratch *s = *state;
    int a = by(s, CACHE_FROM_SERVER, learn, "Alpha"), b = by(s, CACHE_FROM_SERVER, learn, "Beta");
    assert_int_equal(a, FLAGS_FIRST_KEYWORD);
    assert_int_equal(b, FLAGS_FIRST_KEYWORD + 1);
    assert_int_equal(keywords_bit(cache_keywords(s->c), "Gamma"), b + 1); /* outside of any change */
    assert_int_equal(write_set(s, CACHE_SOON, "any"), 0);
    reopen(s);
    assert_int_equal(keywords_count(cache_keywords(s->c)), 3);
    assert_int_equal(keywords_bit(cache_keywords(s->c), "gamma"), b + 1);
    assert_string_equal(keywords_name(cache_keywords(s->c), (unsigned)a), "Alpha");
}

static int write_inside(cache_tx *tx, void *arg)
{
    return cache_write(cache_tx_cache(tx), CACHE_FROM_FILES, CACHE_SOON, set_and_tell, arg);
}

static void the_writer_does_not_wait_for_itself(void **state)
{
    struct scratch *s = *state;
    struct set set = {"a", 1, 0};
    assert_int_equal(by(s, CACHE_FROM_FILES, write_inside, &set), -EDEADLK);
}

static void a_snapshot_stays_as_it_was(void **state)
{
    struct scratch *s = *state;
    assert_int_equal(write_set(s, CACHE_SOON, "a"), 0);
    cache_rd *rd = cache_reader(s->c);
    assert_int_equal(cache_rd_begin(rd), 0);
    assert_int_equal(cache_rd_begin(rd), 0);
    assert_int_equal(cache_meta_get(rd, "b", -1), -1);
    assert_int_equal(write_set(s, CACHE_SOON, "b"), 0);
    cache_rd_end(rd);
    assert_int_equal(cache_meta_get(rd, "b", -1), -1);
    cache_rd_end(rd);
    assert_int_equal(cache_meta_get(rd, "b", -1), 1);
}

static int look_around(cache_tx *tx, void *arg)
{
    cache_rd *rd = cache_tx_rd(tx);
    int err = cache_meta_set(tx, arg, 5);
    if (!err)
        err = cache_rd_begin(rd);
    if (err)
        return err;
    int64_t value = cache_meta_get(rd, arg, -1);
    cache_rd_end(rd);
    return (int)value;
}

static void a_change_sees_itself(void **state)
{
    struct scratch *s = *state;
    assert_int_equal(by(s, CACHE_FROM_FILES, look_around, "x"), 5);
    assert_int_equal(value_of(s, "x"), 5);
}

struct relay {
    struct scratch *s;
    sem_t go, *next; /* the other one's, who is still reading when this one begins */
    atomic_bool *stop;
};

/* Two of these: at each moment one of them reads. */
static void *read_in_relay(void *arg)
{
    struct relay *r = arg;
    cache_rd *rd = cache_reader(r->s->c);
    while (!*r->stop) {
        sem_wait(&r->go);
        cache_rd_begin(rd);
        cache_meta_get(rd, "a", -1);
        usleep(2000);
        sem_post(r->next);
        usleep(2000);
        cache_rd_end(rd);
    }
    return NULL;
}

static int fill_log(cache_tx *tx, void *arg)
{
    char key[1500];
    int err = 0;
    memset(key, 'k', sizeof key);
    for (int i = 0; i < 2000 && !err; i++) {
        snprintf(key + 1400, sizeof key - 1400, "%d", i);
        err = cache_meta_set(tx, key, ++*(int64_t *)arg);
    }
    return err;
}

/* The log's checkpoint sequence number, which grows each time that it begins anew. */
static uint32_t log_number(struct scratch *s)
{
    uint8_t header[16] = {0};
    char path[220];
    snprintf(path, sizeof path, "%s/mail.db-wal", s->cache);
    CLEANUP(io_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && io_read_full(fd, header, sizeof header) == sizeof header);
    return (uint32_t)header[12] << 24 | (uint32_t)header[13] << 16 | (uint32_t)header[14] << 8 | header[15];
}

static void the_log_begins_anew_though_there_is_always_a_reader(void **state)
{
    struct scratch *s = *state;
    atomic_bool stop = false;
    struct relay r[2] = {{.s = s, .stop = &stop}, {.s = s, .stop = &stop}};
    pthread_t thread[2];
    int64_t value = 0;
    for (int i = 0; i < 2; i++) {
        sem_init(&r[i].go, 0, i == 0);
        r[i].next = &r[1 - i].go;
        assert_int_equal(pthread_create(&thread[i], NULL, read_in_relay, &r[i]), 0);
    }
    files_do(s, fill_log, &value);
    uint32_t first = log_number(s);
    /* Each adds 2 MB. On a busy machine a reader may take longer than the writer waits, but not each time. */
    int n = 0;
    while (log_number(s) == first && n++ < 250)
        files_do(s, fill_log, &value);
    stop = true;
    for (int i = 0; i < 2; i++) {
        sem_post(&r[i].go);
        pthread_join(thread[i], NULL);
    }
    assert_true(log_number(s) != first);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_negative_result_rolls_back_that_change_and_its_events),
        T(those_who_wait_are_one_commit),
        T(a_glance_uses_the_writers_connection_only_when_that_is_free),
        T(a_change_waits_for_a_glance),
        T(a_glance_from_inside_a_change_is_the_threads_own_reader),
        T(eight_threads_lose_nothing_and_see_what_they_wrote),
        T(what_is_wanted_now_is_synced_now),
        T(what_may_wait_is_synced_within_a_second),
        T(a_failing_sync_means_that_nothing_happened),
        T(the_log_begins_anew_though_there_is_always_a_reader),
        T(a_full_disk_fails_the_change_and_leaves_the_rest),
        T(a_change_that_overlooks_a_full_disk_fails),
        T(a_second_opening_is_refused_but_looking_is_not),
        T(looking_at_nothing_makes_nothing),
        T(a_lost_database_is_noticed),
        T(a_lost_generation_and_an_older_database_are_noticed),
        T(a_crash_while_opening_is_no_loss),
        T(the_clock_grows_across_openings),
        T(keywords_keep_their_bits),
        T(the_writer_does_not_wait_for_itself),
        T(a_snapshot_stays_as_it_was),
        T(a_change_sees_itself),
    };
    log_to(-1, LOG_LEVEL_ERROR); /* some of what is tested is worth a warning */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
