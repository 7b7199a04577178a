/*
 * The one writer: the only connection that can write, and who may use it.
 *
 * Being the writer is a role that one thread has at a time (`busy`). A caller that finds nobody in it and
 * nobody waiting takes it for the length of its own change: no other thread has to wake up, which would cost
 * more than the change. All others queue a request that lies on their own stack, and sleep on its semaphore;
 * the writer's thread takes them all as one group.
 *
 *     a group:             BEGIN IMMEDIATE
 *     each change in turn: SAVEPOINT, change(), RELEASE - or ROLLBACK TO, for that one alone
 *                          COMMIT
 *     a single change:     BEGIN IMMEDIATE, change(), COMMIT - or ROLLBACK
 *     then the events go to the listeners, work files of forgotten rows go, and the callers wake.
 *
 * Who only wants to read one row can have the role for that, when it is free (cache_glance).
 *
 * While one group commits, the next one gathers: a burst of callers shares the price of a commit, and a lone
 * one waits for nobody. Whoever leaves the role while others wait wakes the thread; callers never overtake
 * those who wait.
 *
 * Durability. Commits run with synchronous = NORMAL: they are in the page cache, in order, and a crash of the
 * process loses nothing. A group in which somebody asked for CACHE_NOW runs with FULL instead, so that SQLite
 * syncs the log before the commit is valid, and a failing disk means that nothing of it happened. The log is
 * one file, so that sync covers every commit before. What nobody asked for is synced by the thread before it
 * is a second old, by the log file's own xSync.
 *
 * A single change is the common case, and goes without a savepoint for more than the statement that this
 * saves: within one, SQLite copies each page before it changes, and at the end of many statements it walks
 * the list of all these copies, so that a change of many thousand rows would take time by the square of their
 * number.
 *
 * A full disk can make SQLite roll back the whole transaction from within a change. The group is over then:
 * its members all get that error, for none of it happened.
 *
 * The thread also puts the log back into the database, for each CHECKPOINT_PAGES that it has grown by. SQLite
 * begins it anew at a moment when nobody reads, and while many threads do there may be none for hours: so
 * from LOG_PAGES_MAX on it is waited for that moment, for a little while. Without that the log grows without
 * end, and so does what each page costs that is looked for in it.
 */
#include "private.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include "clock.h"
#include "log.h"
#include "work.h"

#define SYNC_AFTER_MS 800
#define CHECKPOINT_PAGES 4000
#define LOG_PAGES_MAX 16000
#define LOG_PATIENCE_MS 200
#define EVENTS_KEPT 1024 /* room that stays after a larger group */

struct request {
    int (*change)(cache_tx *tx, void *arg);
    void *arg;
    enum cache_origin origin;
    enum cache_durability durability;
    int result;
    sem_t done;
    struct request *next;
};

struct writer {
    struct cache *cache;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread's */
    /* Protected by lock. */
    struct request *first, **last; /* who waits, in order */
    bool busy;                     /* somebody is the writer, ... */
    pthread_t holder;              /* ... this thread */
    bool timed;                    /* the thread sleeps until the next sync is due */
    bool stop;

    /* The writer's, whoever it is; to be looked at by others with the lock held and while not busy. */
    struct cache_tx tx;
    int64_t unsynced_ms; /* clock_boot_ms of the oldest commit that may not be on disk; 0: all is */
    bool full;           /* PRAGMA synchronous is FULL */
    bool wrote;          /* the last commit put something into the log */
    int log_pages;       /* in the log */
    int checkpoint_at;   /* the next one, by log_pages */
};

static int log_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct writer *w = arg;
    w->wrote = true;
    if (pages < w->log_pages)
        w->checkpoint_at = CHECKPOINT_PAGES; /* it began anew */
    w->log_pages = pages;
    return SQLITE_OK;
}

static bool wants_checkpoint(const struct writer *w)
{
    return w->log_pages >= w->checkpoint_at;
}

