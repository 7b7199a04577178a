/*
 * From the server into the cache: one mailbox.
 *
 * A scan tells what differs from the token. Each thing it tells becomes one message for the brain, whose
 * local state and base are read inside the very transaction that carries the plan out, so that nothing can
 * change in between. Of each plan only the operations on the cache are carried out here. The base becomes
 * what the server was seen to have; what the server still lacks is then a difference of the row from its
 * base, and push.c sends it.
 *
 * Changes go in batches; the token moves with the last of them (architecture: a token is never past what was
 * really seen). A crash before that repeats the scan, and what is known already plans nothing.
 *
 * New mail may be mail that was delivered here as well (case 3). Such pairs are looked for among the rows
 * that wait to be appended, and the body is compared before they are believed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "private.h"

struct change {
    uint32_t uid;
    bool present;
    int64_t pair; /* row that this is the same message as, 0 */
    struct cache_worker_news news;
};

struct pull {
    struct engine *e;
    struct mailbox box;
    struct worker_scan scan;
    struct change *change;
    size_t n;
    /* of the batch under way */
    size_t from, to;
    uint64_t fresh, removed, changed; /* for the log */
    bool braked;                      /* what it would remove is held (case 75) */
};

static int add_change(struct pull *p, const struct change *c)
{
    if ((p->n & (p->n - 1)) == 0) {
        size_t cap = p->n ? 2 * p->n : 1;
        struct change *grown = reallocarray(p->change, cap < 64 ? 64 : cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        p->change = grown;
    }
    p->change[p->n++] = *c;
    return 0;
}

static int compare_uid(const void *key, const void *element)
{
    uint32_t uid = *(const uint32_t *)key, other = ((const struct worker_message *)element)->uid;
    return (uid > other) - (uid < other);
}

static const struct worker_message *find_scanned(const struct worker_scan *s, uint32_t uid)
{
    return s->n ? bsearch(&uid, s->message, s->n, sizeof *s->message, compare_uid) : NULL;
}

static int note_missing(void *arg, const struct base_state *b)
{
    struct pull *p = arg;
    if (find_scanned(&p->scan, b->uid))
        return 0;
    return add_change(p, &(struct change){.uid = b->uid});
}

static int collect_changes(struct pull *p)
{
    int64_t since_s = bodies_since(p->e);
    int r = 0;
    for (size_t i = 0; i < p->scan.n && r == 0; i++) {
        const struct worker_message *s = &p->scan.message[i];
        if (!s->has_flags)
            continue;
        r = add_change(p, &(struct change){.uid = s->uid,
                                           .present = true,
                                           .news = {s->flags, s->date_s, s->zone_min, s->size, s->message_id,
                                                    bodies_is_bare(since_s, s->date_s)}});
    }
    if (r < 0)
        return r;
    if (p->scan.full)
        return base_each(cache_reader(p->e->cache), p->box.id, 0, note_missing, p);
    for (uint32_t uid = 0; uidset_next(&p->scan.vanished, &uid) && r == 0;)
        if (!find_scanned(&p->scan, uid))
            r = add_change(p, &(struct change){.uid = uid});
    return r;
}

/* ---- one batch ---- */

struct row {
    struct message m;
    struct base_state base;
    bool has_base, skip, held, made;
};

/* Messages on their way out of this mailbox: their old place is ours to clear, not new mail (case 48). */
static int is_source(void *arg, const struct pending *p)
{
    const struct base_state *b = arg;
    return p->kind == PENDING_MOVE && p->source == b->mailbox && p->source_uid == b->uid;
}

static int look_up(cache_tx *tx, const struct pull *p, const struct change *c, struct row *row)
{
    cache_rd *rd = cache_tx_rd(tx);
    int r = base_of_uid(rd, p->box.id, c->uid, &row->base);
    row->has_base = r == 0;
    if (r == 0)
        r = message_get(rd, row->base.message, &row->m);
    else if (r == -ENOENT && c->pair)
        r = message_get(rd, c->pair, &row->m);
    else if (r == -ENOENT) {
        struct base_state source = {.mailbox = p->box.id, .uid = c->uid};
        row->skip = !c->present || pending_each(rd, 0, is_source, &source) > 0;
        r = row->skip ? 0 : follow_arrival(tx, p->box.id, &c->news, &row->m);
        return r < 0 ? r : 0;
    }
    return r == -ENOENT ? 0 : r;
}

static void fill(const struct pull *p, const struct change *c, struct row *row, struct brain_message *out)
{
    /* Not looked at since it was put there: what it lacks was never stored, and not taken away (case 33). */
    bool forgotten =
        row->has_base && c->present && c->uid >= p->box.uidnext && (row->base.flags & ~c->news.flags);
    if (forgotten)
        row->base.flags &= c->news.flags;
    cache_worker_scan(&row->m, row->has_base ? &row->base : NULL, &p->box, out);
    if (!row->m.id)
        memset(&out->side[CACHE_SIDE], 0, sizeof out->side[CACHE_SIDE]);
    out->side[SERVER_SIDE] =
        (struct brain_state){.present = c->present, .mailbox = p->box.id, .flags = c->news.flags};
    if (!c->present)
        memset(&out->side[SERVER_SIDE], 0, sizeof out->side[SERVER_SIDE]);
    /* Being rewritten here while it was removed there: an edit beats a deletion (case 13). */
    if (!c->present && row->m.state == MESSAGE_WRITING)
        memset(&out->base, 0, sizeof out->base);
    out->mailbox_there[SERVER_SIDE] = true;
    if (row->has_base && c->present && !row->m.dirty && !forgotten &&
        row->base.flags == out->side[SERVER_SIDE].flags)
        row->skip = true;
}

/* What is in view only: what never came here is no loss to anybody. */
static bool is_to_be_held(const struct pull *p, const struct brain_op *op, const struct row *row)
{
    return p->braked && op->verb == BRAIN_REMOVE && row->m.state == MESSAGE_PRESENT &&
           cache_worker_is_mail(&row->m);
}

/* Being rewritten here while it was removed there: the text before is a row of its own from now on, as it
 * will be when an edit is settled (cases 13 and 15). */
static int bury_text(cache_tx *tx, const struct message *m)
{
    struct message old = *m;
    if (m->state != MESSAGE_WRITING || !m->has_hash)
        return 0;
    old.id = 0;
    old.state = MESSAGE_GONE;
    old.size = m->wire_size;
    old.after = m->id;
    old.dirty = false;
    old.gone_at = clock_now_ns() / 1000000000;
    return message_put(tx, &old);
}

static int settle_row(cache_tx *tx, struct pull *p, const struct change *c, struct row *row)
{
    if (!row->m.id)
        return 0;
    if (!c->present) {
        int r = follow_orphan(p->e, tx, &row->m);
        if (r == 0)
            r = cache_worker_agree(tx, row->m.id, NULL);
        if (r == 0)
            r = bury_text(tx, &row->m);
        return r == 0 && row->held ? held_add(tx, p->box.id, HELD_HERE, HELD_WATCHED, row->m.id) : r;
    }
    struct base_state base = {
        .mailbox = p->box.id, .uid = c->uid, .message = row->m.id, .flags = c->news.flags};
    if (!row->made)
        return cache_worker_agree(tx, row->m.id, &base);
    int r = base_put(tx, &base);
    return r < 0 ? r : cache_worker_settle(tx, &row->m, &base);
}

static int apply_batch(cache_tx *tx, struct pull *p, struct row *rows, struct arena *arena)
{
    size_t n = p->to - p->from, used = 0;
    struct brain_message *in = arena_alloc(arena, n, sizeof *in);
    size_t *at = arena_alloc(arena, n, sizeof *at);
    struct brain_plan plan;
    struct brain_policy policy = {0};

    if (!in || !at)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int r = look_up(tx, p, &p->change[p->from + i], &rows[i]);
        if (r < 0)
            return r;
        if (rows[i].has_base && !p->change[p->from + i].present) {
            p->e->saw_removals = true;
            r = follow_departure(tx, &rows[i].m, &rows[i].base);
            if (r < 0)
                return r;
            rows[i].skip = rows[i].skip || r == 1;
        }
        if (rows[i].has_base && p->change[p->from + i].present) {
            r = follow_successor(tx, &rows[i].m, &rows[i].base, p->change[p->from + i].news.flags);
            if (r < 0)
                return r;
            rows[i].skip = rows[i].skip || r == 1;
        }
        if (!rows[i].skip)
            fill(p, &p->change[p->from + i], &rows[i], &in[used]);
        if (!rows[i].skip)
            at[used++] = i;
    }
    int r = brain_merge_messages(in, used, &policy, arena, &plan);
    for (size_t i = 0; i < plan.n && r == 0; i++) {
        const struct brain_op *op = &plan.op[i];
        struct row *row = &rows[at[op->message]];
        if (op->side != CACHE_SIDE || op->verb == BRAIN_AGREE || op->verb == BRAIN_FORGET)
            continue;
        log_debug("case %d: row %lld, verb %d", op->number, (long long)row->m.id, op->verb);
        if (is_to_be_held(p, op, row)) {
            row->held = true;
            continue;
        }
        row->made = !row->m.id;
        p->fresh += op->verb == BRAIN_COPY;
        p->removed += op->verb == BRAIN_REMOVE;
        p->changed += op->verb == BRAIN_STORE;
        r = cache_worker_apply(tx, op, &row->m, &p->change[p->from + at[op->message]].news, p->box.id);
    }
    for (size_t i = 0; i < used && r == 0; i++)
        r = settle_row(tx, p, &p->change[p->from + at[i]], &rows[at[i]]);
    return r;
}

