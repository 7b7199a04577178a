/* A change under way: what it tells about itself beside the rows it writes. */
#include "private.h"
#include <errno.h>
#include <stdlib.h>
#include "clock.h"

cache_rd *cache_tx_rd(cache_tx *tx)
{
    return &tx->rd;
}

struct cache *cache_tx_cache(cache_tx *tx)
{
    return tx->rd.cache;
}

struct cache *cache_rd_cache(cache_rd *rd)
{
    return rd->cache;
}

enum cache_origin cache_tx_origin(const cache_tx *tx)
{
    return tx->origin;
}

int64_t cache_tx_now(cache_tx *tx)
{
    int64_t now = clock_now_ns();
    tx->last_ns = now > tx->last_ns ? now : tx->last_ns + 1;
    return tx->last_ns;
}

/* The array with room for one more element, or NULL. One that cannot grow fails the change: a listener must
 * never miss an event of a commit. */
void *tx_room(struct cache_tx *tx, void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t more = *cap ? *cap * 2 : 16;
    void *grown = reallocarray(array, more, size);
    if (grown)
        *cap = more;
    else
        tx->err = -ENOMEM;
    return grown;
}

void cache_tx_event(cache_tx *tx, const struct cache_event *event)
{
    struct cache_event *all = tx_room(tx, tx->event, tx->events, &tx->events_cap, sizeof *all);
    if (!all)
        return;
    tx->event = all;
    all[tx->events] = *event;
    all[tx->events].origin = tx->origin;
    tx->events++;
}

void tx_remove_work(struct cache_tx *tx, int64_t message)
{
    int64_t *all = tx_room(tx, tx->workless, tx->workless_n, &tx->workless_cap, sizeof *all);
    if (!all)
        return;
    tx->workless = all;
    all[tx->workless_n++] = message;
}
