/* The threads' own read-only connections. */
#include <errno.h>
#include <stdlib.h>
#include "log.h"
#include "private.h"

static void free_reader(struct cache_rd *rd)
{
    connection_close(rd);
    free(rd);
}

/* A thread ends. */
static void reader_gone(void *arg)
{
    struct cache_rd *rd = arg;
    struct cache *c = rd->cache;
    pthread_mutex_lock(&c->readers_lock);
    struct cache_rd **at = &c->readers;
    while (*at != rd)
        at = &(*at)->next;
    *at = rd->next;
    pthread_mutex_unlock(&c->readers_lock);
    free_reader(rd);
}

int readers_init(struct cache *c)
{
    int err = -pthread_mutex_init(&c->readers_lock, NULL);
    if (err)
        return err;
    err = -pthread_key_create(&c->reader_key, reader_gone);
    if (err)
        pthread_mutex_destroy(&c->readers_lock);
    c->has_readers = !err;
    return err;
}

void readers_finish(struct cache *c)
{
    if (!c->has_readers)
        return;
    pthread_key_delete(c->reader_key);
    for (struct cache_rd *rd = c->readers, *next; rd; rd = next) {
        next = rd->next;
        free_reader(rd);
    }
    pthread_mutex_destroy(&c->readers_lock);
}

int reader_open(struct cache *c, struct cache_rd **ret)
{
    struct cache_rd *rd = malloc(sizeof *rd);
    if (!rd)
        return -ENOMEM;
    int err = connection_open(c, c->path, SQLITE_OPEN_READONLY, c->vfs, rd);
    if (!err) {
        err = -pthread_setspecific(c->reader_key, rd);
        if (err)
            connection_close(rd);
    }
    if (err) {
        free(rd);
        return err;
    }
    pthread_mutex_lock(&c->readers_lock);
    rd->next = c->readers;
    c->readers = rd;
    pthread_mutex_unlock(&c->readers_lock);
    *ret = rd;
    return 0;
}

cache_rd *cache_reader(struct cache *c)
{
    struct cache_rd *rd = pthread_getspecific(c->reader_key);
    if (rd)
        return rd;
    int err = reader_open(c, &rd);
    if (err) {
        log_error("cache: the database cannot be opened for reading (%d)", err);
        return NULL;
    }
    return rd;
}

cache_rd *cache_glance(struct cache *c)
{
    cache_rd *rd = c->writing ? writer_lend(c->writer) : NULL;
    return rd ? rd : cache_reader(c);
}

void cache_glance_end(struct cache *c, cache_rd *rd)
{
    if (rd && rd->writer)
        writer_take_back(c->writer);
}

int cache_rd_begin(cache_rd *rd)
{
    static const char sql[] = "BEGIN";
    if (rd->writer)
        return 0;
    int err = rd->begun ? 0 : statement_do(rd, sql);
    if (!err)
        rd->begun++;
    return err;
}

void cache_rd_end(cache_rd *rd)
{
    static const char sql[] = "COMMIT";
    if (!rd->writer && --rd->begun == 0)
        statement_do(rd, sql);
}