static int put_token(cache_tx *tx, struct pull *p)
{
    struct mailbox m;
    int r = failure_forget(tx, 0, p->box.id);
    if (r == 0 || r == -ENOENT)
        r = mailbox_get(cache_tx_rd(tx), p->box.id, &m);
    if (r < 0)
        return r;
    m.uidvalidity = p->scan.token.uidvalidity;
    m.uidnext = p->scan.token.uidnext;
    m.modseq = p->scan.token.modseq;
    m.exists = p->scan.token.exists;
    m.synced_at = clock_now_ns() / 1000000000;
    if (!p->scan.nothing) {
        m.permanent = p->scan.permanent;
        m.keywords_allowed = p->scan.keywords_allowed;
        if (m.attributes != p->box.attributes) { /* read-only, or not any more (case 92) */
            m.attributes = p->box.attributes;
            return mailbox_put(tx, &m);
        }
    }
    return mailbox_put_token(tx, &m);
}

static int batch(cache_tx *tx, void *arg)
{
    struct pull *p = arg;
    size_t n = p->to - p->from;
    struct arena arena = {0};
    struct row *rows = calloc(n + 1, sizeof *rows);
    int r = rows ? 0 : -ENOMEM;

    if (r == 0 && n)
        r = apply_batch(tx, p, rows, &arena);
    if (r == 0 && p->to == p->n)
        r = put_token(tx, p);
    arena_finish(&arena);
    free(rows);
    return r;
}

