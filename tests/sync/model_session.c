/* A session with the model: a worker that keeps the contract of worker.h to the letter. Octets are read from,
 * and given to, the caller outside of the lock, so that its callbacks may do what they like. */
#include <errno.h>
#include <time.h>
#include <unistd.h>
#include "model_state.h"

#define ALL_KEYWORDS (~FLAGS_SYSTEM)
#define CHUNK 1021 /* bodies come in pieces that end anywhere */

struct session {
    struct worker worker;
    struct model *m;
    struct keywords *keywords;
    atomic_bool cancelled;
    bool connected, dead, watched;
    uint64_t watch_modseq;
    uint64_t commands, octets_in, octets_out;
};

static struct session *session_of(struct worker *w)
{
    return (struct session *)w;
}

/* ---- flags, between the two numberings ---- */

static flags_t flags_out(struct session *s, flags_t model)
{
    flags_t ret = model & FLAGS_SYSTEM;
    for (unsigned i = FLAGS_FIRST_KEYWORD; i < FLAGS_FIRST_KEYWORD + s->m->keywords && model >> i; i++) {
        int bit = model >> i & 1 ? keywords_bit(s->keywords, s->m->keyword[i - FLAGS_FIRST_KEYWORD]) : -1;
        if (bit >= 0)
            ret |= (flags_t)1 << bit;
    }
    return ret;
}

static flags_t flags_in(struct session *s, flags_t account)
{
    flags_t ret = account & FLAGS_SYSTEM;
    for (unsigned i = FLAGS_FIRST_KEYWORD; i < 64 && account >> i; i++) {
        const char *name = account >> i & 1 ? keywords_name(s->keywords, i) : NULL;
        if (name)
            ret |= (flags_t)1 << model_keyword_bit(s->m, name);
    }
    return ret;
}

/* ---- the session's life ---- */

static enum worker_result ready(struct session *s)
{
    if (atomic_load(&s->cancelled)) {
        s->dead = true;
        return WORKER_CANCELLED;
    }
    if (s->dead)
        return WORKER_BROKEN;
    if (s->m->down) {
        s->dead = s->connected;
        return WORKER_BROKEN;
    }
    s->connected = true;
    s->commands++;
    return WORKER_DONE;
}

/* Counts the operation. Is it struck? *ret says how. */
static bool counts(struct session *s, enum model_event event, struct model_trouble *ret)
{
    struct model_trouble *t = &s->m->trouble;
    s->m->operations++;
    if (!(t->events & event) || --t->nth)
        return false;
    *ret = *t;
    t->nth = t->every;
    if (!t->every)
        t->events = 0;
    s->m->struck = true;
    return true;
}

/* The blow itself; the lock is held, and given back unless the process ends. */
static enum worker_result blow(struct session *s, const struct model_trouble *t, enum worker_result unclean)
{
    if (t->blow == MODEL_DIES)
        _exit(MODEL_DEATH);
    s->dead = true;
    pthread_mutex_unlock(&s->m->lock);
    return t->blow == MODEL_BREAKS_CLEANLY ? WORKER_BROKEN : unclean;
}

static void let_others_in(struct model *m, enum model_event event)
{
    void (*hook)(void *arg) = NULL;
    void *arg = NULL;
    pthread_mutex_lock(&m->lock);
    if ((m->hook_events & event) && --m->hook_nth == 0) {
        m->hook_events = 0;
        hook = m->hook;
        arg = m->hook_arg;
    }
    pthread_mutex_unlock(&m->lock);
    if (hook)
        hook(arg);
}

/* Locks; when the result is not WORKER_DONE the lock is not held, and the operation is over. */
static enum worker_result begin(struct session *s, enum model_event event, struct model_trouble *t,
                                bool *ret_struck)
{
    let_others_in(s->m, event);
    pthread_mutex_lock(&s->m->lock);
    enum worker_result r = ready(s);
    if (r != WORKER_DONE) {
        pthread_mutex_unlock(&s->m->lock);
        return r;
    }
    *ret_struck = counts(s, event, t);
    if (*ret_struck && !t->effect && !t->half)
        return blow(s, t, event == MODEL_APPLY ? WORKER_UNKNOWN : WORKER_BROKEN);
    return WORKER_DONE;
}

