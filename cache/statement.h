#pragma once
/*
 * One database connection with its prepared statements, and the few calls that all tables are read and
 * written with.
 *
 * A statement is named by the address of its SQL text, prepared at first use and kept until the connection
 * closes. It is on loan between statement_begin and the end of the block:
 *
 *     static const char sql_get[] = "SELECT value FROM meta WHERE key = ?";
 *     CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql_get);
 *     put_text(s, key);
 *     int err = statement_row(s);
 *
 * A callback may run the very query whose rows it is being given: the second loan is a statement of its own.
 * Mistakes of preparing and binding are remembered and come out of the first step, so that only steps need a
 * check. All of it is for this folder only.
 */
#include <sqlite3.h>
#include "cache.h"
#include "io.h"

/* Another process may hold the database for a moment (sqlite3 by hand, a status without a daemon). */
#define CONNECTION_BUSY_MS 5000
#define STATEMENTS_MAX 256 /* a power of two, well above the number of statements there are */

struct statement {
    const char *sql;
    sqlite3_stmt *stmt;
    int at;  /* the last parameter that was bound */
    int err; /* the first error: a negative errno */
    bool lent;
    bool spare; /* a second loan of the same SQL: finalized at its end */
};

/* A cache_rd is a connection; the writer's is inside its cache_tx. */
struct cache_rd {
    struct cache *cache;
    sqlite3 *db;
    struct statement table[STATEMENTS_MAX];
    struct statement memoryless; /* what statement_begin gives without memory */
    bool writer; /* inside a cache_tx: within its transaction, or lent for a glance while nobody can write */
    bool changing;         /* the writer's, from BEGIN on: see statement_begin */
    unsigned begun;        /* nested cache_rd_begin */
    struct cache_rd *next; /* of the cache's readers, protected by its readers_lock */
};

/* Opens the database at path. flags and vfs as for sqlite3_open_v2. */
int connection_open(struct cache *c, const char *path, int flags, const char *vfs, struct cache_rd *ret);
void connection_close(struct cache_rd *rd);
/* Runs constant SQL that is not worth keeping. */
int connection_run(struct cache_rd *rd, const char *sql);
/* A negative errno for an SQLite result. */
int connection_errno(int rc);

/* Never NULL: without memory it is a statement that fails. So is one within a change that SQLite has rolled
 * back, because something failed that the change did not heed: it would be a transaction of its own. */
struct statement *statement_begin(struct cache_rd *rd, const char *sql);
void statement_end(struct statement **s); /* for CLEANUP */

/* Bind the next parameter. Texts and blobs must live until the statement ends. */
void put_int(struct statement *s, int64_t value);
void put_int_or_null(struct statement *s, int64_t value); /* 0 is NULL */
void put_text(struct statement *s, const char *text);
void put_blob(struct statement *s, const void *data, size_t length);
void put_null(struct statement *s);

/* The next row: 1, at the end 0, -errno. */
int statement_step(struct statement *s);
/* The only row: 0, -ENOENT, -errno. */
int statement_row(struct statement *s);
/* To the end: 0, -errno. */
int statement_run(struct statement *s);
/* Runs a statement without parameters and rows. */
int statement_do(struct cache_rd *rd, const char *sql);
/* The same as statement_run, but -ENOENT when it changed no row. */
int statement_change(struct statement *s);

int64_t column_int(struct statement *s, int column); /* NULL reads as 0 */
/* Cut to size - 1 octets, which the schema's writers never exceed. */
void column_text(struct statement *s, int column, char *ret, size_t size);
/* Exactly length octets: false (and zeroes) when it is NULL or of another length. */
bool column_blob(struct statement *s, int column, void *ret, size_t length);
