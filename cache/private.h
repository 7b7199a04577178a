#pragma once
/*
 * What the files of this folder know of one another, and nobody else: the store itself, the writer's side of
 * a change.
 */
#include <pthread.h>
#include "cache.h"
#include "statement.h"

struct writer;
struct wishes;
struct body_store; /* body.c's own */
struct work_table; /* work.c's own */

#define LISTENERS_MAX 4

struct listener {
    void (*call)(void *arg, const struct cache_event *events, size_t n);
    void *arg;
};

struct cache {
    /* Constant once cache_open is through. */
    char *dir;
    char *host;
    char *path; /* of mail.db */
    int dirfd;
    int lockfd; /* -1 for look_only */
    bool wire_bodies, note_use;
    bool look_only;
    const char *vfs; /* SQLite's, NULL: the usual one */
    struct listener listener[LISTENERS_MAX];
    unsigned listeners;

    struct writer *writer; /* NULL for look_only */
    bool writing;          /* its thread runs */
    struct wishes *wishes;
    struct body_store *bodies;
    struct work_table *work;
    struct keywords keywords; /* has its own lock */

    bool has_readers;         /* the next two are there */
    pthread_key_t reader_key; /* each thread's cache_rd */
    pthread_mutex_t readers_lock;
    struct cache_rd *readers; /* all of them, protected by readers_lock */
};

/* Supplied by body.c and work.c: called by cache_open (with dirfd and wire_bodies set, the database open and
 * writable) and by cache_close (which calls them also after a half-done open: NULL pointers are allowed). Not
 * called for look_only. */
int body_store_open(struct cache *c);
void body_store_close(struct cache *c);
int work_open_table(struct cache *c);
void work_close_table(struct cache *c);

/* A directory whose time moves on at the end of a change. */
struct touched {
    int64_t mailbox;
    enum sub sub;
};

/* A change under way. */
struct cache_tx {
    struct cache_rd rd;
    enum cache_origin origin;
    int err;           /* of something that could not be said at once: fails the change */
    int64_t last_ns;   /* what cache_tx_now gave last */
    unsigned keywords; /* how many of the account's are in the table */
    enum { HELD_UNKNOWN, HELD_NOTHING, HELD_SOMETHING } held; /* held.c: looked up once a transaction */

    struct cache_event *event;
    size_t events, events_cap;
    struct touched *touched; /* of the running change */
    size_t touched_n, touched_cap;
    int64_t *workless; /* rows that are forgotten: their work files go after the commit */
    size_t workless_n, workless_cap;
};

/* The work file of this row goes once the change is committed. */
void tx_remove_work(struct cache_tx *tx, int64_t message);

/* schema.c: brings an empty or older database to this version: 0, -EPROTO for a newer one. */
#define SCHEMA_VERSION 7
int schema_version(struct cache_rd *rd, int *ret);
int schema_migrate(struct cache_rd *rd, int to);

/* keyword.c: the account's keywords. load also checks that names and bits agree; store writes those that are
 * new, inside a transaction. */
int keyword_load(struct cache_rd *rd, struct keywords *k, unsigned *ret_n);
int keyword_store(struct cache_rd *rd, struct keywords *k, unsigned from, unsigned *ret_n);

/* An array with room for one more element, or NULL: then the change fails. */
void *tx_room(struct cache_tx *tx, void *array, size_t n, size_t *cap, size_t size);

/* mailbox.c: writes the times of the directories that were touched. */
int mailbox_write_times(struct cache_tx *tx);
/* mailbox.c: the latest time of any directory, from which the tree's clock goes on. */
int mailbox_last_mtime(struct cache_rd *rd, int64_t *ret);

/* generation.c: counts this opening, in the file and in the database, and notes when the two had parted (case
 * 73). */
int generation_advance(struct cache *c, struct cache_tx *tx);

/* reader.c */
int readers_init(struct cache *c);
void readers_finish(struct cache *c);
/* What cache_reader gives to this thread, and does not open again. -errno. */
int reader_open(struct cache *c, struct cache_rd **ret);

/* writer.c. new opens the connection, durable with each commit, which is the caller's until start makes the
 * thread. */
int writer_new(struct cache *c, struct writer **ret);
struct cache_tx *writer_tx(struct writer *w);
/* The connection, to read with; NULL while somebody writes, or waits to. Until it is given back nobody can.
 */
struct cache_rd *writer_lend(struct writer *w);
void writer_take_back(struct writer *w);
int writer_start(struct writer *w);
void writer_stop(struct writer *w); /* commits what waits, syncs, ends the thread if there is one */
void writer_free(struct writer *w); /* closes the connection; NULL is allowed */

/* want.c */
int wishes_new(struct wishes **ret);
void wishes_free(struct wishes *w);