/* The same for what only looks: a blow loses the answer, with or without effect. */
static enum worker_result begin_looking(struct session *s, enum model_event event)
{
    struct model_trouble t;
    bool struck = false;
    enum worker_result r = begin(s, event, &t, &struck);
    return r == WORKER_DONE && struck ? blow(s, &t, WORKER_BROKEN) : r;
}

static enum worker_result leave(struct session *s, enum worker_result r)
{
    pthread_mutex_unlock(&s->m->lock);
    return r;
}

static enum worker_result model_op_open(struct worker *w, struct fault *f)
{
    struct session *s = session_of(w);
    enum worker_result r = begin_looking(s, MODEL_OPEN);
    if (r == WORKER_DONE)
        return leave(s, r);
    fault_set(f, FAULT_UNAVAILABLE, -ECONNREFUSED, "the model does not answer (wait)");
    return r;
}

/* ---- mailboxes ---- */

static void fill_box(const struct session *s, const struct model_box *b, bool status, struct worker_box *ret)
{
    *ret = (struct worker_box){.name = b->name, .delimiter = MODEL_DELIMITER, .attributes = b->attributes};
    if (!status || (b->attributes & 1))
        return;
    ret->has_status = true;
    ret->messages = (uint32_t)b->n;
    ret->uidnext = b->uidnext;
    ret->uidvalidity = b->uidvalidity;
    ret->id = s->m->features.objectid ? b->id : NULL;
    ret->modseq = s->m->features.speed == WORKER_SPEED_NONE ? 0 : b->modseq;
    for (size_t i = 0; i < b->n; i++)
        ret->unseen += !(b->message[i].flags & FLAG_SEEN);
}

struct listed {
    struct worker_box box;
    char name[MODEL_NAME], id[16];
};

static enum worker_result model_op_tree(struct worker *w, int (*each)(void *arg, const struct worker_box *b),
                                        void *arg, struct worker_error *e)
{
    struct session *s = session_of(w);
    enum worker_result r = begin_looking(s, MODEL_TREE);
    if (r != WORKER_DONE)
        return r;
    struct listed *list = calloc(MODEL_BOXES, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; list && i < MODEL_BOXES; i++) {
        const struct model_box *b = &s->m->box[i];
        if (!b->used)
            continue;
        fill_box(s, b, s->m->features.list_status, &list[n].box);
        memcpy(list[n].name, b->name, sizeof list[n].name);
        memcpy(list[n].id, b->id, sizeof list[n].id);
        n++;
    }
    pthread_mutex_unlock(&s->m->lock);
    for (size_t i = 0; i < n && r == WORKER_DONE; i++) {
        list[i].box.name = list[i].name;
        list[i].box.id = list[i].box.id ? list[i].id : NULL;
        int result = each(arg, &list[i].box);
        if (result < 0)
            e->err = result;
        r = result ? WORKER_LOCAL : WORKER_DONE;
    }
    free(list);
    return r;
}

static enum worker_result model_op_status(struct worker *w, const char *mailbox, struct worker_box *ret,
                                          struct worker_error *e)
{
    struct session *s = session_of(w);
    (void)e;
    enum worker_result r = begin_looking(s, MODEL_SCAN);
    if (r != WORKER_DONE)
        return r;
    const struct model_box *b = model_box(s->m, mailbox);
    if (!b)
        return leave(s, WORKER_GONE);
    if (ret) {
        fill_box(s, b, true, ret);
        ret->name = mailbox;
        ret->id = NULL;
    }
    return leave(s, WORKER_DONE);
}

/* ---- scans ---- */

/* What is told of a mailbox: which messages, and how much of each. */
struct look {
    const struct model_box *box;
    uint32_t from, details_from;     /* UIDs at or above */
    uint64_t flags_since, all_since; /* messages changed since; others are left out, or told without flags */
};

