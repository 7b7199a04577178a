/*
 * Append and move: announced, sent, and settled when nobody knows what became of it.
 */
#include "world.h"

/* ---- what became of it? ---- */

static bool is_paired(struct world *w, int64_t box, uint32_t uid)
{
    for (size_t i = 0; i < w->cache.rows; i++) {
        const struct row *r = &w->cache.row[i];
        if (r->id && r->has_base && r->base_box == box && r->base_uid == uid)
            return true;
    }
    return false;
}

static size_t list_candidates(struct world *w, const struct server_box *s, int64_t box,
                              struct brain_candidate *out)
{
    size_t n = 0;
    for (size_t i = 0; i < w->server.mails; i++) {
        const struct mail *m = &w->server.mail[i];
        if (&w->server.box[m->box] != s)
            continue;
        out[n++] = (struct brain_candidate){.uid = m->uid,
                                            .size = server_size(w, m->text),
                                            .message_id = w->text[m->text & ~ALTERED].message_id,
                                            .paired = is_paired(w, box, m->uid)};
    }
    return n;
}

static uint64_t content_of(unsigned text)
{
    return text + 1;
}

static struct brain_append intent_of(const struct world *w, const struct row *r)
{
    const struct text *t = &w->text[r->text & ~ALTERED];
    return (struct brain_append){.uidvalidity = r->intent.uidvalidity,
                                 .uidnext = r->intent.uidnext,
                                 .size = t->size,
                                 .message_id = t->message_id,
                                 .date_s = t->date_s,
                                 .content = content_of(r->text),
                                 .accepted = r->intent.accepted,
                                 .look_alike = r->intent.move};
}

/* What else has this text? (as in sync/append.c) */
static void mark_known(struct world *w, const struct row *edited, unsigned text, struct brain_candidate *c)
{
    for (size_t i = 0; i < w->cache.rows; i++) {
        const struct row *r = &w->cache.row[i];
        if (!r->id || r == edited || r->text != text)
            continue;
        c->known = true;
        for (; r && r->after; r = cache_row(w, r->after))
            c->paired |= r->after == edited->id;
    }
}

/* False when the line broke. */
static bool verdict(struct world *w, const struct server_box *s, const struct row *r, uint32_t *ret_uid,
                    enum brain_append_verdict *ret)
{
    struct brain_candidate candidate[MAILS];
    struct brain_append intent = intent_of(w, r);
    uint32_t validity = s->uidvalidity;
    size_t n = list_candidates(w, s, r->intent.box, candidate);

    for (size_t reads = 0;; reads++) {
        *ret = brain_append_settle(&intent, validity, candidate, n, ret_uid);
        if (*ret != BRAIN_APPEND_READ)
            return true;
        if (reads > n)
            world_wrong(w, "bodies are read for ever");
        if (reads > n || world_point(w) != CUT_NOT)
            return false;
        const struct mail *m = server_mail(w, s, *ret_uid);
        for (size_t i = 0; i < n; i++)
            if (candidate[i].uid == *ret_uid) {
                candidate[i].content = m ? content_of(m->text) : UINT64_MAX;
                if (m)
                    mark_known(w, r, m->text, &candidate[i]);
            }
    }
}

static void drop_intent(struct world *w, struct row *r)
{
    r->intent.set = false;
    cache_commit(w, SOON);
}

/* The row has this address now, and both sides agreed on the flags that were sent. */
static void confirm(struct world *w, struct row *r, uint32_t uid, flags_t flags)
{
    const struct server_box *s = round_remote(w, r->intent.box);
    struct mail *m = s ? server_mail(w, s, uid) : NULL;
    if (m)
        m->unconfirmed = false;
    r->has_base = true;
    r->base_box = r->intent.box;
    r->base_uid = uid;
    r->base_flags = flags;
    r->intent.set = r->intent.move && r->intent.source_uid;
    cache_commit(w, SOON);
}

/* The source of a move that was done by copying goes. */
static bool finish_move(struct world *w, int64_t row)
{
    const struct row *r = cache_row(w, row);
    enum cut cut = world_point(w);
    if (cut == CUT_BEFORE)
        return false;
    r = cache_row(w, row);
    struct server_box *s = r ? round_remote(w, r->intent.source) : NULL;
    if (s && s->uidvalidity == r->intent.source_uidvalidity) {
        struct mail *m = server_mail(w, s, r->intent.source_uid);
        if (m && (m->text & ~ALTERED) == (r->text & ~ALTERED))
            server_drop(w, m);
        else if (m && !w->text[r->text & ~ALTERED].confused)
            world_wrong(w, "another message is expunged as the source of a move");
    }
    if (cut != CUT_NOT)
        return false;
    if (r)
        drop_intent(w, cache_row(w, row));
    return true;
}

