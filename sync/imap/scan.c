/*
 * Looking at a mailbox. A scan begins with a SELECT, also of the mailbox that is selected already: a fresh
 * view is one round trip, as a NOOP would be, and tells everything since a token. (A VANISHED that the
 * session has announced once, in an IDLE say, is not said again to a CHANGEDSINCE; a QRESYNC SELECT says it
 * again.) Only where all is known that the session was told since the token (view.c) it is asked about no
 * more than that.
 *
 *   speed 1, QRESYNC: SELECT (QRESYNC (uidvalidity modseq)) answers changed flags and VANISHED at once.
 *   speed 2, CONDSTORE: equal numbers, nothing to do; else UID FETCH 1:* (FLAGS) (CHANGEDSINCE modseq), and
 * UID SEARCH ALL for removals only when EXISTS does not add up. speed 3, neither: equal EXISTS and UIDNEXT
 * count as nothing; else all flags.
 *
 * The token of a scan is what SELECT told before anything was fetched. Whatever changes meanwhile is beyond
 * it, and the next scan tells it.
 *
 * EXISTS is the check on all of it (case 74): what was known, less what vanished, plus what is new must be
 * what is there; else the server's UIDs are listed, and that list is what counts. So a VANISHED that lies, or
 * is malformed, removes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

#define DETAILS "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
#define DETAILS_AND_MODSEQ "(UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"

/* Messages as they are told: in any order, some twice, some by halves. */
struct row {
    struct worker_message m;
    uint32_t order; /* of arrival: what was told later counts */
};

struct collector {
    struct imap *im;
    const struct imap_selected *box; /* what it is about */
    struct row *row;
    size_t n, cap;
    bool sorted;   /* in order of uid so far, no two alike */
    uint32_t from; /* lower UIDs are not taken: n:* may answer an older one */
    struct uidset vanished;
    struct uidset listed; /* by SEARCH */
    bool malformed;       /* a VANISHED or SEARCH that cannot be read */
    bool searched;
    uint64_t modseq;     /* the highest that a FETCH told */
    bool without_modseq; /* a FETCH told none */
};

static void collector_finish(struct collector *c)
{
    free(c->row);
    uidset_finish(&c->vanished);
    uidset_finish(&c->listed);
}

static void collector_clear(struct collector *c)
{
    c->n = 0;
    c->sorted = true;
    c->malformed = false;
    uidset_finish(&c->vanished);
}

static int push(struct collector *c, const struct worker_message *m)
{
    if (c->n == c->cap) {
        size_t cap = c->cap > 0 ? 2 * c->cap : 256;
        struct row *row = reallocarray(c->row, cap, sizeof *row);
        if (row == NULL)
            return -ENOMEM;
        c->row = row;
        c->cap = cap;
    }
    c->sorted = c->sorted && (c->n == 0 || c->row[c->n - 1].m.uid < m->uid);
    c->row[c->n] = (struct row){*m, (uint32_t)c->n};
    c->n++;
    return 0;
}

static int on_fetch(struct collector *c, const struct reply *r)
{
    struct reply_fetch f;
    int result = reply_fetch(r->args, c->im->keywords, &f);
    if (result == -EPROTO)
        return 0; /* one message's answer is beyond reading: EXISTS will not add up, and its UID is found by
                     SEARCH */
    if (result == 0) {
        c->without_modseq = c->without_modseq || f.modseq == 0;
        c->modseq = f.modseq > c->modseq ? f.modseq : c->modseq;
    }
    if (result < 0 || f.uid == 0 || f.uid < c->from)
        return result;
    struct worker_message m = {
        .uid = f.uid,
        .flags = f.flags,
        .has_flags = f.has_flags,
        .has_details = f.has_date || f.has_size || f.has_header,
        .date_s = f.date_s,
        .zone_min = f.zone_min,
        .size = f.size,
        .message_id = f.message_id,
    };
    return m.has_flags || m.has_details ? push(c, &m) : 0;
}

