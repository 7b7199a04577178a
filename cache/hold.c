#include "hold.h"
#include <errno.h>
#include "base_state.h"
#include "clock.h"
#include "held.h"
#include "mailbox.h"
#include "message.h"
#include "pending.h"
#include "restore.h"

#define ROWS 256

/* each(tx, row) for all messages of a hold. It may take them out of it. */
static int each_row(cache_tx *tx, int64_t hold, int (*each)(cache_tx *tx, int64_t message))
{
    int64_t row[ROWS], after = 0;
    int n;
    do {
        n = held_messages(cache_tx_rd(tx), hold, after, row, ROWS);
        for (int i = 0; i < n; i++) {
            int r = each(tx, row[i]);
            if (r < 0)
                return r;
            after = row[i];
        }
    } while (n == ROWS);
    return n < 0 ? n : 0;
}

/* The server has it no more; here it becomes restorable. */
static int remove_here(cache_tx *tx, int64_t id)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    m.state = MESSAGE_GONE;
    m.dirty = false;
    m.gone_at = clock_now_ns() / 1000000000;
    return message_put(tx, &m);
}

static int approve(cache_tx *tx, void *arg)
{
    int64_t id = *(int64_t *)arg;
    struct held h;
    int r = held_get(cache_tx_rd(tx), id, &h);
    if (r < 0)
        return r;
    if (h.side == HELD_THERE || h.whole)
        return held_set_state(tx, id, HELD_APPROVED);
    r = each_row(tx, id, remove_here);
    return r < 0 ? r : held_forget(tx, id);
}

int hold_approve(struct cache *c, int64_t id)
{
    return cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, approve, &id);
}

/* Without base and hold it is mail that the server has never seen. */
static int send_anew(cache_tx *tx, int64_t id)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), id, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (m.state == MESSAGE_WANTED && !m.has_hash)
        return message_forget(tx, id); /* it never came here */
    m.dirty = m.dirty || m.state != MESSAGE_GONE;
    return message_put(tx, &m);
}

static int show_again(cache_tx *tx, int64_t id)
{
    int r = restore_row(tx, id);
    return r == -EALREADY || r == -ENOENT || r == -ENODATA ? 0 : r;
}

static int base_first(void *arg, const struct base_state *b)
{
    *(struct base_state *)arg = *b;
    return 1;
}

/* The mailbox is made on the server again, with all of its mail that is here. */
static int send_mailbox_anew(cache_tx *tx, int64_t mailbox)
{
    struct mailbox m;
    struct base_state base;
    int r;
    while ((r = base_each(cache_tx_rd(tx), mailbox, 0, base_first, &base)) == 1) {
        r = base_forget(tx, base.message);
        if (r == 0)
            r = send_anew(tx, base.message);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = mailbox_get(cache_tx_rd(tx), mailbox, &m);
    if (r < 0)
        return r;
    m.on_server = false;
    m.remote[0] = '\0';
    m.uidvalidity = m.uidnext = m.exists = 0;
    m.modseq = 0;
    return mailbox_put(tx, &m);
}

static int revert(cache_tx *tx, void *arg)
{
    int64_t id = *(int64_t *)arg;
    struct held h;
    int r = held_get(cache_tx_rd(tx), id, &h);
    if (r < 0)
        return r;
    if (h.whole)
        r = send_mailbox_anew(tx, h.mailbox);
    else
        r = each_row(tx, id, h.side == HELD_HERE ? send_anew : show_again);
    return r < 0 ? r : held_forget(tx, id);
}

int hold_revert(struct cache *c, int64_t id)
{
    return cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, revert, &id);
}

/* ---- what the server refused ---- */

static int retry(cache_tx *tx, void *arg)
{
    struct failure f;
    int r = failure_by_id(cache_tx_rd(tx), *(int64_t *)arg, &f);
    if (r < 0)
        return r;
    f.retry_s = f.at_s;
    return failure_put(tx, &f);
}

int refusal_retry(struct cache *c, int64_t id)
{
    return cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, retry, &id);
}

/* As the base says: place, flags, existence. */
static int back_to_base(cache_tx *tx, struct message *m, const struct base_state *base)
{
    int r = 0;
    if (m->state == MESSAGE_GONE) {
        r = restore_row(tx, m->id);
        if (r == 0)
            r = message_get(cache_tx_rd(tx), m->id, m);
    }
    if (r < 0)
        return r;
    m->mailbox = base->mailbox;
    r = message_put(tx, m);
    return r < 0 ? r : message_set_flags(tx, m, base->flags);
}

static int take_back(cache_tx *tx, void *arg)
{
    struct failure f;
    struct message m;
    struct base_state base;
    cache_rd *rd = cache_tx_rd(tx);
    int r = failure_by_id(rd, *(int64_t *)arg, &f);
    if (r == 0)
        r = f.message ? message_get(rd, f.message, &m) : -ENOTSUP;
    if (r < 0)
        return r;
    struct pending under_way;
    if (pending_of_message(rd, m.id, &under_way) == 0)
        return -EAGAIN; /* what became of it is not known yet */
    bool based = base_of_message(rd, m.id, &base) == 0;
    r = based ? back_to_base(tx, &m, &base) : remove_here(tx, m.id);
    return r < 0 ? r : failure_forget(tx, f.message, 0);
}

int refusal_revert(struct cache *c, int64_t id)
{
    return cache_write(c, CACHE_FROM_SERVER, CACHE_NOW, take_back, &id);
}
