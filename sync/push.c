/*
 * From the cache to the server: every row that differs from its base.
 *
 * The server's side is taken to be as the base says: what it really is was seen by the scans before, and what
 * has changed since does no harm, because nothing here says "set to": flags go as deltas, removals and moves
 * name UIDs, and something that is gone is a result. So there is no UNCHANGEDSINCE that could fail, and
 * nothing to read again if it did (case 34). Rows with the same delta go in one command (case 37).
 *
 * The order keeps mail safe: copies and moves first, then flags, then appends, then removals; and a removal
 * waits while mail that may be its successor is not on the server yet (cases 12 and 50). Moves and appends
 * are announced in `pending` first; flags and removals are announced by the row's own difference, and sending
 * them twice changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "orphan.h"
#include "push.h"

#define PUSH_BATCH 5000
#define REMOVALS_WAIT_MS 60000 /* for others that may come; the brake counts over that time, too */

/* ---- what is there to do? ---- */

struct dirty {
    int64_t *id;
    size_t n, cap;
};

static int collect_dirty(void *arg, const struct message *m)
{
    struct dirty *d = arg;
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 256;
        int64_t *grown = reallocarray(d->id, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        d->id = grown;
        d->cap = cap;
    }
    d->id[d->n++] = m->id;
    return 0;
}

static struct mailbox *box_of(struct push *p, int64_t id)
{
    for (size_t i = 0; i < p->n_box; i++)
        if (p->box[i]->id == id)
            return p->box[i];
    struct mailbox **grown = reallocarray(p->box, p->n_box + 1, sizeof *grown);
    if (!grown)
        return NULL;
    p->box = grown;
    struct mailbox *m = arena_alloc(&p->arena, 1, sizeof *m);
    if (!m || mailbox_get(p->rd, id, m) < 0)
        return NULL;
    m->permanent = mask_storable(p->e, id, m->permanent);
    return p->box[p->n_box++] = m;
}

static bool is_parked(struct push *p, const struct message *m)
{
    struct failure f;
    int64_t now_s = clock_now_ns() / 1000000000;
    if (failure_get(p->rd, m->id, 0, &f) < 0 || f.retry_s <= now_s)
        return false;
    engine_look_again(p->e, (f.retry_s - now_s) * 1000);
    return true;
}

/* Mail that takes this one's place is not on the server yet (cases 12 and 50). */
static bool successor_waits(struct push *p, const struct message *m)
{
    struct message next;
    struct base_state base;
    if (m->after && message_get(p->rd, m->after, &next) == 0 && next.state != MESSAGE_GONE &&
        base_of_message(p->rd, m->after, &base) < 0)
        return true;
    return message_append_waits(p->rd, m->message_id, m->id);
}

static bool is_quiet(struct push *p, const struct message *m, int64_t quiet_ms)
{
    int64_t left = m->changed_ms + quiet_ms - clock_now_ns() / 1000000;
    if (left <= 0 || left > quiet_ms)
        return true;
    engine_look_again(p->e, left);
    return false;
}

static bool is_held(struct push *p, const struct item *it)
{
    return brake_holds(p->rd, it->m.id) || brake_holds_mailbox(p->rd, it->m.mailbox);
}

/* ---- removals come together ---- */

static void note_removal(struct push *p, const struct message *m, int64_t mailbox)
{
    size_t i = 0;
    while (i < p->n_burst && p->burst[i].mailbox != mailbox)
        i++;
    if (i == p->n_burst) {
        struct burst *grown = reallocarray(p->burst, i + 1, sizeof *grown);
        if (!grown)
            return; /* then they do not wait */
        p->burst = grown;
        p->burst[p->n_burst++] = (struct burst){mailbox, m->changed_ms, m->changed_ms};
    }
    struct burst *b = &p->burst[i];
    b->first_ms = m->changed_ms < b->first_ms ? m->changed_ms : b->first_ms;
    b->last_ms = m->changed_ms > b->last_ms ? m->changed_ms : b->last_ms;
}