static bool still_at_source(const struct row *r)
{
    return r->has_base && r->base_box == r->intent.source && r->base_uid == r->intent.source_uid;
}

static bool settle_row(struct round *round, int64_t row)
{
    struct world *w = round->w;
    struct row *r = cache_row(w, row);
    enum brain_append_verdict v = BRAIN_APPEND_SEND;
    uint32_t uid = 0;

    if (r->intent.move && !still_at_source(r))
        return finish_move(w, row);
    if (world_point(w) != CUT_NOT)
        return false;
    const struct cache_box *c = cache_box(w, r->intent.box);
    struct server_box *s = c && c->has_base ? server_find(w, c->remote) : NULL;
    r = cache_row(w, row);
    if (!r || !s) {
        if (r)
            drop_intent(w, r);
        return true;
    }
    if (!verdict(w, s, r, &uid, &v))
        return false;
    r = cache_row(w, row);
    if (r && v == BRAIN_APPEND_LOST) {
        round_renumber(round, cache_box(w, r->intent.box), s);
        r->intent.uidvalidity = s->uidvalidity;
        r->intent.uidnext = 1;
        r->intent.accepted = false;
        if (!verdict(w, s, r, &uid, &v))
            return false;
        r = cache_row(w, row);
    }
    if (!r)
        return true;
    if (v != BRAIN_APPEND_THERE) {
        drop_intent(w, r);
        return true;
    }
    confirm(w, r, uid, r->intent.flags);
    return !r->intent.move || finish_move(w, row);
}

bool round_settle(struct round *r)
{
    struct world *w = r->w;
    for (size_t i = 0; i < w->cache.rows; i++) {
        struct row *row = &w->cache.row[i];
        if (!row->id || !row->intent.set)
            continue;
        if (w->sabotage == SABOTAGE_NO_SETTLING)
            drop_intent(w, row);
        else if (!settle_row(r, row->id))
            return false;
    }
    return true;
}

/* ---- sending ---- */

static void announce(struct world *w, struct row *r, const struct server_box *s, int64_t box, flags_t flags)
{
    r->intent = (struct intent){
        .set = true, .box = box, .uidvalidity = s->uidvalidity, .uidnext = s->uidnext, .flags = flags};
    cache_commit(w, NOW);
}

/* A server says OK, too, to filing what is gone (case 49): that counts where the source is still there. */
static bool ok_counts(struct world *w, const struct row *r)
{
    const struct server_box *source = r->intent.move ? round_remote(w, r->intent.source) : NULL;
    return !r->intent.move || (source && server_mail(w, source, r->intent.source_uid));
}

/* The server says where it is, or that it is there; it is believed when that is possible. */
static bool answered(struct round *round, int64_t row, struct mail *m, uint32_t uidvalidity, flags_t flags)
{
    struct world *w = round->w;
    struct row *r = cache_row(w, row);
    struct brain_append expected = {.uidvalidity = r->intent.uidvalidity, .uidnext = r->intent.uidnext};
    uint32_t uid = m && w->features & FEATURE_UIDPLUS ? m->uid : 0;

    if (brain_append_uid_credible(&expected, uidvalidity, uid)) {
        confirm(w, r, uid, flags);
        return true;
    }
    r->intent.accepted = ok_counts(w, r);
    cache_commit(w, NOW);
    return settle_row(round, row);
}

static unsigned stored_text(const struct world *w, unsigned text)
{
    return w->features & FEATURE_ALTERS && text % 3 == 0 ? text | ALTERED : text;
}

/* The mailbox by name, as APPEND and MOVE address it: made when that is planned. */
static struct server_box *target_box(struct world *w, const struct brain_op *op)
{
    struct cache_box *c = cache_box(w, op->mailbox);
    if (!c)
        return NULL;
    struct server_box *s = c->has_base ? server_find(w, c->remote) : NULL;
    return s && s->uidvalidity == c->uidvalidity ? s : NULL;
}