static int tell_messages(struct session *s, const struct look *l, struct worker_scan *ret)
{
    ret->message = calloc(l->box->n + 1, sizeof *ret->message);
    if (!ret->message)
        return -ENOMEM;
    for (size_t i = 0; i < l->box->n; i++) {
        const struct model_message *msg = &l->box->message[i];
        bool fresh = msg->uid >= l->details_from;
        if (msg->uid < l->from || (msg->modseq <= l->all_since && !fresh))
            continue;
        struct worker_message *out = &ret->message[ret->n++];
        out->uid = msg->uid;
        out->has_flags = msg->modseq > l->flags_since || fresh;
        out->flags = out->has_flags ? flags_out(s, msg->flags) : 0;
        out->has_details = fresh;
        if (!fresh)
            continue;
        out->date_s = msg->date_s;
        out->zone_min = msg->zone_min;
        out->size = (int64_t)msg->body->size;
        out->message_id = msg->body->message_id;
    }
    return 0;
}

static void tell_box(struct session *s, const struct model_box *b, struct worker_scan *ret)
{
    *ret = (struct worker_scan){
        .token = {.uidvalidity = b->uidvalidity, .uidnext = b->uidnext, .exists = (uint32_t)b->n},
        .read_only = b->read_only,
        .keywords_allowed = b->keywords_allowed};
    ret->token.modseq = s->m->features.speed == WORKER_SPEED_NONE ? 0 : b->modseq;
    ret->permanent = flags_out(s, b->permanent) | (b->keywords_allowed ? ALL_KEYWORDS : 0);
}

static bool is_nothing(const struct worker_scan *now, const struct worker_token *since)
{
    return since->uidnext == now->token.uidnext && since->exists == now->token.exists &&
           (now->token.modseq == 0 || since->modseq == now->token.modseq);
}

static size_t count_from(const struct model_box *b, uint32_t uid)
{
    size_t n = 0;
    for (size_t i = b->n; i > 0 && b->message[i - 1].uid >= uid; i--)
        n++;
    return n;
}

/* Changes since the token: what VANISHED says with QRESYNC; without it all UIDs when the numbers do not
 * agree. */
static int tell_changes(struct session *s, const struct model_box *b, const struct worker_token *since,
                        struct worker_scan *ret)
{
    struct look l = {.box = b,
                     .from = 1,
                     .details_from = since->uidnext,
                     .flags_since = since->modseq,
                     .all_since = since->modseq};
    ret->number = 7;
    if (s->m->features.speed == WORKER_SPEED_QRESYNC) {
        for (size_t i = 0; i < b->n_expunged; i++)
            if (b->expunged[i].modseq > since->modseq && uidset_add(&ret->vanished, b->expunged[i].uid) < 0)
                return -ENOMEM;
    } else if (since->exists + count_from(b, since->uidnext) != b->n) {
        ret->full = true;
        ret->number = 74;
        l.all_since = 0;
    }
    return tell_messages(s, &l, ret);
}

static int tell(struct session *s, const struct model_box *b, const struct worker_token *since,
                enum worker_depth depth, struct worker_scan *ret)
{
    tell_box(s, b, ret);
    if (since && since->uidvalidity != b->uidvalidity) {
        ret->uidvalidity_changed = true;
        ret->number = 70;
        return 0;
    }
    if (since && depth == WORKER_CHANGES) {
        ret->nothing = is_nothing(ret, since);
        bool usable = ret->token.modseq && since->modseq && since->modseq <= ret->token.modseq;
        if (ret->nothing || usable)
            return ret->nothing ? 0 : tell_changes(s, b, since, ret);
    }
    ret->full = true;
    ret->number = since ? 35 : 1;
    struct look l = {.box = b, .from = 1};
    l.details_from = since && depth != WORKER_DETAILS ? since->uidnext : 1;
    return tell_messages(s, &l, ret);
}

static enum worker_result scanned(struct session *s, int r, struct worker_scan *got, struct worker_scan *ret,
                                  struct worker_error *e)
{
    if (r < 0) {
        worker_scan_finish(got);
        e->err = r;
        return leave(s, WORKER_LOCAL);
    }
    *ret = *got;
    return leave(s, WORKER_DONE);
}

static enum worker_result model_op_scan(struct worker *w, const char *mailbox,
                                        const struct worker_token *since, enum worker_depth depth,
                                        struct worker_scan *ret, struct worker_error *e)
{
    struct session *s = session_of(w);
    struct worker_scan got = {0};
    enum worker_result r = begin_looking(s, MODEL_SCAN);
    if (r != WORKER_DONE)
        return r;
    const struct model_box *b = model_box(s->m, mailbox);
    if (!b || (b->attributes & 1))
        return leave(s, WORKER_GONE);
    return scanned(s, tell(s, b, since, depth, &got), &got, ret, e);
}