static int on_vanished(struct collector *c, struct cursor at)
{
    struct uidset gone = {0};
    if (cursor_char(&at, '(') &&
        (!cursor_word(&at, "EARLIER") || !cursor_char(&at, ')') || !cursor_char(&at, ' ')))
        return -EPROTO;
    int r = cursor_uids(&at, &gone);
    for (size_t i = 0; r == 0 && i < gone.n; i++)
        r = uidset_add_range(&c->vanished, gone.range[i].first, gone.range[i].last);
    uidset_finish(&gone);
    return r;
}

/* "SEARCH 2 84 882": as a sequence-set, for its parser sorts what comes in any order. */
static int on_search(struct collector *c, struct cursor at)
{
    struct buf text = {0};
    int r = buf_add(&text, at.p, (size_t)(at.end - at.p));
    while (r == 0 && text.length > 0 && text.data[text.length - 1] == ' ')
        text.length--;
    for (size_t i = 0; r == 0 && i < text.length; i++)
        if (text.data[i] == ' ')
            text.data[i] = ',';
    if (r == 0 && text.length > 0)
        r = uidset_parse(&c->listed, text.data, text.length);
    buf_finish(&text);
    c->searched = true;
    return r == -EINVAL ? -EPROTO : r;
}

/* "ESEARCH (TAG "m7") UID ALL 2,10:11" (RFC 4731 3.1); without ALL nothing was found. */
static int on_esearch(struct collector *c, struct cursor at)
{
    char name[16];
    if (at.p < at.end && *at.p == '(' && (cursor_skip(&at) < 0 || (at.p < at.end && !cursor_char(&at, ' '))))
        return -EPROTO;
    c->searched = true;
    if (cursor_word(&at, "UID"))
        cursor_char(&at, ' ');
    while (cursor_atom(&at, name, sizeof name) > 0 && cursor_char(&at, ' ')) {
        int r = strcmp(name, "ALL") == 0 ? cursor_uids(&at, &c->listed) : cursor_skip(&at);
        if (r < 0)
            return r;
        cursor_char(&at, ' ');
    }
    return 0;
}

static int on_reply(void *arg, const struct reply *r)
{
    struct collector *c = arg;
    int result = 0;
    if (r->kind == REPLY_STATUS && strcmp(r->name, "CLOSED") == 0)
        collector_clear(c);
    if (r->kind != REPLY_DATA)
        return 0;
    if (strcmp(r->name, "FETCH") == 0)
        return on_fetch(c, r);
    if (strcmp(r->name, "VANISHED") == 0)
        result = on_vanished(c, r->args);
    else if (strcmp(r->name, "SEARCH") == 0)
        result = on_search(c, r->args);
    else if (strcmp(r->name, "ESEARCH") == 0)
        result = on_esearch(c, r->args);
    c->malformed = c->malformed || result == -EPROTO;
    return result == -EPROTO ? 0 : result;
}

static enum worker_result fetch(struct collector *c, uint32_t from, const char *items, const char *modifier,
                                struct worker_error *e)
{
    struct command command;
    if (c->im->selected.exists == 0)
        return WORKER_DONE; /* "1:*" is an error in an empty mailbox */
    command_begin(c->im, &command, "UID FETCH %u:* ", from > 0 ? from : 1);
    buf_addf(&command.text, "%s%s", items, modifier);
    return imap_run(c->im, &command, on_reply, c, e);
}