/* ---- the same message on both sides (case 3) ---- */

struct waiting {
    struct brain_identity *identity;
    size_t n, cap;
    cache_rd *rd;
};

static int collect_waiting(void *arg, const struct message *m)
{
    struct waiting *w = arg;
    struct base_state base;
    struct pending pending;

    if (m->state != MESSAGE_PRESENT || !cache_worker_is_mail(m) ||
        base_of_message(w->rd, m->id, &base) == 0 || pending_of_message(w->rd, m->id, &pending) == 0)
        return 0;
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        struct brain_identity *grown = reallocarray(w->identity, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        w->identity = grown;
        w->cap = cap;
    }
    w->identity[w->n++] = (struct brain_identity){
        .key = m->id, .message_id = m->message_id, .date_s = m->date_s, .size = m->wire_size};
    return 0;
}

/* Is the server's message the same, octet for octet, as the row's? It is fetched for that: this is rare. */
static enum worker_result same_content(struct pull *p, uint32_t uid, int64_t row, bool *ret)
{
    struct body_info info;
    struct message m;
    bool got;

    *ret = false;
    if (message_get(cache_reader(p->e->cache), row, &m) < 0)
        return WORKER_LOCAL;
    enum worker_result r = peek_one(p->e, p->box.remote, p->scan.token.uidvalidity, uid, &info, &got);
    *ret = got && m.has_hash && memcmp(m.hash, info.hash, sizeof info.hash) == 0;
    return r;
}