static enum worker_result model_op_list(struct worker *w, const char *mailbox, uint32_t from,
                                        struct worker_scan *ret, struct worker_error *e)
{
    struct session *s = session_of(w);
    struct worker_scan got = {0};
    enum worker_result r = begin_looking(s, MODEL_SCAN);
    if (r != WORKER_DONE)
        return r;
    const struct model_box *b = model_box(s->m, mailbox);
    if (!b || (b->attributes & 1))
        return leave(s, WORKER_GONE);
    tell_box(s, b, &got);
    struct look l = {.box = b, .from = from, .details_from = from};
    return scanned(s, tell_messages(s, &l, &got), &got, ret, e);
}

/* ---- changes ---- */

struct change {
    struct session *s;
    const struct worker_op *op;
    struct model_box *source, *target;
    struct uidset uids; /* those of op->uids that are there */
    struct model_body *body;
    struct worker_outcome *out;
};

static enum worker_result refuse(struct worker_error *e, int err, const char *why)
{
    e->err = err;
    snprintf(e->text, sizeof e->text, "%s", why);
    return WORKER_REFUSED;
}

static bool refuses_flags(const struct change *c)
{
    return c->op->verb == WORKER_STORE && c->source && (flags_in(c->s, c->op->add) & c->source->refused);
}

static void show_stored(struct change *c, const struct model_message *msg)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        flags_t one = c->op->add & (flags_t)1 << bit;
        if (one && c->op->verify)
            *(flags_in(c->s, one) & msg->flags ? &c->out->shown : &c->out->missing) |= one;
    }
}

static void store(struct change *c)
{
    flags_t may = model_storable(c->source) & ~c->source->dropped, add = flags_in(c->s, c->op->add),
            removed = flags_in(c->s, c->op->remove);
    for (uint32_t uid = 0; uidset_next(&c->uids, &uid);) {
        struct model_message *msg = model_message(c->source, uid);
        model_set_flags(c->s->m, c->source, msg, ((msg->flags | (add & may)) & ~removed));
        show_stored(c, msg);
    }
}

static int file(struct change *c, bool keep)
{
    int r = 0;
    bool tell = c->s->m->features.uidplus;
    for (uint32_t uid = 0; uidset_next(&c->uids, &uid) && r == 0;) {
        struct model_message like = *model_message(c->source, uid);
        uint32_t copy = model_add(c->s->m, c->target, &like);
        if (!keep)
            model_take_out(c->s->m, c->source, uid);
        if (tell)
            r = uidset_add(&c->out->source, uid) < 0 || uidset_add(&c->out->target, copy) < 0 ? -ENOMEM : 0;
    }
    if (tell && c->uids.n)
        c->out->uidvalidity = c->target->uidvalidity;
    c->out->moved = !keep;
    return r;
}

static void expunge(struct change *c)
{
    for (uint32_t uid = 0; uidset_next(&c->uids, &uid);)
        model_take_out(c->s->m, c->source, uid);
}

static void append(struct change *c)
{
    struct model_message like = {.flags = flags_in(c->s, c->op->add),
                                 .body = c->body,
                                 .date_s = c->op->date_s,
                                 .zone_min = c->op->zone_min};
    uint32_t uid = 0;
    for (size_t i = 0; i < c->target->n && c->s->m->features.one_of_each; i++) {
        const struct model_message *there = &c->target->message[i];
        if (there->body->size == c->body->size &&
            memcmp(there->body->octets, c->body->octets, c->body->size) == 0)
            uid = there->uid;
    }
    if (!uid)
        uid = model_add(c->s->m, c->target, &like);
    if (c->s->m->features.uidplus) {
        c->out->uidvalidity = c->target->uidvalidity;
        c->out->uid = uid;
    }
}

