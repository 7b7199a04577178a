/* The server's quota, which statfs of the mount tells to programs. */
#include "private.h"

#define ASK_AGAIN_MS 3600000

static int store(cache_tx *tx, void *arg)
{
    const struct worker_quota *q = arg;
    int r = cache_meta_set(tx, "quota_limit", q->limit);
    return r < 0 ? r : cache_meta_set(tx, "quota_used", q->used);
}

static bool is_stored(cache_rd *rd, const struct worker_quota *q)
{
    return cache_meta_get(rd, "quota_limit", 0) == q->limit && cache_meta_get(rd, "quota_used", 0) == q->used;
}

void quota_refresh(struct engine *e)
{
    const struct worker_ops *ops = e->worker->ops;
    struct worker_quota quota;
    struct worker_error error;
    cache_rd *rd = cache_reader(e->cache);
    if (!ops->quota || !rd || clock_boot_ms() < e->quota_at_ms)
        return;
    /* A session that breaks here is dead, and the round that follows notices. */
    if (ops->quota(e->worker, "INBOX", &quota, &error) != WORKER_DONE)
        return;
    e->quota_at_ms = clock_boot_ms() + ASK_AGAIN_MS;
    if (!is_stored(rd, &quota))
        cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, store, &quota); /* lost, it is asked for again */
}
