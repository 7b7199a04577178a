/*
 * What of the server has to be known before it is asked again. First of all how much it takes: its quota,
 * which statfs of the mount tells to programs, and the size of a message (case 60), which a write beyond it
 * is told by.
 *
 * When a mailbox is over quota, each message that is sent to it all the same goes over the line for nothing.
 * So for a while the appends of its quota roots wait, but for what is less than half as large as the one that
 * was refused, and may fit; flags and removals, which make room, go on (case 61).
 * Where the server names no roots, all mailboxes have the same one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "private.h"

#define ASK_AGAIN_MS 3600000
#define FULL_MS 60000

struct quota_full {
    int64_t mailbox; /* the last one that was found to have this root: it is not asked about again */
    char root[sizeof((struct worker_quota *)0)->root];
    int64_t size;     /* of the message that did not fit */
    int64_t until_ms; /* CLOCK_BOOTTIME */
};

/* ---- what programs are told ---- */

struct limits {
    int64_t quota, used, append;
    int64_t memory; /* the worker's own */
};

static int store(cache_tx *tx, void *arg)
{
    const struct limits *l = arg;
    int r = cache_meta_set(tx, "quota_limit", l->quota);
    if (r == 0)
        r = cache_meta_set(tx, "quota_used", l->used);
    if (r == 0)
        r = cache_meta_set(tx, "append_limit", l->append);
    return r < 0 ? r : cache_meta_set(tx, "worker_memory", l->memory);
}

static bool is_stored(cache_rd *rd, const struct limits *l)
{
    return cache_meta_get(rd, "quota_limit", 0) == l->quota &&
           cache_meta_get(rd, "quota_used", 0) == l->used &&
           cache_meta_get(rd, "append_limit", 0) == l->append &&
           cache_meta_get(rd, "worker_memory", 0) == l->memory;
}

/* The mailbox's roots; what is not known is left as it was. */
static bool ask(struct engine *e, const char *mailbox, struct worker_quota *ret)
{
    const struct worker_ops *ops = e->worker->ops;
    struct worker_error error;
    /* A session that breaks here is dead, and the round that follows notices. */
    return ops->quota && ops->quota(e->worker, mailbox, ret, &error) == WORKER_DONE;
}

void quota_refresh(struct engine *e)
{
    struct worker_quota quota = {0};
    struct worker_description session;
    cache_rd *rd = cache_reader(e->cache);
    if (!rd)
        return;
    struct limits limits = {.quota = cache_meta_get(rd, "quota_limit", 0),
                            .used = cache_meta_get(rd, "quota_used", 0)};
    if (clock_boot_ms() >= e->quota_at_ms && ask(e, "INBOX", &quota)) {
        e->quota_at_ms = clock_boot_ms() + ASK_AGAIN_MS;
        limits.quota = quota.limit;
        limits.used = quota.used;
    }
    e->worker->ops->describe(e->worker, &session);
    limits.memory = session.memory;
    limits.append = session.append_limit > 0 ? session.append_limit : 0;
    if (!is_stored(rd, &limits))
        cache_write(e->cache, CACHE_FROM_SERVER, CACHE_SOON, store,
                    &limits); /* lost, it is asked for again */
}

bool quota_is_too_big(struct engine *e, int64_t size, struct worker_error *ret)
{
    int64_t limit = cache_meta_get(cache_reader(e->cache), "append_limit", 0);
    if (limit <= 0 || size <= limit)
        return false;
    *ret = (struct worker_error){.err = -EFBIG};
    snprintf(ret->text, sizeof ret->text, "it has %lld octets, and the server takes %lld at most",
             (long long)size, (long long)limit);
    return true;
}

/* ---- over quota ---- */

void quota_is_full(struct engine *e, const struct mailbox *box, int64_t size)
{
    struct worker_quota q = {0};
    ask(e, box->remote, &q);
    struct quota_full *grown = reallocarray(e->full, e->fulls + 1, sizeof *grown);
    if (!grown)
        return; /* then each message is tried */
    e->full = grown;
    e->full[e->fulls] =
        (struct quota_full){.mailbox = box->id, .size = size, .until_ms = clock_boot_ms() + FULL_MS};
    memcpy(e->full[e->fulls++].root, q.root, sizeof q.root);
    log_warning("case 61: mailbox %lld is over quota: what is to be sent there waits", (long long)box->id);
}

static bool may_fit(const struct quota_full *full, int64_t size)
{
    return size < full->size / 2;
}

bool quota_waits(struct engine *e, const struct mailbox *box, int64_t size, struct worker_error *ret)
{
    struct worker_quota q = {0};
    bool waits = false, asks = false;
    size_t kept = 0;

    for (size_t i = 0; i < e->fulls; i++)
        if (e->full[i].until_ms > clock_boot_ms())
            e->full[kept++] = e->full[i];
    e->fulls = kept;
    for (size_t i = 0; i < kept; i++) {
        bool fits = may_fit(&e->full[i], size);
        waits = waits || (e->full[i].mailbox == box->id && !fits);
        asks = asks || !fits;
    }
    if (asks && !waits)
        ask(e, box->remote, &q);
    for (size_t i = 0; i < kept && asks && !waits; i++) {
        waits = strcmp(e->full[i].root, q.root) == 0 && !may_fit(&e->full[i], size);
        if (waits)
            e->full[i].mailbox = box->id;
    }
    if (waits)
        *ret = (struct worker_error){.err = -EDQUOT, .text = "waits: the mailbox is over quota"};
    return waits;
}

void quota_has_room(struct engine *e)
{
    free(e->full);
    e->full = NULL;
    e->fulls = 0;
}
