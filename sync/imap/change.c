/*
 * Flags, removal, filing: STORE, EXPUNGE, MOVE, COPY over sets of UIDs, and the way from worker_op to the
 * verb's function.
 *
 * Removal takes away the UIDs it names and no others, whatever else another client has marked \Deleted (case
 * 16). With UIDPLUS that is one command. Without it there is only EXPUNGE for the whole mailbox: then the
 * marks of others are taken off for the moment and put back. If the connection breaks in between, those
 * messages are there without their mark: the mild side of the error.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

/* What a STORE made of the flags (RFC 3501 6.4.6). */
struct shown {
    struct imap *im;
    const struct worker_op *op;
    struct worker_outcome *ret;
};

static int on_shown(void *arg, const struct reply *r)
{
    struct shown *s = arg;
    struct reply_fetch f;
    if (r->kind != REPLY_DATA || strcmp(r->name, "FETCH") != 0)
        return 0;
    int result = reply_fetch(r->args, s->im->keywords, &f);
    if (result < 0)
        return result == -EPROTO ? 0 : result;
    if (f.has_flags && f.uid && uidset_has(s->op->uids, f.uid)) {
        s->ret->shown |= s->op->add & f.flags;
        s->ret->missing |= s->op->add & ~f.flags;
    }
    return 0;
}

static enum worker_result store_and_see(struct imap *im, const struct worker_op *op,
                                        struct worker_outcome *ret, struct worker_error *e)
{
    struct shown shown = {.im = im, .op = op, .ret = ret};
    struct command names = {0};
    buf_adds(&names.text, "+FLAGS ");
    command_flags(im, &names, op->add);
    return imap_run_uids(im, "UID STORE", op->uids, &names, on_shown, &shown, e);
}

static enum worker_result store(struct imap *im, const struct uidset *uids, char sign, flags_t flags,
                                struct worker_error *e)
{
    struct command names = {0};
    if (flags == 0)
        return WORKER_DONE;
    buf_addf(&names.text, "%cFLAGS.SILENT ", sign);
    command_flags(im, &names, flags);
    return imap_run_uids(im, "UID STORE", uids, &names, NULL, NULL, e);
}

static enum worker_result store_both(struct imap *im, const struct worker_op *op, struct worker_outcome *ret,
                                     struct worker_error *e)
{
    enum worker_result r =
        op->verify && op->add ? store_and_see(im, op, ret, e) : store(im, op->uids, '+', op->add, e);
    return r == WORKER_DONE ? store(im, op->uids, '-', op->remove, e) : r;
}

/* The UIDs that are marked \Deleted, other than ours. */
struct others {
    const struct uidset *ours;
    struct uidset uids;
    bool answered;
};

static int on_search(void *arg, const struct reply *r)
{
    struct others *o = arg;
    struct cursor c = r->args;
    uint32_t uid;
    if (r->kind != REPLY_DATA || strcmp(r->name, "SEARCH") != 0)
        return 0;
    o->answered = true;
    while (cursor_number32(&c, &uid)) {
        int result = uidset_has(o->ours, uid) ? 0 : uidset_add(&o->uids, uid);
        if (result < 0)
            return result == -EINVAL ? 0 : result;
        cursor_char(&c, ' ');
    }
    return 0;
}

static enum worker_result command(struct imap *im, const char *text, imap_each *each, void *arg,
                                  struct worker_error *e)
{
    struct command c;
    command_begin(im, &c, "%s", text);
    return imap_run(im, &c, each, arg, e);
}

/* EXPUNGE of the whole mailbox, with nothing but ours marked. */
static enum worker_result expunge_all_marked(struct imap *im, const struct uidset *ours,
                                             struct worker_error *e)
{
    struct others o = {.ours = ours};
    enum worker_result r = command(im, "UID SEARCH DELETED", on_search, &o, e);
    if (r == WORKER_DONE && !o.answered) {
        static const char text[] = "the server did not say what else is marked as deleted";
        imap_error_set(e, -EIO, text, sizeof text - 1);
        r = WORKER_REFUSED;
    }
    if (r == WORKER_DONE && o.uids.n > 0)
        r = store(im, &o.uids, '-', FLAG_DELETED, e);
    if (r == WORKER_DONE)
        r = command(im, "EXPUNGE", NULL, NULL, e);
    if ((r == WORKER_DONE || r == WORKER_REFUSED) && o.uids.n > 0) {
        struct worker_error back;
        enum worker_result again = store(im, &o.uids, '+', FLAG_DELETED, &back);
        if (r == WORKER_DONE && again != WORKER_DONE) {
            r = again;
            *e = back;
        }
    }
    uidset_finish(&o.uids);
    return r;
}