/* All UIDs that are there, as rows without flags beside those that are known better. */
static enum worker_result search(struct collector *c, struct worker_error *e)
{
    struct command command;
    c->malformed = false;
    c->searched = c->im->selected.exists == 0;
    if (c->searched)
        return WORKER_DONE;
    command_begin(c->im, &command, c->im->has.esearch ? "UID SEARCH RETURN (ALL) ALL" : "UID SEARCH ALL");
    enum worker_result r = imap_run(c->im, &command, on_reply, c, e);
    if (r != WORKER_DONE)
        return r;
    for (uint32_t uid = 0; uidset_next(&c->listed, &uid);) {
        const struct worker_message m = {.uid = uid};
        if (push(c, &m) < 0) {
            imap_error_set(e, -ENOMEM, "", 0);
            return WORKER_LOCAL;
        }
    }
    return WORKER_DONE;
}

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->m.uid != y->m.uid)
        return x->m.uid < y->m.uid ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void merge_row(struct worker_message *m, const struct worker_message *later)
{
    struct worker_message old = *m;
    if (later->has_details)
        *m = *later;
    m->has_flags = old.has_flags || later->has_flags;
    m->flags = later->has_flags ? later->flags : old.flags;
}

/* Rows in order of uid, each once. */
static void tidy(struct collector *c)
{
    if (c->sorted || c->n == 0)
        return;
    qsort(c->row, c->n, sizeof *c->row, compare);
    size_t last = 0;
    for (size_t i = 1; i < c->n; i++)
        if (c->row[i].m.uid == c->row[last].m.uid)
            merge_row(&c->row[last].m, &c->row[i].m);
        else
            c->row[++last] = c->row[i];
    c->n = last + 1;
    for (size_t i = 0; i < c->n; i++)
        c->row[i].order = (uint32_t)i;
    c->sorted = true;
}

/* Takes out what the server listed as gone and not as there. */
static void drop_vanished(struct collector *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++)
        if (!uidset_has(&c->vanished, c->row[i].m.uid) || uidset_has(&c->listed, c->row[i].m.uid))
            c->row[kept++] = c->row[i];
    c->n = kept;
}

static size_t rows_from(const struct collector *c, uint32_t uid)
{
    size_t n = 0;
    while (n < c->n && c->row[c->n - 1 - n].m.uid >= uid)
        n++;
    return n;
}

/* Case 74: what is there, by the server's own list. If even that has fewer than EXISTS says, nothing is said
 * to be gone this time, and the token is one that does not hold, so that the next scan looks at everything
 * again. */
static enum worker_result list_all(struct collector *c, struct worker_scan *ret, struct worker_error *e)
{
    enum worker_result r = search(c, e);
    if (r != WORKER_DONE)
        return r;
    tidy(c);
    drop_vanished(c);
    ret->number = 74;
    ret->full = !c->malformed && c->searched && c->n >= c->box->exists;
    if (!ret->full)
        ret->token.modseq = 0;
    uidset_finish(&c->vanished);
    return WORKER_DONE;
}

/* All has been told, and EXISTS says that it is all. */
static bool is_all(struct collector *c)
{
    tidy(c);
    drop_vanished(c);
    return !c->malformed && c->n >= c->box->exists;
}

static enum worker_result scan_full(struct collector *c, const struct worker_token *since, bool details,
                                    struct worker_scan *ret, struct worker_error *e)
{
    bool all = details || since == NULL || since->uidnext <= 1;
    collector_clear(c);
    enum worker_result r = fetch(c, 1, all ? DETAILS : "(UID FLAGS)", "", e);
    tidy(c);
    if (r == WORKER_DONE && !all && rows_from(c, since->uidnext) > 0)
        r = fetch(c, since->uidnext, DETAILS, "", e);
    if (r != WORKER_DONE)
        return r;
    ret->full = is_all(c);
    if (!ret->full)
        return list_all(c, ret, e);
    uidset_finish(&c->vanished);
    return WORKER_DONE;
}

static bool adds_up(const struct collector *c, const struct worker_token *since)
{
    uint64_t removed = 0;
    for (size_t i = 0; i < c->vanished.n && c->vanished.range[i].first < since->uidnext; i++) {
        uint32_t last = c->vanished.range[i].last;
        removed +=
            (uint64_t)(last < since->uidnext ? last : since->uidnext - 1) - c->vanished.range[i].first + 1;
    }
    for (size_t i = 0; c->vanished.n > 0 && i < c->n; i++)
        if (uidset_has(&c->vanished, c->row[i].m.uid))
            return false; /* gone, and there: one of both is a lie */
    return !c->malformed && since->exists + rows_from(c, since->uidnext) == removed + c->im->selected.exists;
}

