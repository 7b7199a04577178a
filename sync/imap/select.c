/* SELECT, with what the server can tell along with it (RFC 3501 6.3.1, RFC 7162 3.1.8 and 3.2.5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

struct selecting {
    struct imap *im;
    struct imap_selected got;
    bool flags_told;
    imap_each *each; /* the caller's, for VANISHED and FETCH */
    void *arg;
};

static void on_code(struct selecting *s, const struct reply *r)
{
    struct cursor c = r->args;
    if (strcmp(r->name, "UIDVALIDITY") == 0)
        cursor_number32(&c, &s->got.uidvalidity);
    else if (strcmp(r->name, "UIDNEXT") == 0)
        cursor_number32(&c, &s->got.uidnext);
    else if (strcmp(r->name, "HIGHESTMODSEQ") == 0)
        cursor_number(&c, &s->got.modseq);
    else if (strcmp(r->name, "READ-ONLY") == 0)
        s->got.read_only = true;
    else if (strcmp(r->name, "PERMANENTFLAGS") == 0)
        s->flags_told = cursor_flags(&c, s->im->keywords, &s->got.permanent, &s->got.keywords_allowed) == 0;
}

static int on_select(void *arg, const struct reply *r)
{
    struct selecting *s = arg;
    /* All before CLOSED was still about the mailbox that was selected before (RFC 7162 3.2.11). */
    if (r->kind == REPLY_STATUS && strcmp(r->name, "CLOSED") == 0)
        s->got = (struct imap_selected){0};
    if (r->kind != REPLY_DATA)
        on_code(s, r);
    else if (strcmp(r->name, "EXISTS") == 0)
        s->got.exists = r->number;
    return s->each != NULL ? s->each(s->arg, r) : 0;
}

/* What PERMANENTFLAGS leaves to be concluded: nothing said means that all are (RFC 3501 7.1), `\*` that any
 * keyword is. */
static void conclude_flags(struct selecting *s)
{
    if (!s->flags_told) {
        s->got.permanent = ~(flags_t)0;
        s->got.keywords_allowed = true;
    } else if (s->got.keywords_allowed) {
        s->got.permanent |= ~FLAGS_SYSTEM | FLAG_FORWARDED;
    }
}

static void build(struct imap *im, struct command *c, const char *mailbox, const struct worker_token *since)
{
    command_begin(im, c, "SELECT ");
    c->behind = since == NULL; /* else what was enabled decides */
    command_string(im, c, mailbox);
    if (im->select_plain)
        return;
    if (im->qresync && since != NULL && since->uidvalidity != 0 && since->modseq != 0)
        buf_addf(&c->text, " (QRESYNC (%u %llu))", since->uidvalidity, (unsigned long long)since->modseq);
    else if (im->has.condstore)
        buf_adds(&c->text, " (CONDSTORE)");
}

static enum worker_result run(struct imap *im, const char *mailbox, const struct worker_token *since,
                              struct selecting *s, struct worker_error *e)
{
    struct command c;
    imap_unselected(im);
    s->got = (struct imap_selected){0};
    build(im, &c, mailbox, since);
    return imap_run(im, &c, on_select, s, e);
}

enum worker_result imap_select(struct imap *im, const char *mailbox, const struct worker_token *since,
                               imap_each *each, void *arg, struct worker_error *e)
{
    struct selecting s = {.im = im, .each = each, .arg = arg};
    enum worker_result r = run(im, mailbox, since, &s, e);
    if (r == WORKER_REFUSED && im->done.condition == REPLY_BAD && im->has.condstore && !im->select_plain &&
        e->retry_ms == 0) {
        im->select_plain = true; /* some servers offer CONDSTORE and balk at the parameter */
        r = run(im, mailbox, NULL, &s, e);
    }
    if (r == WORKER_REFUSED) {
        struct worker_error why;
        enum worker_result there = e->retry_ms > 0 ? WORKER_DONE : imap_exists(im, mailbox, &why);
        if (there == WORKER_DONE || there == WORKER_REFUSED)
            return WORKER_REFUSED;
        if (there != WORKER_GONE)
            *e = why;
        return there;
    }
    if (r != WORKER_DONE)
        return r;
    s.got.read_only = s.got.read_only && strcmp(im->done.name, "READ-WRITE") != 0;
    conclude_flags(&s);
    s.got.name = strdup(mailbox);
    if (s.got.name == NULL) {
        imap_error_set(e, -ENOMEM, "", 0);
        return WORKER_LOCAL;
    }
    im->selected = s.got;
    im->etpan->imap_state = MAILIMAP_STATE_SELECTED; /* libetpan refuses UID FETCH otherwise */
    return WORKER_DONE;
}

enum worker_result imap_need(struct imap *im, const char *mailbox, uint32_t uidvalidity,
                             struct worker_error *e)
{
    enum worker_result r = WORKER_DONE;
    if (im->selected.name == NULL || strcmp(im->selected.name, mailbox) != 0)
        r = imap_select(im, mailbox, NULL, NULL, NULL, e);
    if (r != WORKER_DONE)
        return r;
    if (uidvalidity == 0 || im->selected.uidvalidity == 0 || im->selected.uidvalidity == uidvalidity)
        return WORKER_DONE; /* not told: as it was (case 72) */
    static const char text[] = "UIDVALIDITY changed";
    imap_error_set(e, -ESTALE, text, sizeof text - 1);
    return WORKER_GONE;
}