static void note_removals(struct push *p, const int64_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct message m;
        struct base_state base;
        if (message_get(p->rd, id[i], &m) == 0 && m.state == MESSAGE_GONE && !m.after &&
            base_of_message(p->rd, m.id, &base) == 0)
            note_removal(p, &m, base.mailbox);
    }
}

/* Whoever empties a mailbox does so one by one: the brake has to see all of it before the first is sent.
 * Where no number of removals could be too much, none waits. */
static bool burst_is_over(struct push *p, const struct item *it)
{
    int64_t now_ms = p->now_ms; /* for all of them the same: a burst is not taken apart */
    const struct burst *b = p->burst, *end = b ? b + p->n_burst : NULL;
    uint64_t there = base_count(p->rd, it->base.mailbox);
    while (b < end && b->mailbox != it->base.mailbox)
        b++;
    if (b == end || it->m.after || brake_passes(p->e, it->box, HELD_THERE, there, there))
        return true;
    int64_t left = b->last_ms + ENGINE_QUIET_MS - now_ms;
    if (left <= 0 || left > ENGINE_QUIET_MS || now_ms - b->first_ms > REMOVALS_WAIT_MS)
        return true;
    engine_look_again(p->e, left);
    return false;
}

/* What was done before the mailbox became one that cannot be changed (case 92). */
static void park_read_only(struct push *p, const struct item *it)
{
    struct worker_error error = {.err = -EROFS, .text = "the mailbox is read-only on the server"};
    engine_fail_message(p->e, it->m.id, 0,
                        it->m.state == MESSAGE_GONE ? "remove"
                        : it->has_base              ? "store"
                                                    : "append",
                        &error);
}

/* Was its text only at the server, which has it no more? */
static bool is_sendable(struct push *p, const struct message *m)
{
    if (bodies_is_lost(p->e, m)) {
        bodies_give_up(p->e, m->id);
        return false;
    }
    return true;
}

/* Without an address, and at rest: is it to be sent? */
static bool is_to_append(struct push *p, struct item *it)
{
    if (orphan_has(p->rd, it->m.id) || !is_quiet(p, &it->m, ENGINE_QUIET_MS))
        return false;
    if (follow_twin(p->e, &it->m)) {
        p->progress = true; /* it may have an address now, and differ from what is there */
        return false;
    }
    return is_sendable(p, &it->m) &&
           (!follow_conflict(p->e, &it->m) || message_get(p->rd, it->m.id, &it->m) == 0);
}

/* Fills the item; false when there is nothing to be done about it now. */
static bool take(struct push *p, int64_t id, struct item *it)
{
    memset(it, 0, sizeof *it);
    struct pending announced;
    if (message_get(p->rd, id, &it->m) < 0 || !it->m.dirty)
        return false;
    if (it->m.sub == SUB_TMP && it->m.state != MESSAGE_GONE)
        return false;
    if (pending_of_message(p->rd, id, &announced) == 0)
        return false; /* what became of that is to be found out first */
    it->has_base = base_of_message(p->rd, id, &it->base) == 0;
    if (it->m.state == MESSAGE_WRITING || (it->m.scratch && it->m.state != MESSAGE_GONE))
        return false;
    if (is_parked(p, &it->m) || (p->holds && is_held(p, it)))
        return false;
    if (it->m.state == MESSAGE_GONE && it->has_base && successor_waits(p, &it->m))
        return false;
    it->box = box_of(p, it->m.state == MESSAGE_GONE && it->has_base ? it->base.mailbox : it->m.mailbox);
    if (!it->box)
        return false;
    if (it->box->attributes & MAILBOX_READ_ONLY) {
        if (it->m.state != MESSAGE_GONE || it->has_base)
            park_read_only(p, it);
        return false;
    }
    if (it->m.state == MESSAGE_GONE)
        return !it->has_base || burst_is_over(p, it);
    if (!it->box->on_server || !it->box->uidvalidity)
        return false;
    if (!it->has_base)
        return is_to_append(p, it);
    return it->base.mailbox == it->m.mailbox || is_quiet(p, &it->m, ENGINE_MOVE_QUIET_MS);
}