static enum worker_result scan_changes(struct collector *c, const struct worker_token *since,
                                       struct worker_scan *ret, struct worker_error *e)
{
    struct imap *im = c->im;
    enum worker_result r = WORKER_DONE;
    if (!im->qresync || im->select_plain) {
        char modifier[64];
        snprintf(modifier, sizeof modifier, " (CHANGEDSINCE %llu%s)", (unsigned long long)since->modseq,
                 im->qresync ? " VANISHED" : "");
        if (im->selected.modseq != since->modseq)
            r = fetch(c, 1, "(UID FLAGS)", modifier, e);
    }
    tidy(c);
    if (r == WORKER_DONE && (im->selected.uidnext > since->uidnext || rows_from(c, since->uidnext) > 0))
        r = fetch(c, since->uidnext, DETAILS, "", e);
    if (r != WORKER_DONE)
        return r;
    tidy(c);
    return adds_up(c, since) ? WORKER_DONE : list_all(c, ret, e);
}

/* What SELECT said, into the scan. Where it tells no UIDVALIDITY, the UIDs are taken to be what they were
 * before (case 72), and 1 stands for "never told". */
static void begin(const struct imap_selected *s, const struct worker_token *since, struct worker_scan *ret)
{
    uint32_t known = since != NULL && since->uidvalidity != 0 ? since->uidvalidity : 1;
    ret->token = (struct worker_token){.uidvalidity = s->uidvalidity != 0 ? s->uidvalidity : known,
                                       .uidnext = s->uidnext,
                                       .exists = s->exists,
                                       .modseq = s->modseq};
    ret->read_only = s->read_only;
    ret->permanent = s->permanent;
    ret->keywords_allowed = s->keywords_allowed;
}

static enum worker_result ask_touched(struct collector *c, const struct uidset *touched,
                                      struct worker_error *e)
{
    struct command tail = {0};
    buf_adds(&tail.text, "(UID FLAGS MODSEQ)");
    return imap_run_uids(c->im, "UID FETCH", touched, &tail, on_reply, c, e);
}

/* Has each of them been told with its flags? */
static bool all_told(const struct collector *c, const struct uidset *touched)
{
    uint64_t told = 0;
    for (size_t i = 0; i < c->n; i++)
        told += c->row[i].m.has_flags && uidset_has(touched, c->row[i].m.uid);
    return told == uidset_count(touched);
}

/* The view holds since the token. *ret_all: this was enough. The new token's MODSEQ is the old one's, see
 * view.c.
 */
static enum worker_result look_on(struct collector *c, const struct worker_token *since,
                                  struct worker_scan *ret, bool *ret_all, struct worker_error *e)
{
    struct imap *im = c->im;
    struct uidset touched = im->view.touched;
    enum worker_result r = WORKER_DONE;
    im->view.touched = (struct uidset){0};
    if (touched.n > 0)
        r = ask_touched(c, &touched, e);
    if (r == WORKER_DONE && im->view.whole && im->selected.exists > since->exists)
        r = fetch(c, since->uidnext, DETAILS_AND_MODSEQ, "", e);
    tidy(c);
    *ret_all = r == WORKER_DONE && im->view.whole && c->n > 0 && !c->malformed && !c->without_modseq &&
               all_told(c, &touched) && all_told(c, &im->view.touched) && adds_up(c, since);
    uidset_finish(&touched);
    begin(&im->selected, since, ret);
    ret->token.uidnext = since->uidnext;
    ret->token.modseq = since->modseq;
    return r == WORKER_REFUSED && e->retry_ms == 0 ? WORKER_DONE : r;
}

enum how { NOTHING, CHANGES, FLAGS, DETAILS_TOO, NOT_THE_SAME };