/* Case 47. What had an address in a mailbox of that name has it no more. */
static bool create_target(struct round *round, const struct brain_op *op)
{
    struct world *w = round->w;
    enum cut cut = world_point(w);
    struct cache_box *c = cache_box(w, op->mailbox);
    if (cut == CUT_BEFORE)
        return false;
    const struct server_box *s = c && c->has_base ? server_create(w, c->remote) : NULL;
    if (cut != CUT_NOT || !s)
        return cut == CUT_NOT;
    if (w->features & FEATURE_OBJECTS)
        c->object = s->object;
    for (size_t i = 0; i < round->n_dying; i++)
        if (round->dying[i] == c->id)
            round->dying[i] = 0; /* it lives */
    round_renumber(round, c, s);
    return true;
}

bool round_append(struct round *round, int64_t row, const struct brain_op *op)
{
    struct world *w = round->w;
    if (op->create_mailbox && !target_box(w, op) && !create_target(round, op))
        return false;
    struct row *r = cache_row(w, row);
    struct server_box *s = target_box(w, op);
    if (!s || !r || !r->present)
        return true;
    flags_t flags = op->add;
    announce(w, r, s, op->mailbox, flags);
    enum cut cut = world_point(w);
    /* The name is what the server goes by: it may be another mailbox's now. */
    struct server_box *found =
        server_find(w, cache_box(w, op->mailbox) ? cache_box(w, op->mailbox)->remote : "");
    r = cache_row(w, row);
    if (cut == CUT_BEFORE || cut == CUT_HALF) {
        if (w->sabotage == SABOTAGE_HASTY_BASE)
            confirm(w, r, s->uidnext, flags);
        return false;
    }
    if (!found) { /* NO: there is no such mailbox */
        drop_intent(w, r);
        return cut == CUT_NOT;
    }
    struct mail *m = server_store(w, found, stored_text(w, r->text), flags);
    if (!m)
        return false;
    m->unconfirmed = true;
    if (found != s || found->uidvalidity != r->intent.uidvalidity)
        w->text[r->text & ~ALTERED].more++;
    if (m->text & ALTERED && cut != CUT_NOT) /* it does not look like ours */
        w->text[r->text & ~ALTERED].more++;
    return cut == CUT_NOT && answered(round, row, m, found->uidvalidity, flags);
}

bool round_move(struct round *round, int64_t row, const struct brain_op *op)
{
    struct world *w = round->w;
    if (op->create_mailbox && !target_box(w, op) && !create_target(round, op))
        return false;
    struct row *r = cache_row(w, row);
    struct server_box *s = target_box(w, op), *source = r ? round_remote(w, r->base_box) : NULL;
    if (!s || !source || !r->present || r->box != op->mailbox)
        return true;
    uint32_t uid = r->base_uid;
    announce(w, r, s, op->mailbox, r->base_flags & s->can_store);
    r->intent.move = true;
    r->intent.source = r->base_box;
    r->intent.source_uid = uid;
    r->intent.source_uidvalidity = source->uidvalidity;
    cache_commit(w, NOW);
    enum cut cut = world_point(w);
    if (cut == CUT_BEFORE)
        return false;
    r = cache_row(w, row);
    source = round_remote(w, r->intent.source);
    s = target_box(w, op);
    struct mail *m = source ? server_mail(w, source, uid) : NULL;
    if (!s) { /* NO: another round will tell */
        drop_intent(w, r);
        return cut == CUT_NOT;
    }
    if (!m) /* OK, and nothing was done */
        return cut == CUT_NOT && answered(round, row, NULL, s->uidvalidity, r->intent.flags);
    struct mail *copy = server_store(w, s, m->text, m->flags);
    if (!copy)
        return false;
    copy->unconfirmed = true;
    server_mail(w, source, uid)->doomed = true;
    uint32_t now = copy->uid;
    bool at_once = w->features & FEATURE_MOVE;
    if (at_once && cut != CUT_HALF)
        server_drop(w, server_mail(w, source, uid));
    if (cut != CUT_NOT)
        return false;
    if (!answered(round, row, server_mail(w, s, now), s->uidvalidity, r->intent.flags))
        return false;
    r = cache_row(w, row);
    if (at_once && r)
        drop_intent(w, r);
    return !r || !r->intent.set || finish_move(w, row);
}