/* ---- grouping ---- */

static struct group *group_for(struct push *p, enum worker_verb verb, struct mailbox *box,
                               struct mailbox *target, flags_t add, flags_t removed)
{
    for (size_t i = 0; i < p->n_group; i++) {
        struct group *g = &p->group[i];
        if (g->verb == verb && g->box == box && g->target == target && g->add == add && g->remove == removed)
            return g;
    }
    struct group *grown = reallocarray(p->group, p->n_group + 1, sizeof *grown);
    if (!grown)
        return NULL;
    p->group = grown;
    struct group *g = &p->group[p->n_group++];
    *g = (struct group){.verb = verb, .box = box, .target = target, .add = add, .remove = removed};
    return g;
}

static int join(struct group *g, size_t item, uint32_t uid)
{
    if (!g)
        return -ENOMEM;
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 16;
        size_t *grown = reallocarray(g->item, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        g->item = grown;
        g->cap = cap;
    }
    g->item[g->n++] = item;
    return uid ? uidset_add(&g->uids, uid) : 0;
}

static int find_trash(void *arg, const struct mailbox *m)
{
    if (!(m->attributes & MAILBOX_TRASH) || !m->on_server || m->removed)
        return 0;
    *(int64_t *)arg = m->id;
    return 1;
}

/* Where removed mail of this mailbox goes: NULL for nowhere. */
static struct mailbox *trash_for(struct push *p, const struct mailbox *box)
{
    int64_t id = 0;
    if (p->e->account->deletion != CONFIG_DELETE_TRASH || (box->attributes & MAILBOX_TRASH))
        return NULL;
    mailbox_each(p->rd, -1, 0, find_trash, &id);
    return id ? box_of(p, id) : NULL;
}

/* The same octets and date are on the server already, under another address: they need not be sent (case 21).
 */
static struct mailbox *copy_source(struct push *p, struct item *it)
{
    struct message same;
    if (message_find_hash(p->rd, it->m.hash, &same) < 0 || same.id == it->m.id || same.date_s != it->m.date_s)
        return NULL;
    if (base_of_message(p->rd, same.id, &it->source) < 0)
        return NULL;
    struct mailbox *box = box_of(p, it->source.mailbox);
    bool usable = box && box->on_server && !box->removed && box->uidvalidity;
    for (size_t i = 0; usable && i < p->n_group;
         i++) /* one copy of a source a command: COPYUID is a list of pairs */
        if (p->group[i].verb == WORKER_COPY && p->group[i].box == box && p->group[i].target == it->box &&
            uidset_has(&p->group[i].uids, it->source.uid))
            usable = false;
    return usable ? box : NULL;
}

static int join_op(struct push *p, const struct brain_op *op)
{
    struct item *it = &p->item[op->message];
    struct mailbox *at = it->has_base ? box_of(p, it->base.mailbox) : it->box;

    if (!at)
        return -ENOENT;
    it->agreed = op->agreed.flags;
    switch (op->verb) {
    case BRAIN_STORE:
        if (it->has_base && it->base.mailbox != it->m.mailbox)
            return 0; /* after the move, in the next pass */
        return join(group_for(p, WORKER_STORE, at, NULL, op->add, op->remove), op->message, it->base.uid);
    case BRAIN_MOVE:
        if (!it->box->uidvalidity)
            return 0;
        it->source = it->base;
        return join(group_for(p, WORKER_MOVE, at, it->box, 0, 0), op->message, it->base.uid);
    case BRAIN_REMOVE: {
        if (it->held)
            return 0;
        struct mailbox *trash = trash_for(p, at);
        return join(group_for(p, trash ? PUSH_TRASH : WORKER_EXPUNGE, at, trash, 0, 0), op->message,
                    it->base.uid);
    }
    case BRAIN_COPY:
        at = copy_source(p, it);
        if (at)
            return join(group_for(p, WORKER_COPY, at, it->box, 0, 0), op->message, it->source.uid);
        return join(group_for(p, WORKER_APPEND, it->box, NULL, 0, 0), op->message, 0);
    case BRAIN_AGREE:
    case BRAIN_FORGET:
        return 0;
    }
    return 0;
}

