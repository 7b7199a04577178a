/* SELECT, with what the server can tell along with it (RFC 3501 6.3.1, RFC 7162 3.1.8 and 3.2.5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

static void on_code(struct imap_selecting *s, const struct reply *r)
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
    struct imap_selecting *s = arg;
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
static void conclude_flags(struct imap_selecting *s)
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
                              struct imap_selecting *s, struct worker_error *e)
{
    struct command c;
    enum worker_result r = since != NULL ? imap_settle(im, e) : WORKER_DONE;
    if (r != WORKER_DONE)
        return r; /* before it is known what was enabled, nothing can be asked since a token */
    imap_unselected(im);
    s->got = (struct imap_selected){0};
    build(im, &c, mailbox, since);
    r = imap_run(im, &c, on_select, s, e);
    if (r != WORKER_DONE)
        imap_unselected(im); /* also what was selected by an answer that came before this one's */
    return r;
}

/* What the answer's end leaves to be concluded. */
static void conclude(struct imap_selecting *s, const char *code)
{
    s->got.read_only = s->got.read_only && strcmp(code, "READ-WRITE") != 0;
    conclude_flags(s);
}

static int on_select_ahead(void *arg, const struct reply *r)
{
    struct imap_selecting *s = arg;
    int result = on_select(arg, r);
    if (r->kind == REPLY_TAGGED && r->condition == REPLY_OK) {
        conclude(s, r->name);
        s->done = true;
    }
    return result;
}

enum worker_result imap_select_ahead(struct imap *im, const char *mailbox, struct imap_selecting *s,
                                     struct worker_error *e)
{
    struct command c;
    build(im, &c, mailbox, NULL);
    if (c.splits > 0) {
        buf_finish(&c.text);
        return WORKER_REFUSED;
    }
    s->name = mailbox;
    enum worker_result r = imap_send_ahead(im, &c, on_select_ahead, s, e);
    if (r == WORKER_DONE)
        im->owed[im->n_owed - 1].select = s;
    return r;
}

static int set_selected(struct imap *im, const char *mailbox, const struct imap_selecting *s)
{
    char *name = strdup(mailbox);
    imap_unselected(im);
    if (name == NULL)
        return -ENOMEM;
    im->selected = s->got;
    im->selected.name = name;
    im->etpan->imap_state = MAILIMAP_STATE_SELECTED; /* libetpan refuses UID FETCH otherwise */
    return 0;
}

/* Without memory for its name nothing counts as selected, and it will be again. */
void imap_selected_now(struct imap *im, const struct imap_selecting *s)
{
    if (s->done)
        set_selected(im, s->name, s);
}

enum worker_result imap_select(struct imap *im, const char *mailbox, const struct worker_token *since,
                               imap_each *each, void *arg, struct worker_error *e)
{
    struct imap_selecting s = {.im = im, .each = each, .arg = arg};
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
    conclude(&s, im->done.name);
    if (set_selected(im, mailbox, &s) == 0)
        return WORKER_DONE;
    imap_error_set(e, -ENOMEM, "", 0);
    return WORKER_LOCAL;
}

enum worker_result imap_check_validity(const struct imap *im, uint32_t uidvalidity, struct worker_error *e)
{
    if (uidvalidity == 0 || im->selected.uidvalidity == 0 || im->selected.uidvalidity == uidvalidity)
        return WORKER_DONE; /* not told: as it was (case 72) */
    static const char text[] = "UIDVALIDITY changed";
    imap_error_set(e, -ESTALE, text, sizeof text - 1);
    return WORKER_GONE;
}

enum worker_result imap_need(struct imap *im, const char *mailbox, uint32_t uidvalidity,
                             struct worker_error *e)
{
    enum worker_result r = imap_settle_selected(im, e);
    if (r == WORKER_DONE && (im->selected.name == NULL || strcmp(im->selected.name, mailbox) != 0))
        r = imap_select(im, mailbox, NULL, NULL, NULL, e);
    return r == WORKER_DONE ? imap_check_validity(im, uidvalidity, e) : r;
}
