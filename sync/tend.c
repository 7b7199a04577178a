/*
 * Housekeeping: what was removed long enough ago goes for good, and so do bodies that no row names any more.
 * A little each minute, so that it never competes with people.
 */
#include <errno.h>
#include <string.h>
#include "log.h"
#include "private.h"

#define TEND_EVERY_MS 60000
#define TEND_ROWS 256
#define TEND_BODIES 1000

struct expired {
    cache_rd *rd;
    int64_t before_s;
    int64_t id[TEND_ROWS];
    size_t n;
};

static int collect_expired(void *arg, const struct message *m)
{
    struct expired *x = arg;
    struct base_state base;

    /* What the server still has is not through yet: its row must be there to say so. */
    if (m->gone_at > x->before_s || base_of_message(x->rd, m->id, &base) == 0)
        return 0;
    x->id[x->n++] = m->id;
    return x->n == TEND_ROWS;
}

static int forget_expired(cache_tx *tx, void *arg)
{
    const struct expired *x = arg;
    for (size_t i = 0; i < x->n; i++) {
        int r = message_forget(tx, x->id[i]);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

struct empty {
    int64_t id[TEND_ROWS];
    size_t n;
};

static int collect_removed(void *arg, const struct mailbox *m)
{
    struct empty *x = arg;
    if (m->removed && !m->on_server)
        x->id[x->n++] = m->id;
    return x->n == TEND_ROWS;
}

/* Mailboxes that are gone on both sides stay only for the restorable mail that names them. */
static int forget_removed(cache_tx *tx, void *arg)
{
    const struct empty *x = arg;
    for (size_t i = 0; i < x->n; i++)
        if (mailbox_forget(tx, x->id[i]) == 0)
            log_debug("mailbox %lld is forgotten", (long long)x->id[i]);
    return 0;
}

void tend_run(struct engine *e)
{
    int64_t now_ms = clock_boot_ms();
    struct expired x = {.rd = cache_reader(e->cache),
                        .before_s = clock_now_ns() / 1000000000 - e->account->keep_deleted_s};
    struct empty removed = {.n = 0};

    if (now_ms < e->tend_at_ms)
        return;
    e->tend_at_ms = now_ms + TEND_EVERY_MS;
    int r = message_each_gone(x.rd, collect_expired, &x) < 0 ? -EIO : 0;
    if (r == 0 && x.n)
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, forget_expired, &x);
    if (r == 0 && mailbox_each(x.rd, -1, 0, collect_removed, &removed) >= 0 && removed.n)
        r = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, forget_removed, &removed);
    if (r == 0)
        r = body_collect(e->cache, TEND_BODIES);
    if (r < 0)
        log_warning("housekeeping: %s", strerror(-r));
}