static enum worker_result change_box(struct change *c, struct worker_error *e)
{
    struct model *m = c->s->m;
    switch (c->op->verb) {
    case WORKER_CREATE:
        if (c->source && !(c->source->attributes & 1))
            return refuse(e, -EEXIST, "[ALREADYEXISTS] it is there");
        if (c->source)
            c->source->attributes &= ~1u;
        else
            model_add_box(m, c->op->mailbox);
        return WORKER_DONE;
    case WORKER_RENAME:
        if (!c->source)
            return WORKER_GONE;
        return model_rename_box(m, c->op->mailbox, c->op->target)
                   ? WORKER_DONE
                   : refuse(e, -EEXIST, "[ALREADYEXISTS] taken");
    case WORKER_DELETE:
        if (!c->source)
            return WORKER_GONE;
        model_drop_box(m, c->source);
        return WORKER_DONE;
    default: /* subscriptions of what is not there are allowed */
        if (c->source && c->op->verb == WORKER_SUBSCRIBE)
            c->source->attributes |= 256;
        else if (c->source)
            c->source->attributes &= ~256u;
        return WORKER_DONE;
    }
}

static enum worker_result change(struct change *c, struct worker_error *e)
{
    int r = 0;
    switch (c->op->verb) {
    case WORKER_STORE:
        store(c);
        break;
    case WORKER_EXPUNGE:
        expunge(c);
        break;
    case WORKER_MOVE:
        r = file(c, !c->s->m->features.move);
        break;
    case WORKER_COPY:
        r = file(c, true);
        break;
    case WORKER_APPEND:
        append(c);
        break;
    default:
        return change_box(c, e);
    }
    e->err = r;
    return r < 0 ? WORKER_LOCAL : WORKER_DONE;
}

static bool has_uids(enum worker_verb v)
{
    return v == WORKER_STORE || v == WORKER_EXPUNGE || v == WORKER_MOVE || v == WORKER_COPY;
}

/* Finds what the operation is about; half: only the first half of the messages. */
static enum worker_result aim(struct change *c, bool half, struct worker_error *e)
{
    const struct worker_op *op = c->op;
    struct model *m = c->s->m;
    struct model_box *named = model_box(m, op->mailbox);
    c->source = named;
    c->target = op->verb == WORKER_APPEND ? named : op->target ? model_box(m, op->target) : NULL;
    if (m->refused >> op->verb & 1)
        return refuse(e, -EACCES, "[NOPERM] the model refuses this");
    if (refuses_flags(c))
        return refuse(e, -ENOSPC, "[LIMIT] too many keywords");
    if (!has_uids(op->verb) && op->verb != WORKER_APPEND)
        return WORKER_DONE;
    if (!named && op->verb != WORKER_APPEND)
        return WORKER_GONE;
    if (named && has_uids(op->verb) && op->uidvalidity && op->uidvalidity != named->uidvalidity)
        return WORKER_GONE;
    if ((op->verb == WORKER_APPEND || op->verb == WORKER_MOVE || op->verb == WORKER_COPY) && !c->target) {
        e->try_create = true;
        return refuse(e, -ENOENT, "[TRYCREATE] no such mailbox");
    }
    if (named->read_only || (c->target && c->target->read_only))
        return refuse(e, -EACCES, "[NOPERM] read-only");
    if (op->verb == WORKER_APPEND && named->full)
        return refuse(e, -EDQUOT, "[OVERQUOTA] full");
    uint64_t most = has_uids(op->verb) ? uidset_count(op->uids) : 0;
    most = half ? (most + 1) / 2 : most;
    for (uint32_t uid = 0; has_uids(op->verb) && most > 0 && uidset_next(op->uids, &uid); most--)
        if (model_message(named, uid) && uidset_add(&c->uids, uid) < 0)
            return WORKER_LOCAL;
    return WORKER_DONE;
}

/* The octets come before anything is decided: the server answers after them. */
static int read_octets(struct session *s, const struct worker_op *op, struct model_body **ret)
{
    pthread_mutex_lock(&s->m->lock);
    struct model_body *body = model_new_body(s->m, (size_t)op->size);
    pthread_mutex_unlock(&s->m->lock);
    for (size_t have = 0; have < body->size;) {
        ssize_t n = op->read(op->read_arg, body->octets + have, body->size - have);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        have += (size_t)n;
    }
    char more;
    if (op->read(op->read_arg, &more, 1) != 0)
        return -EIO;
    model_body_filled(body);
    *ret = body;
    return 0;
}

