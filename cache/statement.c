#include "statement.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* There can be a reader for each thread of libfuse's pool: this is what bounds their memory. */
#define PAGE_CACHE_KIB 2000

static int constraint_errno(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return -EEXIST;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return -ENOENT;
    default:
        return -EINVAL;
    }
}

int connection_errno(int rc)
{
    if (rc == SQLITE_IOERR_NOMEM)
        return -ENOMEM;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CONSTRAINT:
        return constraint_errno(rc);
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        return -EINVAL;
    default:
        return -EIO;
    }
}

int connection_run(struct cache_rd *rd, const char *sql)
{
    return connection_errno(sqlite3_exec(rd->db, sql, NULL, NULL, NULL));
}

/* SQLite's statistics of memory cost every allocation a lock that all connections share. */
static void configure_library(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int configure(struct cache_rd *rd)
{
    sqlite3_extended_result_codes(rd->db, 1);
    sqlite3_busy_timeout(rd->db, CONNECTION_BUSY_MS);
    sqlite3_db_config(rd->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(rd->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    char sql[160];
    snprintf(sql, sizeof sql,
             "PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON;"
             "PRAGMA recursive_triggers = ON",
             PAGE_CACHE_KIB);
    return connection_run(rd, sql);
}

int connection_open(struct cache *c, const char *path, int flags, const char *vfs, struct cache_rd *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure_library);
    *ret = (struct cache_rd){.cache = c};
    int rc = sqlite3_open_v2(path, &ret->db, flags | SQLITE_OPEN_NOMUTEX, vfs);
    int err = rc == SQLITE_OK ? configure(ret) : connection_errno(rc);
    if (err)
        connection_close(ret);
    return err;
}

void connection_close(struct cache_rd *rd)
{
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        sqlite3_finalize(rd->table[i].stmt);
    sqlite3_close_v2(rd->db);
    *rd = (struct cache_rd){.cache = rd->cache};
}

/* The slot of an SQL text, by its address: open addressing, and never full. */
static struct statement *slot_of(struct cache_rd *rd, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 4) * 0x9e3779b97f4a7c15u >> 40;
    for (;; at++) {
        struct statement *s = &rd->table[at % STATEMENTS_MAX];
        if (!s->sql || s->sql == sql)
            return s;
    }
}

static void prepare(struct cache_rd *rd, struct statement *s)
{
    s->err =
        connection_errno(sqlite3_prepare_v3(rd->db, s->sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL));
}

static void refuse_if_undone(struct cache_rd *rd, struct statement *s)
{
    if (rd->changing && sqlite3_get_autocommit(rd->db))
        s->err = -EIO;
}

static struct statement *spare_statement(struct cache_rd *rd, const char *sql)
{
    struct statement *s = calloc(1, sizeof *s);
    if (!s) {
        rd->memoryless = (struct statement){.err = -ENOMEM};
        return &rd->memoryless;
    }
    *s = (struct statement){.sql = sql, .lent = true, .spare = true};
    prepare(rd, s);
    refuse_if_undone(rd, s);
    return s;
}

struct statement *statement_begin(struct cache_rd *rd, const char *sql)
{
    struct statement *s = slot_of(rd, sql);
    if (s->lent)
        return spare_statement(rd, sql);
    s->sql = sql;
    s->lent = true;
    s->at = 0;
    s->err = 0;
    if (!s->stmt)
        prepare(rd, s);
    refuse_if_undone(rd, s);
    return s;
}

void statement_end(struct statement **p)
{
    struct statement *s = *p;
    s->lent = false;
    if (s->spare) {
        sqlite3_finalize(s->stmt);
        free(s);
    } else if (s->stmt) {
        sqlite3_reset(s->stmt);
        sqlite3_clear_bindings(s->stmt);
    }
}

static void bound(struct statement *s, int rc)
{
    if (!s->err)
        s->err = connection_errno(rc);
}

void put_int(struct statement *s, int64_t value)
{
    bound(s, sqlite3_bind_int64(s->stmt, ++s->at, value));
}

void put_null(struct statement *s)
{
    bound(s, sqlite3_bind_null(s->stmt, ++s->at));
}

void put_int_or_null(struct statement *s, int64_t value)
{
    if (value)
        put_int(s, value);
    else
        put_null(s);
}

void put_text(struct statement *s, const char *text)
{
    bound(s, sqlite3_bind_text(s->stmt, ++s->at, text, -1, SQLITE_STATIC));
}

void put_blob(struct statement *s, const void *data, size_t length)
{
    bound(s, sqlite3_bind_blob64(s->stmt, ++s->at, data, length, SQLITE_STATIC));
}

int statement_step(struct statement *s)
{
    if (s->err)
        return s->err;
    int rc = sqlite3_step(s->stmt);
    if (rc == SQLITE_ROW)
        return 1;
    s->err = connection_errno(rc);
    return s->err;
}

int statement_row(struct statement *s)
{
    int got = statement_step(s);
    return got < 0 ? got : got ? 0 : -ENOENT;
}

int statement_run(struct statement *s)
{
    int got;
    while ((got = statement_step(s)) > 0)
        ;
    return got;
}

int statement_do(struct cache_rd *rd, const char *sql)
{
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    return statement_run(s);
}

int statement_change(struct statement *s)
{
    int err = statement_run(s);
    if (err)
        return err;
    return sqlite3_changes(sqlite3_db_handle(s->stmt)) ? 0 : -ENOENT;
}

int64_t column_int(struct statement *s, int column)
{
    return sqlite3_column_int64(s->stmt, column);
}

void column_text(struct statement *s, int column, char *ret, size_t size)
{
    const unsigned char *text = sqlite3_column_text(s->stmt, column);
    size_t length = text ? (size_t)sqlite3_column_bytes(s->stmt, column) : 0;
    if (length > size - 1)
        length = size - 1;
    if (length)
        memcpy(ret, text, length);
    ret[length] = '\0';
}

bool column_blob(struct statement *s, int column, void *ret, size_t length)
{
    const void *data = sqlite3_column_blob(s->stmt, column);
    bool whole = data && (size_t)sqlite3_column_bytes(s->stmt, column) == length;
    if (whole)
        memcpy(ret, data, length);
    else
        memset(ret, 0, length);
    return whole;
}