/* Whoever cannot be waited for, or a full disk, leaves the log as it is. Readers that come meanwhile are not
 * waited for: they read from the database. */
static void checkpoint(struct writer *w)
{
    if (!wants_checkpoint(w))
        return;
    bool anew = w->log_pages >= LOG_PAGES_MAX;
    sqlite3_busy_timeout(w->tx.rd.db, LOG_PATIENCE_MS);
    sqlite3_wal_checkpoint_v2(w->tx.rd.db, NULL, anew ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE,
                              NULL, NULL);
    sqlite3_busy_timeout(w->tx.rd.db, CONNECTION_BUSY_MS);
    w->checkpoint_at = w->log_pages + CHECKPOINT_PAGES;
}

static int sync_log(struct writer *w)
{
    sqlite3_file *log = NULL;
    int rc = sqlite3_file_control(w->tx.rd.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (rc == SQLITE_OK && log && log->pMethods)
        rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
    if (rc == SQLITE_OK)
        w->unsynced_ms = 0;
    return connection_errno(rc);
}

/* How long the last commits may still wait for their sync; -1: all is on disk. */
static int64_t sync_due_ms(const struct writer *w)
{
    if (!w->unsynced_ms)
        return -1;
    int64_t left_ms = w->unsynced_ms + SYNC_AFTER_MS - clock_boot_ms();
    return left_ms > 0 ? left_ms : 0;
}

static void sync_if_due(struct writer *w)
{
    if (sync_due_ms(w) != 0)
        return;
    int err = sync_log(w);
    if (err) {
        log_error("cache: changes could not be synced to disk (%d)", err);
        w->unsynced_ms = clock_boot_ms();
    }
}

static int set_durability(struct writer *w, bool full)
{
    if (w->full == full)
        return 0;
    int err = connection_run(&w->tx.rd, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (!err)
        w->full = full;
    return err;
}

static int begin_group(struct writer *w, bool full)
{
    static const char sql[] = "BEGIN IMMEDIATE";
    w->wrote = false;
    w->tx.events = 0;
    w->tx.held = HELD_UNKNOWN;
    w->tx.workless_n = 0;
    int err = set_durability(w, full);
    if (!err)
        err = statement_do(&w->tx.rd, sql);
    w->tx.rd.changing = !err;
    return err;
}

static void undo_change(struct cache_tx *tx, size_t events, size_t workless_n)
{
    static const char sql_back[] = "ROLLBACK TO one";
    static const char sql_release[] = "RELEASE one";
    tx->events = events;
    tx->workless_n = workless_n;
    tx->held = HELD_UNKNOWN;
    if (!statement_do(&tx->rd, sql_back))
        statement_do(&tx->rd, sql_release);
}

/* Carries out a request, and sets its result. -EIO: SQLite has rolled everything back. */
static int run_request(struct cache_tx *tx, struct request *r)
{
    tx->origin = r->origin;
    tx->err = 0;
    tx->touched_n = 0;
    r->result = r->change(tx, r->arg);
    int late = r->result < 0 ? 0 : tx->err ? tx->err : mailbox_write_times(tx);
    if (late)
        r->result = late;
    if (sqlite3_get_autocommit(tx->rd.db))
        return r->result < 0 ? r->result : -EIO;
    return 0;
}

/* One request within the group. An error that is returned ends the group; the request's own goes into its
 * result. */
static int run_change(struct cache_tx *tx, struct request *r)
{
    static const char sql_savepoint[] = "SAVEPOINT one";
    static const char sql_release[] = "RELEASE one";
    size_t events = tx->events, workless_n = tx->workless_n;
    int err = statement_do(&tx->rd, sql_savepoint);
    if (!err)
        err = run_request(tx, r);
    if (err)
        return err;
    if (r->result >= 0)
        return statement_do(&tx->rd, sql_release);
    undo_change(tx, events, workless_n);
    return 0;
}

static int commit_group(struct writer *w)
{
    static const char sql[] = "COMMIT";
    struct cache_tx *tx = &w->tx;
    unsigned keywords;
    int err = keyword_store(&tx->rd, &w->cache->keywords, tx->keywords, &keywords);
    if (!err)
        err = statement_do(&tx->rd, sql);
    if (!err)
        tx->keywords = keywords;
    return err;
}

/* After a commit: is it on disk, as far as anybody asked? */
static int settle_group(struct writer *w, bool full)
{
    if (w->wrote && full)
        w->unsynced_ms = 0;
    else if (w->wrote && !w->unsynced_ms)
        w->unsynced_ms = clock_boot_ms();
    return full && w->unsynced_ms ? sync_log(w) : 0;
}

static void announce(struct cache *c, struct cache_tx *tx)
{
    for (unsigned i = 0; tx->events && i < c->listeners; i++)
        c->listener[i].call(c->listener[i].arg, tx->event, tx->events);
    for (size_t i = 0; i < tx->workless_n; i++)
        work_remove(c, tx->workless[i]);
    if (tx->events_cap > EVENTS_KEPT) {
        free(tx->event);
        tx->event = NULL;
        tx->events = tx->events_cap = 0;
    }
}

static int roll_back(struct writer *w)
{
    static const char sql[] = "ROLLBACK";
    return statement_do(&w->tx.rd, sql);
}

static int run_alone(struct writer *w, struct request *r)
{
    int err = run_request(&w->tx, r);
    if (err || r->result >= 0)
        return err ? err : commit_group(w);
    w->tx.events = 0;
    w->tx.workless_n = 0;
    return roll_back(w);
}

static int run_group(struct writer *w, struct request *group, bool full)
{
    int err = begin_group(w, full);
    if (!err && group && !group->next)
        return run_alone(w, group);
    for (struct request *r = group; r && !err; r = r->next)
        err = run_change(&w->tx, r);
    return err ? err : commit_group(w);
}

/* Carries out a group, and sets its results. */
static void serve(struct writer *w, struct request *group)
{
    bool full = false;
    for (struct request *r = group; r; r = r->next)
        full |= r->durability == CACHE_NOW;
    int err = run_group(w, group, full);
    w->tx.rd.changing = false;
    if (!err) {
        err = settle_group(w, full);
        announce(w->cache, &w->tx);
    } else if (!sqlite3_get_autocommit(w->tx.rd.db)) {
        roll_back(w);
    }
    for (struct request *r = group; r && err; r = r->next) {
        if (r->result >= 0)
            r->result = err;
    }
}

static void wake_callers(struct request *group)
{
    for (struct request *r = group, *next; r; r = next) {
        next = r->next; /* r is gone with its caller once it is woken */
        sem_post(&r->done);
    }
}

/* ---- the role ---- */

static void take_role(struct writer *w)
{
    w->busy = true;
    w->holder = pthread_self();
}

/* A caller leaves the role. Is there something for the thread? It finds out by itself when it sleeps with a
 * time set. */
static void leave_role(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    bool wake = w->first || wants_checkpoint(w) || (w->unsynced_ms && !w->timed);
    pthread_mutex_unlock(&w->lock);
    if (wake)
        pthread_cond_signal(&w->wake);
}

static void wait_ms(struct writer *w, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (ms + 1) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    w->timed = true;
    pthread_cond_timedwait(&w->wake, &w->lock, &until);
    w->timed = false;
}

/* Sleeps until there is something to do and the role is free; with the lock held. false when it is time to
 * end. */
static bool wait_for_work(struct writer *w)
{
    for (;;) {
        int64_t due_ms = w->busy ? -1 : sync_due_ms(w);
        if (!w->busy && (w->first || due_ms == 0 || wants_checkpoint(w)))
            return true;
        if (!w->busy && w->stop)
            return false;
        if (due_ms < 0)
            pthread_cond_wait(&w->wake, &w->lock);
        else
            wait_ms(w, due_ms);
    }
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    pthread_setname_np(pthread_self(), "mm-writer");
    pthread_mutex_lock(&w->lock);
    while (wait_for_work(w)) {
        struct request *group = w->first;
        w->first = NULL;
        w->last = &w->first;
        take_role(w);
        pthread_mutex_unlock(&w->lock);
        if (group)
            serve(w, group);
        wake_callers(group);
        sync_if_due(w);
        checkpoint(w);
        pthread_mutex_lock(&w->lock);
        w->busy = false;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Joins the queue, with the lock held, and sleeps until it is done. */
static void queue_up(struct writer *w, struct request *r)
{
    sem_init(&r->done, 0, 0);
    *w->last = r;
    w->last = &r->next;
    /* Who is busy looks at the queue on leaving. */
    bool wake = !w->busy;
    pthread_mutex_unlock(&w->lock);
    if (wake)
        pthread_cond_signal(&w->wake);
    while (sem_wait(&r->done) && errno == EINTR)
        ;
    sem_destroy(&r->done);
}

int cache_write(struct cache *c, enum cache_origin origin, enum cache_durability durability,
                int (*change)(cache_tx *tx, void *arg), void *arg)
{
    struct writer *w = c->writer;
    if (!c->writing)
        return -EROFS;
    struct request r = {.change = change, .arg = arg, .origin = origin, .durability = durability};
    pthread_mutex_lock(&w->lock);
    if (w->busy && pthread_equal(w->holder, pthread_self())) {
        pthread_mutex_unlock(&w->lock);
        return -EDEADLK;
    }
    if (w->busy || w->first) {
        queue_up(w, &r);
        return r.result;
    }
    take_role(w);
    pthread_mutex_unlock(&w->lock);
    serve(w, &r);
    leave_role(w);
    return r.result;
}

struct cache_rd *writer_lend(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool free = !w->busy && !w->first;
    if (free)
        take_role(w);
    pthread_mutex_unlock(&w->lock);
    return free ? &w->tx.rd : NULL;
}

void writer_take_back(struct writer *w)
{
    leave_role(w);
}

static int change_nothing(cache_tx *tx, void *arg)
{
    (void)tx;
    (void)arg;
    return 0;
}

int cache_sync(struct cache *c)
{
    return cache_write(c, CACHE_FROM_FILES, CACHE_NOW, change_nothing, NULL);
}

static int init_locks(struct writer *w)
{
    pthread_condattr_t attr;
    int err = pthread_condattr_init(&attr);
    if (err)
        return -err;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    err = pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (err)
        return -err;
    pthread_mutex_init(&w->lock, NULL);
    return 0;
}

void writer_free(struct writer *w)
{
    if (!w)
        return;
    connection_close(&w->tx.rd);
    free(w->tx.event);
    free(w->tx.touched);
    free(w->tx.workless);
    free(w);
}

int writer_new(struct cache *c, struct writer **ret)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->cache = c;
    w->last = &w->first;
    w->checkpoint_at = CHECKPOINT_PAGES;
    int err = connection_open(c, c->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, c->vfs, &w->tx.rd);
    if (!err)
        err = connection_run(&w->tx.rd, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864");
    if (err) {
        writer_free(w);
        return err;
    }
    w->tx.rd.writer = true;
    w->full = true;
    *ret = w;
    return 0;
}

struct cache_tx *writer_tx(struct writer *w)
{
    return &w->tx;
}

int writer_start(struct writer *w)
{
    int err = init_locks(w);
    if (err)
        return err;
    sqlite3_wal_hook(w->tx.rd.db, log_grew, w);
    err = mailbox_last_mtime(&w->tx.rd, &w->tx.last_ns);
    if (!err)
        err = -pthread_create(&w->thread, NULL, writer_main, w);
    w->cache->writing = !err;
    return err;
}

void writer_stop(struct writer *w)
{
    if (!w || !w->cache->writing)
        return;
    int err = cache_sync(w->cache);
    if (err)
        log_error("cache: the last changes could not be synced to disk (%d)", err);
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->wake);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    w->cache->writing = false;
}