static enum worker_result model_op_apply(struct worker *w, const struct worker_op *op,
                                         struct worker_outcome *ret, struct worker_error *e)
{
    struct session *s = session_of(w);
    struct worker_outcome out = {0};
    struct change c = {.s = s, .op = op, .out = &out};
    struct model_trouble t;
    bool struck = false;

    if (op->verb == WORKER_APPEND) {
        e->err = read_octets(s, op, &c.body);
        if (e->err < 0)
            return WORKER_LOCAL;
    }
    enum worker_result r = begin(s, MODEL_APPLY, &t, &struck);
    if (r != WORKER_DONE)
        return r;
    r = aim(&c, struck && t.half, e);
    /* An APPEND has no half: it is as if it had not been. */
    if (r == WORKER_DONE && !(struck && t.half && !has_uids(op->verb)))
        r = change(&c, e);
    uidset_finish(&c.uids);
    r = struck ? blow(s, &t, WORKER_UNKNOWN) : leave(s, r);
    if (r == WORKER_DONE) {
        *ret = out;
        return r;
    }
    uidset_finish(&out.source);
    uidset_finish(&out.target);
    return r;
}

/* ---- bodies ---- */

struct parcel {
    uint32_t uid;
    const struct model_body *body;
};

static enum worker_result deliver(struct session *s, const struct parcel *p, size_t n, size_t from,
                                  const struct worker_sink *sink, struct worker_error *e)
{
    for (size_t i = 0; i < n; i++) {
        if (atomic_load(&s->cancelled)) {
            s->dead = true;
            return WORKER_CANCELLED;
        }
        int r = 0;
        for (size_t at = 0; at < p[i].body->size && r == 0; at += CHUNK) {
            size_t left = p[i].body->size - at;
            r = sink->data(sink->arg, p[i].body->octets + at, left < CHUNK ? left : CHUNK);
        }
        if (r == 0)
            r = sink->end(sink->arg, from, p[i].uid, true);
        if (r < 0) {
            e->err = r;
            return WORKER_LOCAL;
        }
        s->octets_in += p[i].body->size;
    }
    return WORKER_DONE;
}

/* The line goes in the middle of a body. */
static enum worker_result cut(struct session *s, const struct parcel *p, const struct model_trouble *t,
                              size_t from, const struct worker_sink *sink)
{
    if (p) {
        sink->data(sink->arg, p->body->octets, p->body->size / 2);
        sink->end(sink->arg, from, 0, false);
    }
    pthread_mutex_lock(&s->m->lock);
    return blow(s, t, WORKER_BROKEN);
}

static enum worker_result fetch_from(struct session *s, const struct worker_fetch *asked, size_t from,
                                     const struct worker_sink *sink, struct worker_error *e)
{
    struct model_trouble t;
    bool struck = false;
    enum worker_result r = begin(s, MODEL_FETCH, &t, &struck);
    e->err = struck ? t.err : e->err;
    if (r != WORKER_DONE)
        return r;
    struct model_box *b = model_box(s->m, asked->mailbox);
    if (!b || (asked->uidvalidity && b->uidvalidity != asked->uidvalidity))
        return leave(s, WORKER_GONE);
    struct parcel *p = calloc(b->n + 1, sizeof *p);
    size_t n = 0;
    for (size_t i = 0; p && i < b->n; i++)
        if (uidset_has(asked->uids, b->message[i].uid) &&
            (s->m->withheld == 0 || b->message[i].uid < s->m->withheld))
            p[n++] = (struct parcel){.uid = b->message[i].uid, .body = b->message[i].body};
    pthread_mutex_unlock(&s->m->lock);
    size_t whole = struck && t.half ? n / 2 : n;
    r = deliver(s, p, whole, from, sink, e);
    if (struck && r == WORKER_DONE)
        r = cut(s, whole < n ? &p[whole] : NULL, &t, from, sink);
    free(p);
    return r;
}

static enum worker_result model_op_fetch(struct worker *w, struct worker_fetch *from, size_t n,
                                         const struct worker_sink *sink)
{
    for (size_t i = 0; i < n; i++)
        from[i].result = WORKER_BROKEN;
    for (size_t i = 0; i < n; i++) {
        from[i].error = (struct worker_error){0};
        from[i].result = fetch_from(session_of(w), &from[i], i, sink, &from[i].error);
        if (from[i].result != WORKER_DONE && from[i].result != WORKER_GONE &&
            from[i].result != WORKER_REFUSED)
            return from[i].result;
        if (from[i].error.retry_ms)
            break;
    }
    return WORKER_DONE;
}

