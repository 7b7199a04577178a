/*
 * A mailbox whose addresses mean nothing any more: its UIDVALIDITY changed (case 70), or the database was
 * lost or put back from an older copy, so that the base is not to be believed (case 73).
 *
 * Everything that the server has is listed with what identifies it, and paired with the rows that are here.
 * Paired rows keep their inode, name and body and only get a new address. What only the server has is new.
 * What only the cache has depends: 70: mail that had an address was removed on the server while its numbers
 * changed: it goes to the restorable rows, and is not sent again; mail that never had one still waits to be
 * sent. 73: nothing is removed on either side; what has no partner is sent. Rows that were removed here and
 * not yet on the server: in case 70 their removal is carried over; in case 73 the removal is forgotten.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "private.h"

struct leaving {
    int64_t mailbox, message[256];
    size_t n;
};

struct repair {
    struct engine *e;
    struct mailbox box;
    bool union_only;
    int64_t since_s; /* see bodies_since */
    struct worker_scan scan;
    struct brain_identity *left, *right;
    bool *had_base, *arriving; /* arriving: announced to be moved or copied here; its base is elsewhere */
    flags_t *base_flags;
    size_t n_left, cap_left;
    struct brain_pair *pair;
    size_t n_pairs;
    cache_rd *rd;
};

static int grow(struct repair *p)
{
    size_t cap = p->cap_left ? 2 * p->cap_left : 256;
    void *left = reallocarray(p->left, cap, sizeof *p->left);
    if (left)
        p->left = left;
    void *had = reallocarray(p->had_base, cap, sizeof *p->had_base);
    if (had)
        p->had_base = had;
    void *arriving = reallocarray(p->arriving, cap, sizeof *p->arriving);
    if (arriving)
        p->arriving = arriving;
    void *flags = reallocarray(p->base_flags, cap, sizeof *p->base_flags);
    if (flags)
        p->base_flags = flags;
    if (!left || !had || !arriving || !flags)
        return -ENOMEM;
    p->cap_left = cap;
    return 0;
}

static int add_row(struct repair *p, const struct message *m, const struct base_state *base)
{
    if (p->n_left == p->cap_left && grow(p) < 0)
        return -ENOMEM;
    size_t i = p->n_left++;
    p->left[i] = (struct brain_identity){.key = m->id,
                                         .message_id = m->message_id,
                                         .date_s = m->date_s,
                                         .size = m->state == MESSAGE_WANTED ? m->size : m->wire_size};
    p->had_base[i] = base != NULL;
    p->arriving[i] = false;
    /* Only the cache is in doubt in case 73: the numbers of a mailbox that is numbered as before are names.
     */
    if (base && p->union_only && p->scan.token.uidvalidity == p->box.uidvalidity)
        p->left[i].server_id = base->uid;
    p->base_flags[i] = base ? base->flags : 0;
    return 0;
}

static int add_based(void *arg, const struct base_state *b)
{
    struct repair *p = arg;
    struct pending pending;
    struct message m;
    int r = message_get(p->rd, b->message, &m);
    if (r == 0)
        r = add_row(p, &m, b);
    if (r == 0 && pending_of_message(p->rd, m.id, &pending) == 0)
        p->arriving[p->n_left - 1] = pending.kind == PENDING_MOVE && pending.mailbox == p->box.id;
    return r == -ENOENT ? 0 : r;
}

static int add_arriving(void *arg, const struct pending *pending)
{
    struct repair *p = arg;
    struct message m;
    struct base_state base;
    /* What has arrived is in the list, and so is what was never anywhere. */
    if (base_of_message(p->rd, pending->message, &base) < 0 || base.mailbox == p->box.id)
        return 0;
    int r = message_get(p->rd, pending->message, &m);
    if (r == 0)
        r = add_row(p, &m, NULL);
    if (r == 0)
        p->arriving[p->n_left - 1] = true;
    return r == -ENOENT ? 0 : r;
}

static int add_unsent(void *arg, const struct message *m)
{
    struct repair *p = arg;
    struct base_state base;
    if (m->state != MESSAGE_PRESENT || !cache_worker_is_mail(m) || base_of_message(p->rd, m->id, &base) == 0)
        return 0;
    return add_row(p, m, NULL);
}