/* How much to look at, by the numbers that SELECT told; *number is the case that decided. */
static enum how choose(const struct collector *c, const struct worker_token *since, enum worker_depth depth,
                       int *number)
{
    const struct imap_selected *s = c->box;
    bool known = since != NULL && since->uidnext > 0;
    bool same = known && s->exists == since->exists && s->uidnext == since->uidnext;
    *number = s->uidvalidity == 0 || s->uidnext == 0 ? 72 : 0;
    if (!known)
        return DETAILS_TOO;
    if (s->uidvalidity != 0 && since->uidvalidity != 0 && s->uidvalidity != since->uidvalidity) {
        *number = 70;
        return NOT_THE_SAME;
    }
    if (depth == WORKER_DETAILS)
        return DETAILS_TOO;
    if (s->uidnext != 0 && s->uidnext < since->uidnext) {
        *number = 72;
        return DETAILS_TOO; /* rewound: which mail is new cannot be told from UIDs any more */
    }
    if (depth == WORKER_FLAGS || *number != 0)
        return FLAGS;
    if (!c->im->has.condstore)
        return same ? NOTHING : FLAGS;
    if (s->modseq == 0 || since->modseq == 0 || s->modseq < since->modseq) {
        *number = 35;
        return FLAGS;
    }
    return same && s->modseq == since->modseq && c->n == 0 && c->vanished.n == 0 && !c->malformed ? NOTHING
                                                                                                  : CHANGES;
}

static enum worker_result look(struct collector *c, const struct worker_token *since, enum worker_depth depth,
                               struct worker_scan *ret, struct worker_error *e)
{
    switch (choose(c, since, depth, &ret->number)) {
    case NOTHING:
        ret->nothing = true;
        return WORKER_DONE;
    case NOT_THE_SAME:
        ret->uidvalidity_changed = true;
        return WORKER_DONE;
    case CHANGES:
        return scan_changes(c, since, ret, e);
    case FLAGS:
        return scan_full(c, since, false, ret, e);
    case DETAILS_TOO:
        return scan_full(c, since, true, ret, e);
    }
    return WORKER_DONE;
}

/* Mail that came after SELECT, and of which no details were told: an EXISTS in the answer to a FETCH was
 * followed by a SEARCH, or by its flags alone. It is not to be removed, and not to be taken for known: the
 * next scan tells it. Such rows are the last ones; returns how many there are before. */
static size_t leave_untold(struct collector *c, uint32_t uidnext)
{
    size_t told = c->n - rows_from(c, uidnext);
    if (uidnext == 0)
        return c->n; /* case 72 */
    while (told < c->n && c->row[told].m.has_details)
        told++;
    for (size_t i = told; i < c->n; i++)
        c->row[i].m.has_flags = false;
    return told;
}

/* The rows into the caller's array, and the token's counts to what they show. */
static enum worker_result end(struct collector *c, struct worker_scan *ret, struct worker_error *e)
{
    if (ret->nothing || ret->uidvalidity_changed)
        return WORKER_DONE;
    ret->message = malloc((c->n > 0 ? c->n : 1) * sizeof *ret->message);
    if (ret->message == NULL) {
        imap_error_set(e, -ENOMEM, "", 0);
        return WORKER_LOCAL;
    }
    size_t told = leave_untold(c, ret->token.uidnext);
    for (size_t i = 0; i < c->n; i++)
        ret->message[i] = c->row[i].m;
    ret->n = c->n;
    ret->vanished = c->vanished;
    c->vanished = (struct uidset){0};
    uint32_t top = told > 0 && c->row[told - 1].m.uid < UINT32_MAX ? c->row[told - 1].m.uid + 1 : 1;
    if (top > ret->token.uidnext)
        ret->token.uidnext = top;
    ret->token.exists =
        ret->full || ret->number == 74 ? (uint32_t)told : c->box->exists - (uint32_t)(c->n - told);
    return WORKER_DONE;
}