/* ---- waiting ---- */

/* The lock is held; waits until the mailbox is not as it was. */
static enum worker_result wait_for_news(struct session *s, const char *mailbox, const struct timespec *until,
                                        bool *ret_changed)
{
    for (;;) {
        enum worker_result r = ready(s);
        const struct model_box *b = model_box(s->m, mailbox);
        if (r != WORKER_DONE || !b)
            return r != WORKER_DONE ? r : WORKER_GONE;
        if (!s->watched || s->watch_modseq != b->modseq) {
            s->watched = *ret_changed = true;
            s->watch_modseq = b->modseq;
            return WORKER_DONE;
        }
        if (pthread_cond_timedwait(&s->m->changed, &s->m->lock, until) == ETIMEDOUT) {
            *ret_changed = false;
            return WORKER_DONE;
        }
    }
}

static enum worker_result model_op_watch(struct worker *w, const char *mailbox, int timeout_ms,
                                         bool *ret_changed, struct worker_error *e)
{
    struct session *s = session_of(w);
    struct timespec until;
    (void)e;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&s->m->lock);
    return leave(s, wait_for_news(s, mailbox, &until, ret_changed));
}

static enum worker_result model_op_ping(struct worker *w, struct worker_error *e)
{
    struct session *s = session_of(w);
    (void)e;
    pthread_mutex_lock(&s->m->lock);
    return leave(s, ready(s));
}

static void model_op_cancel(struct worker *w)
{
    struct session *s = session_of(w);
    atomic_store(&s->cancelled, true);
    pthread_mutex_lock(&s->m->lock);
    pthread_cond_broadcast(&s->m->changed);
    pthread_mutex_unlock(&s->m->lock);
}

static void model_op_reset(struct worker *w)
{
    struct session *s = session_of(w);
    s->connected = s->dead = s->watched = false;
    atomic_store(&s->cancelled, false);
}

static void model_op_destroy(struct worker *w)
{
    free(w);
}

static enum worker_result model_op_quota(struct worker *w, const char *mailbox, struct worker_quota *ret,
                                         struct worker_error *e)
{
    struct session *s = session_of(w);
    (void)e;
    *ret = (struct worker_quota){0};
    enum worker_result r = begin_looking(s, MODEL_QUOTA);
    if (r != WORKER_DONE)
        return r;
    const struct model_box *b = model_box(s->m, mailbox);
    if (b && b->root)
        ret->root[0] = b->root;
    return leave(s, WORKER_DONE);
}

static void model_op_describe(struct worker *w, struct worker_description *ret)
{
    const struct session *s = session_of(w);
    const struct model_features *f = &s->m->features;
    *ret = (struct worker_description){.connected = s->connected && !s->dead,
                                       .peer = "model",
                                       .tls = "none",
                                       .server = "model",
                                       .login = "PLAIN",
                                       .speed = f->speed,
                                       .idle = true,
                                       .move = f->move,
                                       .uidplus = f->uidplus,
                                       .list_status = f->list_status,
                                       .append_limit = s->m->append_limit,
                                       .octets_in = s->octets_in,
                                       .octets_out = s->octets_out,
                                       .commands = s->commands};
}

struct worker *model_worker(const struct model_login *login)
{
    static const struct worker_ops ops = {.open = model_op_open,
                                          .tree = model_op_tree,
                                          .status = model_op_status,
                                          .scan = model_op_scan,
                                          .list = model_op_list,
                                          .apply = model_op_apply,
                                          .fetch = model_op_fetch,
                                          .watch = model_op_watch,
                                          .quota = model_op_quota,
                                          .ping = model_op_ping,
                                          .cancel = model_op_cancel,
                                          .reset = model_op_reset,
                                          .destroy = model_op_destroy,
                                          .describe = model_op_describe};
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->worker.ops = &ops;
    s->m = login->model;
    s->keywords = login->keywords;
    return &s->worker;
}
