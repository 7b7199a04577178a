/*
 * The one writer: a thread that owns the only connection that can write, and commits for everybody.
 *
 *   callers      queue a request that lies on their own stack, and sleep on its semaphore
 *   the writer   takes all that wait as one group:  BEGIN IMMEDIATE
 *                each request's change in turn:       SAVEPOINT, change(), RELEASE - or ROLLBACK TO, for that
 * one alone COMMIT then the events go to the listeners, work files of forgotten rows go, and the callers
 * wake.
 *
 * While one group commits, the next one gathers: a burst of callers shares the price of a commit, and a lone
 * one waits for nobody.
 *
 * Durability. Commits run with synchronous = NORMAL: they are in the page cache, in order, and a crash of the
 * process loses nothing. A group in which somebody asked for CACHE_NOW runs with FULL instead, so that SQLite
 * syncs the log before the commit is valid, and a failing disk means that nothing of it happened. The log is
 * one file, so that sync covers every commit before. What nobody asked for is synced by the writer itself
 * before it is a second old, by the log file's own xSync.
 *
 * A full disk can make SQLite roll back the whole transaction from within a change. The group is over then:
 * its members all get that error, for none of it happened.
 *
 * The log goes back into the database here too, after the callers were woken, once it has CHECKPOINT_PAGES.
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
    pthread_cond_t wake;
    struct request *first, **last; /* protected by lock: who waits, in order */
    bool stop;                     /* protected by lock */

    /* The thread's own from here on. */
    struct cache_tx tx;
    int64_t unsynced_ms; /* clock_boot_ms of the oldest commit that may not be on disk; 0: all is */
    bool full;           /* PRAGMA synchronous is FULL */
    bool wrote;          /* the last commit put something into the log */
    int log_pages;
};

static int log_grew(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct writer *w = arg;
    w->wrote = true;
    w->log_pages = pages;
    return SQLITE_OK;
}

static void checkpoint(struct writer *w)
{
    if (w->log_pages < CHECKPOINT_PAGES)
        return;
    /* It fails when the disk is full or a reader is in the way: the log stays as it is, and the next commit
     * comes here again. */
    sqlite3_wal_checkpoint_v2(w->tx.rd.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    w->log_pages = 0;
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

static void sync_if_due(struct writer *w)
{
    if (!w->unsynced_ms || clock_boot_ms() - w->unsynced_ms < SYNC_AFTER_MS)
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
    w->tx.workless_n = 0;
    int err = set_durability(w, full);
    return err ? err : statement_do(&w->tx.rd, sql);
}

static void undo_change(struct cache_tx *tx, size_t events, size_t workless_n)
{
    static const char sql_back[] = "ROLLBACK TO one";
    static const char sql_release[] = "RELEASE one";
    tx->events = events;
    tx->workless_n = workless_n;
    if (!statement_do(&tx->rd, sql_back))
        statement_do(&tx->rd, sql_release);
}

/* One request within the group. An error that is returned ends the group; the request's own goes into its
 * result. */
static int run_change(struct cache_tx *tx, struct request *r)
{
    static const char sql_savepoint[] = "SAVEPOINT one";
    static const char sql_release[] = "RELEASE one";
    size_t events = tx->events, workless_n = tx->workless_n;
    int err = statement_do(&tx->rd, sql_savepoint);
    if (err)
        return err;
    tx->origin = r->origin;
    tx->err = 0;
    r->result = r->change(tx, r->arg);
    if (r->result >= 0 && tx->err)
        r->result = tx->err;
    if (sqlite3_get_autocommit(tx->rd.db))
        return r->result < 0 ? r->result : -EIO;
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

static void wake_callers(struct request *group, int err)
{
    for (struct request *r = group, *next; r; r = next) {
        next = r->next; /* r is gone with its caller once it is woken */
        if (err && r->result >= 0)
            r->result = err;
        sem_post(&r->done);
    }
}

static int run_group(struct writer *w, struct request *group, bool full)
{
    int err = begin_group(w, full);
    for (struct request *r = group; r && !err; r = r->next)
        err = run_change(&w->tx, r);
    return err ? err : commit_group(w);
}

static void serve(struct writer *w, struct request *group)
{
    static const char sql_rollback[] = "ROLLBACK";
    bool full = false;
    for (struct request *r = group; r; r = r->next)
        full |= r->durability == CACHE_NOW;
    int err = run_group(w, group, full);
    if (!err) {
        err = settle_group(w, full);
        announce(w->cache, &w->tx);
    } else if (!sqlite3_get_autocommit(w->tx.rd.db)) {
        statement_do(&w->tx.rd, sql_rollback);
    }
    wake_callers(group, err);
}

static void wait_for_work(struct writer *w)
{
    if (!w->unsynced_ms) {
        pthread_cond_wait(&w->wake, &w->lock);
        return;
    }
    int64_t left_ms = w->unsynced_ms + SYNC_AFTER_MS - clock_boot_ms();
    if (left_ms < 1)
        left_ms = 1;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += left_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

/* All that wait, or NULL when it was the time that ended the wait. false at the end, when nobody waits any
 * more. */
static bool next_group(struct writer *w, struct request **ret)
{
    pthread_mutex_lock(&w->lock);
    if (!w->first && !w->stop)
        wait_for_work(w);
    struct request *group = w->first;
    bool on = group || !w->stop;
    w->first = NULL;
    w->last = &w->first;
    pthread_mutex_unlock(&w->lock);
    *ret = group;
    return on;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    struct request *group;
    pthread_setname_np(pthread_self(), "mm-writer");
    while (next_group(w, &group)) {
        if (group)
            serve(w, group);
        sync_if_due(w);
        checkpoint(w);
    }
    return NULL;
}

static void enqueue(struct writer *w, struct request *r)
{
    pthread_mutex_lock(&w->lock);
    bool idle = !w->first;
    *w->last = r;
    w->last = &r->next;
    pthread_mutex_unlock(&w->lock);
    if (idle)
        pthread_cond_signal(&w->wake);
}

int cache_write(struct cache *c, enum cache_origin origin, enum cache_durability durability,
                int (*change)(cache_tx *tx, void *arg), void *arg)
{
    struct writer *w = c->writer;
    if (!c->writing)
        return -EROFS;
    if (pthread_equal(pthread_self(), w->thread))
        return -EDEADLK;
    struct request r = {.change = change, .arg = arg, .origin = origin, .durability = durability};
    sem_init(&r.done, 0, 0);
    enqueue(w, &r);
    while (sem_wait(&r.done) && errno == EINTR)
        ;
    sem_destroy(&r.done);
    return r.result;
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
    int err = connection_open(c, c->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &w->tx.rd);
    if (!err)
        err = connection_run(&w->tx.rd, "PRAGMA synchronous = FULL");
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