/* ---- first looks, asked for one behind the other ---- */

struct imap_ahead {
    char *name;
    struct imap_selecting select;
    struct collector c;
    bool done; /* the server said OK to the FETCH */
};

static void ahead_free(struct imap_ahead *a)
{
    if (a == NULL)
        return;
    collector_finish(&a->c);
    free(a->name);
    free(a);
}

/* Only when nothing of it is owed any more: settled, or the session over. */
void imap_forget_ahead(struct imap *im)
{
    for (unsigned i = 0; i < im->n_ahead; i++)
        ahead_free(im->ahead[i]);
    im->n_ahead = 0;
}

/* What came before its end was about the mailbox that was selected before, of a server that does not say so.
 */
static int on_ahead_selected(void *arg, const struct reply *r)
{
    struct imap_ahead *a = arg;
    if (r->kind == REPLY_TAGGED)
        collector_clear(&a->c);
    return 0;
}

static int on_ahead(void *arg, const struct reply *r)
{
    struct imap_ahead *a = arg;
    a->done = a->done || (r->kind == REPLY_TAGGED && r->condition == REPLY_OK);
    return on_reply(&a->c, r);
}

static struct imap_ahead *ahead_new(struct imap *im, const char *mailbox)
{
    struct imap_ahead *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->name = strdup(mailbox);
    a->select = (struct imap_selecting){.im = im, .each = on_ahead_selected, .arg = a};
    a->c = (struct collector){.im = im, .box = &a->select.got, .sorted = true};
    if (a->name != NULL)
        return a;
    free(a);
    return NULL;
}

void imap_expect(struct worker *w, const char *mailbox)
{
    struct imap *im = imap_of(w);
    struct worker_error e;
    struct command command;
    if (im->state != IMAP_OPEN || im->n_ahead == AHEAD_MAX || im->n_owed + 2 > OWED_MAX)
        return;
    struct imap_ahead *a = ahead_new(im, mailbox);
    if (a == NULL || imap_select_ahead(im, a->name, &a->select, &e) != WORKER_DONE) {
        ahead_free(a);
        return;
    }
    im->ahead[im->n_ahead++] = a; /* from here on the session's, also when it breaks */
    command_begin(im, &command, "UID FETCH 1:* " DETAILS);
    imap_send_ahead(im, &command, on_ahead, a, &e);
}

static struct imap_ahead *find_ahead(struct imap *im, const char *mailbox)
{
    for (unsigned i = 0; i < im->n_ahead; i++)
        if (strcmp(im->ahead[i]->name, mailbox) == 0)
            return im->ahead[i];
    return NULL;
}

/* It goes, and with it those that should have come before it: their answers were read first. */
static void drop_ahead(struct imap *im, const struct imap_ahead *last)
{
    unsigned n = 0;
    while (im->ahead[n] != last)
        n++;
    for (unsigned i = 0; i <= n; i++)
        ahead_free(im->ahead[i]);
    im->n_ahead -= n + 1;
    memmove(im->ahead, im->ahead + n + 1, im->n_ahead * sizeof(struct imap_ahead *));
}

/* Is it all there, and beyond doubt? Everything else is asked again, in the usual way. */
static bool use_ahead(struct imap_ahead *a, struct worker_scan *ret, enum worker_result *result,
                      struct worker_error *e)
{
    int number;
    struct imap_selected *s = &a->select.got;
    if (!a->select.done || !(a->done || s->exists == 0) ||
        choose(&a->c, NULL, WORKER_DETAILS, &number) != DETAILS_TOO)
        return false;
    begin(s, NULL, ret);
    ret->number = number;
    ret->full = is_all(&a->c);
    if (ret->full) {
        uidset_finish(&a->c.vanished);
        *result = end(&a->c, ret, e);
    }
    return ret->full;
}