/* ---- one batch ---- */

/* Rows that the brain has nothing to say about are at rest: the difference was to be found in nothing that
 * the server can hold. */
static int clean_rest(cache_tx *tx, void *arg)
{
    struct push *p = arg;
    bool *busy = arena_alloc(&p->arena, p->n, sizeof *busy);
    if (!busy)
        return -ENOMEM;
    for (size_t i = 0; i < p->plan.n; i++)
        if (p->plan.op[i].verb != BRAIN_AGREE && p->plan.op[i].verb != BRAIN_FORGET)
            busy[p->plan.op[i].message] = true;
    for (size_t i = 0; i < p->n; i++) {
        struct message now;
        const struct item *it = &p->item[i];
        if (busy[i] || message_get(cache_tx_rd(tx), it->m.id, &now) < 0)
            continue;
        if (now.flags != it->m.flags || now.state != it->m.state || now.mailbox != it->m.mailbox ||
            now.has_hash != it->m.has_hash || memcmp(now.hash, it->m.hash, sizeof now.hash) != 0)
            continue;
        if (it->has_base && !push_still_there(tx, it))
            continue;
        int r = message_clean(tx, it->m.id);
        if (r < 0)
            return r;
    }
    return 0;
}

static int note_elsewhere(void *arg, const struct message *m)
{
    const struct message *removed = arg;
    return m->id != removed->id && m->state == MESSAGE_PRESENT && cache_worker_is_mail(m);
}

/* Does this removal take mail away? One that was edited, or filed by rewriting it elsewhere, lives on. */
static bool takes_away(struct push *p, const struct brain_op *op)
{
    struct item *it = &p->item[op->message];
    struct held h;
    if (op->side != SERVER_SIDE || op->verb != BRAIN_REMOVE || it->m.after)
        return false;
    if (p->holds && held_of_message(p->rd, it->m.id, &h) == 0 && h.state == HELD_APPROVED)
        return false;
    return !it->m.message_id ||
           message_each_by_message_id(p->rd, it->m.message_id, note_elsewhere, &it->m) <= 0;
}

static int hold_removals(cache_tx *tx, void *arg)
{
    struct push *p = arg;
    int r = 0;
    for (size_t i = 0; i < p->n && r == 0; i++)
        if (p->item[i].held)
            r = held_add(tx, p->item[i].base.mailbox, HELD_THERE, HELD_ASKS, p->item[i].m.id);
    return r;
}

/* Marks what the brake holds of the removals of one mailbox; how many. Those that it lets through are counted
 * when they went through: what is tried again is no more for that. */
static size_t brake_box(struct push *p, const struct mailbox *box)
{
    size_t removals = 0, held = 0;
    for (size_t i = 0; i < p->plan.n; i++) {
        struct item *it = &p->item[p->plan.op[i].message];
        if (it->base.mailbox == box->id && takes_away(p, &p->plan.op[i])) {
            it->counts = true;
            removals++;
        }
    }
    if (removals == 0 || brake_passes(p->e, box, HELD_THERE, removals, base_count(p->rd, box->id)))
        return 0;
    for (size_t i = 0; i < p->n; i++) {
        struct item *it = &p->item[i];
        if (it->base.mailbox == box->id && it->counts) {
            it->held = true;
            held++;
        }
    }
    log_warning("case 75: %zu messages of mailbox %lld were removed here: held (mailmount held)", held,
                (long long)box->id);
    return held;
}

static int ask_the_brake(struct push *p)
{
    size_t held = 0, boxes = p->n_box;
    for (size_t i = 0; i < boxes; i++)
        held += brake_box(p, p->box[i]);
    return held ? cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_NOW, hold_removals, p) : 0;
}

static enum worker_result push_batch(struct push *p, const int64_t *id, size_t n)
{
    /* Copies are made of messages as they were when that was planned: in their places, with their flags. */
    static const enum worker_verb order[] = {WORKER_COPY,   WORKER_MOVE,    WORKER_STORE,
                                             WORKER_APPEND, WORKER_EXPUNGE, PUSH_TRASH};
    struct brain_message *in = arena_alloc(&p->arena, n, sizeof *in);
    struct brain_policy policy = {0};
    enum worker_result r = WORKER_DONE;

