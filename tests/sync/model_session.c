/* A session with the model: a worker that keeps the contract of worker.h to the letter. Octets are read from,
 * and given to, the caller outside of the lock, so that its callbacks may do what they like. */
#include <errno.h>
#include <time.h>
#include <unistd.h>
#include "model_session.h"

#define ALL_KEYWORDS (~FLAGS_SYSTEM)
#define CHUNK 1021 /* bodies come in pieces that end anywhere */

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

flags_t session_flags_in(struct session *s, flags_t account)
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
enum worker_result session_blow(struct session *s, const struct model_trouble *t, enum worker_result unclean)
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
enum worker_result session_begin(struct session *s, enum model_event event, struct model_trouble *t,
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
        return session_blow(s, t, event == MODEL_APPLY ? WORKER_UNKNOWN : WORKER_BROKEN);
    return WORKER_DONE;
}

/* The same for what only looks: a blow loses the answer, with or without effect. */
static enum worker_result begin_looking(struct session *s, enum model_event event)
{
    struct model_trouble t;
    bool struck = false;
    enum worker_result r = session_begin(s, event, &t, &struck);
    return r == WORKER_DONE && struck ? session_blow(s, &t, WORKER_BROKEN) : r;
}

enum worker_result session_leave(struct session *s, enum worker_result r)
{
    pthread_mutex_unlock(&s->m->lock);
    return r;
}

static enum worker_result model_op_open(struct worker *w, struct fault *f)
{
    struct session *s = session_of(w);
    enum worker_result r = begin_looking(s, MODEL_OPEN);
    if (r == WORKER_DONE)
        return session_leave(s, r);
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
        return session_leave(s, WORKER_GONE);
    if (ret) {
        fill_box(s, b, true, ret);
        ret->name = mailbox;
        ret->id = NULL;
    }
    return session_leave(s, WORKER_DONE);
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
        return session_leave(s, WORKER_LOCAL);
    }
    *ret = *got;
    return session_leave(s, WORKER_DONE);
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
        return session_leave(s, WORKER_GONE);
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
        return session_leave(s, WORKER_GONE);
    tell_box(s, b, &got);
    struct look l = {.box = b, .from = from, .details_from = from};
    return scanned(s, tell_messages(s, &l, &got), &got, ret, e);
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
    return session_blow(s, t, WORKER_BROKEN);
}

static enum worker_result fetch_from(struct session *s, const struct worker_fetch *asked, size_t from,
                                     const struct worker_sink *sink, struct worker_error *e)
{
    struct model_trouble t;
    bool struck = false;
    enum worker_result r = session_begin(s, MODEL_FETCH, &t, &struck);
    e->err = struck ? t.err : e->err;
    if (r != WORKER_DONE)
        return r;
    struct model_box *b = model_box(s->m, asked->mailbox);
    if (!b || (b->attributes & 1) || (asked->uidvalidity && b->uidvalidity != asked->uidvalidity))
        return session_leave(s, WORKER_GONE);
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
    return session_leave(s, wait_for_news(s, mailbox, &until, ret_changed));
}

static enum worker_result model_op_ping(struct worker *w, struct worker_error *e)
{
    struct session *s = session_of(w);
    (void)e;
    pthread_mutex_lock(&s->m->lock);
    return session_leave(s, ready(s));
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
    return session_leave(s, WORKER_DONE);
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
                                          .apply = session_apply,
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