static enum worker_result expunge(struct imap *im, const struct uidset *uids, struct worker_error *e)
{
    enum worker_result r = store(im, uids, '+', FLAG_DELETED, e);
    if (r == WORKER_DONE && im->has.uidplus) {
        r = imap_run_uids(im, "UID EXPUNGE", uids, NULL, NULL, NULL, e);
        if (r != WORKER_REFUSED || im->done.condition != REPLY_BAD || e->retry_ms > 0)
            return r;
        im->has.uidplus = false; /* offered, and not understood */
        r = WORKER_DONE;
    }
    return r == WORKER_DONE ? expunge_all_marked(im, uids, e) : r;
}

/* COPYUID may come in an untagged OK (MOVE) or in the tagged one (COPY), once a command. */
struct filing {
    struct worker_outcome got;
    bool told, lost; /* lost: one that is missing, or cannot be read nth by nth */
};

static int on_copyuid(void *arg, const struct reply *r)
{
    struct filing *f = arg;
    if (r->kind == REPLY_TAGGED && r->condition == REPLY_OK && !f->told && strcmp(r->name, "COPYUID") != 0)
        f->lost = true;
    if (r->kind == REPLY_DATA || strcmp(r->name, "COPYUID") != 0)
        return 0;
    struct uidset source, target;
    uint32_t validity;
    int result = reply_copyuid(r->args, &validity, &source, &target);
    f->told = r->kind == REPLY_STATUS;
    if (result < 0) {
        f->lost = true;
        return result == -EPROTO ? 0 : result;
    }
    /* Several commands' targets stay in step with their sources only while both go on ascending. */
    const struct uidset *have = &f->got.target;
    f->lost = f->lost || (have->n > 0 && (have->range[have->n - 1].last >= target.range[0].first ||
                                          validity != f->got.uidvalidity));
    f->got.uidvalidity = validity;
    for (size_t i = 0; result == 0 && i < source.n; i++)
        result = uidset_add_range(&f->got.source, source.range[i].first, source.range[i].last);
    for (size_t i = 0; result == 0 && i < target.n; i++)
        result = uidset_add_range(&f->got.target, target.range[i].first, target.range[i].last);
    uidset_finish(&source);
    uidset_finish(&target);
    return result;
}

static void filing_finish(struct filing *f)
{
    uidset_finish(&f->got.source);
    uidset_finish(&f->got.target);
    f->got.uidvalidity = 0;
}

static enum worker_result file(struct imap *im, const struct worker_op *op, struct worker_outcome *ret,
                               struct worker_error *e)
{
    bool move = op->verb == WORKER_MOVE && im->has.move;
    struct filing f = {.got.moved = move};
    struct command target = {0};
    command_string(im, &target, op->target);
    enum worker_result r =
        imap_run_uids(im, move ? "UID MOVE" : "UID COPY", op->uids, &target, on_copyuid, &f, e);
    if (r != WORKER_DONE || f.lost)
        filing_finish(&f);
    if (r == WORKER_DONE)
        *ret = f.got;
    return r;
}

/* Over messages: in the mailbox that was meant, not in another one that has its name now. */
static enum worker_result messages(struct imap *im, const struct worker_op *op, struct worker_outcome *ret,
                                   struct worker_error *e)
{
    enum worker_result r = imap_need(im, op->mailbox, op->uidvalidity, e);
    if (r != WORKER_DONE)
        return imap_harmless(r, e);
    switch (op->verb) {
    case WORKER_STORE:
        return store_both(im, op, ret, e);
    case WORKER_EXPUNGE:
        return expunge(im, op->uids, e);
    default:
        return file(im, op, ret, e);
    }
}

enum worker_result imap_apply(struct worker *w, const struct worker_op *op, struct worker_outcome *ret,
                              struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct worker_outcome got = {0};
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_harmless(imap_settle(im, e), e);
    if (r != WORKER_DONE)
        return r;
    imap_forget_ahead(im); /* they know nothing of this */
    switch (op->verb) {
    case WORKER_STORE:
    case WORKER_EXPUNGE:
    case WORKER_MOVE:
    case WORKER_COPY:
        r = messages(im, op, &got, e);
        break;
    case WORKER_APPEND:
        r = imap_append(im, op, &got, e);
        break;
    default:
        r = imap_folder(im, op, e);
        break;
    }
    if (r == WORKER_DONE && ret != NULL)
        *ret = got;
    return r;
}
