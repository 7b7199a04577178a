/*
 * One command of a push: sent, and what came of it written down. See push.c for which commands there are, and
 * in which order.
 */
#include <errno.h>
#include <string.h>
#include "log.h"
#include "push.h"

/* ---- what the cache learns ---- */

bool push_still_there(cache_tx *tx, const struct item *it)
{
    struct base_state now;
    return base_of_message(cache_tx_rd(tx), it->m.id, &now) == 0 && now.mailbox == it->base.mailbox &&
           now.uid == it->base.uid;
}

static struct base_state base_after(const struct item *it)
{
    struct base_state b = it->base;
    b.flags = it->agreed;
    return b;
}

static int forget_failure(cache_tx *tx, int64_t message)
{
    int r = failure_forget(tx, message, 0);
    return r == -ENOENT ? 0 : r;
}

static int store_done(cache_tx *tx, void *arg)
{
    struct push *p = arg;
    int r = 0;
    for (size_t i = 0; i < p->now->n && r == 0; i++) {
        const struct item *it = &p->item[p->now->item[i]];
        struct base_state b = base_after(it);
        if (push_still_there(tx, it))
            r = cache_worker_agree(tx, b.message, &b);
        if (r == 0)
            r = forget_failure(tx, it->m.id);
    }
    return r;
}

static int removal_done(cache_tx *tx, void *arg)
{
    struct push *p = arg;
    int r = 0;
    for (size_t i = 0; i < p->now->n && r == 0; i++) {
        const struct item *it = &p->item[p->now->item[i]];
        if (push_still_there(tx, it))
            r = cache_worker_agree(tx, it->m.id, NULL);
        if (r == 0)
            r = forget_failure(tx, it->m.id);
    }
    return r;
}

static enum pending_kind kind_of(enum worker_verb verb)
{
    return verb == WORKER_APPEND ? PENDING_APPEND : verb == WORKER_COPY ? PENDING_COPY : PENDING_MOVE;
}

static int announce(cache_tx *tx, void *arg)
{
    struct push *p = arg;
    int r = 0;
    for (size_t i = 0; i < p->now->n && r == 0; i++) {
        const struct item *it = &p->item[p->now->item[i]];
        struct pending row = {.kind = kind_of(p->now->verb),
                              .message = it->m.id,
                              .mailbox = it->box->id,
                              .uidvalidity = it->box->uidvalidity,
                              .uidnext = it->box->uidnext,
                              .source = it->source.mailbox,
                              .source_uid = it->source.uid,
                              .wire_size = it->m.wire_size,
                              .message_id = it->m.message_id,
                              .date_s = it->m.date_s,
                              .flags = it->m.flags};
        memcpy(row.hash, it->m.hash, sizeof row.hash);
        if (it->wire_size) {
            memcpy(row.hash, it->hash, sizeof row.hash);
            row.wire_size = it->wire_size;
        }
        r = pending_put(tx, &row);
    }
    return r;
}

struct moved {
    struct push *p;
    const struct worker_outcome *outcome;
    size_t known;
};

/* The UID in the target of one UID of the source: COPYUID's sets run in parallel. */
static uint32_t copied_as(const struct worker_outcome *o, uint32_t source)
{
    uint32_t s = 0, t = 0;
    while (uidset_next(&o->source, &s) && uidset_next(&o->target, &t))
        if (s == source)
            return t;
    return 0;
}

/* And so is what was announced handed on by an edit. */
static bool still_announced(cache_tx *tx, const struct item *it)
{
    struct pending row;
    return pending_of_message(cache_tx_rd(tx), it->m.id, &row) == 0 &&
           (!it->has_base || push_still_there(tx, it));
}

static int move_done(cache_tx *tx, void *arg)
{
    struct moved *moved = arg;
    struct push *p = moved->p;
    int r = 0;
    for (size_t i = 0; i < p->now->n && r == 0; i++) {
        const struct item *it = &p->item[p->now->item[i]];
        struct brain_append expected = {.uidvalidity = it->box->uidvalidity, .uidnext = it->box->uidnext};
        uint32_t uid = copied_as(moved->outcome, it->source.uid);
        if (!brain_append_uid_credible(&expected, moved->outcome->uidvalidity, uid) ||
            !still_announced(tx, it))
            continue; /* looked for in the target (case 49) */
        moved->known++;
        r = append_confirm(tx, it->m.id, it->box->id, uid, it->source.flags);
        if (r == 0 && (moved->outcome->moved || p->now->verb == WORKER_COPY))
            r = pending_forget(tx, it->m.id);
    }
    return r;
}

/* It was done, but under which UIDs was not said (case 49). What was moved by one command is looked for as a
 * copy is, for nothing is left to be cleared at its source. */