static int collect(struct repair *p, struct arena *arena)
{
    int r = base_each(p->rd, p->box.id, 0, add_based, p);
    if (r == 0)
        r = message_each_dirty(p->rd, p->box.id, add_unsent, p);
    if (r == 0)
        r = pending_each(p->rd, p->box.id, add_arriving, p);
    p->right = arena_alloc(arena, p->scan.n, sizeof *p->right);
    if (r < 0 || !p->right)
        return r < 0 ? r : -ENOMEM;
    for (size_t i = 0; i < p->scan.n; i++) {
        const struct worker_message *s = &p->scan.message[i];
        p->right[i] = (struct brain_identity){.key = (int64_t)i,
                                              .message_id = s->message_id,
                                              .date_s = s->date_s,
                                              .size = s->size,
                                              .server_id = p->union_only ? s->uid : 0};
    }
    return brain_pair_messages(p->left, p->n_left, p->right, p->scan.n, p->union_only ? 73 : 70, arena,
                               &p->pair, &p->n_pairs);
}

/* The row has a new address; flags merge with the old base, or without one. */
static int put_pair(cache_tx *tx, struct repair *p, const struct brain_pair *pair)
{
    const struct worker_message *s = &p->scan.message[pair->right];
    struct pending pending;
    struct message m;
    int r = message_get(cache_tx_rd(tx), p->left[pair->left].key, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (m.state == MESSAGE_GONE && p->union_only)
        m.state = m.has_hash ? MESSAGE_PRESENT : MESSAGE_WANTED;
    flags_t merged = flags_merge(p->base_flags[pair->left], m.flags, s->flags);
    if (p->union_only || !p->had_base[pair->left]) /* case 30 */
        merged = ((m.flags | s->flags) & ~FLAG_DELETED) | (m.flags & s->flags);
    if (m.state != MESSAGE_GONE) {
        r = message_put(tx, &m);
        if (r == 0 && merged != m.flags)
            r = message_set_flags(tx, &m, merged);
    }
    if (r < 0)
        return r;
    /* The source of a move is still to be cleared: see finish_move. */
    bool to_clear = p->arriving[pair->left] && pending_of_message(cache_tx_rd(tx), m.id, &pending) == 0 &&
                    pending.kind == PENDING_MOVE;
    r = to_clear ? 0 : pending_forget(tx, m.id);
    if (r < 0 && r != -ENOENT)
        return r;
    return cache_worker_agree(
        tx, m.id,
        &(struct base_state){.mailbox = p->box.id, .uid = s->uid, .message = m.id, .flags = s->flags});
}

static int put_fresh(cache_tx *tx, struct repair *p, const struct worker_message *s)
{
    struct message m = {0};
    struct cache_worker_news news = {s->flags, s->date_s,     s->zone_min,
                                     s->size,  s->message_id, bodies_is_bare(p->since_s, s->date_s)};
    int r = follow_arrival(tx, p->box.id, &news, &m);
    if (r == 0)
        r = cache_worker_apply(tx, &(struct brain_op){.verb = BRAIN_COPY, .add = s->flags}, &m, &news,
                               p->box.id);
    if (r < 0)
        return r;
    return cache_worker_agree(
        tx, m.id,
        &(struct base_state){.mailbox = p->box.id, .uid = s->uid, .message = m.id, .flags = s->flags});
}

static int put_alone(cache_tx *tx, struct repair *p, size_t i)
{
    struct message m;
    int r = message_get(cache_tx_rd(tx), p->left[i].key, &m);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (p->arriving[i])
        return pending_forget(tx, m.id);
    /* What was filed elsewhere here is sent there (case 42); what only had other flags is not worth a second
     * copy. */
    bool moved = m.mailbox != p->box.id;
    if (p->had_base[i] && moved && (r = follow_orphan(p->e, tx, &m)) < 0)
        return r;
    bool removed = m.state == MESSAGE_WANTED || (!p->union_only && m.state == MESSAGE_PRESENT && !moved);
    if (p->had_base[i] && removed) {
        r = cache_worker_apply(tx, &(struct brain_op){.verb = BRAIN_REMOVE}, &m, NULL, p->box.id);
        if (r < 0)
            return r;
    }
    r = pending_forget(tx, m.id);
    return r < 0 && r != -ENOENT ? r : cache_worker_agree(tx, m.id, NULL);
}

static int collect_leaving(void *arg, const struct pending *pending)
{
    struct leaving *l = arg;
    if (pending->kind == PENDING_MOVE && pending->source == l->mailbox)
        l->message[l->n++] = pending->message;
    return l->n == sizeof l->message / sizeof *l->message;
}

/* Moves out of this mailbox name a UID that means nothing now. */
static int forget_leaving(cache_tx *tx, int64_t mailbox)
{
    struct leaving l;
    int r;
    do {
        l = (struct leaving){.mailbox = mailbox};
        r = pending_each(cache_tx_rd(tx), 0, collect_leaving, &l);
        for (size_t i = 0; i < l.n && r >= 0; i++)
            r = pending_forget(tx, l.message[i]);
    } while (r >= 0 && l.n == sizeof l.message / sizeof *l.message);
    return r < 0 ? r : 0;
}

static int put_all(cache_tx *tx, void *arg)
{
    struct repair *p = arg;
    bool *left = calloc(p->n_left + 1, 1), *right = calloc(p->scan.n + 1, 1);
    int r = left && right ? base_forget_mailbox(tx, p->box.id) : -ENOMEM;

    if (r == 0 && !p->union_only)
        r = forget_leaving(tx, p->box.id);
    for (size_t i = 0; i < p->n_pairs && r == 0; i++) {
        left[p->pair[i].left] = right[p->pair[i].right] = true;
        r = put_pair(tx, p, &p->pair[i]);
    }
    for (size_t i = 0; i < p->n_left && r == 0; i++)
        if (!left[i])
            r = put_alone(tx, p, i);
    for (size_t i = 0; i < p->scan.n && r == 0; i++)
        if (!right[i])
            r = put_fresh(tx, p, &p->scan.message[i]);
    free(left);
    free(right);
    if (r < 0)
        return r;
    struct mailbox m;
    r = mailbox_get(cache_tx_rd(tx), p->box.id, &m);
    if (r < 0)
        return r;
    m.uidvalidity = p->scan.token.uidvalidity;
    m.uidnext = p->scan.token.uidnext;
    m.modseq = p->scan.token.modseq;
    m.exists = p->scan.token.exists;
    m.permanent = p->scan.permanent;
    m.keywords_allowed = p->scan.keywords_allowed;
    m.synced_at = clock_now_ns() / 1000000000;
    return mailbox_put_token(tx, &m);
}

enum worker_result repair_mailbox(struct engine *e, struct mailbox *box, bool union_only)
{
    struct repair p = {.e = e,
                       .box = *box,
                       .union_only = union_only,
                       .since_s = bodies_since(e),
                       .rd = cache_reader(e->cache)};
    struct worker_error error = {0};
    struct arena arena = {0};

    log_info("case %d: mailbox %lld: pairing everything again", union_only ? 73 : 70, (long long)box->id);
    enum worker_result r =
        e->worker->ops->scan(e->worker, box->remote, NULL, WORKER_DETAILS, &p.scan, &error);
    if (r == WORKER_REFUSED)
        engine_fail_message(e, 0, box->id, "select", &error);
    if (r == WORKER_DONE) {
        p.box.permanent = mask_storable(e, p.box.id, p.scan.permanent);
        int err = collect(&p, &arena);
        if (err == 0)
            err = cache_write(e->cache, CACHE_FROM_SERVER, CACHE_NOW, put_all, &p);
        log_info("case %d: mailbox %lld: %zu of %zu messages known again", union_only ? 73 : 70,
                 (long long)box->id, p.n_pairs, p.scan.n);
        if (err < 0)
            r = WORKER_LOCAL;
    }
    worker_scan_finish(&p.scan);
    free(p.left);
    free(p.had_base);
    free(p.arriving);
    free(p.base_flags);
    arena_finish(&arena);
    return r;
}
