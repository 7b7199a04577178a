/* What a session with the model changes: flags, mail, mailboxes. */
#include <errno.h>
#include "model_session.h"

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
    return c->op->verb == WORKER_STORE && c->source &&
           (session_flags_in(c->s, c->op->add) & c->source->refused);
}

static void show_stored(struct change *c, const struct model_message *msg)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        flags_t one = c->op->add & (flags_t)1 << bit;
        if (one && c->op->verify)
            *(session_flags_in(c->s, one) & msg->flags ? &c->out->shown : &c->out->missing) |= one;
    }
}

static void store(struct change *c)
{
    flags_t may = model_storable(c->source) & ~c->source->dropped, add = session_flags_in(c->s, c->op->add),
            removed = session_flags_in(c->s, c->op->remove);
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
    struct model_message like = {.flags = session_flags_in(c->s, c->op->add),
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

/* A level of the hierarchy holds no mail. */
static struct model_box *box_for_mail(struct model *m, const char *name)
{
    struct model_box *b = name ? model_box(m, name) : NULL;
    return b && !(b->attributes & 1) ? b : NULL;
}

/* Finds what the operation is about; half: only the first half of the messages. */
static enum worker_result aim(struct change *c, bool half, struct worker_error *e)
{
    const struct worker_op *op = c->op;
    struct model *m = c->s->m;
    bool mail = has_uids(op->verb) || op->verb == WORKER_APPEND;
    struct model_box *named = mail ? box_for_mail(m, op->mailbox) : model_box(m, op->mailbox);
    c->source = named;
    c->target = op->verb == WORKER_APPEND ? named : box_for_mail(m, op->target);
    if (m->refused >> op->verb & 1)
        return refuse(e, -EACCES, "[NOPERM] the model refuses this");
    if (refuses_flags(c))
        return refuse(e, -ENOSPC, "[LIMIT] too many keywords");
    if (!mail)
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

enum worker_result session_apply(struct worker *w, const struct worker_op *op, struct worker_outcome *ret,
                                 struct worker_error *e)
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
    enum worker_result r = session_begin(s, MODEL_APPLY, &t, &struck);
    if (r != WORKER_DONE)
        return r;
    r = aim(&c, struck && t.half, e);
    /* An APPEND has no half: it is as if it had not been. */
    if (r == WORKER_DONE && !(struck && t.half && !has_uids(op->verb)))
        r = change(&c, e);
    uidset_finish(&c.uids);
    r = struck ? session_blow(s, &t, WORKER_UNKNOWN) : session_leave(s, r);
    if (r == WORKER_DONE) {
        *ret = out;
        return r;
    }
    uidset_finish(&out.source);
    uidset_finish(&out.target);
    return r;
}
