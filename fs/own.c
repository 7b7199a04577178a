#include "own.h"
#include "loop.h"

/* A mark is an event about nothing, with one of these as its parent: no directory has such a number. */
#define MARK_BEGIN UINT64_MAX
#define MARK_END (UINT64_MAX - 1)

struct own_change {
    int (*change)(cache_tx *tx, void *arg);
    void *arg;
};

static void mark(cache_tx *tx, uint64_t which)
{
    cache_tx_event(tx, &(struct cache_event){.kind = CACHE_WORK, .parent = which});
}

static int marked_change(cache_tx *tx, void *arg)
{
    const struct own_change *own = arg;
    mark(tx, MARK_BEGIN);
    int r = own->change(tx, own->arg);
    mark(tx, MARK_END);
    return r;
}

int own_write(struct cache *c, enum cache_durability durability, int (*change)(cache_tx *tx, void *arg),
              void *arg)
{
    struct own_change own = {change, arg};
    if (durability == CACHE_NOW)
        loop_will_wait();
    return cache_write(c, CACHE_FROM_FILES, durability, marked_change, &own);
}

bool own_mark(const struct cache_event *event, bool *inside)
{
    if (event->kind != CACHE_WORK || (event->parent != MARK_BEGIN && event->parent != MARK_END))
        return false;
    *inside = event->parent == MARK_BEGIN;
    return true;
}