static enum worker_result find_pairs(struct pull *p)
{
    struct arena arena = {0};
    struct waiting waiting = {.rd = cache_reader(p->e->cache)};
    struct brain_identity *fresh = NULL;
    struct brain_pair *pair;
    size_t n = 0, n_pairs;
    enum worker_result r = WORKER_LOCAL;

    if (message_each_dirty(waiting.rd, p->box.id, collect_waiting, &waiting) < 0)
        goto out;
    r = WORKER_DONE;
    if (waiting.n == 0)
        goto out;
    fresh = arena_alloc(&arena, p->n, sizeof *fresh);
    for (size_t i = 0; fresh && i < p->n; i++)
        if (p->change[i].present && p->change[i].uid >= p->box.uidnext)
            fresh[n++] = (struct brain_identity){.key = (int64_t)i,
                                                 .message_id = p->change[i].news.message_id,
                                                 .date_s = p->change[i].news.date_s,
                                                 .size = p->change[i].news.size};
    if (!fresh || brain_pair_messages(waiting.identity, waiting.n, fresh, n, 3, &arena, &pair, &n_pairs) < 0)
        r = WORKER_LOCAL;
    for (size_t i = 0; r == WORKER_DONE && i < n_pairs; i++) {
        struct change *c = &p->change[fresh[pair[i].right].key];
        bool same;
        r = same_content(p, c->uid, waiting.identity[pair[i].left].key, &same);
        if (r == WORKER_DONE && same)
            c->pair = waiting.identity[pair[i].left].key;
    }
out:
    free(waiting.identity);
    arena_finish(&arena);
    return r;
}

/* ---- the whole ---- */

/* Removals are believed only when the numbers agree: what was known, less what vanished, plus what is new, is
 * what is there (case 74). */
static bool adds_up(const struct pull *p)
{
    cache_rd *rd = cache_reader(p->e->cache);
    uint64_t vanished = 0, fresh = 0;
    struct base_state base;

    if (p->scan.full)
        return true;
    for (size_t i = 0; i < p->n; i++) {
        bool known = base_of_uid(rd, p->box.id, p->change[i].uid, &base) == 0;
        vanished += known && !p->change[i].present;
        fresh += !known && p->change[i].present;
    }
    return brain_exists_adds_up((uint32_t)base_count(rd, p->box.id), vanished, fresh, p->scan.token.exists);
}

/* Arrivals and removals do not mix: what arrived is there to be found by what left (case 43). */
static size_t batch_end(const struct pull *p)
{
    size_t to = p->from;
    while (to < p->n && to - p->from < ENGINE_BATCH && p->change[to].present == p->change[p->from].present)
        to++;
    return to;
}