static bool scan_ahead(struct imap *im, const char *mailbox, struct worker_scan *ret,
                       enum worker_result *result, struct worker_error *e)
{
    struct imap_ahead *a = find_ahead(im, mailbox);
    if (a == NULL)
        return false;
    *result = imap_settle_to(im, a, e);
    if (*result != WORKER_DONE)
        return true;
    bool used = use_ahead(a, ret, result, e);
    drop_ahead(im, a);
    if (!used)
        *ret = (struct worker_scan){0};
    return used;
}

static enum worker_result scan_selected(struct collector *c, const struct worker_token *since,
                                        struct worker_scan *ret, bool *ret_all, struct worker_error *e)
{
    enum worker_result r = look_on(c, since, ret, ret_all, e);
    if (r == WORKER_DONE && *ret_all)
        r = end(c, ret, e);
    if (r == WORKER_DONE && *ret_all)
        imap_view_go_on(c->im, &ret->token, c->modseq);
    else
        imap_view_lose(c->im);
    return r;
}

static enum worker_result scan_anew(struct collector *c, const char *mailbox,
                                    const struct worker_token *since, enum worker_depth depth,
                                    struct worker_scan *ret, struct worker_error *e)
{
    struct imap *im = c->im;
    bool changes = depth == WORKER_CHANGES && since != NULL;
    enum worker_result r = imap_select(im, mailbox, changes ? since : NULL, on_reply, c, e);
    if (r != WORKER_DONE)
        return r;
    if (changes)
        imap_view_begin(im);
    tidy(c);
    begin(&im->selected, since, ret);
    r = look(c, since, depth, ret, e);
    if (r == WORKER_DONE)
        r = end(c, ret, e);
    if (r == WORKER_DONE && changes && !ret->uidvalidity_changed)
        imap_view_end(im, since->uidnext, &ret->token);
    else
        imap_view_lose(im);
    return r;
}

enum worker_result imap_scan(struct worker *w, const char *mailbox, const struct worker_token *since,
                             enum worker_depth depth, struct worker_scan *ret, struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct collector c = {.im = im, .box = &im->selected, .sorted = true};
    struct worker_scan scan = {0};
    bool all = false;
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE && since == NULL && scan_ahead(im, mailbox, &scan, &r, e)) {
        *ret = scan;
        return imap_harmless(r, e);
    }
    bool changes = since != NULL && depth == WORKER_CHANGES;
    if (r == WORKER_DONE && changes)
        r = imap_settle(im, e);
    if (r == WORKER_DONE && changes && imap_view_tells(im, mailbox, since))
        r = scan_selected(&c, since, &scan, &all, e);
    if (r == WORKER_DONE && !all) {
        collector_finish(&c);
        c = (struct collector){.im = im, .box = &im->selected, .sorted = true};
        scan = (struct worker_scan){0};
        r = scan_anew(&c, mailbox, since, depth, &scan, e);
    }
    if (r == WORKER_DONE)
        *ret = scan;
    else
        worker_scan_finish(&scan);
    collector_finish(&c);
    return imap_harmless(r, e);
}

enum worker_result imap_list(struct worker *w, const char *mailbox, uint32_t from, struct worker_scan *ret,
                             struct worker_error *e)
{
    struct imap *im = imap_of(w);
    struct collector c = {.im = im, .box = &im->selected, .sorted = true, .from = from};
    struct worker_scan scan = {0};
    enum worker_result r = imap_ready(im, e);
    if (r == WORKER_DONE)
        r = imap_select(im, mailbox, NULL, NULL, NULL, e);
    if (r == WORKER_DONE) {
        begin(&im->selected, NULL, &scan);
        scan.token.uidvalidity = im->selected.uidvalidity;
        r = fetch(&c, from, DETAILS, "", e);
    }
    tidy(&c);
    if (r == WORKER_DONE)
        r = end(&c, &scan, e);
    if (r == WORKER_DONE)
        *ret = scan;
    else
        worker_scan_finish(&scan);
    collector_finish(&c);
    return imap_harmless(r, e);
}
