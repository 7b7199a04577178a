#pragma once
/*
 * The cache of one account: a directory with a SQLite database, bodies, work files and the local area.
 *
 *   lock         flock: one process an account (case 76)
 *   mail.db      the database (WAL)
 *   generation   counts openings, as the database does: they differ when that was lost (case 73)
 *   bodies/ab/   message bodies by SHA-256 of the wire form, immutable, see body.h
 *   work/        content made here that the server does not have yet, by row id, see work.h
 *   unsent/      notes that let a lost database find such content again, see work.h
 *   local/       files that are no mail, by mailbox id, see fs
 *   log, control the daemon's log and control socket
 *
 * Readers take a cache_rd, one a thread; writers a cache_tx, which exists only inside a callback of the one
 * writer. Nothing here waits for the network.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "fault.h"
#include "flags.h"
#include "ino.h"

struct cache;
typedef struct cache_rd cache_rd; /* a read-only connection; one thread's */
typedef struct cache_tx cache_tx; /* the writer's connection, inside a change */

struct cache_options {
    const char *dir;  /* absolute; created with mode 0700 */
    const char *host; /* for the names of new files; NULL: gethostname */
    bool note_use;    /* cache_limit is set: see body_evict */
    bool wire_bodies; /* line_endings = crlf: new bodies are kept and served in wire form */
    /* No other process looks into the database meanwhile: its look_only is -EBUSY. What SQLite then keeps to
     * itself, which pages are in the log and who reads, costs each transaction no system call. */
    bool exclusive;
    /* For status without a daemon: no lock, no writer (cache_write is -EROFS), nothing created; -ENOENT. */
    bool look_only;
};

/* Opens, creates or migrates the cache. -EBUSY when another process has it, -EPROTO for a newer schema (with
 * look_only for an older one too), else -errno; f is set. Not before a fork that both sides survive. */
int cache_open(const struct cache_options *options, struct cache **ret, struct fault *f);

/* Commits and syncs everything, ends the writer, answers open wishes with -ENETDOWN, frees. No reader may be
 * in use. NULL is allowed. */
void cache_close(struct cache *c);

const char *cache_dir(const struct cache *c);
int cache_dirfd(const struct cache *c); /* the directory, open for the *at() calls; owned by the cache */
const char *cache_host(const struct cache *c);
struct keywords *cache_keywords(struct cache *c);

/* The calling thread's reader, opened at first use, closed when the thread ends or the cache closes. NULL
 * when it cannot be opened (logged). Each call of a reading function is a snapshot of its own; cache_rd_begin
 * and _end hold one over several calls (never over a wait). */
cache_rd *cache_reader(struct cache *c);
/* The same for one or two short calls, after which cache_glance_end gives it back: the writer's own
 * connection when nobody is writing. A reader finds the pages it has read stale after each commit, and reads
 * them again; the writer does not. Whoever wants to write waits meanwhile: no cache_write in between. Thread:
 * any. */
cache_rd *cache_glance(struct cache *c);
void cache_glance_end(struct cache *c, cache_rd *rd);
int cache_rd_begin(cache_rd *rd);
void cache_rd_end(cache_rd *rd);

/* Reading inside a change sees the change so far. */
cache_rd *cache_tx_rd(cache_tx *tx);
struct cache *cache_tx_cache(cache_tx *tx);
struct cache *cache_rd_cache(cache_rd *rd);

enum cache_origin { CACHE_FROM_FILES, CACHE_FROM_SERVER };
enum cache_durability {
    CACHE_SOON, /* visible on return, on disk within a second */
    CACHE_NOW,  /* on disk on return, with everything committed before it */
};

/*
 * Runs change(tx, arg) as the one writer, in a savepoint of its own within a group commit, and returns its
 * result after the commit: on the calling thread when nobody else is writing, else on the writer's thread. A
 * negative result rolls that change back, and no other one. -ENOSPC and -EIO when the commit fails: nothing
 * of it happened. Thread: any, but not from inside a change or a listener: -EDEADLK. change must not block.
 */
int cache_write(struct cache *c, enum cache_origin origin, enum cache_durability durability,
                int (*change)(cache_tx *tx, void *arg), void *arg);

/* All that was committed is on disk when this returns 0. */
int cache_sync(struct cache *c);

/* What a commit changed in the tree. Names are those that are gone or new in the directory `parent`. */
enum cache_event_kind {
    CACHE_ENTRY_ADDED,   /* parent, name, ino */
    CACHE_ENTRY_REMOVED, /* parent, name, ino */
    CACHE_ATTRIBUTES,    /* ino */
    CACHE_WORK,          /* nothing visible: something for the engine to do */
};
struct cache_event {
    enum cache_event_kind kind;
    enum cache_origin origin;
    uint64_t parent, ino;
    int64_t mailbox;
    char name[256];
};

/* Registers a listener (at most 4, else -ENOSPC), called by the writer after each commit with that commit's
 * events in order, before cache_write returns; never two at a time. It must only take note: no blocking, no
 * cache_write. Register before other threads start. */
int cache_listen(struct cache *c, void (*listener)(void *arg, const struct cache_event *events, size_t n),
                 void *arg);
/* Events of the running change; message_put and mailbox_put do this themselves. */
void cache_tx_event(cache_tx *tx, const struct cache_event *event);
enum cache_origin cache_tx_origin(const cache_tx *tx);

/* The tree's own clock, strictly increasing with each call, kept across mounts: nanoseconds, at or after the
 * real time. */
int64_t cache_tx_now(cache_tx *tx);

/* Small named values: "generation", "union" (case 73)... 0 or the fallback when absent. */
int64_t cache_meta_get(cache_rd *rd, const char *key, int64_t fallback);
int cache_meta_set(cache_tx *tx, const char *key, int64_t value);

/*
 * "A reader wants this body": the file is missing or damaged (case 20), or not here yet. done(arg, err) is
 * called once, from any thread, when the body is there (0) or cannot be had (-ENETDOWN, -ETIMEDOUT, -ESTALE,
 * -EIO). Never blocks. The fetching side takes wishes with cache_wanted_take and answers with
 * cache_wanted_done, which calls every waiter of that message. Cancelling a wish removes its waiter: returns
 * true when done will not be called.
 */
int cache_want(struct cache *c, int64_t message, void (*done)(void *arg, int err), void *arg);
bool cache_want_cancel(struct cache *c, int64_t message, void *arg);
size_t cache_wanted_take(struct cache *c, int64_t *messages, size_t max); /* those not taken yet */
void cache_wanted_done(struct cache *c, int64_t message, int err);
/* To be taken again: false when it was returned so often before, and is to be answered now. */
bool cache_wanted_return(struct cache *c, int64_t message, unsigned most);
/* wake is called by cache_want and must only take note. Register before other threads start. */
void cache_on_want(struct cache *c, void (*wake)(void *arg), void *arg);