    p->item = arena_alloc(&p->arena, n, sizeof *p->item);
    if (!in || !p->item)
        return WORKER_LOCAL;
    note_removals(p, id, n);
    p->now_ms = clock_now_ns() / 1000000;
    for (size_t i = 0; i < n; i++) {
        struct item *it = &p->item[p->n];
        if (!take(p, id[i], it))
            continue;
        cache_worker_scan(&it->m, it->has_base ? &it->base : NULL, it->box, &in[p->n]);
        in[p->n++].after = 0; /* looked at in take() */
    }
    if (brain_merge_messages(in, p->n, &policy, &p->arena, &p->plan) < 0)
        return WORKER_LOCAL;
    if (ask_the_brake(p) < 0)
        return WORKER_LOCAL;
    if (cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_SOON, clean_rest, p) < 0)
        return WORKER_LOCAL;
    for (size_t i = 0; i < p->plan.n; i++) {
        const struct brain_op *op = &p->plan.op[i];
        if (op->side == SERVER_SIDE && join_op(p, op) < 0)
            return WORKER_LOCAL;
    }
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (size_t i = 0; i < p->n_group; i++) {
            if (p->group[i].verb != order[k])
                continue;
            r = push_group(p, &p->group[i]);
            if (engine_session_ended(r) || r == WORKER_LOCAL || engine_paused(p->e))
                return r;
        }
    return WORKER_DONE;
}

static void push_finish(struct push *p)
{
    for (size_t i = 0; i < p->n_group; i++) {
        uidset_finish(&p->group[i].uids);
        free(p->group[i].item);
    }
    free(p->group);
    free(p->box);
    free(p->burst);
    arena_finish(&p->arena);
}

/* Of the dirty rows, those that were dirty already when the run began: what a program goes on changing
 * meanwhile is for the next one, so that few commands are made of it (case 37). Both lists are in order. */
static void leave_for_next(struct engine *e, const struct dirty *first, struct dirty *dirty)
{
    size_t kept = 0, at = 0;
    for (size_t i = 0; i < dirty->n; i++) {
        while (at < first->n && first->id[at] < dirty->id[i])
            at++;
        if (at < first->n && first->id[at] == dirty->id[i])
            dirty->id[kept++] = dirty->id[i];
    }
    if (kept < dirty->n)
        engine_hint(e, HINT_LOCAL);
    dirty->n = kept;
}

static enum worker_result push_dirty(struct engine *e, const struct dirty *dirty, bool *ret_progress)
{
    enum worker_result r = WORKER_DONE;
    *ret_progress = false;
    for (size_t i = 0; i < dirty->n && r == WORKER_DONE && !engine_stopping(e); i += PUSH_BATCH) {
        struct push p = {.e = e, .rd = cache_reader(e->cache)};
        p.holds = held_any(p.rd);
        r = push_batch(&p, dirty->id + i, dirty->n - i < PUSH_BATCH ? dirty->n - i : PUSH_BATCH);
        *ret_progress = *ret_progress || p.progress;
        push_finish(&p);
    }
    return r;
}

enum worker_result push_run(struct engine *e)
{
    enum worker_result r = WORKER_DONE;
    struct dirty first = {0};
    bool progress = true;

    /* Three passes: a move, then its flags, then removals that waited for an append. */
    for (int pass = 0; pass < 3 && progress && r == WORKER_DONE; pass++) {
        struct dirty dirty = {0};
        if (message_each_dirty(cache_reader(e->cache), 0, collect_dirty, &dirty) < 0)
            r = WORKER_LOCAL;
        else if (pass > 0)
            leave_for_next(e, &first, &dirty);
        if (r == WORKER_DONE)
            r = push_dirty(e, &dirty, &progress);
        if (pass == 0)
            first = dirty;
        else
            free(dirty.id);
    }
    free(first.id);
    return r;
}