static int filed_somewhere(cache_tx *tx, void *arg)
{
    const struct moved *moved = arg;
    const struct push *p = moved->p;
    int r = 0;
    for (size_t i = 0; i < p->now->n && r == 0; i++) {
        struct pending row;
        r = pending_of_message(cache_tx_rd(tx), p->item[p->now->item[i]].m.id, &row);
        row.accepted = true;
        if (moved->outcome->moved)
            row.kind = PENDING_COPY;
        r = r == 0 ? pending_put(tx, &row) : r == -ENOENT ? 0 : r;
    }
    return r;
}

/* ---- carrying out ---- */

static enum worker_result refused(struct push *p, struct group *g, const char *what,
                                  const struct worker_error *error)
{
    for (size_t i = 0; i < g->n; i++)
        engine_fail_message(p->e, p->item[g->item[i]].m.id, g->box->id, what, error);
    return WORKER_REFUSED;
}

static enum worker_result apply(struct push *p, struct group *g, enum worker_verb verb,
                                struct worker_outcome *outcome, struct worker_error *error)
{
    struct worker_op op = {.verb = verb,
                           .mailbox = g->box->remote,
                           .uidvalidity = g->box->uidvalidity,
                           .target = g->target ? g->target->remote : NULL,
                           .uids = &g->uids,
                           .add = g->add,
                           .remove = g->remove};
    log_debug("mailbox %lld: verb %d for %zu messages", (long long)g->box->id, verb, g->n);
    return p->e->worker->ops->apply(p->e->worker, &op, outcome, error);
}

static enum worker_result write_done(struct push *p, int (*done)(cache_tx *, void *))
{
    p->progress = true;
    p->e->tried_create = 0;
    return cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_SOON, done, p) < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static enum worker_result store(struct push *p, struct group *g, flags_t add, flags_t removed,
                                struct worker_outcome *outcome, struct worker_error *error)
{
    struct worker_op op = {.verb = WORKER_STORE,
                           .mailbox = g->box->remote,
                           .uidvalidity = g->box->uidvalidity,
                           .uids = &g->uids,
                           .add = add,
                           .remove = removed,
                           .verify = !mask_is_known(p->e, g->box->id, add)};
    *outcome = (struct worker_outcome){0};
    return p->e->worker->ops->apply(p->e->worker, &op, outcome, error);
}

/* Twice, if the server says OK and does not show what it was told (case 33). */
static enum worker_result store_and_see(struct push *p, struct group *g, flags_t *ret_masked,
                                        struct worker_error *error)
{
    struct worker_outcome outcome;
    enum worker_result r = store(p, g, g->add, g->remove, &outcome, error);
    if (r == WORKER_DONE && outcome.missing)
        r = store(p, g, g->add, g->remove, &outcome, error);
    if (r != WORKER_DONE)
        return r;
    if (outcome.missing)
        log_warning(
            "case 33: mailbox %lld: the server says OK to flags that it does not keep: they stay here",
            (long long)g->box->id);
    *ret_masked = outcome.missing;
    int learnt = mask_learn(p->e, g->box->id, outcome.shown & ~outcome.missing, outcome.missing);
    return learnt < 0 ? WORKER_LOCAL : WORKER_DONE;
}

/* Keywords one by one: what is refused by itself is one that this mailbox cannot have (case 32). */
static enum worker_result store_one_by_one(struct push *p, struct group *g, flags_t *ret_masked,
                                           struct worker_error *error)
{
    struct worker_outcome outcome;
    flags_t keywords = g->add & ~(FLAGS_SYSTEM & ~FLAG_FORWARDED);
    enum worker_result r = store(p, g, g->add & ~keywords, g->remove, &outcome, error);

    for (unsigned bit = 0; bit < 64 && r == WORKER_DONE; bit++) {
        flags_t keyword = keywords & (flags_t)1 << bit;
        if (!keyword)
            continue;
        r = store(p, g, keyword, 0, &outcome, error);
        if (r != WORKER_REFUSED || error->retry_ms)
            continue;
        log_warning("case 32: mailbox %lld: a keyword is refused, and stays here: %s", (long long)g->box->id,
                    error->text);
        *ret_masked |= keyword;
        r = mask_learn(p->e, g->box->id, 0, keyword) < 0 ? WORKER_LOCAL : WORKER_DONE;
    }
    return r;
}

static enum worker_result push_flags(struct push *p, struct group *g)
{
    struct worker_error error = {0};
    flags_t masked = 0;

    log_debug("mailbox %lld: flags of %zu messages", (long long)g->box->id, g->n);
    enum worker_result r = store_and_see(p, g, &masked, &error);
    if (r == WORKER_REFUSED && !error.retry_ms && (g->add & ~(FLAGS_SYSTEM & ~FLAG_FORWARDED)))
        r = store_one_by_one(p, g, &masked, &error);
    if (r == WORKER_REFUSED)
        return refused(p, g, "store", &error);
    for (size_t i = 0; i < g->n; i++)
        p->item[g->item[i]].agreed &= ~masked;
    return r == WORKER_DONE ? write_done(p, store_done) : r;
}

