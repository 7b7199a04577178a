/*
 * Which bodies come by themselves, and how long they stay.
 *
 * `bodies` says how old a message may be for its body to be fetched without being asked for. Such a message
 * shows when it is whole; any other one shows at once, bare, and its body comes when somebody opens it. Where
 * `cache_limit` is set and nearly reached, everything but the newest mail counts as too old: fetching what
 * must go again at once would be for nothing.
 *
 * What the account is told to do may have changed since the rows were made: those that wait to be fetched and
 * are not to be any more are shown, a batch at a time; and bare ones that are to be here now are fetched
 * after all others.
 */
#include <errno.h>
#include <string.h>
#include "log.h"
#include "private.h"

#define NEWEST_S 86400 /* fetched also when there is hardly any room */

/* Bodies on disk, and what came since they were counted. */
static int64_t used(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    int64_t octets = e->cache_octets + e->new_octets;
    pthread_mutex_unlock(&e->lock);
    return octets;
}

static bool is_filled(struct engine *e, int tenths)
{
    int64_t limit = e->account->cache_limit;
    return limit > 0 && used(e) > limit / 10 * tenths;
}

int64_t bodies_since(struct engine *e)
{
    int64_t keep_s = e->account->bodies_s;
    if (keep_s > NEWEST_S && is_filled(e, 9))
        keep_s = NEWEST_S;
    if (keep_s == 0)
        return INT64_MAX;
    return keep_s == INT64_MAX ? INT64_MIN : clock_now_ns() / 1000000000 - keep_s;
}

/* Bare ones come after all others; and where there is a limit, only as long as that leaves room for new mail:
 * what was evicted for them would be no less wanted. */
int64_t bodies_bare_since(struct engine *e)
{
    return is_filled(e, 7) ? INT64_MAX : bodies_since(e);
}

bool bodies_is_bare(int64_t since_s, int64_t date_s)
{
    return date_s < since_s;
}

/* ---- what waits, and need not ---- */

struct unneeded {
    int64_t since_s;
    int64_t id[ENGINE_BATCH];
    size_t n;
};

static int collect_unneeded(void *arg, const struct message *m)
{
    struct unneeded *u = arg;
    u->id[u->n++] = m->id;
    return 0;
}

static int show_unneeded(cache_tx *tx, void *arg)
{
    const struct unneeded *u = arg;
    for (size_t i = 0; i < u->n; i++) {
        struct message m;
        int r = message_get(cache_tx_rd(tx), u->id[i], &m);
        if (r == 0 && m.state == MESSAGE_WANTED && bodies_is_bare(u->since_s, m.date_s)) {
            message_set_bare(&m);
            r = message_put(tx, &m);
        }
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static int show_all_unneeded(struct engine *e)
{
    struct unneeded u = {.since_s = bodies_since(e)};
    int r = 0;
    if (u.since_s == INT64_MIN)
        return 0;
    do {
        u.n = 0;
        r = message_each_wanted_before(cache_reader(e->cache), u.since_s, ENGINE_BATCH, collect_unneeded, &u);
        if (r == 0 && u.n > 0)
            r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, show_unneeded, &u);
    } while (r == 0 && u.n == ENGINE_BATCH && !engine_stopping(e));
    return r;
}

/* ---- what only the server had ---- */

bool bodies_is_lost(struct engine *e, const struct message *m)
{
    return m->state == MESSAGE_PRESENT && !body_is_here(e->cache, m) && !work_is_noted(e->cache, m->id);
}

struct lost {
    struct engine *e;
    int64_t id;
};

static int give_up(cache_tx *tx, void *arg)
{
    const struct lost *lost = arg;
    struct message m;
    struct base_state base;
    struct pending pending;
    cache_rd *rd = cache_tx_rd(tx);
    int r = message_get(rd, lost->id, &m);
    if (r < 0 || !bodies_is_lost(lost->e, &m) || base_of_message(rd, m.id, &base) == 0 ||
        pending_of_message(rd, m.id, &pending) == 0)
        return 0;
    struct brain_op op = {.verb = BRAIN_REMOVE};
    return cache_worker_apply(tx, &op, &m, NULL, m.mailbox);
}

void bodies_give_up(struct engine *e, int64_t message)
{
    struct lost lost = {e, message};
    log_warning("case 17: row %lld is gone on the server, and its text is not here", (long long)message);
    if (cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, give_up, &lost) < 0)
        log_warning("row %lld stays in view without a text", (long long)message);
}

/* ---- the limit ---- */

static int keep_limit(struct engine *e)
{
    int64_t size = 0, limit = e->account->cache_limit;
    if (e->counted && used(e) <= limit)
        return 0;
    pthread_mutex_lock(&e->lock);
    int64_t came = e->new_octets;
    pthread_mutex_unlock(&e->lock);
    int r = body_evict(e->cache, limit, &size);
    /* Where nothing more can go, what comes next is worth another look, not what is there. */
    bool full = size > limit;
    pthread_mutex_lock(&e->lock);
    e->new_octets -= came;
    e->cache_octets = full ? limit / 100 * 99 : size;
    e->status.cache_octets = (uint64_t)size;
    pthread_mutex_unlock(&e->lock);
    if (full)
        log_info("bodies take %lld octets, more than cache_limit: no more of them can go", (long long)size);
    e->counted = r == 0;
    return r;
}

void bodies_came(struct engine *e, int64_t octets)
{
    if (e->account->cache_limit == 0)
        return;
    pthread_mutex_lock(&e->lock);
    e->new_octets += octets;
    e->status.cache_octets += (uint64_t)octets;
    pthread_mutex_unlock(&e->lock);
}

void bodies_tend(struct engine *e)
{
    int r = e->account->cache_limit > 0 ? keep_limit(e) : 0;
    if (r == 0)
        r = show_all_unneeded(e);
    if (r < 0)
        log_warning("bodies: %s", strerror(-r));
}
