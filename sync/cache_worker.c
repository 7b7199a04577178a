#include "cache_worker.h"
#include <errno.h>
#include <string.h>
#include "clock.h"
#include "held.h"

bool cache_worker_is_mail(const struct message *m)
{
    return m->sub != SUB_TMP && !m->scratch && (m->state == MESSAGE_WANTED || m->size > 0);
}

void cache_worker_scan(const struct message *m, const struct base_state *base, const struct mailbox *box,
                       struct brain_message *ret)
{
    bool shown = m->state != MESSAGE_GONE;

    memset(ret, 0, sizeof *ret);
    ret->key = m->id;
    if (base) {
        ret->base = (struct brain_state){.present = true, .mailbox = base->mailbox, .flags = base->flags};
        ret->side[SERVER_SIDE] = ret->base;
    }
    if (base && shown && !cache_worker_is_mail(m))
        /* An editor's backup name, or a file being rewritten from nothing: it is in between, not gone. */
        ret->side[CACHE_SIDE] = ret->base;
    else if (shown && cache_worker_is_mail(m))
        ret->side[CACHE_SIDE] =
            (struct brain_state){.present = true, .mailbox = m->mailbox, .flags = m->flags};
    ret->settled[CACHE_SIDE] = m->state == MESSAGE_PRESENT;
    ret->settled[SERVER_SIDE] = true;
    ret->after = m->state == MESSAGE_GONE ? m->after : 0;
    ret->can_store[CACHE_SIDE] = ~(flags_t)0;
    ret->can_store[SERVER_SIDE] = box && box->uidvalidity ? box->permanent : ~(flags_t)0;
    ret->mailbox_there[CACHE_SIDE] = true;
    ret->mailbox_there[SERVER_SIDE] = box && box->on_server;
}

static int come_back(cache_tx *tx, struct message *m, const struct brain_op *op)
{
    m->state = m->has_hash ? MESSAGE_PRESENT : MESSAGE_WANTED;
    m->gone_at = 0;
    m->after = 0;
    int r = message_put(tx, m);
    return r < 0 ? r : message_set_flags(tx, m, op->add);
}

static int copy_here(cache_tx *tx, const struct brain_op *op, struct message *m,
                     const struct cache_worker_news *news, int64_t mailbox)
{
    if (m->id)
        return come_back(tx, m, op);
    *m = (struct message){.mailbox = mailbox,
                          .state = MESSAGE_WANTED,
                          .flags = op->add,
                          .size = news->size,
                          .wire_size = news->size,
                          .date_s = news->date_s,
                          .zone_min = news->zone_min,
                          .message_id = news->message_id};
    if (news->bare)
        message_set_bare(m);
    return message_new(tx, m);
}

static int remove_here(cache_tx *tx, struct message *m)
{
    /* Mail that never arrived has nothing to restore. */
    if (m->state == MESSAGE_WANTED && !m->has_hash) {
        int r = base_forget(tx, m->id);
        return r < 0 ? r : message_forget(tx, m->id);
    }
    if (m->state != MESSAGE_GONE) {
        m->state = MESSAGE_GONE;
        m->gone_at = clock_now_ns() / 1000000000;
    }
    m->dirty = false;
    return message_put(tx, m);
}

int cache_worker_apply(cache_tx *tx, const struct brain_op *op, struct message *m,
                       const struct cache_worker_news *news, int64_t mailbox)
{
    switch (op->verb) {
    case BRAIN_COPY:
        return copy_here(tx, op, m, news, mailbox);
    case BRAIN_REMOVE:
        return remove_here(tx, m);
    case BRAIN_STORE:
        return message_set_flags(tx, m, (m->flags | op->add) & ~op->remove);
    case BRAIN_MOVE:
        m->mailbox = op->mailbox;
        return message_put(tx, m);
    case BRAIN_AGREE:
    case BRAIN_FORGET:
        return 0;
    }
    return -EINVAL;
}

/* For what is as it was nothing is written. */
static int agree_on(cache_tx *tx, const struct base_state *b)
{
    struct base_state now;
    bool same = base_of_uid(cache_tx_rd(tx), b->mailbox, b->uid, &now) == 0 && now.message == b->message;
    if (same && now.flags == b->flags)
        return 0;
    return same ? base_set_flags(tx, b) : base_put(tx, b);
}

int cache_worker_settle(cache_tx *tx, struct message *m, const struct base_state *b)
{
    bool here = m->state != MESSAGE_GONE && cache_worker_is_mail(m);
    bool equal =
        b ? here && m->mailbox == b->mailbox && m->flags == b->flags && m->state != MESSAGE_WRITING : !here;
    /* What was removed here, and is there still, is what the hold is about (case 75). */
    int r = b && m->state == MESSAGE_GONE ? 0 : held_release(tx, m->id);
    if (r < 0 || m->dirty == !equal)
        return r;
    if (equal)
        return message_clean(tx, m->id);
    m->dirty = true;
    return message_put(tx, m);
}

int cache_worker_agree(cache_tx *tx, int64_t message, const struct base_state *b)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), message, &m);
    if (r == -ENOENT)
        return 0; /* forgotten meanwhile: what the server has of it is new to us */
    if (r == 0 && !b)
        r = base_forget(tx, message);
    else if (r == 0)
        r = agree_on(tx, b);
    return r < 0 ? r : cache_worker_settle(tx, &m, b);
}