/* The mail in view that would go, as far as is known before other mailboxes have been looked at. */
static void ask_the_brake(struct pull *p)
{
    cache_rd *rd = cache_reader(p->e->cache);
    uint64_t removals = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct base_state base;
        struct message m;
        if (!p->change[i].present && base_of_uid(rd, p->box.id, p->change[i].uid, &base) == 0 &&
            message_get(rd, base.message, &m) == 0)
            removals += m.state == MESSAGE_PRESENT && m.mailbox == p->box.id;
    }
    /* Without removals nothing is counted, which takes time by the size of the mailbox. */
    p->braked = removals > 0 && !brake_passes(p->e, &p->box, HELD_HERE, removals, base_count(rd, p->box.id));
}

static enum worker_result store(struct pull *p)
{
    for (p->from = 0;; p->from = p->to) {
        p->to = batch_end(p);
        int r = cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_SOON, batch, p);
        if (r < 0) {
            log_error("mailbox %lld: cannot store what the server told: %s", (long long)p->box.id,
                      strerror(-r));
            return WORKER_LOCAL;
        }
        if (p->to == p->n)
            break;
    }
    brake_count(p->e, p->box.id, HELD_HERE, p->removed);
    if (p->n)
        log_info("mailbox %lld: %llu new, %llu removed, %llu changed on the server", (long long)p->box.id,
                 (unsigned long long)p->fresh, (unsigned long long)p->removed,
                 (unsigned long long)p->changed);
    return WORKER_DONE;
}

static enum worker_result pull_once(struct pull *p, enum worker_depth depth, struct worker_error *error)
{
    struct engine *e = p->e;
    struct worker_token since = {p->box.uidvalidity, p->box.uidnext, p->box.exists, p->box.modseq};

    enum worker_result r = e->worker->ops->scan(e->worker, p->box.remote, p->box.uidvalidity ? &since : NULL,
                                                depth, &p->scan, error);
    if (r != WORKER_DONE || p->scan.uidvalidity_changed)
        return r;
    if (p->scan.nothing)
        return store(p);
    p->box.permanent = mask_storable(e, p->box.id, p->scan.permanent);
    p->box.attributes &= ~(unsigned)MAILBOX_READ_ONLY;
    if (p->scan.read_only)
        p->box.attributes |= MAILBOX_READ_ONLY;
    if (collect_changes(p) < 0)
        return WORKER_LOCAL;
    if (!adds_up(p))
        return WORKER_GONE; /* looked at again, in full */
    ask_the_brake(p);
    r = find_pairs(p);
    return r == WORKER_DONE ? store(p) : r;
}

enum worker_result pull_mailbox(struct engine *e, int64_t mailbox, enum worker_depth depth)
{
    struct pull p = {.e = e};
    struct worker_error error = {0};
    cache_rd *rd = cache_reader(e->cache);

    if (mailbox_get(rd, mailbox, &p.box) < 0 || !p.box.on_server || (p.box.attributes & MAILBOX_NOSELECT))
        return WORKER_GONE;
    engine_doing(e, &p.box, "looking for changes");
    /* Without CONDSTORE no number tells of a changed flag (speed 3). */
    if (depth == WORKER_CHANGES && engine_speed(e) == WORKER_SPEED_NONE)
        depth = WORKER_FLAGS;
    if (cache_meta_get(rd, "union", 0) && depth != WORKER_DETAILS)
        return repair_mailbox(e, &p.box, true);
    enum worker_result r = pull_once(&p, depth, &error);
    if (r == WORKER_GONE && p.scan.token.uidvalidity && !p.scan.full) {
        log_info("case 74: mailbox %lld: the numbers do not add up, looking at all of it",
                 (long long)mailbox);
        worker_scan_finish(&p.scan);
        memset(&p.scan, 0, sizeof p.scan);
        p.n = 0;
        r = pull_once(&p, WORKER_FLAGS, &error);
    }
    if (r == WORKER_DONE && p.scan.uidvalidity_changed)
        r = repair_mailbox(e, &p.box, false);
    if (r == WORKER_REFUSED)
        engine_fail_message(e, 0, mailbox, "select", &error);
    worker_scan_finish(&p.scan);
    free(p.change);
    return r;
}