static void count_removals(struct push *p, const struct group *g)
{
    uint64_t removals = 0;
    for (size_t i = 0; i < g->n; i++)
        removals += p->item[g->item[i]].counts;
    brake_count(p->e, g->box->id, HELD_THERE, removals);
}

static enum worker_result push_removals(struct push *p, struct group *g)
{
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};
    enum worker_result r = WORKER_DONE;

    if (g->verb == PUSH_TRASH) {
        r = apply(p, g, WORKER_MOVE, &outcome, &error);
        uidset_finish(&outcome.source);
        uidset_finish(&outcome.target);
    }
    if (r == WORKER_DONE && (g->verb == WORKER_EXPUNGE || !outcome.moved))
        r = apply(p, g, WORKER_EXPUNGE, &outcome, &error);
    if (r == WORKER_REFUSED)
        return refused(p, g, "remove", &error);
    if (r == WORKER_DONE && g->verb == WORKER_EXPUNGE)
        quota_has_room(p->e);
    if (r == WORKER_DONE)
        count_removals(p, g);
    /* Gone is the mailbox, or its numbering: what that means for the mail is found out by the next scan. */
    return r == WORKER_DONE ? write_done(p, removal_done) : r;
}

static void note_content(void *arg, uint32_t uid, const struct body_info *info)
{
    struct push *p = arg;
    for (size_t i = 0; i < p->now->n; i++) {
        struct item *it = &p->item[p->now->item[i]];
        if (it->source.uid != uid)
            continue;
        memcpy(it->hash, info->hash, sizeof it->hash);
        it->wire_size = info->wire_size;
    }
}

/* A server that does not say as what it moved a message leaves it to be looked for by its text (case 49),
 * when nothing is left at its old place. That text may not be ours, if the server alters mail (case 63): so
 * it is read before. */
static enum worker_result read_before_move(struct push *p, struct group *g)
{
    pthread_mutex_lock(&p->e->lock);
    bool blind = p->e->status.session.move && !p->e->status.session.uidplus;
    pthread_mutex_unlock(&p->e->lock);
    if (g->verb != WORKER_MOVE || !blind)
        return WORKER_DONE;
    enum worker_result r = peek_all(p->e, g->box->remote, g->box->uidvalidity, &g->uids, note_content, p);
    return r == WORKER_GONE ? WORKER_DONE : r;
}

/* Moves and copies: the server makes a message in the target. */
static enum worker_result push_filing(struct push *p, struct group *g)
{
    struct worker_outcome outcome = {0};
    struct worker_error error = {0};

    enum worker_result before = read_before_move(p, g);
    if (before != WORKER_DONE)
        return before;
    if (cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_NOW, announce, p) < 0)
        return WORKER_LOCAL;
    enum worker_result r = apply(p, g, g->verb, &outcome, &error);
    struct moved moved = {.p = p, .outcome = &outcome};
    if (r == WORKER_DONE && cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_NOW, move_done, &moved) < 0)
        r = WORKER_LOCAL;
    bool clear_source = g->verb == WORKER_MOVE && !outcome.moved;
    bool settle = r == WORKER_DONE && (clear_source || moved.known < g->n);
    if (settle && moved.known < g->n &&
        cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_NOW, filed_somewhere, &moved) < 0)
        r = WORKER_LOCAL;
    uidset_finish(&outcome.source);
    uidset_finish(&outcome.target);
    p->progress = p->progress || r == WORKER_DONE;
    if (r == WORKER_REFUSED && !engine_try_create(p->e, &error))
        refused(p, g, g->verb == WORKER_MOVE ? "move" : "copy", &error);
    if (settle || r == WORKER_REFUSED || r == WORKER_GONE) {
        enum worker_result settled = append_settle_all(p->e);
        return settled == WORKER_DONE ? r : settled;
    }
    return r;
}

static enum worker_result push_appends(struct push *p, struct group *g)
{
    enum worker_result r = WORKER_DONE;

    if (cache_write(p->e->cache, CACHE_FROM_SERVER, CACHE_NOW, announce, p) < 0)
        return WORKER_LOCAL;
    engine_doing(p->e, g->box, "uploading");
    for (size_t i = 0; i < g->n && !engine_session_ended(r) && !engine_paused(p->e); i++) {
        r = append_message(p->e, &p->item[g->item[i]].m, g->box);
        if (r == WORKER_LOCAL)
            break;
        p->progress = p->progress || r == WORKER_DONE;
    }
    return r;
}

enum worker_result push_group(struct push *p, struct group *g)
{
    p->now = g;
    switch (g->verb) {
    case WORKER_MOVE:
    case WORKER_COPY:
        return push_filing(p, g);
    case WORKER_STORE:
        return push_flags(p, g);
    case WORKER_APPEND:
        return push_appends(p, g);
    default:
        return push_removals(p, g);
    }
}
