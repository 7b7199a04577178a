/*
 * Opening and closing the cache. The order of opening is the order of trust: the lock says that no other
 * process is here, the schema that the database is ours to read, the generation that it is the one that was
 * last used; only then do threads and files come in.
 */
#include "private.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *cache_dir(const struct cache *c)
{
    return c->dir;
}

int cache_dirfd(const struct cache *c)
{
    return c->dirfd;
}

const char *cache_host(const struct cache *c)
{
    return c->host;
}

struct keywords *cache_keywords(struct cache *c)
{
    return &c->keywords;
}

int cache_listen(struct cache *c, void (*listener)(void *arg, const struct cache_event *events, size_t n),
                 void *arg)
{
    if (c->listeners == LISTENERS_MAX)
        return -ENOSPC;
    c->listener[c->listeners++] = (struct listener){.call = listener, .arg = arg};
    return 0;
}

static int copy_options(struct cache *c, const struct cache_options *o)
{
    char host[HOST_NAME_MAX + 1] = "localhost";
    if (!o->host)
        gethostname(host, sizeof host - 1);
    c->wire_bodies = o->wire_bodies;
    c->note_use = o->note_use;
    c->look_only = o->look_only;
    c->vfs = o->exclusive ? "unix-excl" : NULL;
    c->dir = strdup(o->dir);
    c->host = strdup(o->host ? o->host : host);
    if (!c->dir || !c->host || asprintf(&c->path, "%s/mail.db", o->dir) < 0)
        return -ENOMEM;
    return 0;
}

static int open_dir(struct cache *c, struct fault *f)
{
    int err = c->look_only ? 0 : io_mkdir_p(c->dir, 0700);
    if (err)
        return fault_set(f, FAULT_CREATE, err, "%s: cannot be made: %s", c->dir, strerror(-err));
    c->dirfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dirfd < 0)
        return fault_set(f, FAULT_IO, -errno, "%s: %s", c->dir, strerror(errno));
    return 0;
}

static int take_lock(struct cache *c, struct fault *f)
{
    c->lockfd = openat(c->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lockfd < 0)
        return fault_set(f, FAULT_IO, -errno, "%s/lock: %s", c->dir, strerror(errno));
    if (flock(c->lockfd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return fault_set(f, FAULT_AGAIN, -EBUSY, "%s: another mailmount uses this cache (umount it first)",
                         c->dir);
    return fault_set(f, FAULT_IO, -errno, "%s/lock: %s", c->dir, strerror(errno));
}

static int database_fault(struct cache *c, int err, const char *what, struct fault *f)
{
    if (err == -EBUSY)
        return fault_set(f, FAULT_AGAIN, err, "%s: %s: another mailmount has it (try again)", c->path, what);
    const char *why = err == -EIO ? "it is damaged or cannot be read" : strerror(-err);
    return fault_set(f, FAULT_IO, err, "%s: %s: %s", c->path, what, why);
}

/* SQLite tells the mode that it got, not whether that is the one that was asked for. */
static int use_wal(struct cache_rd *rd)
{
    static const char sql[] = "PRAGMA journal_mode = WAL";
    CLEANUP(statement_end) struct statement *s = statement_begin(rd, sql);
    char mode[16];
    int err = statement_row(s);
    if (err)
        return err;
    column_text(s, 0, mode, sizeof mode);
    return strcmp(mode, "wal") == 0 ? 0 : -ENOTSUP;
}

static int check_version(struct cache *c, struct cache_rd *rd, int *ret, struct fault *f)
{
    int err = schema_version(rd, ret);
    if (err)
        return database_fault(c, err, "cannot be opened", f);
    if (*ret > SCHEMA_VERSION)
        return fault_set(
            f, FAULT_DATA, -EPROTO,
            "%s: made by a newer mailmount: version %d, and this one knows %d (use the newer one)", c->path,
            *ret, SCHEMA_VERSION);
    if (c->look_only && *ret < SCHEMA_VERSION)
        return fault_set(f, FAULT_DATA, -EPROTO, "%s: made by an older mailmount (mount the account once)",
                         c->path);
    return 0;
}

static int open_database(struct cache *c, struct fault *f)
{
    int version;
    int err = writer_new(c, &c->writer);
    if (err)
        return database_fault(c, err, "cannot be opened", f);
    struct cache_tx *tx = writer_tx(c->writer);
    err = check_version(c, &tx->rd, &version, f);
    if (err)
        return err;
    err = use_wal(&tx->rd);
    if (!err)
        err = schema_migrate(&tx->rd, SCHEMA_VERSION);
    if (err)
        return database_fault(c, err, "cannot be brought up to date", f);
    err = keyword_load(&tx->rd, &c->keywords, &tx->keywords);
    if (!err)
        err = generation_advance(c, tx);
    return err ? database_fault(c, err, "cannot be used", f) : 0;
}

static int make_dir(struct cache *c, const char *name)
{
    return mkdirat(c->dirfd, name, 0700) && errno != EEXIST ? -errno : 0;
}

static int open_to_write(struct cache *c, struct fault *f)
{
    int err = take_lock(c, f);
    if (!err)
        err = open_database(c, f);
    if (err)
        return err;
    err = make_dir(c, "local");
    if (!err)
        err = writer_start(c->writer);
    if (!err)
        err = body_store_open(c);
    if (!err)
        err = work_open_table(c);
    /* What is put into a directory is not on disk before that one's own name is. */
    if (!err)
        err = io_fsync_dir(c->dirfd, NULL);
    return err ? fault_set(f, FAULT_IO, err, "%s: %s", c->dir, strerror(-err)) : 0;
}

static int open_to_look(struct cache *c, struct fault *f)
{
    int version;
    unsigned keywords;
    if (faccessat(c->dirfd, "mail.db", F_OK, 0))
        return fault_set(f, FAULT_IO, -errno, "%s: %s", c->path, strerror(errno));
    struct cache_rd *rd;
    int err = reader_open(c, &rd);
    if (err)
        return database_fault(c, err, "cannot be opened", f);
    err = check_version(c, rd, &version, f);
    if (err)
        return err;
    err = keyword_load(rd, &c->keywords, &keywords);
    return err ? database_fault(c, err, "cannot be used", f) : 0;
}

/* All connections together: their page caches give way to each other beyond this. */
#define MEMORY_BYTES (16 << 20)

int cache_open(const struct cache_options *options, struct cache **ret, struct fault *f)
{
    struct cache *c = calloc(1, sizeof *c);
    if (!c)
        return fault_set(f, FAULT_IO, -ENOMEM, "%s: no memory", options->dir);
    c->dirfd = c->lockfd = -1;
    sqlite3_soft_heap_limit64(MEMORY_BYTES);
    keywords_init(&c->keywords);
    int err = copy_options(c, options);
    if (!err)
        err = readers_init(c);
    if (!err)
        err = wishes_new(&c->wishes);
    if (err)
        fault_set(f, FAULT_IO, err, "%s: %s", options->dir, strerror(-err));
    else
        err = open_dir(c, f);
    if (!err)
        err = c->look_only ? open_to_look(c, f) : open_to_write(c, f);
    if (err) {
        cache_close(c);
        return err;
    }
    *ret = c;
    return 0;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    writer_stop(c->writer);
    wishes_free(c->wishes);
    work_close_table(c);
    body_store_close(c);
    readers_finish(c);
    /* The last connection that closes puts the log back into the database: only this one can write. */
    writer_free(c->writer);
    keywords_finish(&c->keywords);
    io_close(&c->lockfd);
    io_close(&c->dirfd);
    free(c->path);
    free(c->host);
    free(c->dir);
    free(c);
}
